//! A webhook endpoint, without its secret, and what asking it for a delivery answers.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_aggregates::webhook_endpoint::Target;
use tenure_aggregates::{WebhookEndpointId, WorkspaceId};
use utoipa::ToSchema;
use uuid::Uuid;

/// Where a workspace has events delivered. The secret that signs them stands in one answer, the one that made it, as
/// `secret`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct WebhookEndpoint {
    pub id: Uuid,
    pub workspace_id: Uuid,
    #[schema(example = "https://hooks.example.com/tenure")]
    pub url: String,
    /// What is delivered: names of events, or families of them.
    #[schema(example = json!(["membership.*", "invitation.accepted"]))]
    pub events: Vec<String>,
    pub description: Option<String>,
    pub enabled: bool,
    /// Why nothing is delivered: `requested`, `gone` (the receiver answered 410) or `failing` (every attempt of the last
    /// days failed).
    pub disabled_because: Option<String>,
    /// Until when the secret before the last rotation signs, too.
    pub previous_until: Option<DateTime<Utc>>,
    /// The creating user; none when the service or an API key created it.
    pub created_by: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl WebhookEndpoint {
    /// As it is after a command at `now`.
    pub fn from_state(
        workspace: WorkspaceId,
        id: WebhookEndpointId,
        target: &Target,
        now: DateTime<Utc>,
    ) -> Self {
        Self {
            id: id.0,
            workspace_id: workspace.0,
            url: target.url.clone(),
            events: target.events.clone(),
            description: target.description.clone(),
            enabled: target.disabled.is_none(),
            disabled_because: target.disabled.map(|because| because.to_string()),
            previous_until: target.previous_until,
            created_by: target.created_by.as_ref().map(ToString::to_string),
            created_at: target.created_at,
            updated_at: now,
        }
    }
}

impl From<tenure_projections::webhook_endpoints::WebhookEndpoint> for WebhookEndpoint {
    fn from(row: tenure_projections::webhook_endpoints::WebhookEndpoint) -> Self {
        Self {
            id: row.endpoint_id,
            workspace_id: row.workspace_id,
            url: row.url,
            events: row.events,
            description: row.description,
            enabled: row.disabled.is_none(),
            disabled_because: row.disabled,
            previous_until: row.previous_until,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// A delivery that was asked for; it is made in the background.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeliveryRequested {
    pub delivery_id: Uuid,
}

/// A redelivery that was asked for; it is made in the background.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct RedeliveryRequested {
    pub redelivery_id: Uuid,
    /// The first `workspace_seq` of the stretch.
    pub from_seq: i64,
    /// The last one.
    pub to_seq: i64,
    /// The delivery to come, where a single one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_id: Option<Uuid>,
}
