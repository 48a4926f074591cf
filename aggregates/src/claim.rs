//! A claim: makes one value (a slug, an invite code's hash) belong to at most one workspace at a time.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::adapter::aggregate;
use crate::event::Refused;
use crate::ids::WorkspaceId;

// ---- Event

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum ClaimEvent {
    ClaimTaken { workspace_id: WorkspaceId },
    ClaimReleased { workspace_id: WorkspaceId },
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Claim {
    #[default]
    Free,
    Held {
        by: WorkspaceId,
    },
}

impl Claim {
    /// The stream id of the claim on a slug, by the slug's keyed hash: the log does not tell what was claimed.
    pub fn slug(hash: &str) -> String {
        format!("slug:{hash}")
    }

    /// The stream id of the claim on an invite code, by the code's hash.
    pub fn invite_code(hash: &str) -> String {
        format!("invite-code:{hash}")
    }

    pub fn holder(&self) -> Option<WorkspaceId> {
        match self {
            Self::Held { by } => Some(*by),
            Self::Free => None,
        }
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: ClaimEvent) -> Self {
        match event {
            ClaimEvent::ClaimTaken { workspace_id } => Self::Held { by: workspace_id },
            ClaimEvent::ClaimReleased { .. } => Self::Free,
        }
    }
}

// ---- Command

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimCommand {
    Take { by: WorkspaceId },
    Release { by: WorkspaceId },
}

// ---- decide

impl Claim {
    pub fn decide(&self, command: ClaimCommand) -> Result<Vec<ClaimEvent>, Refusal> {
        match (self, command) {
            (Self::Free, ClaimCommand::Take { by }) => Ok(vec![ClaimEvent::ClaimTaken { workspace_id: by }]),
            (Self::Held { by: holder }, ClaimCommand::Take { by }) if *holder == by => Ok(vec![]),
            (Self::Held { .. }, ClaimCommand::Take { .. }) => Err(Refusal::Taken),
            (Self::Held { by: holder }, ClaimCommand::Release { by }) if *holder == by => {
                Ok(vec![ClaimEvent::ClaimReleased { workspace_id: by }])
            }
            (Self::Free | Self::Held { .. }, ClaimCommand::Release { .. }) => Ok(vec![]),
        }
    }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("This slug belongs to another workspace.")]
    Taken,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::Taken => "slug_taken",
        }
    }
}

aggregate!(Claim, ClaimEvent, ClaimCommand, Refusal, true);
