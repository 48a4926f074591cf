//! One entry of the audit log: something that was done, or an attempt that was refused.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Map, Value};
use tenure_projections::attempts::Attempt;
use tenure_projections::audit_log::{Described, Entry};
use tenure_projections::recorded::Logged;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::data_keys::RequestOrigin;

/// Something that was done, or an attempt that was refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditEntry {
    /// Where the log ended: with this, or before the refused attempt.
    pub position: i64,
    pub workspace_seq: i64,
    /// Of equal attempts, the first.
    pub time: DateTime<Utc>,
    pub outcome: Outcome,
    pub actor: AuditActor,
    /// `<aggregate>.<past tense>`, as in `membership.role_changed`; or what was refused, as in `command.denied`.
    pub action: String,
    pub target: AuditTarget,
    /// `{field: {from, to}}`
    pub changes: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was commanded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    pub origin: AuditOrigin,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<AuditRefusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Done,
    Refused,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditActor {
    /// `user`, `service`, `api_key` or `system`; `unknown` where nobody was made out.
    #[serde(rename = "type")]
    pub kind: String,
    pub id: Option<String>,
    /// The service that acted for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditTarget {
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
}

#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditOrigin {
    pub ip: Option<String>,
    pub user_agent: Option<String>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
}

/// Why an attempt was refused, and how often within the minute.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AuditRefusal {
    /// Names this attempt: `count` and `last_time` of one may still grow.
    pub attempt_id: Uuid,
    /// The problem's code; of a credential, what is wrong with it, as in `key_revoked`.
    pub code: String,
    /// The permission that was missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    pub count: i64,
    pub last_time: DateTime<Utc>,
}

impl AuditEntry {
    /// What can be said of an event that this program cannot read.
    pub fn unread(
        event: &Logged,
        actor_type: &str,
        actor_id: Option<String>,
        action: String,
        changes: Value,
    ) -> Self {
        let origin = AuditOrigin {
            ip: None,
            user_agent: None,
            request_id: None,
            correlation_id: None,
            causation_id: None,
        };
        Self {
            position: event.position,
            workspace_seq: event.workspace_seq,
            time: event.recorded_at,
            outcome: Outcome::Done,
            actor: AuditActor { kind: actor_type.to_owned(), id: actor_id, via: None },
            action,
            target: AuditTarget { kind: event.aggregate_type.to_lowercase(), id: event.aggregate_id.clone() },
            changes,
            reason: None,
            command: None,
            origin,
            refusal: None,
        }
    }
}

impl AuditEntry {
    /// An entry whose sealed parts are opened, and from where its request came.
    pub fn of_entry(entry: Entry, from: RequestOrigin) -> Self {
        Self {
            position: entry.position,
            workspace_seq: entry.workspace_seq,
            time: entry.time,
            outcome: Outcome::Done,
            actor: AuditActor { kind: entry.actor_type, id: entry.actor_id, via: entry.via },
            action: entry.action,
            target: AuditTarget { kind: entry.target_type, id: entry.target_id },
            changes: entry.changes,
            reason: entry.reason,
            command: entry.command,
            origin: AuditOrigin {
                ip: from.ip,
                user_agent: from.user_agent,
                correlation_id: entry.correlation_id.or_else(|| entry.request_id.clone()),
                request_id: entry.request_id,
                causation_id: entry.causation_id,
            },
            refusal: None,
        }
    }

    /// A refused attempt, and from where it came.
    pub fn of_attempt(attempt: Attempt, from: RequestOrigin) -> Self {
        Self {
            position: attempt.position,
            workspace_seq: attempt.workspace_seq,
            time: attempt.first_at,
            outcome: Outcome::Refused,
            actor: AuditActor { kind: attempt.actor_type, id: attempt.actor_id, via: attempt.via },
            action: attempt.action,
            target: AuditTarget { kind: attempt.target_type, id: attempt.target_id },
            changes: Value::Object(Map::new()),
            reason: None,
            command: attempt.command.clone(),
            origin: AuditOrigin {
                ip: from.ip,
                user_agent: from.user_agent,
                correlation_id: attempt.correlation_id.or_else(|| attempt.request_id.clone()),
                request_id: attempt.request_id,
                causation_id: None,
            },
            refusal: Some(AuditRefusal {
                attempt_id: attempt.attempt_id,
                code: attempt.code,
                permission: attempt.permission,
                command: attempt.command,
                count: attempt.count,
                last_time: attempt.last_at,
            }),
        }
    }
}

impl From<Described<'_>> for AuditEntry {
    fn from(described: Described<'_>) -> Self {
        let (recorded, changes) = (described.recorded, described.changes());
        let metadata = recorded.metadata.clone();
        Self {
            position: recorded.position,
            workspace_seq: recorded.workspace_seq,
            time: recorded.recorded_at,
            outcome: Outcome::Done,
            actor: AuditActor {
                kind: metadata.actor_type.as_str().to_owned(),
                id: metadata.actor_id,
                via: metadata.via,
            },
            action: described.action,
            target: AuditTarget { kind: described.target_type.to_owned(), id: described.target_id },
            changes,
            reason: described.reason,
            command: metadata.command,
            origin: AuditOrigin {
                ip: metadata.ip,
                user_agent: metadata.user_agent,
                correlation_id: metadata.correlation_id.or_else(|| metadata.request_id.clone()),
                request_id: metadata.request_id,
                causation_id: metadata.causation_id,
            },
            refusal: None,
        }
    }
}
