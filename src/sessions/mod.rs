//! Sessions as credentials: the token a client shows, the keys that vouch for it, and whether the session still stands.
//!
//! # Layout
//! - [`token`]: what a token says, how it is made, and what must be so before it counts
//! - [`states`]: what became of a session since its token was made
//!
//! The keys themselves are in [`crate::secrets::session_key`], the session's rules in `tenure_aggregates::session`.

pub mod states;
pub mod token;

use chrono::TimeDelta;
use tenure_aggregates::{Time, UserId};

use crate::config::SessionTimes;
use crate::resources::Entered;
use crate::secrets::{RootKey, SessionKeys};
use crate::store::origin::SessionRef;
use crate::store::{Store, StoreError};
use states::SessionStates;
use token::{InvalidToken, Issued};

/// Makes session tokens and says whom one speaks for.
#[derive(Debug)]
pub struct Sessions {
    pub keys: SessionKeys,
    pub states: SessionStates,
    /// Tenure itself, as `iss` of every token.
    pub issuer: String,
    /// How long a session lasts, whatever happens.
    pub lifetime: TimeDelta,
    token_lifetime: TimeDelta,
}

/// Why a token opened no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionRefusal {
    #[error(transparent)]
    Token(#[from] InvalidToken),
    #[error("its session is over, or has moved on to another workspace")]
    Over,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Sessions {
    pub fn new(times: &SessionTimes, issuer: String, root: &RootKey, store: Store) -> Self {
        Self {
            keys: SessionKeys::new(root.derive("tenure session key root v1"), times.key_rotation),
            states: SessionStates::new(store),
            issuer,
            lifetime: times.lifetime,
            token_lifetime: times.token_lifetime,
        }
    }

    /// A token for the session as it stands. It never outlives the session.
    pub fn issue(&self, entered: &Entered, now: Time) -> Issued {
        let expires_at = entered.expires_at.min(now + self.token_lifetime);
        token::issue(&self.keys, &self.issuer, entered, now, expires_at)
    }

    /// Whether the token says it is one of ours, so that no other issuer's keys are asked about it.
    pub fn claims(&self, token: &str) -> bool {
        token::issuer(token).is_some_and(|issuer| issuer == self.issuer)
    }

    /// Whom the token speaks for, and in which session, if it is ours, in time, and its session still stands so.
    pub async fn verify(&self, token: &str, now: Time) -> Result<(UserId, SessionRef), SessionRefusal> {
        let (user, session) = token::verify(&self.keys, &self.issuer, token, now)?;
        let state = self.states.state(session.id, &user).await?;
        match state.honours(&user, session.generation, now) {
            Ok(details) if details.workspace_id == session.workspace_id => Ok((user, session)),
            Ok(_) | Err(_) => Err(SessionRefusal::Over),
        }
    }
}
