//! A session token taken apart. Nothing in here is trusted until its signature and claims are checked.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Deserializer};

use crate::claims::Claims;
use crate::refusal::InvalidToken;

/// Twice what a browser keeps in a cookie.
const MAX_LENGTH: usize = 8 * 1024;

/// A well-formed token of the one algorithm there is.
pub(crate) struct Token<'a> {
    /// Header and claims, as signed.
    message: &'a str,
    signature: Vec<u8>,
    pub(crate) kid: String,
    pub(crate) claims: Claims,
}

/// What we read of a header. Serde refuses a field that comes twice.
#[derive(Deserialize)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
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
    pub(crate) fn parse(token: &'a str) -> Result<Self, InvalidToken> {
        if token.len() > MAX_LENGTH {
            return Err(InvalidToken::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(InvalidToken::Malformed)?;
        let (header, claims) = message.split_once('.').ok_or(InvalidToken::Malformed)?;
        let header: Header = decode(header)?;
        // Not what the key would do with it: "none" needs no key, and HS256 would take a public one for its secret.
        if header.alg != "EdDSA" {
            return Err(InvalidToken::Algorithm);
        }
        if header.refused {
            return Err(InvalidToken::Header);
        }
        if header.typ != "JWT" {
            return Err(InvalidToken::Type);
        }
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| InvalidToken::Malformed)?;
        // A dot too many is in `claims` now, and no base64url.
        Ok(Self { message, signature, kid: header.kid, claims: decode(claims)? })
    }

    pub(crate) fn message(&self) -> &[u8] {
        self.message.as_bytes()
    }

    pub(crate) fn signature(&self) -> &[u8] {
        &self.signature
    }
}

fn decode<T: DeserializeOwned>(part: &str) -> Result<T, InvalidToken> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| InvalidToken::Malformed)?;
    // Serde would read a struct from an array too.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(InvalidToken::Malformed);
    }
    serde_json::from_slice(&json).map_err(|_| InvalidToken::Malformed)
}
