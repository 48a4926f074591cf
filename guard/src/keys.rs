//! The keys Tenure publishes (its JWKS), and whether one of them signed a token. Pure.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;

use crate::refusal::InvalidToken;
use crate::token::Token;

/// The usable keys of a JWKS document: Ed25519, for signatures, with a key id.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    kid: String,
    point: [u8; 32],
}

#[derive(Deserialize)]
struct Document {
    /// Each read on its own: one odd key must not cost us the others.
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    kid: String,
    x: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
}

impl KeySet {
    /// Reads a JWKS document. Keys of other kinds or uses are left out; a document without usable keys is an answer,
    /// too: they were withdrawn.
    pub fn from_jwks(json: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(json)?;
        let usable = |value| serde_json::from_value::<Jwk>(value).ok().and_then(Jwk::usable);
        Ok(Self { keys: document.keys.into_iter().filter_map(usable).collect() })
    }

    /// Whether there is a key of this name.
    #[cfg(feature = "fetch")]
    pub(crate) fn knows(&self, token: &Token<'_>) -> bool {
        self.keys.iter().any(|key| key.kid == token.kid)
    }

    pub(crate) fn check_signature(&self, token: &Token<'_>) -> Result<(), InvalidToken> {
        // A kid should name one key. If it was given to two, both are Tenure's.
        let mut named = self.keys.iter().filter(|key| key.kid == token.kid).peekable();
        if named.peek().is_none() {
            return Err(InvalidToken::UnknownKey);
        }
        if named.any(|key| key.signed(token)) { Ok(()) } else { Err(InvalidToken::Signature) }
    }
}

impl Key {
    fn signed(&self, token: &Token<'_>) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.point).verify(token.message(), token.signature()).is_ok()
    }
}

impl Jwk {
    fn usable(self) -> Option<Key> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
            && self.alg.as_deref().is_none_or(|alg| alg == "EdDSA" || alg == "Ed25519");
        if !for_signatures || self.kty != "OKP" || self.crv != "Ed25519" {
            return None;
        }
        let point = URL_SAFE_NO_PAD.decode(&self.x).ok()?.try_into().ok()?;
        Some(Key { kid: self.kid, point })
    }
}
