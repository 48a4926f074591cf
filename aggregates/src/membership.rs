//! A membership: one user in one workspace, with role, status and an optional end.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::Time;
use crate::adapter::aggregate;
use crate::event::{Changed, Refused};
use crate::ids::{InvitationId, UserId};
use crate::role::Role;

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum MembershipEvent {
    MembershipStarted {
        user_id: UserId,
        role: Role,
        expires_at: Option<Time>,
        through: Entrance,
        joined_at: Time,
    },
    MembershipRoleChanged {
        user_id: UserId,
        role: Changed<Role>,
    },
    MembershipExpiryChanged {
        user_id: UserId,
        expires_at: Changed<Option<Time>>,
    },
    MembershipDeactivated {
        user_id: UserId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    MembershipReactivated {
        user_id: UserId,
    },
    MembershipEnded {
        user_id: UserId,
        because: Ending,
    },
}

/// How somebody became a member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Entrance {
    /// As the owner of a workspace that was created.
    Created,
    /// Added directly.
    Added,
    Invitation {
        invitation_id: InvitationId,
    },
    InviteCode {
        generation: u32,
    },
}

/// Why a membership ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    Left,
    Removed,
    Expired,
    UserErased,
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Membership {
    #[default]
    Never,
    Active(Terms),
    Deactivated(Terms),
    Ended,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub user_id: UserId,
    pub role: Role,
    pub joined_at: Time,
    pub expires_at: Option<Time>,
}

/// What a membership is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Absent,
    Active,
    Deactivated,
    /// Its end has come, whether or not anybody has recorded it yet.
    Expired,
}

impl Standing {
    /// Of a membership that has not ended.
    pub fn of(deactivated: bool, expires_at: Option<Time>, now: Time) -> Self {
        if expires_at.is_some_and(|end| end <= now) {
            Self::Expired
        } else if deactivated {
            Self::Deactivated
        } else {
            Self::Active
        }
    }
}

impl Membership {
    pub fn standing(&self, now: Time) -> Standing {
        match self {
            Self::Active(terms) => Standing::of(false, terms.expires_at, now),
            Self::Deactivated(terms) => Standing::of(true, terms.expires_at, now),
            Self::Never | Self::Ended => Standing::Absent,
        }
    }

    pub fn role(&self) -> Option<&Role> {
        self.terms().map(|terms| &terms.role)
    }

    /// Whether a seat of the workspace is taken; one that has run out frees its seat when its end is recorded.
    pub fn takes_seat(&self) -> bool {
        matches!(self, Self::Active(_))
    }

    pub fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Active(terms) | Self::Deactivated(terms) => Some(terms),
            Self::Never | Self::Ended => None,
        }
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: MembershipEvent) -> Self {
        use MembershipEvent as E;
        match (self, event) {
            (_, E::MembershipStarted { user_id, role, expires_at, joined_at, .. }) => {
                Self::Active(Terms { user_id, role, joined_at, expires_at })
            }
            (Self::Active(terms), E::MembershipRoleChanged { role, .. }) => {
                Self::Active(Terms { role: role.to, ..terms })
            }
            (Self::Deactivated(terms), E::MembershipRoleChanged { role, .. }) => {
                Self::Deactivated(Terms { role: role.to, ..terms })
            }
            (Self::Active(terms), E::MembershipExpiryChanged { expires_at, .. }) => {
                Self::Active(Terms { expires_at: expires_at.to, ..terms })
            }
            (Self::Deactivated(terms), E::MembershipExpiryChanged { expires_at, .. }) => {
                Self::Deactivated(Terms { expires_at: expires_at.to, ..terms })
            }
            (Self::Active(terms), E::MembershipDeactivated { .. }) => Self::Deactivated(terms),
            (Self::Deactivated(terms), E::MembershipReactivated { .. }) => Self::Active(terms),
            (_, E::MembershipEnded { .. }) => Self::Ended,
            (state, _) => state,
        }
    }
}

// ---- Command

