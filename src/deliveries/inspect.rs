//! The deliveries of all tenants, for operators: to look at, and to try again. What is in them is not shown.

use sqlx::PgPool;
use tenure_aggregates::Time;
use uuid::Uuid;

use super::Channel;

/// Which deliveries.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub workspace: Option<Uuid>,
    pub channel: Option<Channel>,
    /// Of these states; of all if none is named.
    pub statuses: Vec<String>,
    pub ids: Vec<Uuid>,
}

/// A delivery, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub workspace_id: Uuid,
    pub delivery_id: Uuid,
    pub channel: String,
    pub lane: Uuid,
    pub kind: String,
    pub trigger: String,
    pub event_id: Uuid,
    pub position: i64,
    pub recipient: Option<String>,
    pub status: String,
    pub attempts: i32,
    pub next_attempt_at: Option<Time>,
    pub reason: Option<String>,
    pub created_at: Time,
    pub finished_at: Option<Time>,
}

/// The newest that fit. `projector` reads the deliveries of all tenants.
pub async fn list(projector: &PgPool, filter: &Filter, limit: i64) -> Result<Vec<Shown>, sqlx::Error> {
    sqlx::query_as!(
        Shown,
        "select workspace_id, delivery_id, channel, lane, kind, trigger, event_id, position, recipient, status,
                attempts, next_attempt_at, reason, created_at, finished_at
         from deliveries
         where ($1::uuid is null or workspace_id = $1) and ($2::text is null or channel = $2)
           and (cardinality($3::text[]) = 0 or status = any($3))
           and (cardinality($4::uuid[]) = 0 or delivery_id = any($4))
         order by position desc, delivery_id limit $5",
        filter.workspace,
        filter.channel.map(Channel::as_str),
        &filter.statuses,
        &filter.ids,
        limit
    )
    .fetch_all(projector)
    .await
}

/// An attempt, as operators see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub attempt: i32,
    pub at: Time,
    pub delivered: bool,
    pub status: Option<i32>,
    pub reason: Option<String>,
    pub latency_ms: i32,
}

/// The attempts at a delivery, in order.
pub async fn attempts(projector: &PgPool, of: &Shown) -> Result<Vec<Attempt>, sqlx::Error> {
    sqlx::query_as!(
        Attempt,
        "select attempt, at, delivered, status, reason, latency_ms from delivery_attempts
         where workspace_id = $1 and delivery_id = $2 order by attempt",
        of.workspace_id,
        of.delivery_id
    )
    .fetch_all(projector)
    .await
}

/// Makes those that fit due at once, unless they arrived or wait for their turn anyway; returns how many. What was given
/// up is tried once more.
pub async fn retry(projector: &PgPool, filter: &Filter, now: Time) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "update deliveries set status = 'pending', next_attempt_at = $5, finished_at = null
         where ($1::uuid is null or workspace_id = $1) and ($2::text is null or channel = $2)
           and (cardinality($3::text[]) = 0 or status = any($3))
           and (cardinality($4::uuid[]) = 0 or delivery_id = any($4))
           and status <> 'delivered' and (next_attempt_at is null or next_attempt_at > $5)",
        filter.workspace,
        filter.channel.map(Channel::as_str),
        &filter.statuses,
        &filter.ids,
        now
    )
    .execute(projector)
    .await?;
    Ok(done.rows_affected())
}
