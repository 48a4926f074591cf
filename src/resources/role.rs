//! A role of a workspace, and a permission of the catalogue.

use serde::Serialize;
use tenure_aggregates::catalogue::Entry;
use tenure_aggregates::workspace::CustomRole;
use tenure_aggregates::{Catalogue, Permission, PermissionName, Rights, permission};
use utoipa::ToSchema;

/// A role and what it allows.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Role {
    #[schema(example = "admin")]
    pub name: String,
    /// Built-in roles are fixed.
    pub built_in: bool,
    pub description: Option<String>,
    pub permissions: Vec<String>,
}

impl Role {
    pub fn built_in(role: &tenure_aggregates::Role, catalogue: &Catalogue) -> Self {
        let rights = Rights::of_built_in(role, catalogue);
        let permissions = rights.names(catalogue).iter().map(ToString::to_string).collect();
        Self { name: role.to_string(), built_in: true, description: None, permissions }
    }

    pub fn custom(name: &str, role: &CustomRole) -> Self {
        let permissions = role.permissions.iter().map(ToString::to_string).collect();
        Self { name: name.to_owned(), built_in: false, description: role.description.clone(), permissions }
    }
}

/// One entry of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(as = PermissionEntry)]
pub struct PermissionEntry {
    #[schema(example = "invoices:approve")]
    pub name: String,
    /// Built-in permissions are fixed; the others are products'.
    pub built_in: bool,
    /// Whether it lets one look only, and so holds in a read-only workspace, too.
    pub reads: bool,
    pub description: Option<String>,
    /// The built-in roles that hold it.
    pub granted_to: Vec<String>,
}

impl PermissionEntry {
    pub fn built_in(name: Permission) -> Self {
        let holders = tenure_aggregates::Role::BUILT_IN.iter().rev().filter(|role| role.allows(name));
        Self {
            name: name.as_str().to_owned(),
            built_in: true,
            reads: permission::reads(name.as_str()),
            description: None,
            granted_to: holders.map(ToString::to_string).collect(),
        }
    }

    pub fn product(name: &PermissionName, entry: &Entry) -> Self {
        let below = entry.granted_to.iter().rev().map(ToString::to_string);
        Self {
            name: name.to_string(),
            built_in: false,
            reads: permission::reads(name.as_str()),
            description: entry.description.clone(),
            granted_to: ["owner".to_owned(), "admin".to_owned()].into_iter().chain(below).collect(),
        }
    }
}
