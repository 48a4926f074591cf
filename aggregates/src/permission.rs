//! Permissions: Tenure's own, and the names of those that products define.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{Display, EnumIter, EnumString, IntoEnumIterator, IntoStaticStr};

use crate::values::Invalid;

/// A permission of Tenure's own, as named on the wire (`members:invite`).
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

impl Permission {
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Every permission Tenure itself knows, in the order of the contract.
    pub fn catalogue() -> impl Iterator<Item = Self> {
        Self::iter()
    }

    /// Its place in a set of permissions.
    pub(crate) fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Whether a permission of this name lets one look only: its verb is `read`. Every other one changes something.
pub fn reads(name: &str) -> bool {
    name.ends_with(":read")
}

/// The name of any permission: `<module>:<verb>`, built in or a product's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PermissionName(Arc<str>);

impl PermissionName {
    /// Longest name, in characters.
    pub const MAX: usize = 64;

    /// Takes two parts of lower-case letters, digits, `-`, `_` and `.`, each beginning with a letter.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let word = |part: &str| {
            part.starts_with(|c: char| c.is_ascii_lowercase())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
        };
        if text.len() > Self::MAX {
            return Err(Invalid::new("too_long", format!("must be at most {} characters", Self::MAX)));
        }
        match text.split_once(':') {
            Some((module, verb)) if word(module) && word(verb) => Ok(Self(text.into())),
            _ => Err(Invalid::new("invalid", "must be `<module>:<verb>` in lower case")),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn built_in(&self) -> Option<Permission> {
        self.0.parse().ok()
    }

    /// Whether the name lies where Tenure's own permissions are or may come to be, so that no product takes it.
    pub fn is_reserved(&self) -> bool {
        let module = |name: &str| name.split(':').next().unwrap_or_default().to_owned();
        let own = module(&self.0);
        Permission::catalogue().any(|permission| module(permission.as_str()) == own)
    }
}

impl From<Permission> for PermissionName {
    fn from(permission: Permission) -> Self {
        Self(permission.as_str().into())
    }
}

impl From<PermissionName> for String {
    fn from(name: PermissionName) -> Self {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for PermissionName {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl FromStr for PermissionName {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl fmt::Display for PermissionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
