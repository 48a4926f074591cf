//! Every route of the contract, what it needs and what it may do: the table that the generated tests go through.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Answer, TestService, User};

/// One route. `{…}` in path and body stand for the ids of a [`Place`].
#[derive(Debug, Clone)]
pub struct Route {
    pub method: Method,
    pub template: &'static str,
    pub body: Option<&'static str>,
    pub needs: Needs,
    /// Where it still may write although the workspace is suspended or archived.
    pub even: Even,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    Permission(&'static str),
    /// The operator's service itself.
    Service,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Even {
    /// A read: always.
    Read,
    /// Only while the workspace is active.
    Active,
    /// Also while archived.
    Archived,
    /// Always.
    Always,
}

/// What the placeholders stand for.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub workspace: String,
    pub user: String,
    pub invitation: String,
    /// An API key.
    pub key: String,
    /// A webhook endpoint, and a delivery to it.
    pub endpoint: String,
    pub delivery: String,
    pub other: String,
}

/// The role of its own that [`equip`] gives a workspace.
pub const OWN_ROLE: &str = "scribe";

/// The consumer of its events that [`equip`] registers.
pub const CONSUMER: &str = "billing";

/// Gives a workspace a role of its own, a consumer, an API key, a webhook endpoint and a delivery to it.
pub async fn equip(owner: &User<'_>, workspace: &str) -> Place {
    let base = format!("/v1/workspaces/{workspace}");
    let permissions = json!({"permissions": ["workspace:read", "content:read"]});
    owner.put(&format!("{base}/roles/{OWN_ROLE}"), permissions).await.expect(StatusCode::CREATED);
    let consumer = format!("{base}/consumers/{CONSUMER}");
    owner.put(&consumer, json!({"workspace_seq": 0})).await.expect(StatusCode::CREATED);
    let key = json!({"name": "robot", "permissions": ["members:read"]});
    let key = owner.post(&format!("{base}/api-keys"), key).await.expect(StatusCode::CREATED).text("id");
    // Nothing of the kind happens in a workspace of several people, and nobody listens there.
    let endpoint = json!({"url": "http://127.0.0.1:9/hook", "events": ["user.erased"]});
    let endpoint = owner.post(&format!("{base}/webhooks"), endpoint).await;
    let endpoint = endpoint.expect(StatusCode::CREATED).text("id");
    let delivery = delivered(owner.service, workspace, &endpoint).await;
    Place { workspace: workspace.to_owned(), key, endpoint, delivery, ..Place::default() }
}

/// Writes down that the workspace's first event was delivered to an endpoint, as if it had been; the delivery's id.
pub async fn delivered(service: &TestService, workspace: &str, endpoint: &str) -> String {
    let (admin, id) = (service.admin().await, tenure::ids::new_v7());
    sqlx::query(
        "insert into deliveries (workspace_id, delivery_id, channel, lane, kind, trigger, event_id, position,
             workspace_seq, status, attempts, created_at, finished_at)
         select workspace_id, $1, 'webhook', $2, 'workspace.created', 'event', $1, position, workspace_seq,
                'delivered', 1, recorded_at, recorded_at
         from events where workspace_id = $3 and workspace_seq = 1",
    )
    .bind(id)
    .bind(endpoint.parse::<uuid::Uuid>().unwrap())
    .bind(workspace.parse::<uuid::Uuid>().unwrap())
    .execute(&admin)
    .await
    .unwrap();
    admin.close().await;
    id.to_string()
}

impl Place {
    pub fn fill(&self, text: &str) -> String {
        text.replace("{workspace_id}", &self.workspace)
            .replace("{user_id}", &self.user)
            .replace("{invitation_id}", &self.invitation)
            .replace("{key_id}", &self.key)
            .replace("{endpoint_id}", &self.endpoint)
            .replace("{delivery_id}", &self.delivery)
            .replace("{role}", OWN_ROLE)
            .replace("{consumer}", CONSUMER)
            .replace("{other}", &self.other)
    }
}

impl Route {
    pub fn mutates(&self) -> bool {
        self.even != Even::Read
    }

    pub fn body_at(&self, place: &Place) -> Option<Value> {
        self.body.map(|body| serde_json::from_str(&place.fill(body)).unwrap())
    }

