//! The keys session tokens are signed with: one Ed25519 pair per rotation period, derived and stored nowhere.
//!
//! A period is a number of the calendar (seconds since 1970 divided by the rotation's length), so that all processes
//! with the same root key sign with the same key at the same time, and know the next one before anybody uses it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tenure_aggregates::Time;

use super::master_key::expand;

/// Longest time a copy of the published keys may be kept, in seconds.
const MAX_AGE: i64 = 3_600;

/// Every key there is and will be.
pub struct SessionKeys {
    root: [u8; 32],
    /// The length of a period, in seconds.
    rotation: i64,
    /// Those of the period that was last asked for.
    held: Mutex<Option<Arc<Period>>>,
}

/// The keys that count in one period: the previous one, the current one and the next one.
struct Period {
    number: i64,
    keys: [SessionKey; 3],
}

/// A signing key and what is published of it.
struct SessionKey {
    pair: Ed25519KeyPair,
    kid: String,
    /// The header of every token this key signs, as it stands in the token.
    header: String,
}

impl SessionKeys {
    /// `rotation` is how long a key signs; it is at least a second.
    pub fn new(root: [u8; 32], rotation: TimeDelta) -> Self {
        Self { root, rotation: rotation.num_seconds().max(1), held: Mutex::new(None) }
    }

    /// The message (header and claims) of a token, and its signature, by the key of this instant.
    pub fn sign(&self, claims: &[u8], now: Time) -> String {
        let period = self.period(now);
        let key = &period.keys[1];
        let message = format!("{}.{}", key.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(key.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// The claims of a token that one of the three keys signed; `None` for any other text.
    pub fn verify(&self, token: &str, now: Time) -> Option<Vec<u8>> {
        let (message, signature) = token.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let period = self.period(now);
        // A header other than ours, letter for letter, names another algorithm, another key or something to obey.
        let key = period.keys.iter().find(|key| key.header == header)?;
        // This engine refuses padding and stray trailing bits, so a token has one spelling.
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&ED25519, key.pair.public_key());
        public.verify(message.as_bytes(), &signature).ok()?;
        URL_SAFE_NO_PAD.decode(claims).ok()
    }

    /// The public keys that count, as a JSON Web Key Set.
    pub fn published(&self, now: Time) -> Value {
        json!({"keys": self.period(now).keys.iter().map(SessionKey::jwk).collect::<Vec<_>>()})
    }

    /// For how many seconds a copy of the published keys may be kept: whoever keeps it knows every key in time, as the
    /// next one is published for a whole rotation before it signs.
    pub fn max_age(&self) -> i64 {
        (self.rotation / 4).min(MAX_AGE)
    }

    fn period(&self, now: Time) -> Arc<Period> {
        let number = now.timestamp().div_euclid(self.rotation);
        // A panic while the lock was held leaves at worst the keys of another period, which are replaced.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(period) = held.as_ref().filter(|period| period.number == number) {
            return period.clone();
        }
        let keys = [number - 1, number, number + 1].map(|number| self.derive(number));
        held.insert(Arc::new(Period { number, keys })).clone()
    }

    /// Another length of the periods gives other keys: the same number then means another time.
    fn derive(&self, number: i64) -> SessionKey {
        SessionKey::new(&expand(&self.root, &format!("period {number} of {} seconds", self.rotation)))
    }
}

impl SessionKey {
    fn new(seed: &[u8; 32]) -> Self {
        let Ok(pair) = Ed25519KeyPair::from_seed_unchecked(seed) else {
            // Refuses seeds of another length only; should it ever, no token must be signed with anything else.
            std::process::abort();
        };
        let kid = thumbprint(pair.public_key().as_ref());
        let header = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}}"#));
        Self { pair, kid, header }
    }

    fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": self.kid, "alg": "EdDSA", "use": "sig"})
    }
}

/// The key's name: the thumbprint of RFC 7638, which anybody can compute from the key.
fn thumbprint(public: &[u8]) -> String {
    let x = URL_SAFE_NO_PAD.encode(public);
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)))
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROTATION: TimeDelta = TimeDelta::days(30);

    fn keys() -> SessionKeys {
        SessionKeys::new([7; 32], ROTATION)
    }

    fn at(period: i64) -> Time {
        Time::UNIX_EPOCH + TimeDelta::seconds(period * ROTATION.num_seconds())
    }

    fn kids(keys: &SessionKeys, now: Time) -> Vec<String> {
        let published = keys.published(now);
        let keys = published["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_token_opens_to_the_claims_it_was_signed_with() {
        let (keys, now) = (keys(), at(700));
        let token = keys.sign(b"{}", now);
        assert_eq!(keys.verify(&token, now).as_deref(), Some(b"{}".as_slice()));
        let elsewhere = SessionKeys::new([7; 32], ROTATION);
        assert!(elsewhere.verify(&token, now).is_some(), "another process has the same keys");
        assert!(SessionKeys::new([8; 32], ROTATION).verify(&token, now).is_none());
        assert!(SessionKeys::new([7; 32], TimeDelta::days(29)).verify(&token, now).is_none());
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (keys, now) = (keys(), at(700));
        let token = keys.sign(br#"{"sub":"ada"}"#, now);
        for position in 0..token.len() {
            for bit in 0..7 {
                let mut bytes = token.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let forged = String::from_utf8(bytes).unwrap();
                assert_eq!(keys.verify(&forged, now), None, "{position}.{bit}");
            }
        }
        for cut in 0..token.len() {
            assert_eq!(keys.verify(&token[..cut], now), None, "{cut}");
        }
        for longer in [format!("{token}="), format!("{token}A"), format!("{token}."), format!(" {token}")] {
            assert_eq!(keys.verify(&longer, now), None, "{longer}");
        }
    }

    #[test]
    fn a_key_is_published_before_it_signs_and_counts_for_a_rotation_after() {
        let keys = keys();
        let (last, first) = (at(701) - TimeDelta::microseconds(1), at(701));
        let token = keys.sign(b"{}", last);
        assert!(keys.verify(&token, first).is_some());
        assert!(keys.verify(&token, at(702) - TimeDelta::microseconds(1)).is_some());
        assert!(keys.verify(&token, at(702)).is_none());
        // Another process's clock may be ahead.
        let early = keys.sign(b"{}", first);
        assert!(keys.verify(&early, last).is_some());
        let (before, after) = (kids(&keys, last), kids(&keys, first));
        assert_eq!(before[1..], after[..2], "what was next is current, what was current is previous");
        assert_eq!(before.len(), 3);
        assert_ne!(before[0], after[2]);
    }

    #[test]
    fn a_copy_of_the_keys_is_kept_for_less_than_a_rotation() {
        assert_eq!(keys().max_age(), 3_600);
        assert_eq!(SessionKeys::new([7; 32], TimeDelta::minutes(20)).max_age(), 300);
        assert_eq!(SessionKeys::new([7; 32], TimeDelta::seconds(1)).max_age(), 0);
    }

    // The example of RFC 8037, appendix A.3.
    #[test]
    fn a_key_is_named_by_its_thumbprint() {
        let public = URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap();
        assert_eq!(thumbprint(&public), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn the_set_holds_nothing_private() {
        let (keys, now) = (keys(), at(3));
        for key in keys.published(now)["keys"].as_array().unwrap() {
            let members: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, ["kty", "crv", "x", "kid", "alg", "use"]);
        }
        assert_eq!(format!("{keys:?}"), "SessionKeys([redacted])");
    }
}
