//! The example product "invoices" on a database of its own, the tenants who use it, and a stand-in for Tenure that
//! signs their sessions.

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgPool};
use tenure::{clock, ids};
use tenure_guard::{AUDIENCE, Guard, RemoteVerifier, check_isolation};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::cluster::empty_database;
use super::issuer::{Answer as Published, TestIssuer, TestKey};
use super::service::Answer;

/// The product, in this process, over real HTTP.
pub struct Product {
    pub url: String,
    /// What requests are served from.
    pub pool: PgPool,
    /// The tables' owner.
    pub owner: PgConnectOptions,
    client: reqwest::Client,
    server: JoinHandle<std::io::Result<()>>,
}

impl Product {
    /// Behind the Tenure at `tenure_url`, whose sessions it believes, with a pool of so many connections.
    pub async fn start(tenure_url: &str, connections: u32) -> Self {
        let owner = empty_database().await;
        invoices::schema::install(&owner).await.unwrap();
        let pool = invoices::schema::pool(&owner, connections);
        check_isolation(&pool).await.unwrap();
        let guard = Guard::new(RemoteVerifier::new(tenure_url, AUDIENCE).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = invoices::router(pool.clone(), &guard);
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        Self { url, pool, owner, client: reqwest::Client::new(), server }
    }

    /// Somebody with a session in a workspace.
    pub fn tenant(&self, workspace: Uuid, token: String) -> Tenant<'_> {
        Tenant { product: self, workspace, token }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// A pool of the login role, which row level security does not bind.
    pub async fn admin(&self) -> PgPool {
        PgPoolOptions::new().max_connections(2).connect_with(self.owner.clone()).await.unwrap()
    }

    pub async fn stop(self) {
        self.server.abort();
        self.pool.close().await;
        let name = self.owner.get_database().unwrap();
        let mut admin = self.owner.clone().database("postgres").connect().await.unwrap();
        admin.execute(format!("drop database {name} with (force)").as_str()).await.unwrap();
        admin.close().await.unwrap();
    }
}

/// Somebody who uses the product in one workspace.
#[derive(Clone)]
pub struct Tenant<'a> {
    product: &'a Product,
    pub workspace: Uuid,
    pub token: String,
}

impl Tenant<'_> {
    /// A request under the tenant's own workspace, such as `/invoices`.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let path = format!("/workspaces/{}{path}", self.workspace);
        self.product.request(method, &path).bearer_auth(&self.token)
    }

    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.request(Method::GET, path)).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(self.request(Method::POST, path).json(&body)).await
    }

    /// The new invoice's id.
    pub async fn bills(&self, customer: &str, amount_cents: i64) -> String {
        let body = json!({"customer": customer, "amount_cents": amount_cents});
        self.post("/invoices", body).await.expect(StatusCode::CREATED).text("id")
    }
}

/// Signs sessions as Tenure does, whatever they say.
pub struct SessionIssuer {
    site: TestIssuer,
    key: TestKey,
}

impl SessionIssuer {
    pub async fn start() -> Self {
        let (site, key) = (TestIssuer::start().await, TestKey::ed25519("session-key-1"));
        site.answer("/.well-known/jwks.json", Published::json(&json!({"keys": [key.jwk()]})));
        Self { site, key }
    }

    pub fn url(&self) -> &str {
        &self.site.url
    }

    /// A session of a member who may read and write invoices, with `change` laid over its claims.
    pub fn token(&self, user: &str, workspace: Uuid, change: &Value) -> String {
        let now = clock::now().timestamp();
        let mut claims = json!({
            "iss": self.url(), "aud": AUDIENCE, "sub": user, "iat": now, "exp": now + 300,
            "sid": ids::new_v7(), "gen": 1, "workspace_id": workspace, "workspace_kind": "team",
            "workspace_status": "active", "role": "member",
            "permissions": ["workspace:read", "invoices:read", "invoices:write"],
        });
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.key.token(&claims)
    }
}
