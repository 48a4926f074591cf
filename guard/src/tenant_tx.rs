//! The way to a tenant's rows in a database of yours: a transaction that names its workspace.

use std::ops::{Deref, DerefMut};

use sqlx::{PgConnection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use crate::session::Session;

/// A transaction in which row level security (see [`ROW_LEVEL_SECURITY`](crate::ROW_LEVEL_SECURITY)) shows one
/// workspace, and lets nothing be written for another. Dropped, it rolls back.
#[derive(Debug)]
pub struct TenantTx {
    tx: Transaction<'static, Postgres>,
    workspace_id: Uuid,
}

impl TenantTx {
    /// Begins in the session's workspace, in one round trip.
    pub async fn begin(pool: &PgPool, session: &Session) -> Result<Self, sqlx::Error> {
        Self::begin_in(pool, session.workspace_id()).await
    }

    /// For a background job, which has no session: it carries the workspace it was queued for.
    ///
    /// The text is safe: a UUID has no quote. And sqlx loses track of a transaction whose `begin` is dropped half-way:
    /// the connection would go back with it open, setting and all. In a task of its own it always runs to its end, and
    /// a transaction nobody waits for any more rolls back as it is dropped.
    pub async fn begin_in(pool: &PgPool, workspace_id: Uuid) -> Result<Self, sqlx::Error> {
        let pool = pool.clone();
        let begin = format!("BEGIN; SET LOCAL tenure.workspace = '{workspace_id}'");
        let task = tokio::spawn(async move {
            let tx = pool.begin_with(begin).await?;
            Ok(Self { tx, workspace_id })
        });
        task.await.map_err(|_| sqlx::Error::WorkerCrashed)?
    }

    /// The one workspace this transaction sees. Bind it in every query all the same: row level security is the second
    /// fence, and an index wants to be asked by it.
    pub fn workspace_id(&self) -> Uuid {
        self.workspace_id
    }

    /// Keeps what was written.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        self.tx.commit().await
    }

    /// Keeps nothing. Dropping does the same, later.
    pub async fn rollback(self) -> Result<(), sqlx::Error> {
        self.tx.rollback().await
    }
}

impl Deref for TenantTx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.tx
    }
}

impl DerefMut for TenantTx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.tx
    }
}
