//! What the one who acts may do in a workspace, as it stands at the moment of the commit.

use crate::event::Refused;
use crate::membership::Standing;
use crate::role::{Permission, Role};
use crate::{Membership, Time, UserId, Workspace};

/// The rights an actor brings to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// The service itself (operator key, no user acted for), or a rule of the system: everything.
    Service,
    /// A member, with the role held now.
    Member(Role),
    /// Once a member; the membership is deactivated or has run out.
    Lapsed,
    /// Not a member: the workspace must look as if it did not exist.
    Stranger,
}

impl Authority {
    /// The authority of `user` in `workspace`, from that user's membership of it.
    pub fn of(workspace: &Workspace, membership: &Membership, user: &UserId, now: Time) -> Self {
        match (workspace.owner(), membership.standing(now)) {
            (Some(owner), Standing::Active) if owner == user => Self::Member(Role::Owner),
            (_, Standing::Active) => {
                membership.role().map_or(Self::Stranger, |role| Self::Member(role.unowned()))
            }
            (_, Standing::Deactivated | Standing::Expired) => Self::Lapsed,
            (_, Standing::Absent) => Self::Stranger,
        }
    }

    pub fn require(self, permission: Permission) -> Result<(), Refusal> {
        match self {
            Self::Service => Ok(()),
            Self::Member(role) if role.allows(permission) => Ok(()),
            Self::Member(_) | Self::Lapsed => Err(Refusal::PermissionDenied(permission)),
            Self::Stranger => Err(Refusal::NotFound),
        }
    }

    /// Nobody grants, invites to or edits a role above their own, and ownership moves only by transfer.
    pub fn require_grant(self, role: Role) -> Result<(), Refusal> {
        match self {
            Self::Member(own) if role > own => Err(Refusal::RoleAboveOwn { role, own }),
            Self::Member(_) | Self::Service if role == Role::Owner => Err(Refusal::OwnerRequired),
            Self::Member(_) | Self::Service => Ok(()),
            Self::Lapsed => Err(Refusal::PermissionDenied(Permission::MembersUpdate)),
            Self::Stranger => Err(Refusal::NotFound),
        }
    }

    /// Only the operator's service may do this; a user of any role may not.
    pub fn require_service(self) -> Result<(), Refusal> {
        match self {
            Self::Service => Ok(()),
            Self::Stranger => Err(Refusal::NotFound),
            Self::Member(_) | Self::Lapsed => Err(Refusal::ServiceOnly),
        }
    }
}

impl Role {
    /// A membership's recorded role when its user does not own the workspace (any more): a former owner is an admin.
    #[must_use]
    pub fn unowned(self) -> Self {
        self.min(Self::Admin)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such workspace.")]
    NotFound,
    #[error("This needs the permission {0}.")]
    PermissionDenied(Permission),
    #[error("Only the operator's service may do this.")]
    ServiceOnly,
    #[error("The role {role} is above your own, {own}.")]
    RoleAboveOwn { role: Role, own: Role },
    #[error("A workspace has exactly one owner: transfer the ownership instead.")]
    OwnerRequired,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PermissionDenied(_) | Self::ServiceOnly => "permission_denied",
            Self::RoleAboveOwn { .. } => "role_above_own",
            Self::OwnerRequired => "owner_required",
        }
    }

    fn permission(&self) -> Option<&'static str> {
        match self {
            Self::PermissionDenied(permission) => Some(permission.as_str()),
            Self::ServiceOnly => Some("operator"),
            Self::NotFound | Self::RoleAboveOwn { .. } | Self::OwnerRequired => None,
        }
    }
}
