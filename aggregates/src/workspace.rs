//! A workspace: the tenant boundary, with its profile, its one owner, its plan settings and its invite code.

mod profile;
mod roles;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::Time;
use crate::adapter::aggregate;
use crate::event::{Changed, Fault, Refused};
use crate::ids::{ApiKeyId, UserId};
use crate::role::{Role, RoleName};

/// Seats of a team workspace when its plan says nothing.
pub const TEAM_SEATS: u32 = 5;
/// Seats of a personal workspace: its user. An operator who raises this opens it to others.
pub const PERSONAL_SEATS: u32 = 1;
/// The plan of a workspace that nobody has put on another.
pub const DEFAULT_PLAN: &str = "free";

pub use profile::{Profile, ProfileChange, Social};
pub use roles::{CustomRole, MAX_ROLES, RoleChange, RoleDefinition};

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
#[expect(clippy::large_enum_variant, reason = "a command makes one or two, and they move on to JSON")]
pub enum WorkspaceEvent {
    WorkspaceCreated {
        kind: Kind,
        owner_id: UserId,
        #[serde(flatten)]
        profile: Profile,
        seats_limit: u32,
        created_at: Time,
    },
    WorkspaceProfileChanged(ProfileChange),
    WorkspaceSeatsLimitChanged {
        seats_limit: Changed<u32>,
    },
    WorkspacePlanChanged {
        plan: Changed<String>,
    },
    WorkspaceOwnershipTransferred {
        owner_id: Changed<UserId>,
    },
    WorkspaceSuspended {
        reason: Option<String>,
        since: Time,
    },
    WorkspaceResumed {
        reason: Option<String>,
    },
    WorkspaceArchived,
    WorkspaceRestored,
    WorkspaceDeleted {
        because: Ending,
    },
    InviteCodeIssued {
        generation: u32,
        /// Hash of the code; the code itself is nowhere.
        hash: String,
        role: Role,
        max_uses: Option<u32>,
        expires_at: Option<Time>,
        issued_by: Option<UserId>,
        /// The issuing API key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        issued_by_key: Option<ApiKeyId>,
    },
    InviteCodeDisabled {
        generation: u32,
    },
    RoleDefined {
        role: RoleName,
        #[serde(flatten)]
        definition: CustomRole,
    },
    RoleChanged {
        role: RoleName,
        #[serde(flatten)]
        change: RoleChange,
    },
    /// Whoever held it holds the replacement from here on, by events of their own.
    RoleDeleted {
        role: RoleName,
        replacement: Option<Role>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// Born with its user, and gone with its user.
    Personal,
    Team,
}

/// Why a workspace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Deleted,
    OwnerErased,
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly every state there is, is a living one")]
pub enum Workspace {
    #[default]
    Missing,
    Living(Details),
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Details {
    pub kind: Kind,
    pub owner_id: UserId,
    pub profile: Profile,
    pub seats_limit: u32,
    pub plan: String,
    pub suspension: Option<Suspension>,
    pub archived: bool,
    pub created_at: Time,
    pub invite_code: Option<InviteCode>,
    /// Of the last invite code there was; the next one is one more.
    pub code_generation: u32,
    /// The workspace's own roles.
    pub roles: BTreeMap<RoleName, CustomRole>,
}

/// What a living workspace is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Status {
    Active,
    /// Read-only until resumed; billing goes on.
    Suspended,
    /// Read-only until restored.
    Archived,
}

impl Status {
    pub fn of(suspended: bool, archived: bool) -> Self {
        match (suspended, archived) {
            (true, _) => Self::Suspended,
            (false, true) => Self::Archived,
            (false, false) => Self::Active,
        }
    }

