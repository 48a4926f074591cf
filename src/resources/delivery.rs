//! A delivery to a webhook endpoint: how far it has come, and of one what was sent and what came of each attempt.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_projections::deliveries;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::feeds::CloudEvent;

/// Something that goes out to a webhook endpoint, or that went.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Delivery {
    pub id: Uuid,
    pub endpoint_id: Uuid,
    pub workspace_id: Uuid,
    /// The event's id: the `webhook-id`, the same with every attempt and every redelivery.
    pub event_id: Uuid,
    /// What the event is called, as in the audit log.
    #[serde(rename = "type")]
    #[schema(example = "membership.started")]
    pub kind: String,
    /// `event`, `test` or `redelivery`.
    pub trigger: String,
    pub workspace_seq: i64,
    pub position: i64,
    /// `pending`, `delivered`, `failed` or `cancelled`.
    pub status: String,
    /// How many attempts were made.
    pub attempts: i32,
    /// When it is tried next; none once it is over.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why the last attempt failed, or why there is none: a word, perhaps with a sentence after a colon.
    #[schema(example = "http_503")]
    pub reason: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

/// One delivery, with what is sent and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryDetails {
    #[serde(flatten)]
    pub delivery: Delivery,
    pub request: DeliveryRequest,
    /// Every attempt, in order.
    pub attempt_log: Vec<DeliveryAttempt>,
}

/// What is sent, as it would be now: where the endpoint is now, and without what was erased since.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryRequest {
    #[schema(example = "POST")]
    pub method: &'static str,
    pub url: String,
    pub headers: DeliveryHeaders,
    pub body: CloudEvent,
}

/// Those that are the same with every attempt; each adds `webhook-timestamp` and `webhook-signature`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeliveryHeaders {
    #[serde(rename = "content-type")]
    pub content_type: &'static str,
    #[serde(rename = "user-agent")]
    pub user_agent: &'static str,
    #[serde(rename = "webhook-id")]
    pub webhook_id: Uuid,
}

/// One attempt at a delivery.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeliveryAttempt {
    /// From 1 on.
    pub attempt: i32,
    pub at: DateTime<Utc>,
    pub delivered: bool,
    /// The HTTP status the receiver answered with, if it did.
    pub status: Option<i32>,
    pub reason: Option<String>,
    pub latency_ms: i32,
    /// The first bytes of the reply; none of a private address.
    pub reply: Option<String>,
}

impl From<deliveries::Delivery> for Delivery {
    fn from(row: deliveries::Delivery) -> Self {
        Self {
            id: row.delivery_id,
            endpoint_id: row.endpoint_id,
            workspace_id: row.workspace_id,
            event_id: row.event_id,
            kind: row.kind,
            trigger: row.trigger,
            workspace_seq: row.workspace_seq,
            position: row.position,
            status: row.status,
            attempts: row.attempts,
            next_attempt_at: row.next_attempt_at,
            reason: row.reason,
            created_at: row.created_at,
            finished_at: row.finished_at,
        }
    }
}

impl DeliveryAttempt {
    /// `reply` is the row's, opened.
    pub fn of(row: deliveries::Attempt, reply: Option<String>) -> Self {
        Self {
            attempt: row.attempt,
            at: row.at,
            delivered: row.delivered,
            status: row.status,
            reason: row.reason,
            latency_ms: row.latency_ms,
            reply,
        }
    }
}
