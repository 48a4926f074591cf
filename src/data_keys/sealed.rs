//! One sealed text: which key, which place, and the ciphertext. What is moved to any other place does not open.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::DataKey;
use super::wrapped::{decrypt, encrypt};

const PREFIX: &str = "sealed:";

/// Where a sealed text stands.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    pub workspace: Uuid,
    pub aggregate_type: &'a str,
    pub aggregate_id: &'a str,
    /// The event's, in its stream.
    pub sequence: i64,
    /// Names, from the event's top, joined by dots.
    pub field: &'a str,
}

/// A sealed text in its parts. That it has them does not say that it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub key_id: Uuid,
    pub sequence: i64,
    pub field: &'a str,
    ciphertext: &'a str,
}

/// Whether a text looks as if it were sealed.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(PREFIX)
}

/// `sealed:<key id>:<sequence>:<field>:<nonce, ciphertext and tag>`
pub fn seal(key: &DataKey, place: Place<'_>, text: &str) -> String {
    let bytes = encrypt(&key.secret, &bound_to(place), text.as_bytes());
    let id = URL_SAFE_NO_PAD.encode(key.id.as_bytes());
    let bytes = URL_SAFE_NO_PAD.encode(bytes);
    format!("{PREFIX}{id}:{}:{}:{bytes}", place.sequence, place.field)
}

pub(super) fn parts(text: &str) -> Option<Parts<'_>> {
    let mut parts = text.strip_prefix(PREFIX)?.splitn(4, ':');
    let mut id = [0; 16];
    if URL_SAFE_NO_PAD.decode_slice(parts.next()?, &mut id).ok()? != 16 {
        return None;
    }
    let sequence = parts.next()?.parse().ok()?;
    let (field, ciphertext) = (parts.next()?, parts.next()?);
    Some(Parts { key_id: Uuid::from_bytes(id), sequence, field, ciphertext })
}

/// The text, if it was sealed with this key, for this place.
pub(super) fn open(key: &DataKey, place: Place<'_>, parts: Parts<'_>) -> Option<String> {
    if (parts.sequence, parts.field) != (place.sequence, place.field) {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(parts.ciphertext).ok()?;
    String::from_utf8(decrypt(&key.secret, &bound_to(place), &bytes)?).ok()
}

/// Every part with its length before it, so that no two places run together.
fn bound_to(place: Place<'_>) -> Vec<u8> {
    let sequence = place.sequence.to_be_bytes();
    let parts: [&[u8]; 5] = [
        place.workspace.as_bytes(),
        place.aggregate_type.as_bytes(),
        place.aggregate_id.as_bytes(),
        &sequence,
        place.field.as_bytes(),
    ];
    let mut bytes = Vec::with_capacity(128);
    for part in parts {
        bytes.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> DataKey {
        DataKey { id: Uuid::from_bytes([byte; 16]), secret: [byte; 32] }
    }

    const HERE: Place<'static> = Place {
        workspace: Uuid::from_u128(1),
        aggregate_type: "User",
        aggregate_id: "ada",
        sequence: 3,
        field: "email.to",
    };

    #[test]
    fn what_is_sealed_opens_in_its_place() {
        for text in ["", "ada@acme.com", "a:b", "ß 🦀", "sealed:x"] {
            let sealed = seal(&key(1), HERE, text);
            assert!(is_sealed(&sealed) && (text.is_empty() || !sealed.contains(text)), "{sealed}");
            let parts = parts(&sealed).unwrap();
            assert_eq!(parts.key_id, key(1).id);
            assert_eq!(open(&key(1), HERE, parts).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_moved_changed_or_of_another_key_does_not_open() {
        let sealed = seal(&key(1), HERE, "ada@acme.com");
        let there = [
            Place { workspace: Uuid::from_u128(2), ..HERE },
            Place { aggregate_type: "Invitation", ..HERE },
            Place { aggregate_id: "bob", ..HERE },
            Place { sequence: 4, ..HERE },
            Place { field: "email.from", ..HERE },
        ];
        for place in there {
            let renamed = sealed.replace(":3:", &format!(":{}:", place.sequence));
            let renamed = renamed.replace("email.to", place.field);
            assert_eq!(open(&key(1), place, parts(&renamed).unwrap()), None, "{place:?}");
        }
        assert_eq!(open(&key(2), HERE, parts(&sealed).unwrap()), None);
        for at in sealed.rfind(':').unwrap() + 1..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(open(&key(1), HERE, parts(&changed).unwrap()), None, "byte {at}");
        }
    }

    #[test]
    fn what_only_looks_sealed_has_no_parts() {
        for text in ["", "sealed", "sealed:", "sealed:a:1:b:c", "sealed:AAAAAAAAAAAAAAAAAAAAAA:x:b:c"] {
            assert_eq!(parts(text), None, "{text}");
        }
    }

    #[test]
    fn the_same_text_never_looks_the_same() {
        assert_ne!(seal(&key(1), HERE, "x"), seal(&key(1), HERE, "x"));
    }
}
