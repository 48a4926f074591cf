//! One event of a history: what was done, to what, by whom, through which command.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use tenure_projections::Recorded;
use tenure_projections::audit_log::describe;
use utoipa::ToSchema;

use crate::store::StoreError;

/// One event, and the command that led to it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryEntry {
    pub position: i64,
    pub workspace_seq: i64,
    pub time: DateTime<Utc>,
    /// `<aggregate>.<past tense>`, as in the audit log.
    #[schema(example = "membership.started")]
    pub action: String,
    pub target: HistoryTarget,
    pub actor: HistoryActor,
    /// What was commanded.
    #[schema(example = "AcceptInvitation")]
    pub command: Option<String>,
    pub request_id: Option<String>,
    /// `{field: {from, to}}`
    pub changes: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What it was done to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryTarget {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct HistoryActor {
    /// `user`, `service`, `api_key` or `system`.
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Option<String>,
    /// The service that acted for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

impl HistoryEntry {
    pub fn of(recorded: &Recorded) -> Result<Self, StoreError> {
        let described = describe(recorded, &recorded.event)?;
        let changes = described.changes();
        let metadata = &recorded.metadata;
        Ok(Self {
            position: recorded.position,
            workspace_seq: recorded.workspace_seq,
            time: recorded.recorded_at,
            action: described.action,
            target: HistoryTarget { kind: described.target_type.to_owned(), id: described.target_id },
            actor: HistoryActor {
                kind: metadata.actor_type.as_str().to_owned(),
                id: metadata.actor_id.clone(),
                via: metadata.via.clone(),
            },
            command: metadata.command.clone(),
            request_id: metadata.request_id.clone(),
            changes,
            reason: described.reason,
        })
    }
}
