//! What others depend on, as it stood when it was last agreed to: the OpenAPI document, the problems, the events, the
//! audit log. `INSTA_UPDATE=always cargo test --test service snapshots` writes them anew.

use std::collections::BTreeMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::service::Answer;
use crate::support::{Acme, User};

/// Ids, times and hashes are new in every run: each becomes its kind and, for ids, its number.
struct Tidy {
    ids: Vec<String>,
}

impl Tidy {
    fn new() -> Self {
        Self { ids: Vec::new() }
    }

    fn tidy(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(text)),
            Value::Array(items) => items.iter().map(|item| self.tidy(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| match name.as_str() {
                    "hash" => (name.clone(), json!("[hash]")),
                    _ => (self.text(name), self.tidy(value)),
                })
                .collect(),
            other => other.clone(),
        }
    }

    fn text(&mut self, text: &str) -> String {
        if text.len() >= 20 && chrono::DateTime::parse_from_rfc3339(text).is_ok() && !text.starts_with("2100")
        {
            return "[time]".to_owned();
        }
        if text.starts_with("slug:") {
            return "slug:[hash]".to_owned();
        }
        let Some(at) = (0..text.len())
            .find(|at| text.get(*at..at + 36).is_some_and(|t| uuid::Uuid::parse_str(t).is_ok()))
        else {
            return text.to_owned();
        };
        let id = &text[at..at + 36];
        let number = self.ids.iter().position(|known| known == id).unwrap_or_else(|| {
            self.ids.push(id.to_owned());
            self.ids.len() - 1
        });
        format!("{}[id {}]{}", &text[..at], number + 1, self.text(&text[at + 36..]))
    }
}

#[test]
fn the_openapi_document() {
    let mut document = serde_json::to_value(tenure::http::openapi::routes().into_openapi()).unwrap();
    document["info"]["version"] = json!("[version]");
    insta::assert_json_snapshot!("openapi", document);
}

#[tokio::test]
async fn an_audit_page() {
    let acme = Acme::found().await;
    let headers = [("x-request-id", "r1"), ("user-agent", "tests/1.0")];
    let rename = json!({"name": "Acme Inc.", "slug": "acme", "social": {"x": "@acme"}});
    acme.ada().send(Method::PATCH, &acme.at(""), Some(&rename), &headers).await.expect(StatusCode::OK);
    let leave = json!({"reason": "on leave"});
    let path = acme.at("/members/carol/deactivate");
    acme.service.operator().send(Method::POST, &path, Some(&leave), &headers).await.expect(StatusCode::OK);
    let page = acme.ada().sees(&acme.at("/audit-log?limit=20")).await;
    insta::assert_json_snapshot!("audit_page", Tidy::new().tidy(&page.body));
    acme.stop().await;
}

