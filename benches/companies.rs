//! A Tenure that serves a history in which one workspace is large: what the past and the exports are measured on.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;
use uuid::Uuid;

use crate::history::{self, Shape};
use crate::plan::Plan;
use crate::postgres::Postgres;
use crate::server::Server;

pub(crate) struct Companies {
    pub server: Server,
    pub small: Workspace,
    pub large: Workspace,
    postgres: Postgres,
    _keys: TempDir,
}

pub(crate) struct Workspace {
    pub id: Uuid,
    /// Its owner, who was there all along.
    pub owner: String,
    /// Where its events stand in the log, from the owner's coming on.
    pub positions: Vec<i64>,
}

impl Companies {
    pub(crate) async fn start(plan: &Plan) -> Self {
        let large_events = if plan.quick { 10_000 } else { 100_000 };
        let shape = Shape { large_events, ..Shape::of(large_events / 5, large_events * 2) };
        let postgres = Postgres::start();
        let database = postgres.database("bench").await;
        let keys = tempfile::tempdir().expect("a directory");
        history::fill(&database, keys.path(), shape).await;
        let server = Server::start(&postgres.url("bench"), keys.path());
        Self {
            server,
            small: Workspace::of(&database, history::workspace(1).0).await,
            large: Workspace::of(&database, history::large().0).await,
            postgres,
            _keys: keys,
        }
    }

    pub(crate) fn stop(self) {
        self.server.stop();
        self.postgres.stop();
    }
}

impl Workspace {
    async fn of(database: &PgConnectOptions, id: Uuid) -> Self {
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.clone());
        let (owner, since): (String, i64) = sqlx::query_as(
            "select payload ->> 'user_id', position from events
             where workspace_id = $1 and event_type = 'MembershipStarted' order by position limit 1",
        )
        .bind(id)
        .fetch_one(&pool)
        .await
        .expect("an owner");
        let positions =
            "select position from events where workspace_id = $1 and position >= $2 order by position";
        let positions =
            sqlx::query_scalar(positions).bind(id).bind(since).fetch_all(&pool).await.expect("positions");
        pool.close().await;
        Self { id, owner, positions }
    }
}
