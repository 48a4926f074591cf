//! An e-mail invitation.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_aggregates::{InvitationId, WorkspaceId, invitation};
use utoipa::ToSchema;
use uuid::Uuid;

/// An e-mail invitation. Its token is in one answer, the one that made it, and only with `notify: false`.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Invitation {
    pub id: Uuid,
    pub workspace_id: Uuid,
    pub email: String,
    pub role: String,
    /// `pending`, `accepted`, `declined`, `revoked` or `expired`.
    pub status: String,
    pub accepted: bool,
    /// The inviting user; none when the service itself invited.
    pub invited_by: Option<String>,
    pub expires_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Invitation {
    /// As it is after a command at `now`.
    pub fn from_state(
        workspace: WorkspaceId,
        id: InvitationId,
        state: &invitation::Invitation,
        now: DateTime<Utc>,
    ) -> Option<Self> {
        let offer = state.offer()?;
        let status = state.status(now);
        Some(Self {
            id: id.0,
            workspace_id: workspace.0,
            email: offer.email.as_str().to_owned(),
            role: offer.role.as_str().to_owned(),
            status: status.to_owned(),
            accepted: status == "accepted",
            invited_by: offer.invited_by.as_ref().map(ToString::to_string),
            expires_at: offer.expires_at,
            created_at: offer.created_at,
            updated_at: now,
        })
    }
}

impl Invitation {
    pub fn from_row(row: tenure_projections::invitations::Invitation) -> Self {
        Self {
            id: row.invitation_id,
            workspace_id: row.workspace_id,
            email: row.email,
            role: row.role,
            accepted: row.status == "accepted",
            status: row.status,
            invited_by: row.invited_by,
            expires_at: row.expires_at,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// What the holder of a token is shown before deciding.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InvitationPreview {
    pub invitation_id: Uuid,
    pub workspace: PreviewedWorkspace,
    pub email: String,
    pub role: String,
    pub status: String,
    pub invited_by: Option<String>,
    pub expires_at: DateTime<Utc>,
}

/// The workspace one is invited to.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct PreviewedWorkspace {
    pub id: Uuid,
    pub name: String,
    pub slug: Option<String>,
    pub image_url: Option<String>,
}
