//! Verifies a session token with keys that are at hand. No I/O, no clock.

use std::time::SystemTime;

use crate::keys::KeySet;
use crate::refusal::Refusal;
use crate::session::Session;
use crate::token::Token;

/// Whose sessions count, and the keys they are signed with.
#[derive(Clone, Debug)]
pub struct Verifier {
    issuer: String,
    audience: String,
    keys: KeySet,
}

impl Verifier {
    /// `issuer` is Tenure's public URL exactly as it stands in `iss`; `audience` is [`AUDIENCE`](crate::AUDIENCE)
    /// unless your Tenure says otherwise.
    pub fn new(issuer: impl Into<String>, audience: impl Into<String>, keys: KeySet) -> Self {
        Self { issuer: issuer.into(), audience: audience.into(), keys }
    }

    /// The session, if Tenure signed this token for us and it holds at `now`.
    pub fn verify(&self, token: &str, now: SystemTime) -> Result<Session, Refusal> {
        let token = Token::parse(token)?;
        let session = token.claims.check(&self.issuer, &self.audience, now)?;
        self.keys.check_signature(&token)?;
        Ok(session)
    }
}
