//! The three servers, each on a port of its own on loopback.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::post;
use axum::serve::ListenerExt;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tenure::config::{Flags, Settings};
use tenure::http;
use tenure::http::base::server::{ServerOptions, serve};
use tenure::service::Service;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::server::OPERATOR_KEY;

/// A Tenure that serves.
pub(super) struct Tenure {
    pub address: String,
    service: Service,
    server: JoinHandle<std::io::Result<()>>,
    /// With the keys, for another process on the same database.
    pub data_dir: tempfile::TempDir,
}

/// Starts a Tenure on the database and waits until its index answers.
pub(super) async fn tenure(database: &PgConnectOptions) -> Tenure {
    let data_dir = tempfile::tempdir().expect("a directory");
    let flags = Flags { data_dir: Some(data_dir.path().to_owned()), ..Flags::default() };
    let mut settings = Settings::read(&flags, None).expect("settings");
    settings.operator_key = Some(OPERATOR_KEY.to_owned());
    let service = Service::start(&settings, database, None).await.expect("a service");
    while !service.app().access.is_fresh() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (routes, stopping) = (http::service(service.app()), service.stopping_token());
    let server = tokio::spawn(async move {
        serve(listener, routes, ServerOptions::default(), async move { stopping.cancelled().await }).await
    });
    Tenure { address, service, server, data_dir }
}

impl Tenure {
    pub(super) async fn stop(self) {
        self.service.stop().await;
        self.server.await.expect("served").expect("to the end");
    }
}

/// A question as AuthZEN has it.
#[derive(Deserialize)]
struct Question {
    subject: Entity,
    action: Action,
    resource: Entity,
}

#[derive(Deserialize)]
struct Entity {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Deserialize)]
struct Action {
    name: String,
}

#[derive(Serialize)]
struct Decision {
    decision: bool,
}

/// Reads the question and says yes.
pub(super) async fn bare() -> String {
    let answer = async |Json(question): Json<Question>| {
        let decision =
            question.subject.kind.len() + question.action.name.len() + question.resource.id.len() > 0;
        Json(Decision { decision })
    };
    listen(Router::new().route("/access/v1/evaluation", post(answer))).await
}

/// Asks PostgreSQL each time, with one statement that knows the two things a check rests on.
pub(super) async fn look_up(database: &PgConnectOptions) -> String {
    let pool = PgPoolOptions::new().max_connections(16).test_before_acquire(false);
    let pool = pool.connect_with(database.clone()).await.expect("a pool");
    let answer = async |State(pool): State<Arc<PgPool>>, Json(question): Json<Question>| {
        let workspace: Uuid = question.resource.id.parse().unwrap_or_default();
        let row: Option<(String, bool)> = sqlx::query_as(
            "select m.role, w.suspended_since is null and not w.archived
             from members m join workspaces w using (workspace_id)
             where m.workspace_id = $1 and m.user_id = $2 and not m.deactivated
               and (m.expires_at is null or m.expires_at > now())",
        )
        .bind(workspace)
        .bind(&question.subject.id)
        .fetch_optional(&*pool)
        .await
        .expect("an answer");
        // As much of the table as is asked for here.
        let allows = |role: &str| match role {
            "owner" => true,
            "moderator" => question.action.name != "members:invite",
            _ => question.action.name.ends_with(":read"),
        };
        Json(Decision { decision: row.is_some_and(|(role, usable)| usable && allows(&role)) })
    };
    listen(Router::new().route("/access/v1/evaluation", post(answer)).with_state(Arc::new(pool))).await
}

async fn listen(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("no delay"));
    tokio::spawn(async move { axum::serve(listener, router).await.expect("served") });
    address
}