/// `owner` in a command says whether the member owns the workspace: an owner neither leaves, nor is removed, demoted,
/// deactivated or made to expire.
#[derive(Debug, Clone, PartialEq)]
pub enum MembershipCommand {
    /// Joins; a member that is one already is left alone and told so.
    Start {
        user_id: UserId,
        role: Role,
        expires_at: Option<Time>,
        through: Entrance,
        now: Time,
    },
    ChangeRole {
        role: Role,
        owner: bool,
        now: Time,
    },
    ChangeExpiry {
        expires_at: Option<Time>,
        owner: bool,
        now: Time,
    },
    /// Puts another role in the place of one that is no more, whatever the membership's state.
    ReplaceRole {
        role: Role,
    },
    /// Takes or gives up ownership, as part of a transfer.
    Crown,
    Uncrown,
    Deactivate {
        reason: Option<String>,
        owner: bool,
        now: Time,
    },
    Reactivate {
        now: Time,
    },
    Leave {
        owner: bool,
        now: Time,
    },
    Remove {
        owner: bool,
    },
    /// Records that the end has come.
    Expire {
        now: Time,
    },
    Erase,
}

// ---- decide

impl Membership {
    pub fn decide(&self, command: MembershipCommand) -> Result<Vec<MembershipEvent>, Refusal> {
        use MembershipCommand as C;
        use MembershipEvent as E;
        match command {
            C::Start { user_id, role, expires_at, through, now } => {
                self.start(user_id, role, expires_at, through, now)
            }
            C::ChangeRole { role, owner, now } => {
                let terms = self.present(now)?;
                if owner != (role == Role::Owner) {
                    return Err(Refusal::OwnerRequired);
                }
                let held = if owner { Role::Owner } else { terms.role.clone().unowned() };
                let role = Changed::between(held, role);
                Ok(role
                    .map(|role| E::MembershipRoleChanged { user_id: terms.user_id.clone(), role })
                    .into_iter()
                    .collect())
            }
            C::ReplaceRole { role } => {
                let terms = self.terms().ok_or(Refusal::NotFound)?;
                if terms.role != role && (terms.role == Role::Owner || role == Role::Owner) {
                    return Err(Refusal::OwnerRequired);
                }
                let role = Changed::between(terms.role.clone(), role);
                Ok(role
                    .map(|role| E::MembershipRoleChanged { user_id: terms.user_id.clone(), role })
                    .into_iter()
                    .collect())
            }
            C::ChangeExpiry { expires_at, owner, now } => {
                let terms = self.present(now)?;
                if owner && expires_at.is_some() {
                    return Err(Refusal::OwnerRequired);
                }
                if expires_at.is_some_and(|end| end <= now) {
                    return Err(Refusal::ExpiryPast);
                }
                let expires_at = Changed::between(terms.expires_at, expires_at);
                let user_id = terms.user_id.clone();
                Ok(expires_at
                    .map(|expires_at| E::MembershipExpiryChanged { user_id, expires_at })
                    .into_iter()
                    .collect())
            }
            C::Crown => {
                let terms = self.active()?;
                let mut events = Vec::new();
                // An owner does not run out: what ends a membership must not end an ownership.
                if let Some(expires_at) = Changed::between(terms.expires_at, None) {
                    events.push(E::MembershipExpiryChanged { user_id: terms.user_id.clone(), expires_at });
                }
                if let Some(role) = Changed::between(terms.role.clone(), Role::Owner) {
                    events.push(E::MembershipRoleChanged { user_id: terms.user_id.clone(), role });
                }
                Ok(events)
            }
            C::Uncrown => {
                let terms = self.active()?;
                let role = Changed::between(terms.role.clone(), terms.role.clone().unowned());
                Ok(role
                    .map(|role| E::MembershipRoleChanged { user_id: terms.user_id.clone(), role })
                    .into_iter()
                    .collect())
            }
            C::Deactivate { reason, owner, now } => {
                let terms = self.present(now)?;
                if owner {
                    return Err(Refusal::OwnerRequired);
                }
                if matches!(self, Self::Deactivated(_)) {
                    return Ok(vec![]);
                }
                Ok(vec![E::MembershipDeactivated { user_id: terms.user_id.clone(), reason }])
            }
            C::Reactivate { now } => {
                let terms = self.present(now)?;
                if matches!(self, Self::Active(_)) {
                    return Ok(vec![]);
                }
                Ok(vec![E::MembershipReactivated { user_id: terms.user_id.clone() }])
            }
            C::Leave { owner, now } => {
                self.present(now)?;
                if owner { Err(Refusal::OwnerCannotLeave) } else { self.end(Ending::Left) }
            }
            C::Remove { owner } => {
                if owner {
                    Err(Refusal::OwnerRequired)
                } else {
                    self.end(Ending::Removed)
                }
            }
            C::Expire { now } => match self.standing(now) {
                Standing::Expired => self.end(Ending::Expired),
                Standing::Absent | Standing::Active | Standing::Deactivated => Ok(vec![]),
            },
            C::Erase => match self {
                Self::Never | Self::Ended => Ok(vec![]),
                Self::Active(_) | Self::Deactivated(_) => self.end(Ending::UserErased),
            },
        }
    }

