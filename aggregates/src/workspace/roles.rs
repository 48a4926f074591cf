//! A workspace's own roles: what they allow, who may be given them, and how they come and go.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Details, Refusal, Workspace, WorkspaceEvent};
use crate::catalogue::Catalogue;
use crate::event::Changed;
use crate::ids::UserId;
use crate::membership::Membership;
use crate::permission::PermissionName;
use crate::rights::Rights;
use crate::role::{Role, RoleName};

/// How many roles of its own a workspace may have.
pub const MAX_ROLES: usize = 100;

/// A role as its workspace has defined it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomRole {
    pub description: Option<String>,
    pub permissions: BTreeSet<PermissionName>,
}

/// What a role is to be. The permissions are known to exist, and the editor to hold them.
pub type RoleDefinition = CustomRole;

/// What changed of a role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RoleChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Changed<Option<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Changed<BTreeSet<PermissionName>>>,
}

impl Workspace {
    /// The role that counts: the owner's is the workspace's to say, and a recorded `owner` of anybody else is an admin.
    pub fn effective_role(&self, membership: &Membership, user: &UserId) -> Option<Role> {
        let recorded = membership.role()?;
        Some(if self.owner() == Some(user) { Role::Owner } else { recorded.clone().unowned() })
    }

    /// What a role allows here. A role the workspace does not have allows nothing.
    pub fn rights_of(&self, role: &Role, catalogue: &Catalogue) -> Rights {
        match (role.custom(), self) {
            (None, _) => Rights::of_built_in(role, catalogue),
            (Some(name), Self::Living(details)) => {
                details.roles.get(name).map(|role| Rights::of_names(&role.permissions)).unwrap_or_default()
            }
            (Some(_), Self::Missing | Self::Deleted) => Rights::default(),
        }
    }

    /// The role, if it is one that somebody can be given here.
    pub fn known_role(&self, role: &Role) -> Result<(), Refusal> {
        match role.custom() {
            Some(name) if !self.living()?.roles.contains_key(name) => Err(Refusal::RoleUnknown(name.clone())),
            Some(_) | None => Ok(()),
        }
    }
}

impl Details {
    pub(super) fn define_role(
        &self,
        role: RoleName,
        definition: RoleDefinition,
    ) -> Result<Vec<WorkspaceEvent>, Refusal> {
        let Some(before) = self.roles.get(&role) else {
            if self.roles.len() >= MAX_ROLES {
                return Err(Refusal::TooManyRoles);
            }
            return Ok(vec![WorkspaceEvent::RoleDefined { role, definition }]);
        };
        let change = RoleChange {
            description: Changed::between(before.description.clone(), definition.description),
            permissions: Changed::between(before.permissions.clone(), definition.permissions),
        };
        if change == RoleChange::default() {
            return Ok(vec![]);
        }
        Ok(vec![WorkspaceEvent::RoleChanged { role, change }])
    }

    pub(super) fn delete_role(
        &self,
        role: RoleName,
        replacement: Option<Role>,
        in_use: bool,
    ) -> Result<Vec<WorkspaceEvent>, Refusal> {
        if !self.roles.contains_key(&role) {
            return Err(Refusal::RoleNotFound);
        }
        let promised = self.invite_code.as_ref().is_some_and(|code| code.role.custom() == Some(&role));
        match &replacement {
            None if in_use || promised => return Err(Refusal::RoleInUse),
            Some(Role::Owner) => return Err(Refusal::ReplacementUnfit),
            Some(Role::Custom(other)) if *other == role => return Err(Refusal::ReplacementUnfit),
            Some(Role::Custom(other)) if !self.roles.contains_key(other) => {
                return Err(Refusal::RoleUnknown(other.clone()));
            }
            Some(_) | None => {}
        }
        Ok(vec![WorkspaceEvent::RoleDeleted { role, replacement }])
    }

    pub(super) fn evolve_roles(&mut self, event: WorkspaceEvent) {
        match event {
            WorkspaceEvent::RoleDefined { role, definition } => drop(self.roles.insert(role, definition)),
            WorkspaceEvent::RoleChanged { role, change } => {
                if let Some(held) = self.roles.get_mut(&role) {
                    if let Some(change) = change.description {
                        held.description = change.to;
                    }
                    if let Some(change) = change.permissions {
                        held.permissions = change.to;
                    }
                }
            }
            WorkspaceEvent::RoleDeleted { role, replacement } => {
                self.roles.remove(&role);
                if let (Some(code), Some(replacement)) = (&mut self.invite_code, replacement)
                    && code.role.custom() == Some(&role)
                {
                    code.role = replacement;
                }
            }
            _ => {}
        }
    }
}
