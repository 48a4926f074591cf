//! A workspace's events themselves, straight from the log.

use uuid::Uuid;

use crate::TenantTx;
use crate::recorded::Logged;

/// The events after a `workspace_seq`, oldest first.
pub async fn page(tx: &mut TenantTx, after: i64, limit: i64) -> Result<Vec<Logged>, sqlx::Error> {
    page_until(tx, after, i64::MAX, limit).await
}

/// The events after a `workspace_seq` and up to a position of the log, oldest first.
pub async fn page_until(
    tx: &mut TenantTx,
    after: i64,
    upto: i64,
    limit: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events where workspace_id = $1 and workspace_seq > $2 and position <= $3
           order by workspace_seq limit $4"#,
        workspace,
        after,
        upto,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// The `workspace_seq` of the last event; 0 where there is none.
pub async fn end(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let seq = sqlx::query_scalar!(
        "select workspace_seq from events where workspace_id = $1 order by workspace_seq desc limit 1",
        workspace
    );
    Ok(seq.fetch_optional(tx.connection()).await?.unwrap_or(0))
}