    /// Whether a permission can be used at all in a workspace of this status, whoever holds it.
    pub fn permits(self, permission: &str) -> bool {
        match self {
            Self::Active => true,
            Self::Suspended => crate::permission::reads(permission) || permission == "billing:manage",
            Self::Archived => crate::permission::reads(permission) || permission == "workspace:delete",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Suspension {
    pub reason: Option<String>,
    pub since: Time,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InviteCode {
    pub generation: u32,
    pub hash: String,
    pub role: Role,
    pub max_uses: Option<u32>,
    pub expires_at: Option<Time>,
    pub issued_by: Option<UserId>,
    pub issued_by_key: Option<ApiKeyId>,
}

impl Workspace {
    pub fn owner(&self) -> Option<&UserId> {
        match self {
            Self::Living(details) => Some(&details.owner_id),
            Self::Missing | Self::Deleted => None,
        }
    }

    /// The workspace, if it exists for anybody at all.
    pub fn living(&self) -> Result<&Details, Refusal> {
        match self {
            Self::Living(details) => Ok(details),
            Self::Missing | Self::Deleted => Err(Refusal::NotFound),
        }
    }

    /// The workspace, if it may be written to.
    pub fn writable(&self) -> Result<&Details, Refusal> {
        let details = self.unsuspended()?;
        if details.archived { Err(Refusal::Archived) } else { Ok(details) }
    }

    fn unsuspended(&self) -> Result<&Details, Refusal> {
        let details = self.living()?;
        if details.suspension.is_some() { Err(Refusal::Suspended) } else { Ok(details) }
    }

    /// The workspace, if somebody other than its owner may be or become a member.
    pub fn joinable(&self) -> Result<&Details, Refusal> {
        let details = self.writable()?;
        if details.kind == Kind::Personal && details.seats_limit <= PERSONAL_SEATS {
            return Err(Refusal::Personal);
        }
        Ok(details)
    }

    /// The invite code, if `hash` is its hash and it still lets people in.
    pub fn redeem_code(&self, hash: &str, now: Time) -> Result<&InviteCode, Refusal> {
        let code = self.living().ok().and_then(|details| details.invite_code.as_ref());
        let code = code.filter(|code| code.hash == hash).ok_or(Refusal::CodeInvalid)?;
        self.joinable()?;
        if code.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::CodeInvalid);
        }
        Ok(code)
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: WorkspaceEvent) -> Self {
        use WorkspaceEvent as E;
        match (self, event) {
            (_, E::WorkspaceCreated { kind, owner_id, profile, seats_limit, created_at }) => {
                Self::Living(Details {
                    kind,
                    owner_id,
                    profile,
                    seats_limit,
                    plan: DEFAULT_PLAN.to_owned(),
                    suspension: None,
                    archived: false,
                    created_at,
                    invite_code: None,
                    code_generation: 0,
                    roles: BTreeMap::new(),
                })
            }
            (Self::Living(_), E::WorkspaceDeleted { .. }) => Self::Deleted,
            (Self::Living(details), event) => Self::Living(details.evolve(event)),
            (state, _) => state,
        }
    }
}

impl Details {
    pub fn status(&self) -> Status {
        Status::of(self.suspension.is_some(), self.archived)
    }

    fn evolve(mut self, event: WorkspaceEvent) -> Self {
        use WorkspaceEvent as E;
        match event {
            E::WorkspaceProfileChanged(change) => self.profile.apply(change),
            E::WorkspaceSeatsLimitChanged { seats_limit } => self.seats_limit = seats_limit.to,
            E::WorkspacePlanChanged { plan } => self.plan = plan.to,
            E::WorkspaceOwnershipTransferred { owner_id } => self.owner_id = owner_id.to,
            E::WorkspaceSuspended { reason, since } => self.suspension = Some(Suspension { reason, since }),
            E::WorkspaceResumed { .. } => self.suspension = None,
            E::WorkspaceArchived => self.archived = true,
            E::WorkspaceRestored => self.archived = false,
            E::InviteCodeIssued {
                generation,
                hash,
                role,
                max_uses,
                expires_at,
                issued_by,
                issued_by_key,
            } => {
                self.code_generation = generation;
                self.invite_code = Some(InviteCode {
                    generation,
                    hash,
                    role,
                    max_uses,
                    expires_at,
                    issued_by,
                    issued_by_key,
                });
            }
            E::InviteCodeDisabled { .. } => self.invite_code = None,
            E::RoleDefined { .. } | E::RoleChanged { .. } | E::RoleDeleted { .. } => {
                self.evolve_roles(event);
            }
            E::WorkspaceCreated { .. } | E::WorkspaceDeleted { .. } => {}
        }
        self
    }
}

// ---- Command

#[derive(Debug, Clone, PartialEq)]
pub enum WorkspaceCommand {
    Create {
        kind: Kind,
        owner_id: UserId,
        profile: Profile,
        now: Time,
    },
    /// The whole profile as it is to be.
    ChangeProfile {
        profile: Profile,
    },
    ChangeSeatsLimit {
        limit: u32,
    },
    ChangePlan {
        plan: String,
    },
    /// The caller makes sure that `to` is an active member.
    TransferOwnership {
        to: UserId,
    },
    Suspend {
        reason: Option<String>,
        now: Time,
    },
    Resume {
        reason: Option<String>,
    },
    Archive,
    Restore,
    Delete,
    /// Ends a personal workspace with its user, or a shared one whose erased owner said so, whatever its state.
    EndWithOwner,
    IssueInviteCode {
        hash: String,
        role: Role,
        max_uses: Option<u32>,
        expires_at: Option<Time>,
        issued_by: Option<UserId>,
        issued_by_key: Option<ApiKeyId>,
        now: Time,
    },
    DisableInviteCode,
    /// Defines a role of the workspace's own, or brings it to what is given.
    DefineRole {
        role: RoleName,
        definition: RoleDefinition,
    },
    /// The caller says whether anybody holds the role, or is promised it.
    DeleteRole {
        role: RoleName,
        replacement: Option<Role>,
        in_use: bool,
    },
}

// ---- decide

impl Workspace {
    pub fn decide(&self, command: WorkspaceCommand) -> Result<Vec<WorkspaceEvent>, Refusal> {
        use WorkspaceCommand as C;
        use WorkspaceEvent as E;
        match command {
            C::Create { kind, owner_id, profile, now } => {
                if *self != Self::Missing {
                    return Err(Refusal::Exists);
                }
                let seats_limit = if kind == Kind::Personal { PERSONAL_SEATS } else { TEAM_SEATS };
                Ok(vec![E::WorkspaceCreated { kind, owner_id, profile, seats_limit, created_at: now }])
            }
            C::ChangeProfile { profile } => {
                let details = self.writable()?;
                Ok(ProfileChange::between(&details.profile, &profile)
                    .map(E::WorkspaceProfileChanged)
                    .into_iter()
                    .collect())
            }
            C::ChangeSeatsLimit { limit } => {
                let details = self.writable()?;
                if limit == 0 {
                    return Err(Refusal::SeatsLimitZero);
                }
                let change = Changed::between(details.seats_limit, limit);
                Ok(change
                    .map(|seats_limit| E::WorkspaceSeatsLimitChanged { seats_limit })
                    .into_iter()
                    .collect())
            }
            C::ChangePlan { plan } => {
                let details = self.living()?;
                let change = Changed::between(details.plan.clone(), plan);
                Ok(change.map(|plan| E::WorkspacePlanChanged { plan }).into_iter().collect())
            }
            C::DefineRole { role, definition } => self.writable()?.define_role(role, definition),
            C::DeleteRole { role, replacement, in_use } => {
                self.writable()?.delete_role(role, replacement, in_use)
            }
            C::TransferOwnership { to } => {
                let details = self.writable()?;
                if details.kind == Kind::Personal {
                    return Err(Refusal::Personal);
                }
                let change = Changed::between(details.owner_id.clone(), to);
                Ok(change.map(|owner_id| E::WorkspaceOwnershipTransferred { owner_id }).into_iter().collect())
            }
            C::Suspend { reason, now } => {
                let suspended = self.living()?.suspension.is_some();
                Ok(if suspended { vec![] } else { vec![E::WorkspaceSuspended { reason, since: now }] })
            }
            C::Resume { reason } => {
                let suspended = self.living()?.suspension.is_some();
                Ok(if suspended { vec![E::WorkspaceResumed { reason }] } else { vec![] })
            }
            C::Archive => {
                let details = self.unsuspended()?;
                if details.kind == Kind::Personal {
                    return Err(Refusal::Personal);
                }
                Ok(if details.archived { vec![] } else { vec![E::WorkspaceArchived] })
            }
            C::Restore => {
                let details = self.unsuspended()?;
                Ok(if details.archived { vec![E::WorkspaceRestored] } else { vec![] })
            }
            C::Delete => {
                let details = self.unsuspended()?;
                if details.kind == Kind::Personal {
                    return Err(Refusal::Personal);
                }
                Ok(vec![E::WorkspaceDeleted { because: Ending::Deleted }])
            }
            C::EndWithOwner => {
                self.living()?;
                Ok(vec![E::WorkspaceDeleted { because: Ending::OwnerErased }])
            }
            C::IssueInviteCode { hash, role, max_uses, expires_at, issued_by, issued_by_key, now } => {
                let generation = self.joinable()?.code_generation + 1;
                InviteCode { generation, hash, role, max_uses, expires_at, issued_by, issued_by_key }
                    .issue(now)
            }
            C::DisableInviteCode => {
                let details = self.writable()?;
                let code = details.invite_code.as_ref();
                Ok(code
                    .map(|code| E::InviteCodeDisabled { generation: code.generation })
                    .into_iter()
                    .collect())
            }
        }
    }
}

impl InviteCode {
    fn issue(self, now: Time) -> Result<Vec<WorkspaceEvent>, Refusal> {
        if self.role == Role::Owner {
            return Err(Refusal::OwnerRequired);
        }
        if self.expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::ExpiryPast);
        }
        let Self { generation, hash, role, max_uses, expires_at, issued_by, issued_by_key } = self;
        Ok(vec![WorkspaceEvent::InviteCodeIssued {
            generation,
            hash,
            role,
            max_uses,
            expires_at,
            issued_by,
            issued_by_key,
        }])
    }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such workspace.")]
    NotFound,
    #[error("This workspace exists already.")]
    Exists,
    #[error("This workspace is suspended: it can be read, not changed.")]
    Suspended,
    #[error("This workspace is archived: restore it first.")]
    Archived,
    #[error(
        "A personal workspace belongs to its user alone: it cannot be joined, given away, archived or deleted."
    )]
    Personal,
    #[error("A workspace has exactly one owner: transfer the ownership instead.")]
    OwnerRequired,
    #[error("This invite code is not valid.")]
    CodeInvalid,
    #[error("The expiry lies in the past.")]
    ExpiryPast,
    #[error("A workspace has at least one seat, its owner's.")]
    SeatsLimitZero,
    #[error("There is no such role in this workspace.")]
    RoleNotFound,
    #[error("There is no role {0} in this workspace.")]
    RoleUnknown(RoleName),
    #[error("A workspace has at most {MAX_ROLES} roles of its own.")]
    TooManyRoles,
    #[error("Somebody holds this role or is invited to it: say which role replaces it.")]
    RoleInUse,
    #[error("A role cannot replace itself, and nobody becomes owner by replacement.")]
    ReplacementUnfit,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound | Self::RoleNotFound => "not_found",
            Self::Exists => "conflict",
            Self::Suspended => "workspace_suspended",
            Self::Archived => "workspace_archived",
            Self::Personal => "personal_workspace",
            Self::OwnerRequired => "owner_required",
            Self::CodeInvalid => "token_invalid",
            Self::TooManyRoles => "too_many_roles",
            Self::RoleInUse => "role_in_use",
            Self::ExpiryPast | Self::SeatsLimitZero | Self::RoleUnknown(_) | Self::ReplacementUnfit => {
                "validation_failed"
            }
        }
    }

    fn hides_workspace(&self) -> bool {
        matches!(self, Self::NotFound)
    }

    fn fault(&self) -> Fault {
        if matches!(self, Self::RoleUnknown(_)) { Fault::UnknownRole } else { Fault::Invalid }
    }

    fn pointer(&self) -> Option<&'static str> {
        match self {
            Self::ExpiryPast => Some("/expires_at"),
            Self::SeatsLimitZero => Some("/seats/limit"),
            Self::RoleUnknown(_) => Some("/role"),
            Self::ReplacementUnfit => Some("replacement"),
            _ => None,
        }
    }
}

aggregate!(Workspace, WorkspaceEvent, WorkspaceCommand, Refusal);
