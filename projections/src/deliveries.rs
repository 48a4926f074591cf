//! Deliveries to webhook endpoints, as their workspace sees them; no projection, for they are written by whoever
//! delivers, and no rebuild brings them back.

use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
use crate::keyset::from_newest;

/// A delivery and how far it has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    pub workspace_id: Uuid,
    pub delivery_id: Uuid,
    pub endpoint_id: Uuid,
    /// What the event is called outside.
    pub kind: String,
    /// `event`, `test` or `redelivery`.
    pub trigger: String,
    /// What receivers know the event by.
    pub event_id: Uuid,
    pub position: i64,
    pub workspace_seq: i64,
    /// `pending`, `delivered`, `failed` or `cancelled`.
    pub status: String,
    pub attempts: i32,
    /// When it is tried next; none once it is over.
    pub next_attempt_at: Option<Time>,
    /// Why the last attempt failed, or why there is none.
    pub reason: Option<String>,
    pub created_at: Time,
    pub finished_at: Option<Time>,
}

/// One attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// From 1 on.
    pub attempt: i32,
    pub at: Time,
    pub delivered: bool,
    /// What the receiver answered.
    pub status: Option<i32>,
    pub reason: Option<String>,
    pub latency_ms: i32,
    /// The first bytes of the reply, sealed.
    pub reply: Option<String>,
}

/// Which deliveries are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter<'a> {
    /// pending, delivered, failed or cancelled.
    pub status: Option<&'a str>,
    /// What the event is called outside, or with a `*` at its end the beginning of that.
    pub kind: Option<&'a str>,
}

/// Reads an endpoint's deliveries; `$1` is the workspace, `$2` the endpoint, the rest the caller's.
macro_rules! deliveries {
    ($tail:literal, $tx:expr, $endpoint:expr $(, $arg:expr)*) => {{
        let workspace: Uuid = $tx.workspace().into();
        sqlx::query_as!(
            Delivery,
            "select workspace_id, delivery_id, lane as endpoint_id, kind, trigger, event_id, position, workspace_seq,
                    status, attempts, next_attempt_at, reason, created_at, finished_at
             from deliveries where workspace_id = $1 and lane = $2 and channel = 'webhook' " + $tail,
            workspace,
            $endpoint
            $(, $arg)*
        )
    }};
}

/// A delivery of that endpoint.
pub async fn find(
    tx: &mut TenantTx,
    endpoint: Uuid,
    delivery: Uuid,
) -> Result<Option<Delivery>, sqlx::Error> {
    deliveries!("and delivery_id = $3", tx, endpoint, delivery).fetch_optional(tx.connection()).await
}

/// An endpoint's, newest first, those before the one named by (`created_at`, `delivery_id`).
pub async fn list(
    tx: &mut TenantTx,
    endpoint: Uuid,
    filter: Filter<'_>,
    before: Option<(Time, Uuid)>,
    limit: i64,
) -> Result<Vec<Delivery>, sqlx::Error> {
    let (created_at, delivery) = from_newest(before);
    let family = filter.kind.and_then(|kind| kind.strip_suffix('*'));
    let kind = filter.kind.filter(|_| family.is_none());
    deliveries!(
        "and ($3::text is null or status = $3) and ($4::text is null or kind = $4)
         and ($5::text is null or starts_with(kind, $5))
         and (created_at, delivery_id) < ($6, $7)
         order by created_at desc, delivery_id desc limit $8",
        tx,
        endpoint,
        filter.status,
        kind,
        family,
        created_at,
        delivery,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// The attempts at a delivery, in order.
pub async fn attempts(tx: &mut TenantTx, delivery: Uuid) -> Result<Vec<Attempt>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Attempt,
        "select attempt, at, delivered, status, reason, latency_ms, reply
         from delivery_attempts where workspace_id = $1 and delivery_id = $2 order by attempt",
        workspace,
        delivery
    )
    .fetch_all(tx.connection())
    .await
}
