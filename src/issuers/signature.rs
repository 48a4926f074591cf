//! The one call into cryptography: did this key sign this message?
//!
//! By `ring` itself: the JWT crates built on it add claim checks that take a claim of the wrong type for an absent
//! one (CVE-2026-25537) and read the clock themselves; ours are in `claims`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

/// The algorithms there are for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    RS256,
    ES256,
    EdDSA,
}

/// A public key, fixed to the one algorithm it may be used with.
pub(super) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    /// The numbers it consists of, to tell one key from another.
    numbers: Vec<Vec<u8>>,
}

impl VerifyingKey {
    /// Modulus and exponent, base64url. Between 2048 and 8192 bits.
    pub(super) fn rsa(n: &str, e: &str) -> Option<Self> {
        let (n, e) = (number(n)?, number(e)?);
        let fits = (256..=1024).contains(&n.len()) && (1..=8).contains(&e.len());
        fits.then_some(Self { algorithm: Algorithm::RS256, numbers: vec![n, e] })
    }

    /// A point on P-256, base64url.
    pub(super) fn p256(x: &str, y: &str) -> Option<Self> {
        Some(Self { algorithm: Algorithm::ES256, numbers: vec![coordinate(x)?, coordinate(y)?] })
    }

    /// An Ed25519 public key, base64url.
    pub(super) fn ed25519(x: &str) -> Option<Self> {
        let x = coordinate(x)?;
        Some(Self { algorithm: Algorithm::EdDSA, numbers: vec![x] })
    }

    /// Whether the signature (base64url) over the message is this key's.
    pub(super) fn signed(&self, message: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        let message = message.as_bytes();
        let verified = match (self.algorithm, self.numbers.as_slice()) {
            (Algorithm::RS256, [n, e]) => RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                &signature,
            ),
            (Algorithm::ES256, [x, y]) => {
                // The uncompressed form of a point.
                let point = [&[4], x.as_slice(), y.as_slice()].concat();
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, &signature)
            }
            (Algorithm::EdDSA, [x]) => {
                UnparsedPublicKey::new(&signature::ED25519, x).verify(message, &signature)
            }
            _ => return false,
        };
        verified.is_ok()
    }

    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.numbers == other.numbers
    }
}

/// Some issuers write leading zeroes before a number, which ring refuses.
fn number(encoded: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok()?;
    let zeroes = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeroes..].to_vec())
}

fn coordinate(encoded: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(encoded).ok().filter(|bytes| bytes.len() == 32)
}
