//! Roles: the four built-in ones and a workspace's own.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::permission::Permission;
use crate::values::Invalid;

/// A member's role in one workspace, as named on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    /// View and take part.
    #[default]
    Member,
    /// Content, but neither settings nor members.
    Moderator,
    /// Everything but deleting or giving away the workspace.
    Admin,
    /// Everything; exactly one per workspace.
    Owner,
    /// One that the workspace has defined.
    Custom(RoleName),
}

/// The name of a workspace's own role.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoleName(Arc<str>);

impl Role {
    /// The built-in ones, lowest first.
    pub const BUILT_IN: [Self; 4] = [Self::Member, Self::Moderator, Self::Admin, Self::Owner];

    /// The table of the HTTP contract. What a workspace's own role allows, that workspace knows.
    pub fn allows(&self, permission: Permission) -> bool {
        use Permission as P;
        match self {
            Self::Owner => true,
            Self::Admin => !matches!(permission, P::WorkspaceDelete | P::WorkspaceTransfer),
            Self::Moderator => matches!(
                permission,
                P::WorkspaceRead
                    | P::MembersRead
                    | P::ProjectsRead
                    | P::ContentRead
                    | P::ContentParticipate
                    | P::ContentWrite
                    | P::ContentModerate
            ),
            Self::Member => matches!(
                permission,
                P::WorkspaceRead | P::MembersRead | P::ProjectsRead | P::ContentRead | P::ContentParticipate
            ),
            Self::Custom(_) => false,
        }
    }

    /// A membership's recorded role when its user does not own the workspace (any more): a former owner is an admin.
    #[must_use]
    pub fn unowned(self) -> Self {
        if self == Self::Owner { Self::Admin } else { self }
    }

    /// The workspace's own role that is meant, if it is none of the built-in ones.
    pub fn custom(&self) -> Option<&RoleName> {
        match self {
            Self::Custom(name) => Some(name),
            Self::Member | Self::Moderator | Self::Admin | Self::Owner => None,
        }
    }

    pub fn as_str(&self) -> &str {
        match self {
            Self::Member => "member",
            Self::Moderator => "moderator",
            Self::Admin => "admin",
            Self::Owner => "owner",
            Self::Custom(name) => name.as_str(),
        }
    }
}

impl RoleName {
    /// Longest name, in characters.
    pub const MAX: usize = 63;

    /// Takes lower-case letters, digits, `-` and `_`, beginning with a letter; not the name of a built-in role.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        if Role::BUILT_IN.iter().any(|role| role.as_str() == text) {
            return Err(Invalid::new("reserved", "the built-in roles are fixed"));
        }
        if text.len() > Self::MAX {
            return Err(Invalid::new("too_long", format!("must be at most {} characters", Self::MAX)));
        }
        let fits = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_');
        if !fits {
            let detail = "must be lower-case letters, digits, `-` and `_`, and begin with a letter";
            return Err(Invalid::new("invalid", detail));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Role {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let built_in = Self::BUILT_IN.into_iter().find(|role| role.as_str() == text);
        built_in.map_or_else(|| RoleName::parse(text).map(Self::Custom), Ok)
    }
}

impl TryFrom<String> for Role {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.as_str().to_owned()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for RoleName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<RoleName> for String {
    fn from(name: RoleName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
