//! A member of a workspace.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenure_aggregates::membership::{Standing, Terms};
use tenure_aggregates::user::Profile;
use tenure_aggregates::{Role, WorkspaceId};
use utoipa::ToSchema;
use uuid::Uuid;

/// A member: a user in a workspace, with role and status.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Member {
    pub workspace_id: Uuid,
    pub user_id: String,
    #[schema(example = "member")]
    pub role: String,
    pub status: MemberStatus,
    pub email: Option<String>,
    pub name: Option<String>,
    pub joined_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub updated_at: DateTime<Utc>,
    pub is_owner: bool,
}

/// `expired` from the very instant of `expires_at`, whether or not it has been recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberStatus {
    Active,
    Deactivated,
    Expired,
}

impl MemberStatus {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Deactivated => "deactivated",
            Self::Expired => "expired",
        }
    }
}

impl Member {
    /// As it is after a command at `updated_at`.
    pub fn from_state(
        workspace: WorkspaceId,
        terms: &Terms,
        standing: Standing,
        profile: Option<&Profile>,
        is_owner: bool,
        updated_at: DateTime<Utc>,
    ) -> Self {
        let role = if is_owner { Role::Owner } else { terms.role.clone().unowned() };
        Self {
            workspace_id: workspace.0,
            user_id: terms.user_id.to_string(),
            role: role.as_str().to_owned(),
            status: match standing {
                Standing::Active => MemberStatus::Active,
                Standing::Deactivated => MemberStatus::Deactivated,
                Standing::Expired | Standing::Absent => MemberStatus::Expired,
            },
            email: profile.and_then(|profile| profile.email.as_ref()).map(|email| email.as_str().to_owned()),
            name: profile.and_then(|profile| profile.name.clone()),
            joined_at: terms.joined_at,
            expires_at: terms.expires_at,
            updated_at,
            is_owner,
        }
    }
}

impl Member {
    pub fn from_row(row: tenure_projections::members::Member) -> Self {
        Self {
            workspace_id: row.workspace_id,
            user_id: row.user_id,
            role: row.role,
            status: match row.status.as_str() {
                "active" => MemberStatus::Active,
                "deactivated" => MemberStatus::Deactivated,
                _ => MemberStatus::Expired,
            },
            email: row.email,
            name: row.name,
            joined_at: row.joined_at,
            expires_at: row.expires_at,
            updated_at: row.updated_at,
            is_owner: row.is_owner,
        }
    }
}
