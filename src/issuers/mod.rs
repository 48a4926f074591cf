//! JWTs of configured issuers: who signed this token, and whom does it speak of?
//!
//! # Layout
//! - [`config`]: which issuers, from `TENURE_JWT_ISSUERS`
//! - `token`: a token taken apart, nothing of it trusted yet
//! - `claims`: what the claims must say
//! - `keys`: an issuer's published keys, and which of them may have signed
//! - `fetch`: those keys over HTTP, bounded in every direction
//! - `key_cache`: those keys held, refreshed, and held on to while the issuer is down
//! - `signature`: the one call into cryptography
//! - [`refusal`]: why not
//!
//! A token chooses among what was configured; it never says where to look or how to check.

mod claims;
pub mod config;
mod fetch;
mod key_cache;
mod keys;
pub mod refusal;
mod signature;
mod token;

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
mod key_tests;
#[cfg(test)]
mod testing_issuer;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

pub use claims::VerifiedToken;
pub use config::{IssuerConfig, IssuerConfigError};
pub use fetch::{ClientError, JwksClient};
pub use refusal::{InvalidToken, TokenRefusal};

use key_cache::KeyCache;
use keys::Choice;
use token::Token;

/// The issuers whose tokens count, each with its keys.
#[derive(Clone)]
pub struct Issuers {
    by_name: HashMap<String, Arc<Issuer>>,
}

struct Issuer {
    config: IssuerConfig,
    keys: KeyCache,
}

impl Issuers {
    /// Nothing is fetched yet: an issuer that is down must not keep the service from starting.
    pub fn new(configs: Vec<IssuerConfig>, client: &JwksClient) -> Self {
        let issuer = |config: IssuerConfig| {
            let keys = KeyCache::new(config.clone(), client.clone());
            (config.issuer.clone(), Arc::new(Issuer { config, keys }))
        };
        Self { by_name: configs.into_iter().map(issuer).collect() }
    }

    /// Whom the token speaks of, if one of our issuers signed it for us and it holds at `now`.
    pub async fn verify(&self, token: &str, now: DateTime<Utc>) -> Result<VerifiedToken, TokenRefusal> {
        let token = Token::parse(token)?;
        let issuer = self.by_name.get(token.issuer()).ok_or(InvalidToken::UnknownIssuer)?;
        // Before any key is looked for: an expired token or one for somebody else causes no traffic.
        let verified = claims::check(token.claims(), &issuer.config, now)?;
        issuer.check_signature(&token, now).await?;
        Ok(verified)
    }
}

impl Issuer {
    async fn check_signature(&self, token: &Token<'_>, now: DateTime<Utc>) -> Result<(), TokenRefusal> {
        let mut held = self.keys.current(now).await?;
        if matches!(held.keys.choose(token), Choice::None) {
            // Perhaps a key published after we looked.
            held = self.keys.newer_than(held, now).await;
        }
        match held.keys.choose(token) {
            Choice::None => Err(InvalidToken::UnknownKey.into()),
            Choice::Ambiguous => Err(InvalidToken::AmbiguousKey.into()),
            Choice::These(candidates) if candidates.iter().any(|key| key.signed(token)) => Ok(()),
            Choice::These(_) => Err(InvalidToken::Signature.into()),
        }
    }
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}
