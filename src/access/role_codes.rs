//! Role names as numbers, one for the whole process: four bytes where a name would take sixteen and more.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use tenure_aggregates::{Role, RoleName};

/// Fits into 24 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RoleCode(u32);

/// The first number of a workspace's own role; those below are the built-in ones, lowest first.
const CUSTOM: u32 = 4;
/// More names than that cannot be told apart.
const MOST: u32 = (1 << 24) - 1;

#[derive(Debug, Default)]
pub(super) struct RoleCodes {
    names: RwLock<Names>,
}

#[derive(Debug, Default)]
struct Names {
    codes: HashMap<RoleName, u32>,
    /// By code less [`CUSTOM`].
    names: Vec<RoleName>,
}

impl RoleCode {
    pub(super) const OWNER: Self = Self(3);
    const ADMIN: Self = Self(2);

    /// As [`Role::unowned`]: a recorded owner who does not own the workspace is an admin.
    pub(super) fn unowned(self) -> Self {
        if self == Self::OWNER { Self::ADMIN } else { self }
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    pub(super) fn bits(self) -> u32 {
        self.0
    }

    /// The role, if it is a built-in one.
    pub(super) fn built_in(self) -> Option<Role> {
        Role::BUILT_IN.get(self.0 as usize).cloned()
    }
}

impl RoleCodes {
    /// The role's number; none once sixteen million names are in use.
    pub(super) fn code(&self, role: &Role) -> Option<RoleCode> {
        let Some(name) = role.custom() else {
            let at = Role::BUILT_IN.iter().position(|built_in| built_in == role)?;
            return u32::try_from(at).ok().map(RoleCode);
        };
        let known = self.names.read().unwrap_or_else(PoisonError::into_inner).codes.get(name).copied();
        known.or_else(|| self.add(name)).map(RoleCode)
    }

    pub(super) fn role(&self, code: RoleCode) -> Option<Role> {
        code.built_in().or_else(|| {
            let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
            names.names.get(code.0.checked_sub(CUSTOM)? as usize).cloned().map(Role::Custom)
        })
    }

    fn add(&self, name: &RoleName) -> Option<u32> {
        let mut names = self.names.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = names.codes.get(name) {
            return Some(*code);
        }
        let code = CUSTOM + u32::try_from(names.names.len()).ok().filter(|used| *used < MOST - CUSTOM)?;
        names.codes.insert(name.clone(), code);
        names.names.push(name.clone());
        Some(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_has_one_code_and_a_code_one_role() {
        let codes = RoleCodes::default();
        for name in ["owner", "admin", "moderator", "member", "editor", "viewer", "editor"] {
            let role: Role = name.parse().unwrap();
            let code = codes.code(&role).unwrap();
            assert_eq!(codes.role(code), Some(role.clone()));
            assert_eq!(code.built_in().is_some(), role.custom().is_none());
        }
        let code = |name: &str| codes.code(&name.parse().unwrap()).unwrap();
        assert_eq!(code("editor").bits(), CUSTOM);
        assert_eq!(code("viewer").bits(), CUSTOM + 1);
        assert_eq!(codes.role(RoleCode::from_bits(CUSTOM + 2)), None);
        for role in Role::BUILT_IN {
            let code = codes.code(&role).unwrap();
            assert_eq!(codes.role(code.unowned()), Some(role.unowned()));
        }
        assert_eq!(codes.role(RoleCode::OWNER), Some(Role::Owner));
    }
}
