//! What the contract's tests share: free-hand requests, what an answer says of itself, and where the log ends.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{ConnectOptions, Connection};
use tenure::config::Settings;

use super::service::{Answer, TestService, User};

/// A workspace with people in it, as most tests of the contract need one.
pub struct Acme {
    pub service: TestService,
    pub id: String,
}

impl Acme {
    /// `ada` owns it, `bob` is an admin, `carol` a member; `dave` is provisioned and has nothing to do with it.
    pub async fn found() -> Self {
        Self::found_with(|_| {}).await
    }

    /// The same, under other settings.
    pub async fn found_with(change: impl FnOnce(&mut Settings)) -> Self {
        let service = TestService::start_with(change).await;
        let mut people = Vec::new();
        for name in ["ada", "bob", "carol", "dave"] {
            people.push(service.provision(name).await);
        }
        let id = people[0].creates("Acme").await;
        for (user, role) in [(&people[1], "admin"), (&people[2], "member")] {
            people[0].brings(&id, user, role).await;
        }
        drop(people);
        Self { service, id }
    }

    pub fn ada(&self) -> User<'_> {
        self.service.user("ada")
    }

    /// An address under the workspace: `acme.at("/members")`.
    pub fn at(&self, rest: &str) -> String {
        format!("/v1/workspaces/{}{rest}", self.id)
    }

    /// Sends an invitation that stays pending; its id and its token.
    pub async fn pending(&self, email: &str) -> (String, String) {
        let body = json!({"email": email, "notify": false});
        let answer = self.ada().post(&self.at("/invitations"), body).await.expect(StatusCode::CREATED);
        (answer.text("id"), answer.text("token"))
    }

    pub async fn stop(self) {
        self.service.stop().await;
    }
}

impl TestService {
    /// Where the log ends, as the database itself has it.
    pub async fn head(&self) -> i64 {
        let mut connection = self.database.connect().await.unwrap();
        let head = sqlx::query_scalar("select position from log_head").fetch_one(&mut connection).await;
        connection.close().await.unwrap();
        head.unwrap()
    }

    /// A request that carries nothing but what is given here.
    pub async fn bare(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request).await
    }
}

impl User<'_> {
    /// A request with headers of its own; no body where none is given.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let mut request = self.request(method, path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(match body {
            Some(body) => request.json(body),
            None => request,
        })
        .await
    }

    /// Sends bytes as they are, under a content type.
    pub async fn send_raw(&self, method: Method, path: &str, kind: &str, body: Vec<u8>) -> Answer {
        Answer::of(self.request(method, path).header("content-type", kind).body(body)).await
    }

    /// As `get`, which has to succeed.
    pub async fn sees(&self, path: &str) -> Answer {
        self.get(path).await.expect(StatusCode::OK)
    }
}

impl Answer {
    #[track_caller]
    pub fn items(&self) -> &[Value] {
        self.body["items"].as_array().unwrap_or_else(|| panic!("no items in {:#}", self.body))
    }

    /// One field of every item.
    #[track_caller]
    pub fn column(&self, field: &str) -> Vec<&str> {
        self.items().iter().map(|item| item[field].as_str().unwrap_or_default()).collect()
    }

    /// What is wrong with the request: pointer and code of each error.
    pub fn errors(&self) -> Vec<(&str, &str)> {
        let errors = self.body["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        errors.iter().map(|e| (e["pointer"].as_str().unwrap(), e["code"].as_str().unwrap())).collect()
    }

    #[track_caller]
    pub fn etag(&self) -> String {
        self.header("etag").unwrap_or_else(|| panic!("no ETag with {:#}", self.body)).to_owned()
    }

    #[track_caller]
    pub fn position(&self) -> i64 {
        let position = self.header("tenure-position");
        position.unwrap_or_else(|| panic!("no Tenure-Position with {:#}", self.body)).parse().unwrap()
    }

    /// Fails unless this is a whole problem, of that status.
    #[track_caller]
    pub fn is_problem(&self, status: u16) {
        assert_eq!(self.status.as_u16(), status, "{:#}", self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        assert_eq!(self.body["status"], status);
        for member in ["type", "title", "detail", "instance", "code", "request_id"] {
            assert!(self.body[member].is_string(), "no {member} in {:#}", self.body);
        }
        assert_eq!(self.header("x-request-id"), self.body["request_id"].as_str());
        assert_eq!(self.header("cache-control"), Some("no-store"));
    }
}

/// Every path of the OpenAPI document with its methods, the parameters filled in with harmless values.
pub fn documented_routes() -> Vec<(String, Vec<Method>)> {
    routes_where(|_| true)
}

/// Those that ask for a credential: all but the ones whose security says that nothing is a way, too.
pub fn guarded_routes() -> Vec<(String, Vec<Method>)> {
    routes_where(|operation| operation["security"] != json!([{}]))
}

fn routes_where(wanted: fn(&Value) -> bool) -> Vec<(String, Vec<Method>)> {
    let document = serde_json::to_value(tenure::http::openapi::routes().into_openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let routes = paths.iter().map(|(path, operations)| {
        let path = path
            .replace("{workspace_id}", "01890000-0000-7000-8000-000000000000")
            .replace("{invitation_id}", "01890000-0000-7000-8000-000000000001")
            .replace("{user_id}", "nobody")
            .replace("{slug}", "no-such-slug")
            .replace("{role}", "admin")
            .replace("{permission}", "invoices:read")
            .replace("{consumer}", "billing")
            .replace("{key_id}", "01890000-0000-7000-8000-000000000002")
            .replace("{endpoint_id}", "01890000-0000-7000-8000-000000000003")
            .replace("{delivery_id}", "01890000-0000-7000-8000-000000000004");
        assert!(!path.contains('{'), "a parameter without a value: {path}");
        let methods = ["get", "put", "post", "patch", "delete"];
        let methods = methods.iter().filter(|method| operations.get(**method).is_some_and(wanted));
        (path, methods.map(|method| method.to_uppercase().parse().unwrap()).collect())
    });
    routes.collect()
}