    fn start(
        &self,
        user_id: UserId,
        role: Role,
        expires_at: Option<Time>,
        through: Entrance,
        now: Time,
    ) -> Result<Vec<MembershipEvent>, Refusal> {
        if expires_at.is_some_and(|end| end <= now) {
            return Err(Refusal::ExpiryPast);
        }
        if role == Role::Owner && through != Entrance::Created {
            return Err(Refusal::OwnerRequired);
        }
        let mut events = match self.standing(now) {
            Standing::Active => return Err(Refusal::AlreadyMember),
            // Nobody undoes a deactivation by joining again.
            Standing::Deactivated => return Err(Refusal::NotActive),
            Standing::Expired => self.end(Ending::Expired)?,
            Standing::Absent => vec![],
        };
        events.push(MembershipEvent::MembershipStarted {
            user_id,
            role,
            expires_at,
            through,
            joined_at: now,
        });
        Ok(events)
    }

    /// The terms of a membership that has not ended, by record or by date.
    fn present(&self, now: Time) -> Result<&Terms, Refusal> {
        match (self.standing(now), self.terms()) {
            (Standing::Active | Standing::Deactivated, Some(terms)) => Ok(terms),
            _ => Err(Refusal::NotFound),
        }
    }

    fn active(&self) -> Result<&Terms, Refusal> {
        match self {
            Self::Active(terms) => Ok(terms),
            Self::Never | Self::Deactivated(_) | Self::Ended => Err(Refusal::NotActive),
        }
    }

    fn end(&self, because: Ending) -> Result<Vec<MembershipEvent>, Refusal> {
        let terms = self.terms().ok_or(Refusal::NotFound)?;
        Ok(vec![MembershipEvent::MembershipEnded { user_id: terms.user_id.clone(), because }])
    }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such member.")]
    NotFound,
    #[error("This user is a member already.")]
    AlreadyMember,
    #[error("This user is not an active member.")]
    NotActive,
    #[error("A workspace has exactly one owner: transfer the ownership first.")]
    OwnerRequired,
    #[error("The owner cannot leave: transfer the ownership first.")]
    OwnerCannotLeave,
    #[error("The expiry lies in the past.")]
    ExpiryPast,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::AlreadyMember => "already_member",
            Self::NotActive => "not_an_active_member",
            Self::OwnerRequired => "owner_required",
            Self::OwnerCannotLeave => "owner_cannot_leave",
            Self::ExpiryPast => "validation_failed",
        }
    }

    fn pointer(&self) -> Option<&'static str> {
        matches!(self, Self::ExpiryPast).then_some("/expires_at")
    }
}

aggregate!(Membership, MembershipEvent, MembershipCommand, Refusal);
