//! An e-mail invitation: one address, one role, one single-use token whose generation the log keeps.

use chrono::Duration;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::Time;
use crate::adapter::aggregate;
use crate::event::{Changed, Refused};
use crate::ids::{ApiKeyId, InvitationId, UserId};
use crate::role::Role;
use crate::user::Profile;
use crate::values::Email;

/// How long an invitation lasts when nothing is said.
pub const DEFAULT_LIFETIME: Duration = Duration::days(7);
/// The shortest lifetime that may be asked for.
pub const MIN_LIFETIME: Duration = Duration::minutes(5);
/// The longest lifetime that may be asked for.
pub const MAX_LIFETIME: Duration = Duration::days(90);

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum InvitationEvent {
    InvitationSent {
        invitation_id: InvitationId,
        email: Email,
        role: Role,
        /// The inviting user; none when the service itself invited.
        invited_by: Option<UserId>,
        /// The inviting API key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invited_by_key: Option<ApiKeyId>,
        expires_at: Time,
        /// Which token is good: it is derived from the invitation's id and this number, and stored nowhere.
        generation: u32,
        /// Whether the token goes out by mail.
        notify: bool,
        created_at: Time,
        #[serde(flatten)]
        mailing: Mailing,
    },
    InvitationResent {
        generation: u32,
        expires_at: Time,
        notify: bool,
        /// What is not said stays as it was.
        #[serde(flatten)]
        mailing: Mailing,
    },
    InvitationAccepted {
        user_id: UserId,
    },
    InvitationDeclined,
    InvitationRevoked,
    /// The role it was for is no more.
    InvitationRoleChanged {
        role: Changed<Role>,
    },
}

/// How the mail is to be written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mailing {
    /// As BCP 47 names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The page of the product that takes the token, as the operator listed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accept_url: Option<String>,
}

impl Mailing {
    fn or(self, before: Self) -> Self {
        Self {
            language: self.language.or(before.language),
            accept_url: self.accept_url.or(before.accept_url),
        }
    }
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum Invitation {
    #[default]
    Missing,
    Pending(Offer),
    Accepted {
        offer: Offer,
        by: UserId,
    },
    Declined(Offer),
    Revoked(Offer),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    pub email: Email,
    pub role: Role,
    pub invited_by: Option<UserId>,
    pub invited_by_key: Option<ApiKeyId>,
    pub expires_at: Time,
    pub generation: u32,
    pub created_at: Time,
    #[serde(flatten)]
    pub mailing: Mailing,
}

impl Invitation {
    pub fn offer(&self) -> Option<&Offer> {
        match self {
            Self::Missing => None,
            Self::Pending(offer)
            | Self::Accepted { offer, .. }
            | Self::Declined(offer)
            | Self::Revoked(offer) => Some(offer),
        }
    }

    /// The state's name on the wire at an instant.
    pub fn status(&self, now: Time) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Pending(offer) if offer.expires_at <= now => "expired",
            Self::Pending(_) => "pending",
            Self::Accepted { .. } => "accepted",
            Self::Declined(_) => "declined",
            Self::Revoked(_) => "revoked",
        }
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: InvitationEvent) -> Self {
        use InvitationEvent as E;
        match (self, event) {
            (
                _,
                E::InvitationSent {
                    email,
                    role,
                    invited_by,
                    invited_by_key,
                    expires_at,
                    generation,
                    created_at,
                    mailing,
                    ..
                },
            ) => Self::Pending(Offer {
                email,
                role,
                invited_by,
                invited_by_key,
                expires_at,
                generation,
                created_at,
                mailing,
            }),
            (Self::Pending(offer), E::InvitationResent { generation, expires_at, mailing, .. }) => {
                let mailing = mailing.or(offer.mailing);
                Self::Pending(Offer { expires_at, generation, mailing, ..offer })
            }
            (Self::Pending(offer), E::InvitationAccepted { user_id }) => {
                Self::Accepted { offer, by: user_id }
            }
            (Self::Pending(offer), E::InvitationDeclined) => Self::Declined(offer),
            (Self::Pending(offer), E::InvitationRevoked) => Self::Revoked(offer),
            (Self::Pending(offer), E::InvitationRoleChanged { role }) => {
                Self::Pending(Offer { role: role.to, ..offer })
            }
            (state, _) => state,
        }
    }
}

// ---- Command

#[derive(Debug, Clone, PartialEq)]
pub enum InvitationCommand {
    Send {
        invitation_id: InvitationId,
        email: Email,
        role: Role,
        invited_by: Option<UserId>,
        invited_by_key: Option<ApiKeyId>,
        lifetime: Duration,
        notify: bool,
        mailing: Mailing,
        now: Time,
    },
    /// Makes a new token and starts the time anew; the old token dies.
    Resend {
        lifetime: Duration,
        notify: bool,
        /// What is not said stays as it was.
        mailing: Mailing,
        now: Time,
    },
    Revoke {
        now: Time,
    },
    /// Puts another role in the place of the one that was offered.
    ChangeRole {
        role: Role,
    },
    /// `generation` is the token's; `profile` is the accepting user as recorded now.
    Accept {
        generation: u32,
        profile: Profile,
        now: Time,
    },
    Decline {
        generation: u32,
        profile: Option<Profile>,
        now: Time,
    },
}

