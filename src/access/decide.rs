//! The decision: may this user do this here? Pure, and the same for what is in memory, in the log, or long past.
//!
//! The rules are the aggregates'; here they are only asked in order, so that a refusal can say which one it was.

use tenure_aggregates::membership::Standing;
use tenure_aggregates::workspace::Status;
use tenure_aggregates::{Catalogue, Membership, PermissionName, Rights, Role, Time, UserId, Workspace};

/// Why a question was answered as it was. The names are stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::IntoStaticStr, strum::EnumIter)]
#[strum(serialize_all = "snake_case")]
pub enum Reason {
    /// The role held allows it.
    RoleAllows,
    /// There is nothing here that the caller may see.
    NotFound,
    WorkspaceNotFound,
    NotAMember,
    MembershipDeactivated,
    MembershipExpired,
    /// Nobody has registered such a permission.
    PermissionUnknown,
    /// The role held does not allow it.
    PermissionNotHeld,
    /// Suspended: only reading, and what settles the bill.
    WorkspaceSuspended,
    /// Archived: only reading, and its deletion.
    WorkspaceArchived,
}

impl Reason {
    pub fn allows(self) -> bool {
        self == Self::RoleAllows
    }

    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What a decision rests on.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// None if there is no such workspace, or no longer.
    pub status: Option<Status>,
    pub standing: Standing,
    /// Of the role that counts, if the membership does.
    pub rights: &'a Rights,
    pub catalogue: &'a Catalogue,
}

/// `permission` is none where the name is no name of a permission.
pub fn decide(facts: &Facts<'_>, permission: Option<&PermissionName>) -> Reason {
    let Some(status) = facts.status else { return Reason::WorkspaceNotFound };
    match facts.standing {
        Standing::Absent => return Reason::NotAMember,
        Standing::Deactivated => return Reason::MembershipDeactivated,
        Standing::Expired => return Reason::MembershipExpired,
        Standing::Active => {}
    }
    let known = |name: &&PermissionName| name.built_in().is_some() || facts.catalogue.knows(name);
    let Some(permission) = permission.filter(known) else { return Reason::PermissionUnknown };
    if !facts.rights.allows_name(permission, facts.catalogue) {
        return Reason::PermissionNotHeld;
    }
    match status {
        status if status.permits(permission.as_str()) => Reason::RoleAllows,
        Status::Archived => Reason::WorkspaceArchived,
        Status::Suspended | Status::Active => Reason::WorkspaceSuspended,
    }
}

/// The streams a decision rests on, folded.
#[derive(Debug, Default)]
pub struct Streams<W, M, C> {
    pub workspace: W,
    pub membership: M,
    pub catalogue: C,
}

impl<W, M, C> Streams<W, M, C>
where
    W: AsRef<Workspace>,
    M: AsRef<Membership>,
    C: AsRef<Catalogue>,
{
    pub fn decide(&self, user: &UserId, permission: Option<&PermissionName>, now: Time) -> Reason {
        let (workspace, catalogue) = (self.workspace.as_ref(), self.catalogue.as_ref());
        let rights = self.role(user).map(|role| workspace.rights_of(&role, catalogue)).unwrap_or_default();
        let facts = Facts {
            status: workspace.living().ok().map(tenure_aggregates::workspace::Details::status),
            standing: self.membership.as_ref().standing(now),
            rights: &rights,
            catalogue,
        };
        decide(&facts, permission)
    }

    /// What the user may do, as far as the workspace's status lets anybody.
    pub fn permissions(&self, user: &UserId, now: Time) -> Vec<PermissionName> {
        let (workspace, catalogue) = (self.workspace.as_ref(), self.catalogue.as_ref());
        let held = self.role(user).map(|role| workspace.rights_of(&role, catalogue)).unwrap_or_default();
        let names = held.names(catalogue);
        names.into_iter().filter(|name| self.decide(user, Some(name), now).allows()).collect()
    }

    /// The role that counts, of a membership that is there, whatever it is worth.
    pub fn role(&self, user: &UserId) -> Option<Role> {
        self.workspace.as_ref().effective_role(self.membership.as_ref(), user)
    }
}
