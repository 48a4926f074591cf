//! A user: identity and profile, global, born together with a personal workspace that also keeps this stream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::Time;
use crate::adapter::aggregate;
use crate::event::{Changed, Refused};
use crate::ids::UserId;
use crate::values::Email;

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum UserEvent {
    UserProvisioned {
        user_id: UserId,
        email: Option<Email>,
        email_verified: bool,
        name: Option<String>,
        created_at: Time,
    },
    UserProfileChanged {
        user_id: UserId,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        email: Option<Changed<Option<Email>>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        email_verified: Option<Changed<bool>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Changed<Option<String>>>,
    },
    /// From here on the user joins, creates and is given nothing, so that what they own stands still.
    UserErasureStarted {
        user_id: UserId,
    },
    /// Something owned stood in the way; the user is as before.
    UserErasureWithdrawn {
        user_id: UserId,
    },
    UserErased {
        user_id: UserId,
    },
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum User {
    #[default]
    Missing,
    Active(Profile),
    Erasing(Profile),
    Erased,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    pub user_id: UserId,
    pub email: Option<Email>,
    pub email_verified: bool,
    pub name: Option<String>,
    pub created_at: Time,
}

/// The addresses that were shown to be a user's own, by the user's history.
pub fn verified_addresses(history: &[UserEvent]) -> BTreeSet<Email> {
    let mut user = User::default();
    let mut verified = BTreeSet::new();
    for event in history {
        user = user.evolve(event.clone());
        if let User::Active(Profile { email: Some(email), email_verified: true, .. }) = &user {
            verified.insert(email.clone());
        }
    }
    verified
}

impl User {
    /// The profile of a user who can act, join and own.
    pub fn active(&self) -> Result<&Profile, Refusal> {
        match self {
            Self::Active(profile) => Ok(profile),
            Self::Missing | Self::Erasing(_) | Self::Erased => Err(Refusal::NotFound),
        }
    }

    /// The profile of a user who is there, erasure begun or not.
    pub fn profile(&self) -> Option<&Profile> {
        match self {
            Self::Active(profile) | Self::Erasing(profile) => Some(profile),
            Self::Missing | Self::Erased => None,
        }
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: UserEvent) -> Self {
        match (self, event) {
            (_, UserEvent::UserProvisioned { user_id, email, email_verified, name, created_at }) => {
                Self::Active(Profile { user_id, email, email_verified, name, created_at })
            }
            (
                Self::Active(mut profile),
                UserEvent::UserProfileChanged { email, email_verified, name, .. },
            ) => {
                if let Some(change) = email {
                    profile.email = change.to;
                }
                if let Some(change) = email_verified {
                    profile.email_verified = change.to;
                }
                if let Some(change) = name {
                    profile.name = change.to;
                }
                Self::Active(profile)
            }
            (Self::Active(profile), UserEvent::UserErasureStarted { .. }) => Self::Erasing(profile),
            (Self::Erasing(profile), UserEvent::UserErasureWithdrawn { .. }) => Self::Active(profile),
            (_, UserEvent::UserErased { .. }) => Self::Erased,
            (state, _) => state,
        }
    }
}

// ---- Command

#[derive(Debug, Clone, PartialEq)]
pub enum UserCommand {
    /// Provisions the user, or updates what is given; `None` leaves a field as it is.
    Provision {
        user_id: UserId,
        email: Option<Option<Email>>,
        email_verified: Option<bool>,
        name: Option<Option<String>>,
        now: Time,
    },
    StartErasure,
    WithdrawErasure,
    Erase,
}

// ---- decide

impl User {
    pub fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, Refusal> {
        match (self, command) {
            (Self::Missing, UserCommand::Provision { user_id, email, email_verified, name, now }) => {
                let email = email.flatten();
                let email_verified = email_verified.unwrap_or(false) && email.is_some();
                Ok(vec![UserEvent::UserProvisioned {
                    user_id,
                    email,
                    email_verified,
                    name: name.flatten(),
                    created_at: now,
                }])
            }
            (Self::Active(profile), UserCommand::Provision { email, email_verified, name, .. }) => {
                Ok(profile.update(email, email_verified, name).into_iter().collect())
            }
            (Self::Active(profile), UserCommand::StartErasure) => {
                Ok(vec![UserEvent::UserErasureStarted { user_id: profile.user_id.clone() }])
            }
            (Self::Erasing(_), UserCommand::StartErasure)
            | (Self::Active(_), UserCommand::WithdrawErasure)
            | (Self::Erased, UserCommand::Erase) => Ok(vec![]),
            (Self::Erasing(profile), UserCommand::WithdrawErasure) => {
                Ok(vec![UserEvent::UserErasureWithdrawn { user_id: profile.user_id.clone() }])
            }
            (Self::Erasing(profile), UserCommand::Erase) => {
                Ok(vec![UserEvent::UserErased { user_id: profile.user_id.clone() }])
            }
            (Self::Erased | Self::Erasing(_), UserCommand::Provision { .. }) => Err(Refusal::Erased),
            (Self::Missing | Self::Active(_) | Self::Erased, _) => Err(Refusal::NotFound),
        }
    }
}

// The fields of a command: not said, said to be nothing, said to be something.
#[expect(clippy::option_option)]
impl Profile {
    fn update(
        &self,
        email: Option<Option<Email>>,
        email_verified: Option<bool>,
        name: Option<Option<String>>,
    ) -> Option<UserEvent> {
        let email = email.unwrap_or_else(|| self.email.clone());
        // A new address starts unverified: what was shown to be theirs was the old one.
        let unchanged = email == self.email;
        let verified = email_verified.unwrap_or(unchanged && self.email_verified) && email.is_some();
        let email = Changed::between(self.email.clone(), email);
        let email_verified = Changed::between(self.email_verified, verified);
        let name = name.and_then(|name| Changed::between(self.name.clone(), name));
        let changed = email.is_some() || email_verified.is_some() || name.is_some();
        changed.then(|| UserEvent::UserProfileChanged {
            user_id: self.user_id.clone(),
            email,
            email_verified,
            name,
        })
    }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such user.")]
    NotFound,
    #[error("This user was erased; the id cannot come back.")]
    Erased,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "user_not_found",
            Self::Erased => "user_erased",
        }
    }
}

aggregate!(User, UserEvent, UserCommand, Refusal);
