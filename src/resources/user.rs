//! A user, and the switcher of a user's workspaces.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_aggregates::user::{self, Profile};
use tenure_aggregates::{Time, WorkspaceId};
use utoipa::ToSchema;
use uuid::Uuid;

/// A user: global identity and profile.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct User {
    /// The caller's own opaque id (an identity provider's `sub`).
    pub user_id: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub name: Option<String>,
    pub personal_workspace_id: Uuid,
    #[schema(example = "active")]
    pub status: String,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl User {
    /// As it is after a command at `updated_at`.
    pub fn from_state(profile: &Profile, updated_at: Time) -> Self {
        Self {
            user_id: profile.user_id.to_string(),
            email: profile.email.as_ref().map(|email| email.as_str().to_owned()),
            email_verified: profile.email_verified,
            name: profile.name.clone(),
            personal_workspace_id: WorkspaceId::personal(&profile.user_id).0,
            status: "active".to_owned(),
            created_at: profile.created_at,
            updated_at,
        }
    }
}

impl User {
    /// As it was left by what was recorded at `updated_at`; none if there was no such user.
    pub fn of(state: &user::User, updated_at: Time) -> Option<Self> {
        let user = Self::from_state(state.profile()?, updated_at);
        let erasing = matches!(state, user::User::Erasing(_));
        Some(if erasing { Self { status: "erasing".to_owned(), ..user } } else { user })
    }
}

/// One workspace in a user's switcher.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SwitcherItem {
    pub workspace_id: Uuid,
    #[schema(example = "team")]
    pub kind: String,
    pub name: String,
    pub slug: Option<String>,
    /// The user's role there.
    pub role: String,
    /// The workspace's status.
    pub status: String,
    #[schema(example = "free")]
    pub plan: String,
    /// The status of the user's membership.
    pub membership_status: String,
    pub joined_at: DateTime<Utc>,
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether it is the workspace of the session that asks.
    pub current: bool,
}

impl User {
    pub fn from_row(row: tenure_projections::users::User) -> Self {
        Self {
            user_id: row.user_id,
            email: row.email,
            email_verified: row.email_verified,
            name: row.name,
            personal_workspace_id: row.workspace_id,
            status: row.status,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

impl SwitcherItem {
    /// As a session in that workspace shows it.
    #[must_use]
    pub fn seen_from(self, workspace: Uuid) -> Self {
        Self { current: self.workspace_id == workspace, ..self }
    }

    pub fn from_row(row: tenure_projections::users::SwitcherRow) -> Self {
        Self {
            workspace_id: row.workspace_id,
            status: super::status(row.suspended, row.archived).to_owned(),
            plan: row.plan,
            kind: row.kind,
            name: row.name,
            slug: row.slug,
            role: row.role,
            membership_status: row.status,
            joined_at: row.joined_at,
            last_used_at: row.last_used_at,
            current: false,
        }
    }
}
