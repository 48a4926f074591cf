//! What the one who acts may do in a workspace, as it stands at the moment of the commit.

use crate::api_key::ApiKey;
use crate::catalogue::Catalogue;
use crate::event::Refused;
use crate::membership::Standing;
use crate::permission::Permission;
use crate::rights::Rights;
use crate::role::Role;
use crate::{Membership, Time, UserId, Workspace};

/// The rights an actor brings to a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authority {
    /// The service itself (operator key, no user acted for), or a rule of the system: everything.
    Service,
    /// A member, with the role held now.
    Member { role: Role, rights: Rights },
    /// A key of the workspace.
    Key(Rights),
    /// Once a member; the membership is deactivated or has run out.
    Lapsed,
    /// Not a member: the workspace must look as if it did not exist.
    Stranger,
}

impl Authority {
    /// The authority of `user` in `workspace`, from that user's membership of it.
    pub fn of(
        workspace: &Workspace,
        membership: &Membership,
        user: &UserId,
        catalogue: &Catalogue,
        now: Time,
    ) -> Self {
        match membership.standing(now) {
            Standing::Active => match workspace.effective_role(membership, user) {
                Some(role) => Self::Member { rights: workspace.rights_of(&role, catalogue), role },
                None => Self::Stranger,
            },
            Standing::Deactivated | Standing::Expired => Self::Lapsed,
            Standing::Absent => Self::Stranger,
        }
    }

    /// The authority of a key of this workspace; one that is revoked or has run out is worth nothing.
    pub fn of_key(key: &ApiKey, now: Time) -> Self {
        key.rights(now).map_or(Self::Stranger, Self::Key)
    }

    pub fn require(&self, permission: Permission) -> Result<(), Refusal> {
        match self {
            Self::Service => Ok(()),
            Self::Member { rights, .. } | Self::Key(rights) if rights.allows(permission) => Ok(()),
            Self::Member { .. } | Self::Key(_) | Self::Lapsed => Err(Refusal::PermissionDenied(permission)),
            Self::Stranger => Err(Refusal::NotFound),
        }
    }

    /// Nobody grants, invites to or edits a role above their own, and ownership moves only by transfer.
    /// `rights` is what the role allows in this workspace.
    pub fn require_grant(&self, role: &Role, rights: &Rights) -> Result<(), Refusal> {
        match self {
            Self::Member { .. } | Self::Key(_) if !self.covers(rights) => {
                Err(Refusal::RoleAboveOwn { role: role.clone() })
            }
            Self::Member { .. } | Self::Key(_) | Self::Service if *role == Role::Owner => {
                Err(Refusal::OwnerRequired)
            }
            Self::Member { .. } | Self::Key(_) | Self::Service => Ok(()),
            Self::Lapsed => Err(Refusal::PermissionDenied(Permission::MembersUpdate)),
            Self::Stranger => Err(Refusal::NotFound),
        }
    }

    /// Nobody gives away what they do not hold: to a role they define, or a key they make.
    pub fn require_rights(&self, rights: &Rights) -> Result<(), Refusal> {
        match self {
            Self::Service => Ok(()),
            Self::Member { .. } | Self::Key(_) if self.covers(rights) => Ok(()),
            Self::Member { .. } | Self::Key(_) | Self::Lapsed => Err(Refusal::RightsAboveOwn),
            Self::Stranger => Err(Refusal::NotFound),
        }
    }

    fn covers(&self, rights: &Rights) -> bool {
        match self {
            Self::Service => true,
            Self::Member { rights: own, .. } | Self::Key(own) => own.covers(rights),
            Self::Lapsed | Self::Stranger => false,
        }
    }

    /// Only the operator's service may do this; a user of any role may not.
    pub fn require_service(&self) -> Result<(), Refusal> {
        match self {
            Self::Service => Ok(()),
            Self::Stranger => Err(Refusal::NotFound),
            Self::Member { .. } | Self::Key(_) | Self::Lapsed => Err(Refusal::ServiceOnly),
        }
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
    #[error("The role {role} allows what your own does not.")]
    RoleAboveOwn { role: Role },
    #[error("These permissions go beyond your own.")]
    RightsAboveOwn,
    #[error("A workspace has exactly one owner: transfer the ownership instead.")]
    OwnerRequired,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::PermissionDenied(_) | Self::ServiceOnly => "permission_denied",
            Self::RoleAboveOwn { .. } | Self::RightsAboveOwn => "role_above_own",
            Self::OwnerRequired => "owner_required",
        }
    }

    fn hides_workspace(&self) -> bool {
        matches!(self, Self::NotFound)
    }

    fn permission(&self) -> Option<&'static str> {
        match self {
            Self::PermissionDenied(permission) => Some(permission.as_str()),
            Self::ServiceOnly => Some("operator"),
            Self::NotFound | Self::RoleAboveOwn { .. } | Self::RightsAboveOwn | Self::OwnerRequired => None,
        }
    }
}