    pub async fn ask(&self, caller: &User<'_>, place: &Place) -> Answer {
        let request = caller.request(self.method.clone(), &place.fill(self.template));
        match self.body_at(place) {
            Some(body) => Answer::of(request.json(&body)).await,
            None => Answer::of(request).await,
        }
    }
}

/// Every route below `/v1/workspaces/{workspace_id}`.
#[expect(clippy::too_many_lines, reason = "one table")]
pub fn workspace_routes() -> Vec<Route> {
    use Even::{Active, Always, Archived, Read};
    use Needs::Service;
    let p = Needs::Permission;
    let (get, post, put, patch, delete) =
        (Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE);
    let route = |method: &Method, template, body, needs, even| Route {
        method: method.clone(),
        template,
        body,
        needs,
        even,
    };
    let some = Some;
    vec![
        route(&get, "/v1/workspaces/{workspace_id}", None, p("workspace:read"), Read),
        route(
            &patch,
            "/v1/workspaces/{workspace_id}",
            some(r#"{"name":"Renamed"}"#),
            p("workspace:update"),
            Active,
        ),
        route(&patch, "/v1/workspaces/{workspace_id}", some(r#"{"seats":{"limit":99}}"#), Service, Active),
        route(&patch, "/v1/workspaces/{workspace_id}", some(r#"{"plan":"pro"}"#), Service, Active),
        route(&delete, "/v1/workspaces/{workspace_id}", None, p("workspace:delete"), Archived),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/transfer-ownership",
            some(r#"{"to":"{user_id}"}"#),
            p("workspace:transfer"),
            Active,
        ),
        route(&post, "/v1/workspaces/{workspace_id}/suspend", some(r#"{"reason":"late"}"#), Service, Always),
        route(&post, "/v1/workspaces/{workspace_id}/resume", some("{}"), Service, Always),
        route(&post, "/v1/workspaces/{workspace_id}/archive", None, p("workspace:delete"), Archived),
        route(&post, "/v1/workspaces/{workspace_id}/restore", None, p("workspace:delete"), Archived),
        route(&get, "/v1/workspaces/{workspace_id}/readiness", None, p("workspace:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/members", None, p("members:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/members/{user_id}", None, p("members:read"), Read),
        route(
            &put,
            "/v1/workspaces/{workspace_id}/members/{other}",
            some(r#"{"role":"member"}"#),
            p("members:invite"),
            Active,
        ),
        route(
            &put,
            "/v1/workspaces/{workspace_id}/members/{user_id}",
            some(r#"{"role":"moderator"}"#),
            p("members:invite"),
            Active,
        ),
        route(
            &patch,
            "/v1/workspaces/{workspace_id}/members/{user_id}",
            some(r#"{"role":"moderator"}"#),
            p("members:update"),
            Active,
        ),
        route(&delete, "/v1/workspaces/{workspace_id}/members/{user_id}", None, p("members:remove"), Active),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/members/{user_id}/deactivate",
            some("{}"),
            p("members:update"),
            Active,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/members/{user_id}/reactivate",
            None,
            p("members:update"),
            Active,
        ),
        route(&get, "/v1/workspaces/{workspace_id}/members/{user_id}/history", None, p("audit:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/roles", None, p("members:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/roles/{role}", None, p("members:read"), Read),
        route(
            &put,
            "/v1/workspaces/{workspace_id}/roles/{role}",
            some(r#"{"permissions":["content:read"]}"#),
            p("roles:manage"),
            Active,
        ),
        route(&delete, "/v1/workspaces/{workspace_id}/roles/{role}", None, p("roles:manage"), Active),
        route(&get, "/v1/workspaces/{workspace_id}/api-keys", None, p("api-keys:manage"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/api-keys/{key_id}", None, p("api-keys:manage"), Read),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/api-keys",
            some(r#"{"name":"robot","permissions":["content:read"]}"#),
            p("api-keys:manage"),
            Active,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/api-keys/{key_id}/rotate",
            some("{}"),
            p("api-keys:manage"),
            Active,
        ),
        route(&delete, "/v1/workspaces/{workspace_id}/api-keys/{key_id}", None, p("api-keys:manage"), Active),
        route(&get, "/v1/workspaces/{workspace_id}/webhooks", None, p("webhooks:manage"), Read),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/webhooks",
            some(r#"{"url":"https://hooks.example.com/a","events":["user.erased"]}"#),
            p("webhooks:manage"),
            Active,
        ),
        route(&get, "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}", None, p("webhooks:manage"), Read),
        route(
            &patch,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}",
            some(r#"{"description":"CRM"}"#),
            p("webhooks:manage"),
            Active,
        ),
        route(
            &delete,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}",
            None,
            p("webhooks:manage"),
            Active,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/rotate-secret",
            some("{}"),
            p("webhooks:manage"),
            Active,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/test",
            None,
            p("webhooks:manage"),
            Active,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/redeliver",
            some(r#"{"from_seq":1,"to_seq":1}"#),
            p("webhooks:manage"),
            Active,
        ),
        route(
            &get,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/deliveries",
            None,
            p("webhooks:manage"),
            Read,
        ),
        route(
            &get,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/deliveries/{delivery_id}",
            None,
            p("webhooks:manage"),
            Read,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/deliveries/{delivery_id}/redeliver",
            None,
            p("webhooks:manage"),
            Active,
        ),
        route(&get, "/v1/workspaces/{workspace_id}/invitations", None, p("members:invite"), Read),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/invitations",
            some(r#"{"email":"new@example.com"}"#),
            p("members:invite"),
            Active,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/invitations/batch",
            some(r#"{"invitations":[{"email":"new@example.com"}]}"#),
            p("members:invite"),
            Active,
        ),
        route(
            &get,
            "/v1/workspaces/{workspace_id}/invitations/{invitation_id}",
            None,
            p("members:invite"),
            Read,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/invitations/{invitation_id}/resend",
            some("{}"),
            p("members:invite"),
            Active,
        ),
        route(
            &post,
            "/v1/workspaces/{workspace_id}/invitations/{invitation_id}/revoke",
            None,
            p("members:invite"),
            Active,
        ),
        route(
            &put,
            "/v1/workspaces/{workspace_id}/invite-code",
            some(r#"{"role":"member"}"#),
            p("members:invite"),
            Active,
        ),
        route(&delete, "/v1/workspaces/{workspace_id}/invite-code", None, p("members:invite"), Active),
        route(&get, "/v1/workspaces/{workspace_id}/audit-log", None, p("audit:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/audit-log/export", None, p("audit:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/audit-log/checkpoint", None, p("audit:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/audit-log/proofs/inclusion", None, p("audit:read"), Read),
        route(
            &get,
            "/v1/workspaces/{workspace_id}/audit-log/proofs/consistency",
            None,
            p("audit:read"),
            Read,
        ),
        route(&get, "/v1/workspaces/{workspace_id}/audit-log/proofs/hashes", None, p("audit:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/events", None, p("audit:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/consumers", None, p("audit:read"), Read),
        route(&get, "/v1/workspaces/{workspace_id}/consumers/{consumer}", None, p("audit:read"), Read),
        route(
            &put,
            "/v1/workspaces/{workspace_id}/consumers/{consumer}",
            some(r#"{"workspace_seq":1}"#),
            p("integrations:manage"),
            Active,
        ),
        route(
            &delete,
            "/v1/workspaces/{workspace_id}/consumers/{consumer}",
            None,
            p("integrations:manage"),
            Active,
        ),
    ]
}

/// The documented routes that name no workspace in their path, and those that need no credential.
pub const ELSEWHERE: &[(&str, &str)] = &[
    ("get", "/v1/events"),
    ("get", "/v1/consumers"),
    ("get", "/v1/consumers/{consumer}"),
    ("put", "/v1/consumers/{consumer}"),
    ("delete", "/v1/consumers/{consumer}"),
    ("get", "/v1/permissions"),
    ("get", "/v1/permissions/{permission}"),
    ("put", "/v1/permissions/{permission}"),
    ("delete", "/v1/permissions/{permission}"),
    ("get", "/v1/users/{user_id}"),
    ("put", "/v1/users/{user_id}"),
    ("delete", "/v1/users/{user_id}"),
    ("post", "/v1/users/{user_id}/erase"),
    ("get", "/v1/users/{user_id}/workspaces"),
    ("post", "/v1/workspaces"),
    ("get", "/v1/workspaces/by-slug/{slug}"),
    ("post", "/v1/invitations/preview"),
    ("post", "/v1/invitations/accept"),
    ("post", "/v1/invitations/decline"),
    ("post", "/v1/join"),
    ("post", "/v1/session"),
    ("get", "/v1/session"),
    ("delete", "/v1/session"),
    ("post", "/v1/session/switch"),
];
