//! A running service on a database of its own, and the people who use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgPool};
use tenure::config::{Flags, Settings};
use tenure::http;
use tenure::http::base::server::{ServerOptions, serve};
use tenure::service::Service;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::cluster::fresh_database;

pub const OPERATOR_KEY: &str = "operator-key-of-the-tests-0123456789abcdef";

/// A service, in this process, over real HTTP.
pub struct TestService {
    pub url: String,
    pub database: PgConnectOptions,
    pub client: reqwest::Client,
    data_dir: tempfile::TempDir,
    service: Option<Service>,
    server: JoinHandle<std::io::Result<()>>,
}

/// Whoever is still connected to it is cut off.
pub async fn drop_database(database: &PgConnectOptions) {
    let name = database.get_database().unwrap();
    let mut admin = database.clone().database("postgres").connect().await.unwrap();
    admin.execute(format!("drop database if exists {name} with (force)").as_str()).await.unwrap();
    admin.close().await.unwrap();
}

impl TestService {
    pub async fn start() -> Self {
        Self::start_on(fresh_database().await, |_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::start_on(fresh_database().await, change).await
    }

    pub async fn start_on(database: PgConnectOptions, change: impl FnOnce(&mut Settings)) -> Self {
        let data_dir = tempfile::tempdir().unwrap();
        let settings = settings(data_dir.path(), change);
        let service = Service::start(&settings, &database, None).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let stopping = service.stopping_token();
        let routes = http::service(service.app());
        let server = tokio::spawn(async move {
            serve(listener, routes, ServerOptions::default(), async move { stopping.cancelled().await }).await
        });
        let client = reqwest::Client::builder().build().unwrap();
        Self { url, database, client, data_dir, service: Some(service), server }
    }

    /// Its master key's file.
    pub fn master_key_file(&self) -> PathBuf {
        self.data_dir.path().join("master.key")
    }

    /// Another process's service on the same database, as far as the database can tell.
    pub async fn sibling(&self) -> Self {
        self.sibling_with(|_| {}).await
    }

    /// The same, under other settings.
    pub async fn sibling_with(&self, change: impl FnOnce(&mut Settings)) -> Self {
        let key = |name| Some(self.data_dir.path().join(name));
        Self::start_on(self.database.clone(), |settings| {
            settings.master_key_file = key("master.key");
            settings.audit_signing_key_file = key("audit-signing.key");
            change(settings);
        })
        .await
    }

    pub fn service(&self) -> &Service {
        self.service.as_ref().unwrap()
    }

    pub fn app(&self) -> Arc<tenure::http::App> {
        self.service().app()
    }

    /// A pool of the login role, which row level security does not bind.
    pub async fn admin(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_with(self.database.clone()).await.unwrap()
    }

    /// Stops as Ctrl-C does and checks the invariants on what is left.
    pub async fn stop(mut self) {
        self.check_invariants().await;
        self.service.take().unwrap().stop().await;
        (&mut self.server).await.unwrap().unwrap();
        drop_database(&self.database).await;
    }

    /// Stops one of several services on a database, which stays.
    pub async fn leave(mut self) {
        self.service.take().unwrap().stop().await;
        (&mut self.server).await.unwrap().unwrap();
    }

    /// A request of the operator's service, acting for `actor` if there is one.
    pub fn request(&self, method: Method, path: &str, actor: Option<&str>) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url)).bearer_auth(OPERATOR_KEY);
        match actor {
            Some(actor) => request.header("Tenure-Actor", actor),
            None => request,
        }
    }

    /// The operator's service itself.
    pub fn operator(&self) -> User<'_> {
        User { service: self, id: None }
    }

    /// A user who is provisioned already.
    pub fn user(&self, id: &str) -> User<'_> {
        User { service: self, id: Some(id.to_owned()) }
    }

    /// Provisions `name` with the verified address `name@example.com`.
    pub async fn provision(&self, name: &str) -> User<'_> {
        let body = json!({"email": format!("{name}@example.com"), "email_verified": true, "name": name});
        self.operator().put(&format!("/v1/users/{name}"), body).await.expect(StatusCode::CREATED);
        self.user(name)
    }

    /// Positions and `workspace_seq`s have no hole, streams none either, heads say what the log says (invariants 1, 2
    /// and 4), and the read models equal the log's fold (invariant 3) as far as SQL alone can tell.
    pub async fn check_invariants(&self) {
        let admin = self.admin().await;
        // At one instant each: the service's own upkeep may be appending.
        let (head, count, last): (i64, i64, Option<i64>) =
            sqlx::query_as("select (select position from log_head), count(*), max(position) from events")
                .fetch_one(&admin)
                .await
                .unwrap();
        assert_eq!((count, last.unwrap_or(0)), (head, head), "a hole in the log");
        let broken: Vec<(uuid::Uuid,)> = sqlx::query_as(
            "select workspace_id from events group by workspace_id having max(workspace_seq) <> count(*)",
        )
        .fetch_all(&admin)
        .await
        .unwrap();
        assert!(broken.is_empty(), "a hole in the history of {broken:?}");
        let broken: i64 = sqlx::query_scalar(
            "select count(*) from (select 1 from events group by aggregate_type, aggregate_id
             having max(sequence) <> count(*)) s",
        )
        .fetch_one(&admin)
        .await
        .unwrap();
        assert_eq!(broken, 0, "a hole in a stream");
        let broken: i64 = sqlx::query_scalar(
            "select count(*) from workspace_heads h
             where h.seq <> (select max(workspace_seq) from events e where e.workspace_id = h.workspace_id)",
        )
        .fetch_one(&admin)
        .await
        .unwrap();
        assert_eq!(broken, 0, "a workspace's head is not where its history ends");
        self.app().reads.wait_for(head).await.unwrap();
        let broken: i64 = sqlx::query_scalar(
            "select count(*) from workspaces w join workspace_heads h using (workspace_id)
             where w.seats_used <> h.seats or w.seats_used > w.seats_limit
                or w.seats_used <> (select count(*) from members m
                                    where m.workspace_id = w.workspace_id and not m.deactivated)
                or 1 <> (select count(*) from members m where m.workspace_id = w.workspace_id and m.is_owner)",
        )
        .fetch_one(&admin)
        .await
        .unwrap();
        assert_eq!(broken, 0, "seats or owners of a workspace are wrong");
        admin.close().await;
    }
}

