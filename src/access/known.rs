//! The catalogue of permissions as checks need it.

use std::collections::HashMap;

use tenure_aggregates::{Catalogue, Permission, PermissionName, Rights, Role};

use super::role_codes::RoleCode;

/// The catalogue, with what is asked of it at every check worked out.
#[derive(Debug)]
pub struct Known {
    pub(super) sequence: i64,
    pub catalogue: Catalogue,
    /// What each built-in role allows, lowest role first.
    built_in: [Rights; 4],
    /// Permissions by their text, so that a question need not copy it.
    names: HashMap<Box<str>, PermissionName>,
}

impl Known {
    pub(super) fn of(sequence: i64, catalogue: Catalogue) -> Self {
        let built_in = Role::BUILT_IN.map(|role| Rights::of_built_in(&role, &catalogue));
        let built_in_names = Permission::catalogue().map(PermissionName::from);
        let names = built_in_names.chain(catalogue.names().cloned());
        let names = names.map(|name| (name.as_str().into(), name)).collect();
        Self { sequence, catalogue, built_in, names }
    }

    pub(super) fn rights<'a>(
        &'a self,
        code: RoleCode,
        own: Option<&'a [(RoleCode, Rights)]>,
    ) -> Option<&'a Rights> {
        if let Some(rights) = self.built_in.get(code.bits() as usize) {
            return Some(rights);
        }
        own?.iter().find(|(own, _)| *own == code).map(|(_, rights)| rights)
    }

    /// The permission of that name; none if nobody has registered one.
    pub(super) fn named(&self, text: &str) -> Option<&PermissionName> {
        self.names.get(text)
    }
}
