//! Reading the read models: fresh enough for whoever asks, and never across workspaces.

use std::time::Duration;

use sqlx::PgPool;
use tenure_aggregates::WorkspaceId;
use tenure_projections::TenantTx;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::projector::{Role, Snapshot};
use crate::store::{Failure, Refusal, Store, StoreError};

/// How long a read waits for the read models before it says that they are behind.
const PATIENCE: Duration = Duration::from_secs(5);

/// Opens read transactions of the service's role. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reads {
    pool: PgPool,
    store: Store,
    applied: watch::Receiver<i64>,
    projector: watch::Receiver<Snapshot>,
}

impl Reads {
    /// `applied` tells the position up to which the read models are committed, `projector` what they do not show.
    pub fn new(
        pool: PgPool,
        store: Store,
        applied: watch::Receiver<i64>,
        projector: watch::Receiver<Snapshot>,
    ) -> Self {
        Self { pool, store, applied, projector }
    }

    /// A transaction on one workspace that sees what this process last committed there, and everything up to `seen`.
    /// Refused where an event of the workspace could not be applied: what is shown then would be out of date.
    pub async fn workspace(&self, workspace: WorkspaceId, seen: Option<i64>) -> Result<TenantTx, Failure> {
        let mut tx = self.workspace_though_parked(workspace, seen).await?;
        self.refuse_parked(&mut tx).await?;
        Ok(tx)
    }

    /// The same for whoever asks [`Self::refuse_parked`] later, so that a stranger does not learn of it.
    pub async fn workspace_though_parked(
        &self,
        workspace: WorkspaceId,
        seen: Option<i64>,
    ) -> Result<TenantTx, Failure> {
        self.ready(workspace, seen).await?;
        Ok(self.within(workspace).await?)
    }

    /// A transaction on one workspace that sees every change of its members that this process committed.
    pub async fn members(&self, workspace: WorkspaceId) -> Result<TenantTx, Failure> {
        self.fresh(self.store.heads.members_position(workspace), None).await?;
        let mut tx = self.within(workspace).await?;
        self.refuse_parked(&mut tx).await?;
        Ok(tx)
    }

    /// Waits, bounded, until a read of a workspace would see what this process last committed there, and everything up
    /// to `seen`.
    pub async fn ready(&self, workspace: WorkspaceId, seen: Option<i64>) -> Result<(), Failure> {
        self.fresh(self.store.heads.workspace_position(workspace), seen).await
    }

    /// A transaction on a user's personal workspace. What is shown there may come from any workspace, so it sees
    /// everything this process committed.
    pub async fn personal(&self, workspace: WorkspaceId, seen: Option<i64>) -> Result<TenantTx, Failure> {
        self.fresh(self.store.heads.position(), seen).await?;
        let mut tx = self.within(workspace).await?;
        self.refuse_parked(&mut tx).await?;
        Ok(tx)
    }

    /// Refuses to go on if some read model waits at an event of this workspace.
    pub async fn refuse_parked(&self, tx: &mut TenantTx) -> Result<(), Failure> {
        let workspace = tx.workspace();
        let known = {
            let snapshot = self.projector.borrow();
            snapshot.role != Role::Starting && !snapshot.waiting.workspaces.contains_key(&workspace.0)
        };
        if known {
            return Ok(());
        }
        // It may have gone on since.
        let position = sqlx::query_scalar!(
            "select min(p.position) from projection_parked p
             join projection_checkpoints c on c.name = p.name and c.generation = p.generation and c.state = 'live'
             where p.workspace_id = $1",
            workspace.0
        )
        .fetch_one(tx.connection())
        .await
        .map_err(StoreError::from)?;
        match position {
            Some(position) => Err(StoreError::Parked { workspace, position }.into()),
            None => Ok(()),
        }
    }

    /// A transaction on a workspace's part of the log itself, which needs no read model.
    pub async fn log_of(&self, workspace: WorkspaceId) -> Result<TenantTx, Failure> {
        Ok(self.within(workspace).await?)
    }

    /// A transaction on a workspace, for whoever has waited for the read models already.
    pub async fn within(&self, workspace: WorkspaceId) -> Result<TenantTx, StoreError> {
        Ok(TenantTx::begin(&self.pool, workspace).await?)
    }

    /// Waits, bounded, until the read models show what this process last committed in a workspace, or anywhere.
    pub async fn catch_up(&self, workspace: Option<WorkspaceId>) -> Result<(), Failure> {
        let heads = &self.store.heads;
        let own = workspace.map_or_else(|| heads.position(), |workspace| heads.workspace_position(workspace));
        self.wait_for(own).await
    }

    /// Waits, bounded, until the read models have come to a position.
    pub async fn wait_for(&self, position: i64) -> Result<(), Failure> {
        let mut applied = self.applied.clone();
        if *applied.borrow() >= position {
            return Ok(());
        }
        match timeout(PATIENCE, applied.wait_for(|applied| *applied >= position)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(StoreError::Unavailable("shutting down".to_owned()).into()),
            Err(_) => Err(StoreError::Behind.into()),
        }
    }

    /// The position up to which the read models are committed.
    pub fn applied(&self) -> i64 {
        *self.applied.borrow()
    }

    /// Where the log ends, whoever wrote to it.
    pub async fn head(&self) -> Result<i64, Failure> {
        let head =
            sqlx::query_scalar!("select position from log_head where id = 1").fetch_one(&self.pool).await;
        Ok(head.map_err(StoreError::from)?)
    }

    /// Another process's position may be ahead of what this one has heard of; one ahead of the log itself is a lie.
    pub async fn check_position(&self, position: i64) -> Result<(), Failure> {
        if position <= self.store.heads.position() {
            return Ok(());
        }
        let head = self.head().await?;
        if position <= head {
            return Ok(());
        }
        let detail = format!("Tenure-Position {position} is ahead of the log, which ends at {head}.");
        Err(Refusal::new("position_in_future", detail).into())
    }

    /// Where a workspace's history ends, and where the log did not yet end when that was looked up.
    pub async fn end_of(&self, workspace: WorkspaceId) -> Result<(i64, i64), Failure> {
        let mut tx = TenantTx::begin(&self.pool, workspace).await.map_err(StoreError::from)?;
        let row = sqlx::query!(
            r#"select position as "position!", coalesce(h.seq, 0) as "seq!"
               from log_head left join workspace_heads h on h.workspace_id = $1 where id = 1"#,
            workspace.0
        )
        .fetch_one(tx.connection())
        .await
        .map_err(StoreError::from)?;
        Ok((row.seq, row.position))
    }

    async fn fresh(&self, own: i64, seen: Option<i64>) -> Result<(), Failure> {
        if let Some(seen) = seen {
            self.check_position(seen).await?;
        }
        self.wait_for(own.max(seen.unwrap_or(0))).await
    }
}
