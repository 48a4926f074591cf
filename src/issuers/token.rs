//! A JWT taken apart. Nothing in here is trusted until its signature and claims are checked.

use super::signature::Algorithm;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::claims::Claims;
use super::refusal::InvalidToken;

const MAX_LENGTH: usize = 8 * 1024;

/// A well-formed token of an algorithm we allow.
pub(super) struct Token<'a> {
    /// Header and claims, as signed.
    pub(super) message: &'a str,
    /// The signature, base64url.
    pub(super) signature: &'a str,
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    claims: Claims,
}

/// What we read of a header. Serde refuses a field that comes twice.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// A key brought along or pointed at, or an extension that must be understood.
    #[serde(default, deserialize_with = "present", rename = "jku")]
    #[serde(alias = "jwk", alias = "x5u", alias = "x5c", alias = "crit")]
    refused: bool,
}

/// True for whatever stands there, null too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| true)
}

impl<'a> Token<'a> {
    pub(super) fn parse(token: &'a str) -> Result<Self, InvalidToken> {
        if token.len() > MAX_LENGTH {
            return Err(InvalidToken::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidToken::Malformed)?;
        let header: Header = decode(header)?;
        let algorithm = algorithm(&header.alg)?;
        if header.refused {
            return Err(InvalidToken::Header);
        }
        // A logout token or a security event of the same issuer is signed by the same key.
        if !header.typ.is_none_or(|typ| is_access_or_identity(&typ)) {
            return Err(InvalidToken::Type);
        }
        // A dot too many is in `claims` now, and no base64url.
        Ok(Self { message, signature, algorithm, kid: header.kid, claims: decode(claims)? })
    }

    /// The issuer it claims, to find the keys by.
    pub(super) fn issuer(&self) -> &str {
        &self.claims.iss
    }

    pub(super) fn claims(&self) -> &Claims {
        &self.claims
    }
}

/// Asymmetric only: with HS256 an issuer's public key would be the secret.
fn algorithm(name: &str) -> Result<Algorithm, InvalidToken> {
    match name {
        "RS256" => Ok(Algorithm::RS256),
        "ES256" => Ok(Algorithm::ES256),
        "EdDSA" => Ok(Algorithm::EdDSA),
        _ => Err(InvalidToken::Algorithm),
    }
}

fn is_access_or_identity(typ: &str) -> bool {
    ["JWT", "at+jwt", "application/at+jwt"].iter().any(|known| known.eq_ignore_ascii_case(typ))
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, InvalidToken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed)?;
    // Serde would read a struct from an array too.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(InvalidToken::Malformed);
    }
    serde_json::from_slice(&json).map_err(|_| InvalidToken::Malformed)
}