fn settings(data_dir: &Path, change: impl FnOnce(&mut Settings)) -> Settings {
    let flags = Flags { data_dir: Some(data_dir.to_owned()), ..Flags::default() };
    let mut settings = Settings::read(&flags, None).unwrap();
    settings.operator_key = Some(OPERATOR_KEY.to_owned());
    settings.pool_size = 4;
    // Whoever receives webhooks in a test is on this machine.
    settings.webhook_allow_networks = Some("127.0.0.0/8,::1/128".to_owned());
    change(&mut settings);
    settings
}

/// Somebody who sends requests: a user, through the operator's service, or that service itself.
#[derive(Clone)]
pub struct User<'a> {
    pub service: &'a TestService,
    pub id: Option<String>,
}

impl User<'_> {
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.service.request(method, path, self.id.as_deref())
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PUT, path).json(&body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::PATCH, path).json(&body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::DELETE, path)).await
    }

    /// Creates a team workspace and returns its id.
    pub async fn creates(&self, name: &str) -> String {
        let answer = self.post("/v1/workspaces", json!({"name": name})).await.expect(StatusCode::CREATED);
        answer.text("id")
    }

    /// Invites an address and returns the token.
    pub async fn invites(&self, workspace: &str, email: &str, role: &str) -> String {
        let body = json!({"email": email, "role": role, "notify": false});
        let answer = self.post(&format!("/v1/workspaces/{workspace}/invitations"), body).await;
        answer.expect(StatusCode::CREATED).text("token")
    }

    pub async fn accepts(&self, token: &str) -> Answer {
        self.post("/v1/invitations/accept", json!({"token": token})).await
    }

    /// Invites a provisioned user by e-mail and has them accept.
    pub async fn brings(&self, workspace: &str, user: &User<'_>, role: &str) {
        let email = format!("{}@example.com", user.id.as_deref().unwrap());
        let token = self.invites(workspace, &email, role).await;
        user.accepts(&token).await.expect(StatusCode::OK);
    }
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let text = response.text().await.unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Self { status, headers, body }
    }

    /// Fails with the whole answer unless the status is the expected one.
    #[track_caller]
    pub fn expect(self, status: StatusCode) -> Self {
        assert_eq!(self.status, status, "{:#}", self.body);
        self
    }

    /// Fails unless this is a problem of that status and code.
    #[track_caller]
    pub fn refused(self, status: u16, code: &str) -> Self {
        assert_eq!(
            (self.status.as_u16(), self.body["code"].as_str()),
            (status, Some(code)),
            "{:#}",
            self.body
        );
        assert_eq!(self.headers["content-type"], "application/problem+json");
        self
    }

    #[track_caller]
    pub fn text(&self, field: &str) -> String {
        self.body[field].as_str().unwrap_or_else(|| panic!("no {field} in {:#}", self.body)).to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}
