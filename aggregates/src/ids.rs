//! Identifiers, and how the derived ones are derived.
//!
//! What the service creates is a version 7 UUID made outside this crate; what follows from something else is a
//! version 5 UUID, so that uniqueness comes from the stream id and needs no side table.

use std::fmt;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Under it, a user's personal workspace id is the version 5 UUID of the user id.
const PERSONAL_WORKSPACES: Uuid = Uuid::from_u128(0x7465_6e75_7265_5370_8000_7065_7273_6f6e);

/// The workspace in which what belongs to no workspace is kept: the operator's own settings. Nobody is a member.
const INSTALLATION: Uuid = Uuid::from_u128(0x7465_6e75_7265_5370_8000_6f70_6572_6174);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

uuid_id!(
    /// A workspace: the tenant boundary.
    WorkspaceId
);
uuid_id!(
    /// An e-mail invitation.
    InvitationId
);
uuid_id!(
    /// One user's membership of one workspace; the same pair always has the same id.
    MembershipId
);
uuid_id!(
    /// A session: one sign-in of one user.
    SessionId
);

uuid_id!(
    /// A workspace's API key.
    ApiKeyId
);

uuid_id!(
    /// Where a workspace's events are delivered.
    WebhookEndpointId
);

impl WorkspaceId {
    /// Where the operator's own settings are kept.
    pub fn installation() -> Self {
        Self(INSTALLATION)
    }

    /// The personal workspace of a user. It is also the id of the user's own stream.
    pub fn personal(user: &UserId) -> Self {
        Self(Uuid::new_v5(&PERSONAL_WORKSPACES, user.as_str().as_bytes()))
    }
}

impl MembershipId {
    pub fn of(workspace: WorkspaceId, user: &UserId) -> Self {
        Self::of_text(workspace, user.as_str())
    }

    /// For a text that need not be a user's id; then there is no such membership.
    pub fn of_text(workspace: WorkspaceId, user: &str) -> Self {
        Self(Uuid::new_v5(&workspace.0, user.as_bytes()))
    }
}

/// A user, by the caller's own opaque name for it (an identity provider's `sub`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    pub const MAX_CHARS: usize = 255;

    /// Takes 1 to 255 characters without controls or surrounding blanks; it is compared byte for byte.
    pub fn parse(text: &str) -> Result<Self, crate::values::Invalid> {
        crate::values::line(text, Self::MAX_CHARS)?;
        if text.trim() != text {
            return Err(crate::values::Invalid::new("invalid", "must not begin or end with a blank"));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
