//! Verifies a session token with keys fetched from Tenure, and held.

use std::time::SystemTime;

pub use crate::fetch::JwksUrlError;

use crate::fetch::JwksClient;
use crate::key_cache::KeyCache;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::token::Token;

/// A [`Verifier`](crate::Verifier) that looks after its keys itself: asks for them every ten minutes, and once more,
/// every few seconds at most, when a token names a key it does not know. While Tenure cannot be reached it goes on
/// with the keys it has, for a day.
#[derive(Clone, Debug)]
pub struct RemoteVerifier {
    issuer: String,
    audience: String,
    keys: KeyCache,
}

impl RemoteVerifier {
    /// `issuer` is Tenure's public URL exactly as it stands in `iss`; the keys are at its `/.well-known/jwks.json`.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>) -> Result<Self, JwksUrlError> {
        let issuer = issuer.into();
        let jwks_url = format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'));
        Self::with_jwks_url(issuer, audience, &jwks_url)
    }

    /// For a Tenure that is reached at another address than its public one.
    pub fn with_jwks_url(
        issuer: impl Into<String>,
        audience: impl Into<String>,
        jwks_url: &str,
    ) -> Result<Self, JwksUrlError> {
        let keys = KeyCache::new(JwksClient::new(jwks_url)?);
        Ok(Self { issuer: issuer.into(), audience: audience.into(), keys })
    }

    /// The session, if Tenure signed this token for us and it holds at `now`.
    pub async fn verify(&self, token: &str, now: SystemTime) -> Result<Session, Refusal> {
        let token = Token::parse(token)?;
        // Before any key is looked for: an expired token or one for somebody else causes no traffic.
        let session = token.claims.check(&self.issuer, &self.audience, now)?;
        let mut held = self.keys.current(now).await?;
        if !held.keys.knows(&token) {
            // Perhaps a key published after we looked.
            held = self.keys.newer_than(held, now).await;
        }
        held.keys.check_signature(&token)?;
        Ok(session)
    }
}
