//! An API key, without the key.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_aggregates::api_key::Terms;
use tenure_aggregates::{ApiKeyId, WorkspaceId};
use utoipa::ToSchema;
use uuid::Uuid;

/// A workspace's API key. The key itself stands in one answer, the one that made it, as `key`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct ApiKey {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub name: String,
    /// How the key begins.
    #[schema(example = "tnk_5fQz")]
    pub hint: String,
    /// `active`, `expired` or `revoked`.
    pub status: String,
    pub permissions: Vec<String>,
    pub expires_at: Option<DateTime<Utc>>,
    /// From where it may be used, as CIDRs; from everywhere if none is named.
    pub networks: Vec<String>,
    /// Until when the key before the last rotation is good.
    pub previous_until: Option<DateTime<Utc>>,
    /// To the hour.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From which networks it has been used so far.
    pub networks_seen: Vec<String>,
    /// The creating user; none when the service or another key created it.
    pub created_by: Option<String>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// As it is after a command at `now`.
    pub fn from_state(workspace: WorkspaceId, id: ApiKeyId, terms: &Terms, now: DateTime<Utc>) -> Self {
        Self {
            id: id.0,
            workspace_id: workspace.0,
            name: terms.name.clone(),
            hint: terms.secret.hint.clone(),
            status: status(false, terms.expires_at, now).to_owned(),
            permissions: terms.permissions.iter().map(ToString::to_string).collect(),
            expires_at: terms.expires_at,
            networks: terms.networks.clone(),
            previous_until: terms.previous.as_ref().map(|(_, until)| *until),
            last_used_at: None,
            networks_seen: terms.networks_seen.iter().cloned().collect(),
            created_by: terms.created_by.as_ref().map(ToString::to_string),
            created_at: terms.created_at,
            updated_at: now,
            revoked_at: None,
        }
    }

    pub fn from_row(row: tenure_projections::api_keys::ApiKey, now: DateTime<Utc>) -> Self {
        Self {
            id: row.key_id,
            workspace_id: row.workspace_id,
            status: status(row.revoked_at.is_some(), row.expires_at, now).to_owned(),
            name: row.name,
            hint: row.hint,
            permissions: row.permissions,
            expires_at: row.expires_at,
            networks: row.networks,
            previous_until: row.previous_until,
            last_used_at: row.last_used_at,
            networks_seen: row.networks_seen,
            created_by: row.created_by,
            created_at: row.created_at,
            updated_at: row.updated_at,
            revoked_at: row.revoked_at,
        }
    }
}

fn status(revoked: bool, expires_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> &'static str {
    match (revoked, expires_at) {
        (true, _) => "revoked",
        (false, Some(end)) if end <= now => "expired",
        (false, _) => "active",
    }
}
