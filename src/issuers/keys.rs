//! The keys an issuer publishes (its JWKS), and which of them may have signed a token. Pure.

use serde::Deserialize;

use super::signature::VerifyingKey;
use super::token::Token;

/// The usable keys of one issuer: public, for signatures, of an algorithm we allow.
pub(super) struct KeySet {
    keys: Vec<Key>,
}

pub(super) struct Key {
    kid: Option<String>,
    verifying: VerifyingKey,
}

/// Which keys may have signed a token.
pub(super) enum Choice<'a> {
    None,
    /// The token names no key, and more than one would do: we do not try our luck.
    Ambiguous,
    These(Vec<&'a Key>),
}

#[derive(Deserialize)]
struct Document {
    /// Each read on its own: one odd key must not cost us the others.
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a JWKS document. Keys for encryption, secret keys and unknown kinds are left out. A document
    /// without usable keys is an answer, too: the issuer withdrew them.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let document: Document = serde_json::from_slice(json)?;
        let mut keys: Vec<Key> = Vec::new();
        for value in document.keys {
            let Some(key) = serde_json::from_value::<Jwk>(value).ok().and_then(Jwk::usable) else { continue };
            if !keys.iter().any(|known| known.kid == key.kid && known.verifying.is_same_as(&key.verifying)) {
                keys.push(key);
            }
        }
        Ok(Self { keys })
    }

    /// By `kid` if the token has one, else the only key that fits. The algorithm is the key's in either case.
    pub(super) fn choose(&self, token: &Token<'_>) -> Choice<'_> {
        let fitting = self.keys.iter().filter(|key| key.verifying.algorithm == token.algorithm);
        let Some(kid) = &token.kid else { return only(&fitting.collect::<Vec<_>>()) };
        // A kid should name one key. If the issuer gave it to two, both are the issuer's.
        let named: Vec<&Key> = fitting.filter(|key| key.kid.as_ref() == Some(kid)).collect();
        if named.is_empty() { Choice::None } else { Choice::These(named) }
    }
}

fn only<'a>(fitting: &[&'a Key]) -> Choice<'a> {
    match *fitting {
        [] => Choice::None,
        // One key under several names is still one key.
        [first, ref rest @ ..] if rest.iter().all(|key| key.verifying.is_same_as(&first.verifying)) => {
            Choice::These(vec![first])
        }
        _ => Choice::Ambiguous,
    }
}

impl Key {
    pub(super) fn signed(&self, token: &Token<'_>) -> bool {
        self.verifying.signed(token.message, token.signature)
    }
}

impl Jwk {
    fn usable(self) -> Option<Key> {
        let for_signatures = self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        if !for_signatures {
            return None;
        }
        // From the kind of key to its algorithm, never from the token's: "oct" leads nowhere.
        let (verifying, alg) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => (VerifyingKey::rsa(&self.n?, &self.e?)?, "RS256"),
            ("EC", Some("P-256")) => (VerifyingKey::p256(&self.x?, &self.y?)?, "ES256"),
            ("OKP", Some("Ed25519")) => (VerifyingKey::ed25519(&self.x?)?, "EdDSA"),
            _ => return None,
        };
        let for_this_algorithm = self.alg.as_deref().is_none_or(|declared| declared == alg);
        for_this_algorithm.then_some(Key { kid: self.kid, verifying })
    }
}
