//! API keys: recognisable to leak scanners, derived from a nonce, stored only as a hash.
//!
//! `tnk_`, 43 characters that hold 256 bits, and 6 more for their CRC-32, so that a scanner (and this service) tells a
//! key from a text that only looks like one without asking anybody.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::mac::MacKey;

pub const PREFIX: &str = "tnk_";
const LABEL: &[u8] = b"tenure api key v1";
const HASH_DOMAIN: &[u8] = b"tenure api key hash v1:";
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET: usize = 43;
const CHECKSUM: usize = 6;
/// How much of a key its hint shows.
const HINT: usize = 8;

/// The key that derives API keys.
#[derive(Clone, Debug)]
pub struct ApiKeyKey(MacKey);

impl ApiKeyKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(MacKey::new(key))
    }
}

/// The API key for this nonce: always the same one. A rotation is a new nonce.
pub fn issue(key: &ApiKeyKey, workspace: Uuid, nonce: Uuid) -> String {
    let secret: [u8; 32] = key.0.mac(&[LABEL, workspace.as_bytes(), nonce.as_bytes()]);
    let mut text = String::with_capacity(PREFIX.len() + SECRET + CHECKSUM);
    text.push_str(PREFIX);
    text.push_str(&base62::<SECRET>(&secret));
    let checksum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    text.push_str(&base62::<CHECKSUM>(&checksum));
    text
}

/// Whether a text can be an API key at all.
pub fn is_well_formed(text: &str) -> bool {
    let Some((body, checksum)) = text.split_at_checked(PREFIX.len() + SECRET) else { return false };
    let letters = body.bytes().skip(PREFIX.len()).all(|letter| ALPHABET.contains(&letter));
    body.starts_with(PREFIX)
        && letters
        && checksum == base62::<CHECKSUM>(&crc32fast::hash(body.as_bytes()).to_be_bytes())
}

/// What is stored and looked up of a key. 256 random bits need no salt and no slow hash.
pub fn hash(key: &str) -> String {
    let digest = Sha256::new().chain_update(HASH_DOMAIN).chain_update(key.as_bytes()).finalize();
    format!("{digest:x}")
}

/// How a key begins, by which its owner tells it from others.
pub fn hint(key: &str) -> String {
    key.chars().take(HINT).collect()
}

/// A number in base 62, most significant digit first, padded to `N` digits.
fn base62<const N: usize>(number: &[u8]) -> String {
    let mut number = number.to_vec();
    let mut digits = [ALPHABET[0]; N];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            // A remainder below 62 leaves a quotient below 256.
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            rest = value % 62;
        }
        *digit = ALPHABET[rest as usize];
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> String {
        issue(&ApiKeyKey::new([9; 32]), Uuid::from_u128(1), Uuid::from_u128(2))
    }

    #[test]
    fn is_recognisable_and_repeatable() {
        let key = key();
        assert!(key.starts_with("tnk_") && key.len() == 53 && is_well_formed(&key), "{key}");
        assert_eq!(key, self::key());
        assert_ne!(key, issue(&ApiKeyKey::new([9; 32]), Uuid::from_u128(1), Uuid::from_u128(3)));
        assert_ne!(key, issue(&ApiKeyKey::new([9; 32]), Uuid::from_u128(2), Uuid::from_u128(2)));
    }

    #[test]
    fn any_other_character_anywhere_is_noticed() {
        let key = key();
        for at in 0..key.len() {
            for other in "0AZaz_- \n".chars() {
                let mut forged: Vec<char> = key.chars().collect();
                if std::mem::replace(&mut forged[at], other) != other {
                    assert!(!is_well_formed(&forged.iter().collect::<String>()), "{at} {other:?}");
                }
            }
        }
        for text in ["", "tnk_", &key[..52], &format!("{key}0"), &key[4..], "tnk_é"] {
            assert!(!is_well_formed(text), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_written_whole() {
        assert_eq!(base62::<3>(&[0]), "000");
        assert_eq!(base62::<3>(&[61]), "00z");
        assert_eq!(base62::<3>(&[62]), "010");
        assert_eq!(base62::<6>(&u32::MAX.to_be_bytes()), "4gfFC3");
        assert!(base62::<43>(&[255; 32]).len() == 43, "256 bits fit in 43 digits");
        let low: u64 = base62::<43>(&[255; 32]).bytes().fold(0u64, |sum, digit| {
            let value = ALPHABET.iter().position(|letter| *letter == digit).unwrap() as u64;
            sum.wrapping_mul(62).wrapping_add(value)
        });
        assert_eq!(low, u64::MAX, "and nothing is cut off");
    }

    #[test]
    fn its_hash_and_hint_show_next_to_nothing_of_it() {
        let key = key();
        assert_eq!(hint(&key), key[..8]);
        assert_eq!(hash(&key).len(), 64);
        assert!(!hash(&key).contains(&key[4..12]));
    }
}
