//! An event as a `CloudEvent` 1.0.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::value::RawValue;
use tenure_projections::audit_log;
use tenure_projections::recorded::{Metadata, Opened};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Feed;
use crate::store::StoreError;

/// An event as a `CloudEvent`; the lower-case members without a break are extension attributes.
#[derive(Debug, Serialize, ToSchema)]
pub struct CloudEvent {
    specversion: &'static str,
    id: Uuid,
    source: String,
    /// `tenure.<aggregate>.<past tense>.v<n>`
    #[serde(rename = "type")]
    pub kind: String,
    time: DateTime<Utc>,
    subject: String,
    datacontenttype: &'static str,
    workspaceid: Uuid,
    workspaceseq: i64,
    position: i64,
    sequence: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    /// `user:<id>`, `api_key:<id>`, `service:<id>` or `system`.
    actor: String,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

/// An event's id. Its place in its workspace never changes, so the id need not be stored.
pub fn event_id(workspace: Uuid, workspace_seq: i64) -> Uuid {
    Uuid::new_v5(&workspace, &workspace_seq.to_be_bytes())
}

impl CloudEvent {
    /// Its place in a feed.
    pub fn place(&self, feed: Feed) -> i64 {
        match feed {
            Feed::Of(_) => self.workspaceseq,
            Feed::Whole => self.position,
        }
    }

    /// An event that cannot be opened although its key is there is none: it must not go out sealed.
    pub fn of(opened: Opened) -> Result<Self, StoreError> {
        if let Some(reason) = opened.broken {
            return Err(StoreError::Corrupt(format!("event {}: {reason}", opened.logged.position)));
        }
        Self::shown(opened).map_err(|error| StoreError::Corrupt(error.to_string()))
    }

    fn shown(opened: Opened) -> Result<Self, serde_json::Error> {
        let (data, version) = (opened.data(), opened.version());
        let event = opened.logged;
        let metadata: Metadata = serde_json::from_str(&event.metadata)?;
        let actor = match &metadata.actor_id {
            Some(id) => format!("{}:{id}", metadata.actor_type.as_str()),
            None => metadata.actor_type.as_str().to_owned(),
        };
        let action = audit_log::action(&event.aggregate_type, &event.event_type);
        Ok(Self {
            specversion: "1.0",
            id: event_id(event.workspace_id, event.workspace_seq),
            source: format!("/workspaces/{}", event.workspace_id),
            kind: format!("tenure.{action}.v{version}"),
            time: event.recorded_at,
            subject: event.aggregate_id,
            datacontenttype: "application/json",
            workspaceid: event.workspace_id,
            workspaceseq: event.workspace_seq,
            position: event.position,
            sequence: event.sequence,
            correlationid: metadata.correlation_id.or(metadata.request_id),
            causationid: metadata.causation_id,
            actor,
            data: RawValue::from_string(data)?,
        })
    }
}
