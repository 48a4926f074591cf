//! A workspace's API key: what it may do, until when and from where, and how it is rotated and revoked.

use std::collections::BTreeSet;

use chrono::Duration;
use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::Time;
use crate::adapter::aggregate;
use crate::event::Refused;
use crate::ids::{ApiKeyId, UserId};
use crate::permission::PermissionName;
use crate::rights::Rights;

/// How long the old secret stays good after a rotation when nothing is said.
pub const DEFAULT_OVERLAP: Duration = Duration::hours(24);
/// The longest overlap that may be asked for.
pub const MAX_OVERLAP: Duration = Duration::days(30);
/// How many networks a key is remembered to have been used from.
pub const MAX_NETWORKS_SEEN: usize = 64;

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum ApiKeyEvent {
    ApiKeyCreated {
        key_id: ApiKeyId,
        name: String,
        /// Hash of the key; the key itself is nowhere.
        hash: String,
        /// How the key begins, to tell it from others.
        hint: String,
        permissions: BTreeSet<PermissionName>,
        expires_at: Option<Time>,
        /// Where it may be used from; everywhere if none is named.
        networks: Vec<String>,
        created_by: Option<UserId>,
        created_at: Time,
    },
    ApiKeyRotated {
        hash: String,
        hint: String,
        /// Until then the secret before this one is good, too.
        overlap_until: Time,
    },
    /// Used for the first time from this network.
    ApiKeyUsedFromNewNetwork {
        network: String,
    },
    ApiKeyRevoked,
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "nearly every state there is, is an active one")]
pub enum ApiKey {
    #[default]
    Missing,
    Active(Terms),
    Revoked,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub name: String,
    pub secret: Secret,
    /// The secret before it, and until when it is good.
    pub previous: Option<(Secret, Time)>,
    pub permissions: BTreeSet<PermissionName>,
    pub expires_at: Option<Time>,
    pub networks: Vec<String>,
    pub networks_seen: BTreeSet<String>,
    pub created_by: Option<UserId>,
    pub created_at: Time,
}

/// What is kept of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub hash: String,
    pub hint: String,
}

impl ApiKey {
    pub fn terms(&self) -> Option<&Terms> {
        match self {
            Self::Active(terms) => Some(terms),
            Self::Missing | Self::Revoked => None,
        }
    }

    /// What the key may do at an instant; none once it is revoked or has run out.
    pub fn rights(&self, now: Time) -> Option<Rights> {
        let terms = self.terms().filter(|terms| terms.expires_at.is_none_or(|end| end > now))?;
        Some(Rights::of_names(&terms.permissions))
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: ApiKeyEvent) -> Self {
        use ApiKeyEvent as E;
        match (self, event) {
            (
                _,
                E::ApiKeyCreated {
                    name,
                    hash,
                    hint,
                    permissions,
                    expires_at,
                    networks,
                    created_by,
                    created_at,
                    ..
                },
            ) => Self::Active(Terms {
                name,
                secret: Secret { hash, hint },
                previous: None,
                permissions,
                expires_at,
                networks,
                networks_seen: BTreeSet::new(),
                created_by,
                created_at,
            }),
            (Self::Active(terms), E::ApiKeyRotated { hash, hint, overlap_until }) => Self::Active(Terms {
                previous: Some((terms.secret, overlap_until)),
                secret: Secret { hash, hint },
                ..terms
            }),
            (Self::Active(mut terms), E::ApiKeyUsedFromNewNetwork { network }) => {
                terms.networks_seen.insert(network);
                Self::Active(terms)
            }
            (_, E::ApiKeyRevoked) => Self::Revoked,
            (state, _) => state,
        }
    }
}

impl Terms {
    /// Whether a secret of this hash opens at an instant.
    pub fn accepts(&self, hash: &str, now: Time) -> bool {
        let previous = self.previous.as_ref().filter(|(_, until)| *until > now);
        self.secret.hash == hash || previous.is_some_and(|(secret, _)| secret.hash == hash)
    }
}

// ---- Command

#[derive(Debug, Clone, PartialEq)]
pub enum ApiKeyCommand {
    Create {
        key_id: ApiKeyId,
        name: String,
        secret: Secret,
        /// Known to exist, and held by whoever creates the key.
        permissions: BTreeSet<PermissionName>,
        expires_at: Option<Time>,
        networks: Vec<String>,
        created_by: Option<UserId>,
        now: Time,
    },
    /// Makes a new secret; the one before it stays good for the overlap, the one before that dies at once.
    Rotate {
        secret: Secret,
        overlap: Duration,
        now: Time,
    },
    NoteNetwork {
        network: String,
    },
    Revoke,
}

// ---- decide

impl ApiKey {
    pub fn decide(&self, command: ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, Refusal> {
        use ApiKeyCommand as C;
        use ApiKeyEvent as E;
        match command {
            C::Create { key_id, name, secret, permissions, expires_at, networks, created_by, now } => {
                if *self != Self::Missing {
                    return Err(Refusal::Exists);
                }
                if expires_at.is_some_and(|end| end <= now) {
                    return Err(Refusal::ExpiryPast);
                }
                let Secret { hash, hint } = secret;
                Ok(vec![E::ApiKeyCreated {
                    key_id,
                    name,
                    hash,
                    hint,
                    permissions,
                    expires_at,
                    networks,
                    created_by,
                    created_at: now,
                }])
            }
            C::Rotate { secret, overlap, now } => {
                self.usable(now)?;
                if !(Duration::zero()..=MAX_OVERLAP).contains(&overlap) {
                    return Err(Refusal::OverlapOutOfBounds);
                }
                let Secret { hash, hint } = secret;
                Ok(vec![E::ApiKeyRotated { hash, hint, overlap_until: now + overlap }])
            }
            C::NoteNetwork { network } => {
                let terms = self.terms().ok_or(Refusal::NotFound)?;
                let known = terms.networks_seen.contains(&network);
                if known || terms.networks_seen.len() >= MAX_NETWORKS_SEEN {
                    return Ok(vec![]);
                }
                Ok(vec![E::ApiKeyUsedFromNewNetwork { network }])
            }
            C::Revoke => match self {
                Self::Missing => Err(Refusal::NotFound),
                Self::Active(_) => Ok(vec![E::ApiKeyRevoked]),
                Self::Revoked => Ok(vec![]),
            },
        }
    }

    /// The terms of a key that can still be used: what is over is not brought back by rotation.
    fn usable(&self, now: Time) -> Result<&Terms, Refusal> {
        let terms = self.terms().ok_or(Refusal::NotFound)?;
        if terms.expires_at.is_some_and(|end| end <= now) { Err(Refusal::Expired) } else { Ok(terms) }
    }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such API key.")]
    NotFound,
    #[error("This API key exists already.")]
    Exists,
    #[error("This API key has expired: create another.")]
    Expired,
    #[error("The expiry lies in the past.")]
    ExpiryPast,
    #[error("The old key may stay good for at most 30 days.")]
    OverlapOutOfBounds,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Exists => "conflict",
            Self::Expired => "api_key_expired",
            Self::ExpiryPast | Self::OverlapOutOfBounds => "validation_failed",
        }
    }

    fn pointer(&self) -> Option<&'static str> {
        match self {
            Self::ExpiryPast => Some("/expires_at"),
            Self::OverlapOutOfBounds => Some("/overlap"),
            Self::NotFound | Self::Exists | Self::Expired => None,
        }
    }
}

aggregate!(ApiKey, ApiKeyEvent, ApiKeyCommand, Refusal);
