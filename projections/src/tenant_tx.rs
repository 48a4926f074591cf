//! The only way to a tenant's rows: a read-only transaction that names its workspace.

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use tenure_aggregates::WorkspaceId;

/// A transaction in which row level security shows one workspace, and nothing else.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    workspace: WorkspaceId,
}

impl TenantTx {
    /// One round trip. The text is safe: a UUID has no quote.
    ///
    /// sqlx loses track of a transaction whose `begin` is dropped half-way. In a task of its own it always runs to its
    /// end, and a transaction nobody waits for any more rolls back as it is dropped.
    pub async fn begin(pool: &PgPool, workspace: WorkspaceId) -> Result<Self, sqlx::Error> {
        let pool = pool.clone();
        let begin = format!("BEGIN READ ONLY; SET LOCAL tenure.workspace = '{workspace}'");
        let task = tokio::spawn(async move {
            let tx = pool.begin_with(begin).await?;
            Ok(Self { tx, workspace })
        });
        task.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// For reads outside this crate; row level security holds there too.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.tx
    }

    /// Ends the transaction. There is nothing to keep; dropping it does the same, later.
    pub async fn close(self) -> Result<(), sqlx::Error> {
        self.tx.rollback().await
    }
}
