//! A session: one sign-in of one user, in one workspace at a time, until it is ended or has lasted its time.

use chrono::Duration;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::Time;
use crate::adapter::aggregate;
use crate::event::{Changed, Refused};
use crate::ids::{SessionId, UserId, WorkspaceId};

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum SessionEvent {
    SessionStarted {
        session_id: SessionId,
        user_id: UserId,
        /// Where the session begins.
        workspace_id: WorkspaceId,
        expires_at: Time,
        started_at: Time,
    },
    /// The session went to another workspace; credentials of an earlier generation are dead.
    SessionSwitched {
        user_id: UserId,
        workspace_id: Changed<WorkspaceId>,
        generation: u32,
        because: Switching,
        switched_at: Time,
    },
    SessionEnded {
        user_id: UserId,
        because: Ending,
    },
}

/// Why a session went to another workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Switching {
    /// Its user asked for it.
    Chosen,
    /// Its user is no longer an active member of the workspace it was in.
    MembershipEnded,
}

/// Why a session ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    SignedOut,
    UserErased,
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Session {
    #[default]
    Missing,
    Started(Details),
    Ended,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    pub user_id: UserId,
    /// The workspace it is in.
    pub workspace_id: WorkspaceId,
    /// Which credentials are good: 1 at first, one more with every switch.
    pub generation: u32,
    pub started_at: Time,
    pub expires_at: Time,
}

impl Session {
    /// The session, unless it has ended, by record or by date.
    pub fn live(&self, now: Time) -> Result<&Details, Refusal> {
        match self {
            Self::Started(details) if now < details.expires_at => Ok(details),
            Self::Started(_) | Self::Ended | Self::Missing => Err(Refusal::Over),
        }
    }

    /// The session, if a credential of this user and this generation is still good for it.
    pub fn honours(&self, user: &UserId, generation: u32, now: Time) -> Result<&Details, Refusal> {
        let details = self.live(now)?;
        let good = details.user_id == *user && details.generation == generation;
        if good { Ok(details) } else { Err(Refusal::Over) }
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: SessionEvent) -> Self {
        use SessionEvent as E;
        match (self, event) {
            (_, E::SessionStarted { user_id, workspace_id, expires_at, started_at, .. }) => {
                Self::Started(Details { user_id, workspace_id, generation: 1, started_at, expires_at })
            }
            (Self::Started(details), E::SessionSwitched { workspace_id, generation, .. }) => {
                Self::Started(Details { workspace_id: workspace_id.to, generation, ..details })
            }
            (_, E::SessionEnded { .. }) => Self::Ended,
            (state, _) => state,
        }
    }
}

// ---- Command

#[derive(Debug, Clone, PartialEq)]
pub enum SessionCommand {
    Start {
        session_id: SessionId,
        user_id: UserId,
        workspace_id: WorkspaceId,
        lifetime: Duration,
        now: Time,
    },
    /// Goes to another workspace; the one it is in already is no change.
    Switch {
        workspace_id: WorkspaceId,
        because: Switching,
        now: Time,
    },
    End {
        because: Ending,
    },
}

// ---- decide

impl Session {
    pub fn decide(&self, command: SessionCommand) -> Result<Vec<SessionEvent>, Refusal> {
        use SessionCommand as C;
        use SessionEvent as E;
        match command {
            C::Start { session_id, user_id, workspace_id, lifetime, now } => {
                if *self != Self::Missing {
                    return Err(Refusal::StartedAlready);
                }
                let expires_at = now + lifetime;
                Ok(vec![E::SessionStarted { session_id, user_id, workspace_id, expires_at, started_at: now }])
            }
            C::Switch { workspace_id, because, now } => {
                let details = self.live(now)?;
                let Some(workspace_id) = Changed::between(details.workspace_id, workspace_id) else {
                    return Ok(vec![]);
                };
                Ok(vec![E::SessionSwitched {
                    user_id: details.user_id.clone(),
                    workspace_id,
                    generation: details.generation.saturating_add(1),
                    because,
                    switched_at: now,
                }])
            }
            C::End { because } => match self {
                Self::Started(details) => {
                    Ok(vec![E::SessionEnded { user_id: details.user_id.clone(), because }])
                }
                Self::Ended => Ok(vec![]),
                Self::Missing => Err(Refusal::Over),
            },
        }
    }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Whoever still shows a credential of it has none.
    #[error("This session is over: sign in again.")]
    Over,
    #[error("This session was started already.")]
    StartedAlready,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::Over => "unauthenticated",
            Self::StartedAlready => "conflict",
        }
    }
}

aggregate!(Session, SessionEvent, SessionCommand, Refusal);
