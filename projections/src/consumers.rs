//! Consumers of the feeds: how far each has come, as it last told. Not a read model: no event tells of it.

use sqlx::PgPool;
use tenure_aggregates::{Time, WorkspaceId};
use uuid::Uuid;

use crate::TenantTx;

/// A reader that keeps its place here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumer {
    pub name: String,
    /// The last event it is done with: a `workspace_seq`, or a position where it reads the whole log.
    pub checkpoint: i64,
    /// The `ETag`.
    pub sequence: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Where a consumer's checkpoint is to be.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    pub workspace: WorkspaceId,
    pub name: &'a str,
    /// The sequence it was found with; none where there was no such consumer.
    pub found: Option<i64>,
    pub checkpoint: i64,
    pub at: Time,
}

pub async fn find(tx: &mut TenantTx, name: &str) -> Result<Option<Consumer>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Consumer,
        "select name, checkpoint, sequence, created_at, updated_at from feed_consumers
         where workspace_id = $1 and name = $2",
        workspace,
        name
    )
    .fetch_optional(tx.connection())
    .await
}

/// By name, those after `after`.
pub async fn list(tx: &mut TenantTx, after: Option<&str>, limit: i64) -> Result<Vec<Consumer>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Consumer,
        r#"select name, checkpoint, sequence, created_at, updated_at from feed_consumers
           where workspace_id = $1 and ($2::text is null or name collate "C" > $2)
           order by name collate "C" limit $3"#,
        workspace,
        after,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// Moves a checkpoint from where it was found, or registers a consumer where there are fewer than `most`; false if
/// somebody else was faster, or there are too many.
pub async fn put(projector: &PgPool, to: &Move<'_>, most: i64) -> Result<bool, sqlx::Error> {
    let workspace: Uuid = to.workspace.into();
    let done = match to.found {
        None => {
            sqlx::query!(
                "insert into feed_consumers (workspace_id, name, checkpoint, sequence, created_at, updated_at)
                 select $1, $2, $3, 1, $4, $4
                 where (select count(*) from feed_consumers where workspace_id = $1) < $5
                 on conflict do nothing",
                workspace,
                to.name,
                to.checkpoint,
                to.at,
                most
            )
            .execute(projector)
            .await?
        }
        Some(found) => {
            sqlx::query!(
                "update feed_consumers set checkpoint = $4, sequence = sequence + 1, updated_at = $5
                 where workspace_id = $1 and name = $2 and sequence = $3",
                workspace,
                to.name,
                found,
                to.checkpoint,
                to.at
            )
            .execute(projector)
            .await?
        }
    };
    Ok(done.rows_affected() == 1)
}

/// Forgets a consumer as it was found; false if it is another by now.
pub async fn delete(
    projector: &PgPool,
    workspace: WorkspaceId,
    name: &str,
    found: i64,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "delete from feed_consumers where workspace_id = $1 and name = $2 and sequence = $3",
        Uuid::from(workspace),
        name,
        found
    )
    .execute(projector)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How many consumers are looked at in one go.
const SLICE: i64 = 1_000;

/// Forgets the consumers of deleted workspaces; returns how many.
pub async fn forget_deleted(projector: &PgPool) -> Result<u64, sqlx::Error> {
    let (mut forgotten, mut after) = (0, Uuid::nil());
    loop {
        let (more, last) = forget_deleted_after(projector, after).await?;
        forgotten += more;
        match last {
            Some(last) => after = last,
            None => return Ok(forgotten),
        }
    }
}

/// The same for some of them, those of the workspaces after one; returns how many, and the last workspace it looked at,
/// if there was any. The log has the last word, since a read model that waits for a fix may lack a workspace that lives.
pub async fn forget_deleted_after(
    projector: &PgPool,
    after: Uuid,
) -> Result<(u64, Option<Uuid>), sqlx::Error> {
    let looked_at = sqlx::query_scalar!(
        "select workspace_id from feed_consumers where workspace_id > $1 order by workspace_id limit $2",
        after,
        SLICE
    )
    .fetch_all(projector)
    .await?;
    // One by one, whatever the planner thinks of how many there are.
    let done = sqlx::query!(
        "delete from feed_consumers where workspace_id in (
             select l.workspace_id from unnest($1::uuid[]) l (workspace_id)
             cross join lateral (
                 select from events e where e.aggregate_type = 'Workspace' and e.aggregate_id = l.workspace_id::text
                   and e.event_type = 'WorkspaceDeleted' limit 1) e
             where not exists (select from workspaces w where w.workspace_id = l.workspace_id))",
        &looked_at
    )
    .execute(projector)
    .await?;
    Ok((done.rows_affected(), looked_at.last().copied()))
}

/// How many events each consumer of the whole log has before it.
pub async fn lags(projector: &PgPool, installation: WorkspaceId) -> Result<Vec<(String, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select name, greatest(h.position - c.checkpoint, 0) as "lag!" from feed_consumers c, log_head h
           where c.workspace_id = $1 and h.id = 1"#,
        Uuid::from(installation)
    )
    .fetch_all(projector)
    .await?;
    Ok(rows.into_iter().map(|row| (row.name, row.lag)).collect())
}