/// All but those of what can no longer be asked for: a deleted workspace, an erased user.
#[tokio::test]
async fn one_event_of_each_type() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    let (put, post, patch, delete) = (Method::PUT, Method::POST, Method::PATCH, Method::DELETE);
    let (first, _) = acme.pending("eve@example.com").await;
    let (_, declined) = acme.pending("frank@example.com").await;
    let done: Vec<(&User, &Method, String, Value)> = vec![
        (&operator, &put, "/v1/users/ada".into(), json!({"name": "Ada L."})),
        (&ada, &patch, acme.at(""), json!({"name": "Acme Inc.", "slug": "acme", "social": {"x": "@acme"}})),
        (&ada, &patch, acme.at(""), json!({"slug": null})),
        (&operator, &patch, acme.at(""), json!({"seats": {"limit": 9}})),
        (&ada, &post, acme.at(&format!("/invitations/{first}/resend")), json!({})),
        (&ada, &post, acme.at(&format!("/invitations/{first}/revoke")), json!({})),
        (&operator, &post, "/v1/invitations/decline".into(), json!({"token": declined})),
        (
            &ada,
            &patch,
            acme.at("/members/carol"),
            json!({"role": "moderator", "expires_at": "2100-01-01T00:00:00Z"}),
        ),
        (&ada, &post, acme.at("/members/carol/deactivate"), json!({"reason": "on leave"})),
        (&ada, &post, acme.at("/members/carol/reactivate"), json!({})),
        (&ada, &delete, acme.at("/members/carol"), json!({})),
        (&ada, &put, acme.at("/invite-code"), json!({"max_uses": 3})),
        (&ada, &delete, acme.at("/invite-code"), json!({})),
        (&ada, &post, acme.at("/transfer-ownership"), json!({"to": "bob"})),
        (&operator, &post, acme.at("/suspend"), json!({"reason": "unpaid"})),
        (&operator, &post, acme.at("/resume"), json!({"reason": "paid"})),
        (&operator, &post, acme.at("/archive"), json!({})),
        (&operator, &post, acme.at("/restore"), json!({})),
    ];
    for (user, method, path, body) in done {
        let answer = user.send(method.clone(), &path, Some(&body), &[]).await;
        assert!(answer.status.is_success(), "{method} {path}: {:#}", answer.body);
    }
    let home = operator.sees("/v1/users/ada").await.text("personal_workspace_id");
    let mut of_each_type = BTreeMap::new();
    for path in [format!("/v1/workspaces/{home}/events"), acme.at("/events")] {
        let answer = operator.sees(&path).await;
        for line in answer.body.as_str().unwrap().lines() {
            let event: Value = serde_json::from_str(line).unwrap();
            let kind = event["type"].as_str().unwrap().to_owned();
            of_each_type.entry(kind).or_insert_with(|| Tidy::new().tidy(&event));
        }
    }
    insta::assert_json_snapshot!("cloud_events", of_each_type);
    acme.stop().await;
}

#[tokio::test]
async fn one_problem_of_each_code() {
    let acme = Acme::found().await;
    let mut problems = BTreeMap::new();
    for answer in provoke(&acme).await {
        answer.is_problem(answer.status.as_u16());
        let code = answer.text("code");
        let mut body = answer.body.clone();
        body["request_id"] = json!("[id]");
        problems.entry(code).or_insert_with(|| Tidy::new().tidy(&body));
    }
    insta::assert_json_snapshot!("problems", problems);
    acme.stop().await;
}

