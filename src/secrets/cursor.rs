//! List cursors: any value, signed, and bound to the list it came from.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::mac::MacKey;

const LABEL: &[u8] = b"tenure cursor v1";
const TAG: usize = 16;
/// Longer than any cursor we seal, and short enough for a query string.
const MAX_LENGTH: usize = 4096;

/// The key that signs cursors.
#[derive(Clone, Debug)]
pub struct CursorKey(MacKey);

impl CursorKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(MacKey::new(key))
    }
}

/// The scope of a list out of its parts (workspace, route, each filter, sort), such that no two lists of
/// parts give the same scope.
pub fn scope(parts: &[&str]) -> String {
    let mut scope = String::new();
    for part in parts {
        scope.push_str(&part.len().to_string());
        scope.push(':');
        scope.push_str(part);
    }
    scope
}

/// The value as an opaque string that opens under this scope only. Fails for what JSON cannot express.
pub fn seal(key: &CursorKey, scope: &str, value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut bytes = serde_json::to_vec(value)?;
    let tag: [u8; TAG] = key.0.mac(&signed(scope, &(scope.len() as u64).to_be_bytes(), &bytes));
    bytes.extend_from_slice(&tag);
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// The sealed value, if the cursor is ours, unchanged, of this scope and of this type.
pub fn open<T: DeserializeOwned>(key: &CursorKey, scope: &str, cursor: &str) -> Option<T> {
    if cursor.len() > MAX_LENGTH {
        return None;
    }
    // This engine refuses padding and stray trailing bits, so a cursor has one spelling.
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (payload, tag) = bytes.split_last_chunk::<TAG>()?;
    if !key.0.verifies(&signed(scope, &(scope.len() as u64).to_be_bytes(), payload), tag) {
        return None;
    }
    serde_json::from_slice(payload).ok()
}

/// The scope's length goes first, so that no byte can wander between scope and payload.
fn signed<'a>(scope: &'a str, length: &'a [u8; 8], payload: &'a [u8]) -> [&'a [u8]; 4] {
    [LABEL, length, scope.as_bytes(), payload]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct After {
        name: String,
        id: u64,
    }

    fn key() -> CursorKey {
        CursorKey::new([9; 32])
    }

    fn after() -> After {
        After { name: "Zoë \" \u{1f980}".to_owned(), id: u64::MAX }
    }

    #[test]
    fn opens_under_its_own_scope_and_key_only() {
        let sealed = seal(&key(), "w1 members role=admin name", &after()).unwrap();
        assert_eq!(open(&key(), "w1 members role=admin name", &sealed), Some(after()));
        for other in
            ["", "w2 members role=admin name", "w1 members role=member name", "w1 members role=admin nam"]
        {
            assert_eq!(open::<After>(&key(), other, &sealed), None);
        }
        assert_eq!(open::<After>(&CursorKey::new([8; 32]), "w1 members role=admin name", &sealed), None);
        assert_eq!(open::<u64>(&key(), "w1 members role=admin name", &sealed), None);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let sealed = seal(&key(), "s", &after()).unwrap();
        for position in 0..sealed.len() {
            for bit in 0..7 {
                let mut bytes = sealed.clone().into_bytes();
                bytes[position] ^= 1 << bit;
                let forged = String::from_utf8(bytes).unwrap();
                assert_eq!(open::<After>(&key(), "s", &forged), None, "{position}.{bit}");
            }
        }
        for cut in 0..sealed.len() {
            assert_eq!(open::<After>(&key(), "s", &sealed[..cut]), None);
        }
        for longer in [format!("{sealed}="), format!("{sealed}A"), format!("{sealed} "), "A".repeat(5000)] {
            assert_eq!(open::<After>(&key(), "s", &longer), None);
        }
    }

    #[test]
    fn scope_and_payload_cannot_trade_bytes() {
        let sealed = seal(&key(), "a", &12).unwrap();
        assert_eq!(open::<u64>(&key(), "a", &sealed), Some(12));
        // Without its length, "a" + "12" and "a1" + "2" would be signed alike.
        let moved = URL_SAFE_NO_PAD.encode(&URL_SAFE_NO_PAD.decode(&sealed).unwrap()[1..]);
        assert_eq!(open::<u64>(&key(), "a1", &moved), None);
        assert_ne!(scope(&["ab", "c"]), scope(&["a", "bc"]));
        assert_ne!(scope(&["a", ""]), scope(&["a"]));
        assert_ne!(scope(&["1:a"]), scope(&["", "a"]));
    }
}
