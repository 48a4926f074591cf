//! Roles, permissions, and which role holds which.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

/// A member's role in one workspace, lowest first, so that `>` means "above".
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
}

/// One thing a role may allow, as named on the wire (`members:invite`).
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    Display,
    EnumString,
    EnumIter,
    IntoStaticStr,
)]
pub enum Permission {
    #[serde(rename = "workspace:read")]
    #[strum(serialize = "workspace:read")]
    WorkspaceRead,
    #[serde(rename = "workspace:update")]
    #[strum(serialize = "workspace:update")]
    WorkspaceUpdate,
    #[serde(rename = "workspace:delete")]
    #[strum(serialize = "workspace:delete")]
    WorkspaceDelete,
    #[serde(rename = "workspace:transfer")]
    #[strum(serialize = "workspace:transfer")]
    WorkspaceTransfer,
    #[serde(rename = "members:read")]
    #[strum(serialize = "members:read")]
    MembersRead,
    #[serde(rename = "members:invite")]
    #[strum(serialize = "members:invite")]
    MembersInvite,
    #[serde(rename = "members:update")]
    #[strum(serialize = "members:update")]
    MembersUpdate,
    #[serde(rename = "members:remove")]
    #[strum(serialize = "members:remove")]
    MembersRemove,
    #[serde(rename = "roles:manage")]
    #[strum(serialize = "roles:manage")]
    RolesManage,
    #[serde(rename = "audit:read")]
    #[strum(serialize = "audit:read")]
    AuditRead,
    #[serde(rename = "billing:read")]
    #[strum(serialize = "billing:read")]
    BillingRead,
    #[serde(rename = "billing:manage")]
    #[strum(serialize = "billing:manage")]
    BillingManage,
    #[serde(rename = "api-keys:manage")]
    #[strum(serialize = "api-keys:manage")]
    ApiKeysManage,
    #[serde(rename = "webhooks:manage")]
    #[strum(serialize = "webhooks:manage")]
    WebhooksManage,
    #[serde(rename = "integrations:manage")]
    #[strum(serialize = "integrations:manage")]
    IntegrationsManage,
    #[serde(rename = "projects:read")]
    #[strum(serialize = "projects:read")]
    ProjectsRead,
    #[serde(rename = "projects:manage")]
    #[strum(serialize = "projects:manage")]
    ProjectsManage,
    #[serde(rename = "content:read")]
    #[strum(serialize = "content:read")]
    ContentRead,
    #[serde(rename = "content:participate")]
    #[strum(serialize = "content:participate")]
    ContentParticipate,
    #[serde(rename = "content:write")]
    #[strum(serialize = "content:write")]
    ContentWrite,
    #[serde(rename = "content:moderate")]
    #[strum(serialize = "content:moderate")]
    ContentModerate,
}

impl Role {
    /// The table of the HTTP contract.
    pub fn allows(self, permission: Permission) -> bool {
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
        }
    }

    /// What the role allows, in the order of the catalogue.
    pub fn permissions(self) -> impl Iterator<Item = Permission> {
        Permission::iter().filter(move |permission| self.allows(*permission))
    }

    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl Permission {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Every permission there is, in the order of the contract.
    pub fn catalogue() -> impl Iterator<Item = Self> {
        Self::iter()
    }
}