// ---- decide

impl Invitation {
    pub fn decide(&self, command: InvitationCommand) -> Result<Vec<InvitationEvent>, Refusal> {
        use InvitationCommand as C;
        use InvitationEvent as E;
        match command {
            C::Send {
                invitation_id,
                email,
                role,
                invited_by,
                invited_by_key,
                lifetime,
                notify,
                mailing,
                now,
            } => {
                if *self != Self::Missing {
                    return Err(Refusal::NotPending);
                }
                if role == Role::Owner {
                    return Err(Refusal::OwnerRequired);
                }
                check_lifetime(lifetime)?;
                let expires_at = now + lifetime;
                Ok(vec![E::InvitationSent {
                    invitation_id,
                    email,
                    role,
                    invited_by,
                    invited_by_key,
                    expires_at,
                    generation: 1,
                    notify,
                    created_at: now,
                    mailing,
                }])
            }
            C::Resend { lifetime, notify, mailing, now } => {
                // An expired invitation may be sent again: nobody turned it down.
                let Self::Pending(offer) = self else { return Err(self.not_pending()) };
                check_lifetime(lifetime)?;
                let generation = offer.generation + 1;
                Ok(vec![E::InvitationResent { generation, expires_at: now + lifetime, notify, mailing }])
            }
            C::Revoke { .. } => match self {
                Self::Pending(_) => Ok(vec![E::InvitationRevoked]),
                Self::Revoked(_) => Ok(vec![]),
                Self::Missing | Self::Accepted { .. } | Self::Declined(_) => Err(self.not_pending()),
            },
            C::ChangeRole { role } => {
                let Self::Pending(offer) = self else { return Err(self.not_pending()) };
                if role == Role::Owner {
                    return Err(Refusal::OwnerRequired);
                }
                let change = Changed::between(offer.role.clone(), role);
                Ok(change.map(|role| E::InvitationRoleChanged { role }).into_iter().collect())
            }
            C::Accept { generation, profile, now } => {
                let offer = self.redeemable(generation)?;
                offer.require_addressee(&profile)?;
                match self {
                    // The same person asks again: nothing more happens, and nothing is wrong.
                    Self::Accepted { by, .. } if *by == profile.user_id => Ok(vec![]),
                    Self::Pending(_) if offer.expires_at <= now => Err(Refusal::Expired),
                    Self::Pending(_) => Ok(vec![E::InvitationAccepted { user_id: profile.user_id }]),
                    _ => Err(Refusal::NotPending),
                }
            }
            C::Decline { generation, profile, now } => {
                let offer = self.redeemable(generation)?;
                if let Some(profile) = profile {
                    offer.require_addressee(&profile)?;
                }
                match self {
                    Self::Declined(_) => Ok(vec![]),
                    Self::Pending(_) if offer.expires_at <= now => Err(Refusal::Expired),
                    Self::Pending(_) => Ok(vec![E::InvitationDeclined]),
                    _ => Err(Refusal::NotPending),
                }
            }
        }
    }

    /// The offer a token of this generation speaks of; a token replaced by a later one speaks of nothing.
    pub fn redeemable(&self, generation: u32) -> Result<&Offer, Refusal> {
        let offer = self.offer().ok_or(Refusal::TokenInvalid)?;
        if offer.generation == generation { Ok(offer) } else { Err(Refusal::TokenInvalid) }
    }

    fn not_pending(&self) -> Refusal {
        if *self == Self::Missing { Refusal::NotFound } else { Refusal::NotPending }
    }
}

impl Offer {
    fn require_addressee(&self, profile: &Profile) -> Result<(), Refusal> {
        if profile.email.as_ref() != Some(&self.email) {
            return Err(Refusal::EmailMismatch);
        }
        if !profile.email_verified {
            return Err(Refusal::EmailUnverified);
        }
        Ok(())
    }
}

fn check_lifetime(lifetime: Duration) -> Result<(), Refusal> {
    if (MIN_LIFETIME..=MAX_LIFETIME).contains(&lifetime) { Ok(()) } else { Err(Refusal::LifetimeOutOfBounds) }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such invitation.")]
    NotFound,
    #[error("This invitation is no longer open.")]
    NotPending,
    #[error("This invitation has expired.")]
    Expired,
    #[error("This invitation token is not valid.")]
    TokenInvalid,
    #[error("This invitation was sent to another e-mail address.")]
    EmailMismatch,
    #[error("Verify your e-mail address first.")]
    EmailUnverified,
    #[error("An invitation lasts between 5 minutes and 90 days.")]
    LifetimeOutOfBounds,
    #[error("A workspace has exactly one owner: transfer the ownership instead.")]
    OwnerRequired,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotPending => "invitation_not_pending",
            Self::Expired => "invitation_expired",
            Self::TokenInvalid => "token_invalid",
            Self::EmailMismatch => "email_mismatch",
            Self::EmailUnverified => "email_unverified",
            Self::LifetimeOutOfBounds => "validation_failed",
            Self::OwnerRequired => "owner_required",
        }
    }

    fn pointer(&self) -> Option<&'static str> {
        matches!(self, Self::LifetimeOutOfBounds).then_some("/expires_in")
    }
}

aggregate!(Invitation, InvitationEvent, InvitationCommand, Refusal);