/// One request for every code that can be had by asking.
async fn provoke(acme: &Acme) -> Vec<Answer> {
    let (ada, operator) = (acme.ada(), acme.service.operator());
    let (bob, carol, dave) =
        (acme.service.user("bob"), acme.service.user("carol"), acme.service.user("dave"));
    let mut all = at_the_door(acme).await;
    let (post, json) = (Method::POST, "application/json");
    let other = ada.creates("Other").await;
    let other = format!("/v1/workspaces/{other}");
    ada.patch(&other, json!({"slug": "taken"})).await.expect(StatusCode::OK);
    let token = ada.invites(&acme.id, "dave@example.com", "member").await;
    let eve = acme.service.provision("eve").await;
    let unverified = json!({"email": "frank@example.com", "email_verified": false});
    operator.put("/v1/users/frank", unverified).await.expect(StatusCode::CREATED);
    let to_frank = ada.invites(&acme.id, "frank@example.com", "member").await;
    let code =
        ada.put(&acme.at("/invite-code"), json!({"max_uses": 1})).await.expect(StatusCode::OK).text("code");
    all.extend([
        ada.patch(&acme.at(""), json!({"slug": "taken"})).await,
        carol.patch(&acme.at(""), json!({"name": "X"})).await,
        dave.get(&acme.at("")).await,
        ada.put(&acme.at("/members/nobody"), json!({})).await,
        ada.delete("/v1/users/ada").await,
        eve.accepts(&token).await,
        acme.service.user("frank").accepts(&to_frank).await,
        dave.accepts("tni_nonsense").await,
        bob.patch(&acme.at("/members/ada"), json!({"role": "member"})).await,
        ada.delete(&acme.at("/members/ada")).await,
        ada.post(&acme.at("/transfer-ownership"), json!({"to": "dave"})).await,
        bob.post("/v1/join", json!({"code": code})).await,
        operator.accepts(&token).await,
        ada.send(Method::PATCH, &acme.at(""), Some(&json!({"name": "X"})), &[("if-match", "\"99\"")]).await,
        ada.send(Method::GET, &acme.at(""), None, &[("tenure-position", "999999")]).await,
        ada.get(&acme.at("/members?cursor=x")).await,
    ]);
    ada.post(&acme.at("/invitations"), json!({"email": "bob@example.com"}))
        .await
        .refused(409, "already_member");
    let home = ada.sees("/v1/users/ada").await.text("personal_workspace_id");
    all.push(ada.delete(&format!("/v1/workspaces/{home}")).await);
    let moderator = json!({"role": "moderator"});
    ada.patch(&acme.at("/members/carol"), moderator).await.expect(StatusCode::OK);
    all.push(bob.post(&acme.at("/invitations"), json!({"email": "g@example.com", "role": "owner"})).await);
    let (key, body) = ([("idempotency-key", "k")], json!({"name": "Acme"}));
    ada.send(post.clone(), "/v1/workspaces", Some(&body), &key).await.expect(StatusCode::CREATED);
    all.push(ada.send(post.clone(), "/v1/workspaces", Some(&json!({"name": "B"})), &key).await);
    dave.post("/v1/join", json!({"code": code})).await.expect(StatusCode::OK);
    all.push(eve.post("/v1/join", json!({"code": code})).await);
    operator.patch(&acme.at(""), json!({"seats": {"limit": 4}})).await.expect(StatusCode::OK);
    all.push(ada.put(&acme.at("/members/eve"), json!({})).await);
    let revoked = ada.sees(&acme.at("/invitations?status=pending&email=frank@example.com")).await;
    let revoked = revoked.items()[0]["id"].as_str().unwrap().to_owned();
    ada.post(&acme.at(&format!("/invitations/{revoked}/revoke")), json!({})).await.expect(StatusCode::OK);
    all.push(ada.post(&acme.at(&format!("/invitations/{revoked}/resend")), json!({})).await);
    operator.delete("/v1/users/eve").await.expect(StatusCode::NO_CONTENT);
    all.push(operator.put("/v1/users/eve", json!({})).await);
    operator.post(&acme.at("/suspend"), json!({})).await.expect(StatusCode::OK);
    all.push(ada.patch(&acme.at(""), json!({"name": "X"})).await);
    operator.post(&acme.at("/resume"), json!({})).await.expect(StatusCode::OK);
    ada.post(&acme.at("/archive"), json!({})).await.expect(StatusCode::OK);
    all.push(ada.send_raw(Method::PATCH, &acme.at(""), json, br#"{"name":"X"}"#.to_vec()).await);
    all
}

/// What is refused before anything is looked up.
async fn at_the_door(acme: &Acme) -> Vec<Answer> {
    let (ada, json) = (acme.ada(), "application/json");
    let large = vec![b' '; (1 << 20) + 1];
    vec![
        acme.service.bare(Method::GET, "/v1/permissions", &[]).await,
        ada.get("/v1/permissions?token=x").await,
        ada.send(Method::PUT, "/v1/permissions", None, &[]).await,
        ada.send_raw(Method::PATCH, &acme.at(""), json, large).await,
        ada.send_raw(Method::PATCH, &acme.at(""), "text/plain", b"{}".to_vec()).await,
        ada.send_raw(Method::PATCH, &acme.at(""), json, b"{\"name\":".to_vec()).await,
        ada.patch(&acme.at(""), json!({"name": "", "phone": 5, "nonsense": 1})).await,
        ada.patch(&acme.at(""), json!({"nonsense": 1})).await,
    ]
}
