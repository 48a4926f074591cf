//! An e-mail invitation.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_aggregates::{InvitationId, WorkspaceId, invitation};
use tenure_projections::invitation_mail::InvitationMail;
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
    /// What became of the mail with the present token; none with `notify: false`, and none in the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub delivery: Option<InvitationDelivery>,
}

/// What became of an invitation's mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InvitationDelivery {
    /// `pending`, `sent` (a mail server took it) or `failed`.
    pub status: String,
    /// Why it failed, or why the last attempt did: `smtp_550: …`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Since when it is so.
    pub at: DateTime<Utc>,
}

impl From<InvitationMail> for InvitationDelivery {
    fn from(mail: InvitationMail) -> Self {
        let status = match mail.status.as_str() {
            "delivered" => "sent",
            "pending" => "pending",
            // One that was cancelled never arrives, either.
            _ => "failed",
        };
        Self { status: status.to_owned(), reason: mail.reason, at: mail.at }
    }
}

impl Invitation {
    /// Its mail is about to be written down.
    #[must_use]
    pub fn being_sent(self, now: DateTime<Utc>) -> Self {
        let delivery = InvitationDelivery { status: "pending".to_owned(), reason: None, at: now };
        Self { delivery: Some(delivery), ..self }
    }

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
            delivery: None,
        })
    }
}

impl Invitation {
    pub fn from_row(row: tenure_projections::invitations::Invitation, mail: Option<InvitationMail>) -> Self {
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
            delivery: mail.map(InvitationDelivery::from),
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
