//! What somebody may do in a workspace: a set of permissions, with the products' own among them.

use std::collections::BTreeSet;

use crate::catalogue::Catalogue;
use crate::permission::{Permission, PermissionName};
use crate::role::Role;

/// A set of permissions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rights {
    /// Of Tenure's own, one bit each.
    built_in: u32,
    product: Product,
}

/// The products' own permissions that are in the set.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Product {
    All,
    These(BTreeSet<PermissionName>),
}

impl Default for Product {
    fn default() -> Self {
        Self::These(BTreeSet::new())
    }
}

impl Rights {
    /// Everything, also what products will define.
    pub fn all() -> Self {
        Self {
            built_in: Permission::catalogue().fold(0, |set, each| set | each.bit()),
            product: Product::All,
        }
    }

    pub fn of_names<'a>(names: impl IntoIterator<Item = &'a PermissionName>) -> Self {
        let (mut built_in, mut product) = (0, BTreeSet::new());
        for name in names {
            match name.built_in() {
                Some(permission) => built_in |= permission.bit(),
                None => drop(product.insert(name.clone())),
            }
        }
        Self { built_in, product: Product::These(product) }
    }

    /// What a built-in role allows; nothing for a workspace's own role, which only that workspace knows.
    pub fn of_built_in(role: &Role, catalogue: &Catalogue) -> Self {
        let allowed = Permission::catalogue().filter(|permission| role.allows(*permission));
        let product = match role {
            Role::Owner | Role::Admin => Product::All,
            Role::Moderator | Role::Member => Product::These(catalogue.granted_to(role)),
            Role::Custom(_) => Product::default(),
        };
        Self { built_in: allowed.fold(0, |set, each| set | each.bit()), product }
    }

    pub fn allows(&self, permission: Permission) -> bool {
        self.built_in & permission.bit() != 0
    }

    /// Whether the set holds a permission by its name. One that nobody has registered is held by nobody.
    pub fn allows_name(&self, name: &PermissionName, catalogue: &Catalogue) -> bool {
        match (name.built_in(), &self.product) {
            (Some(permission), _) => self.allows(permission),
            (None, Product::All) => catalogue.knows(name),
            (None, Product::These(names)) => names.contains(name) && catalogue.knows(name),
        }
    }

    /// Whether nothing in `other` is missing here.
    pub fn covers(&self, other: &Self) -> bool {
        let product = match (&self.product, &other.product) {
            (Product::All, _) => true,
            (Product::These(_), Product::All) => false,
            (Product::These(own), Product::These(others)) => others.is_subset(own),
        };
        product && other.built_in & !self.built_in == 0
    }

    /// The permissions in the set that there are: Tenure's own in the order of the contract, then the products'.
    pub fn names(&self, catalogue: &Catalogue) -> Vec<PermissionName> {
        let built_in = Permission::catalogue().filter(|permission| self.allows(*permission));
        let product = catalogue.names().filter(|name| self.allows_name(name, catalogue)).cloned();
        built_in.map(PermissionName::from).chain(product).collect()
    }
}
