//! A session, and all that a switcher needs to know beside it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenure_aggregates::WorkspaceId;
use tenure_aggregates::session::Details as Session;
use tenure_aggregates::workspace::Details as Workspace;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{SwitcherItem, User};

/// A session in the workspace it is in, as a command left them: what tokens and answers are made of. It holds no
/// secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entered {
    pub session_id: Uuid,
    pub user_id: String,
    pub generation: u32,
    pub started_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub workspace_id: Uuid,
    pub kind: String,
    pub name: String,
    pub slug: Option<String>,
    pub status: String,
    pub plan: String,
    pub role: String,
    pub permissions: Vec<String>,
    pub fallback: Option<Fallback>,
}

/// The user's place in a workspace: the role held there and what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub role: String,
    pub permissions: Vec<String>,
}

/// Why the session is not where it was, or not where the last one was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Fallback {
    /// The workspace the user is no longer an active member of.
    pub from: Uuid,
    #[schema(example = "membership_ended")]
    pub reason: String,
}

impl Fallback {
    pub fn from(workspace: WorkspaceId) -> Self {
        Self { from: workspace.0, reason: "membership_ended".to_owned() }
    }
}

impl Entered {
    pub fn new(
        session_id: Uuid,
        session: &Session,
        workspace: &Workspace,
        place: Place,
        fallback: Option<Fallback>,
    ) -> Self {
        Self {
            session_id,
            user_id: session.user_id.to_string(),
            generation: session.generation,
            started_at: session.started_at,
            expires_at: session.expires_at,
            workspace_id: session.workspace_id.0,
            kind: <&str>::from(workspace.kind).to_owned(),
            name: workspace.profile.name.clone(),
            slug: workspace.profile.slug.as_ref().map(|slug| slug.as_str().to_owned()),
            status: super::status(workspace.suspension.is_some(), workspace.archived).to_owned(),
            plan: workspace.plan.clone(),
            role: place.role,
            permissions: place.permissions,
            fallback,
        }
    }
}

/// A session with everything a switcher shows, in one answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SessionAnswer {
    pub session: SessionSummary,
    pub user: User,
    pub current: CurrentWorkspace,
    /// Every workspace of the user, the personal one first.
    pub workspaces: Vec<SwitcherItem>,
    /// The session token, also set as the cookie.
    pub token: String,
    pub token_expires_at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
}

/// A session: one sign-in of one user.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct SessionSummary {
    pub id: Uuid,
    pub user_id: String,
    pub started_at: DateTime<Utc>,
    /// When it ends, however often its token is renewed.
    pub expires_at: DateTime<Utc>,
}

/// The workspace a session is in, and what its user may do there.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct CurrentWorkspace {
    pub workspace_id: Uuid,
    #[schema(example = "team")]
    pub kind: String,
    pub name: String,
    pub slug: Option<String>,
    pub role: String,
    /// The workspace's status.
    pub status: String,
    pub permissions: Vec<String>,
    #[schema(example = "free")]
    pub plan: String,
}
