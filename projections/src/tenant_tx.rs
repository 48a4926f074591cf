//! The only way to a tenant's rows: a read-only transaction that names its workspace.

use sqlx::pool::PoolConnection;
use sqlx::{Executor, PgConnection, PgPool, Postgres};
use tenure_aggregates::WorkspaceId;

/// A transaction in which row level security shows one workspace, and nothing else.
#[derive(Debug)]
pub struct TenantTx {
    conn: PoolConnection<Postgres>,
    workspace: WorkspaceId,
}

impl TenantTx {
    /// One round trip. The text is safe: a UUID has no quote.
    ///
    /// `pool` is one that rolls back whatever a connection comes back with: that ends the transaction, and a rollback of
    /// sqlx's own before it would be a round trip more. A statement that is dropped half-way leaves its connection in
    /// doubt; in a task of its own the beginning always runs to its end.
    pub async fn begin(pool: &PgPool, workspace: WorkspaceId) -> Result<Self, sqlx::Error> {
        let pool = pool.clone();
        let begin = format!("BEGIN READ ONLY; SET LOCAL tenure.workspace = '{workspace}'");
        let task = tokio::spawn(async move {
            let mut conn = pool.acquire().await?;
            conn.execute(&*begin).await?;
            Ok(Self { conn, workspace })
        });
        task.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// For reads outside this crate; row level security holds there too.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.conn
    }

    /// Ends the transaction. There is nothing to keep; dropping it does the same, later.
    pub async fn close(mut self) -> Result<(), sqlx::Error> {
        self.conn.execute("rollback").await?;
        Ok(())
    }
}
