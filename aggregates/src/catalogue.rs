//! The catalogue: the permissions that products define, so that a product's own actions can be checked here.
//!
//! There is one per installation, kept by the operator in a workspace that nobody is a member of.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::adapter::aggregate;
use crate::event::{Changed, Refused};
use crate::ids::WorkspaceId;
use crate::permission::PermissionName;
use crate::role::Role;

/// How many permissions products may define.
pub const MAX_PERMISSIONS: usize = 1_000;

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum CatalogueEvent {
    PermissionRegistered {
        permission: PermissionName,
        description: Option<String>,
        /// The built-in roles below admin that hold it; owner and admin always do.
        granted_to: BTreeSet<Role>,
    },
    PermissionChanged {
        permission: PermissionName,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Changed<Option<String>>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        granted_to: Option<Changed<BTreeSet<Role>>>,
    },
    PermissionWithdrawn {
        permission: PermissionName,
    },
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Catalogue {
    entries: BTreeMap<PermissionName, Entry>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    pub description: Option<String>,
    pub granted_to: BTreeSet<Role>,
}

impl Catalogue {
    /// The workspace the catalogue lies in, and its stream's id.
    pub fn home() -> WorkspaceId {
        WorkspaceId::installation()
    }

    pub fn knows(&self, name: &PermissionName) -> bool {
        self.entries.contains_key(name)
    }

    pub fn entry(&self, name: &PermissionName) -> Option<&Entry> {
        self.entries.get(name)
    }

    pub fn names(&self) -> impl Iterator<Item = &PermissionName> {
        self.entries.keys()
    }

    /// The products' permissions that a built-in role holds.
    pub fn granted_to(&self, role: &Role) -> BTreeSet<PermissionName> {
        let held = self.entries.iter().filter(|(_, entry)| entry.granted_to.contains(role));
        held.map(|(name, _)| name.clone()).collect()
    }

    /// The catalogue as a read model has kept it.
    pub fn from_entries(entries: impl IntoIterator<Item = (PermissionName, Entry)>) -> Self {
        Self { entries: entries.into_iter().collect() }
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(mut self, event: CatalogueEvent) -> Self {
        match event {
            CatalogueEvent::PermissionRegistered { permission, description, granted_to } => {
                self.entries.insert(permission, Entry { description, granted_to });
            }
            CatalogueEvent::PermissionChanged { permission, description, granted_to } => {
                if let Some(entry) = self.entries.get_mut(&permission) {
                    if let Some(change) = description {
                        entry.description = change.to;
                    }
                    if let Some(change) = granted_to {
                        entry.granted_to = change.to;
                    }
                }
            }
            CatalogueEvent::PermissionWithdrawn { permission } => drop(self.entries.remove(&permission)),
        }
        self
    }
}

// ---- Command

#[derive(Debug, Clone, PartialEq)]
pub enum CatalogueCommand {
    /// Registers the permission, or brings it to what is given.
    Register {
        permission: PermissionName,
        description: Option<String>,
        granted_to: BTreeSet<Role>,
    },
    Withdraw {
        permission: PermissionName,
    },
}

// ---- decide

impl Catalogue {
    pub fn decide(&self, command: CatalogueCommand) -> Result<Vec<CatalogueEvent>, Refusal> {
        match command {
            CatalogueCommand::Register { permission, description, granted_to } => {
                if permission.is_reserved() {
                    return Err(Refusal::Reserved);
                }
                if granted_to.iter().any(|role| !matches!(role, Role::Member | Role::Moderator)) {
                    return Err(Refusal::NotGrantable);
                }
                self.register(permission, description, granted_to)
            }
            CatalogueCommand::Withdraw { permission } => {
                if !self.knows(&permission) {
                    return Err(Refusal::NotFound);
                }
                Ok(vec![CatalogueEvent::PermissionWithdrawn { permission }])
            }
        }
    }

    fn register(
        &self,
        permission: PermissionName,
        description: Option<String>,
        granted_to: BTreeSet<Role>,
    ) -> Result<Vec<CatalogueEvent>, Refusal> {
        let Some(entry) = self.entry(&permission) else {
            if self.entries.len() >= MAX_PERMISSIONS {
                return Err(Refusal::TooMany);
            }
            return Ok(vec![CatalogueEvent::PermissionRegistered { permission, description, granted_to }]);
        };
        let description = Changed::between(entry.description.clone(), description);
        let granted_to = Changed::between(entry.granted_to.clone(), granted_to);
        if description.is_none() && granted_to.is_none() {
            return Ok(vec![]);
        }
        Ok(vec![CatalogueEvent::PermissionChanged { permission, description, granted_to }])
    }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such permission.")]
    NotFound,
    #[error("This name is kept for Tenure's own permissions: take a module of the product's.")]
    Reserved,
    #[error("Only moderator and member can be named: owner and admin hold every permission of a product.")]
    NotGrantable,
    #[error("There are {MAX_PERMISSIONS} permissions already; withdraw one first.")]
    TooMany,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Reserved => "permission_reserved",
            Self::NotGrantable => "validation_failed",
            Self::TooMany => "too_many_permissions",
        }
    }

    fn pointer(&self) -> Option<&'static str> {
        matches!(self, Self::NotGrantable).then_some("/granted_to")
    }
}

aggregate!(Catalogue, CatalogueEvent, CatalogueCommand, Refusal);
