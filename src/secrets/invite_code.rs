//! Invite codes: short enough to type, derived from the workspace and a nonce, stored only as a hash.

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::mac::MacKey;

const LABEL: &[u8] = b"tenure invite code v1";
const HASH_DOMAIN: &[u8] = b"tenure invite code hash v1:";
/// Crockford's base 32: no I, L, O (read as 1, 1, 0) and no U.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const SYMBOLS: usize = 20;
const GROUP: usize = 5;
/// Room for a hyphen or a few spaces between all symbols; longer is no attempt at typing a code.
const MAX_TYPED: usize = 128;

/// The key that derives invite codes.
#[derive(Clone, Debug)]
pub struct InviteCodeKey(MacKey);

impl InviteCodeKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(MacKey::new(key))
    }
}

/// The workspace's code for this nonce, `XXXXX-XXXXX-XXXXX-XXXXX`: always the same one. A rotation is a new nonce.
pub fn issue(key: &InviteCodeKey, workspace: Uuid, nonce: Uuid) -> String {
    let bytes: [u8; 16] = key.0.mac(&[LABEL, workspace.as_bytes(), nonce.as_bytes()]);
    let mut bits = u128::from_be_bytes(bytes);
    let mut code = String::with_capacity(SYMBOLS + SYMBOLS / GROUP);
    for position in 0..SYMBOLS {
        if position > 0 && position % GROUP == 0 {
            code.push('-');
        }
        code.push(char::from(ALPHABET[(bits >> 123) as usize]));
        bits <<= 5;
    }
    code
}

/// The 20 symbols of a code as somebody typed it, without hyphens; `None` if it cannot be one.
pub fn normalise(typed: &str) -> Option<String> {
    if typed.len() > MAX_TYPED {
        return None;
    }
    let symbols =
        typed.chars().filter(|c| *c != '-' && !c.is_whitespace()).map(symbol).collect::<Option<String>>()?;
    (symbols.len() == SYMBOLS).then_some(symbols)
}

fn symbol(typed: char) -> Option<char> {
    let symbol = match typed.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    (symbol.is_ascii() && ALPHABET.contains(&(symbol as u8))).then_some(symbol)
}

/// What is stored and looked up of a code: of what [`normalise`] returned, never of what was typed.
pub fn hash(normalised: &str) -> String {
    let digest = Sha256::new().chain_update(HASH_DOMAIN).chain_update(normalised.as_bytes()).finalize();
    format!("{digest:x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> InviteCodeKey {
        InviteCodeKey::new([5; 32])
    }

    #[test]
    fn is_four_groups_of_five_and_repeatable() {
        let (workspace, nonce) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let code = issue(&key(), workspace, nonce);
        let groups: Vec<_> = code.split('-').collect();
        assert!(groups.len() == 4 && groups.iter().all(|group| group.len() == 5), "{code}");
        assert!(code.bytes().all(|b| b == b'-' || ALPHABET.contains(&b)));
        assert_eq!(code, issue(&key(), workspace, nonce));
        assert_ne!(code, issue(&key(), nonce, workspace));
        assert_ne!(code, issue(&key(), workspace, Uuid::from_u128(3)));
        assert_ne!(code, issue(&InviteCodeKey::new([6; 32]), workspace, nonce));
    }

    #[test]
    fn carries_the_first_hundred_bits() {
        let bytes: [u8; 16] = key().0.mac(&[LABEL, &[0; 16], &[0; 16]]);
        let code = normalise(&issue(&key(), Uuid::nil(), Uuid::nil())).unwrap();
        let bits = code.bytes().fold(0u128, |bits, symbol| {
            let value = ALPHABET.iter().position(|a| *a == symbol).unwrap();
            bits << 5 | value as u128
        });
        assert_eq!(bits, u128::from_be_bytes(bytes) >> 28);
    }

    #[test]
    fn forgives_the_hand_that_types() {
        let expected = Some("0011ABCDEFGHJKMNPQRS".to_owned());
        for typed in [
            "0011A-BCDEF-GHJKM-NPQRS",
            "0011abcdefghjkmnpqrs",
            "oOiL-aBcD eFgHjK mNpQrS\n",
            "  0 0 1 1 A B C D E F G H J K M N P Q R S  ",
        ] {
            assert_eq!(normalise(typed), expected, "{typed}");
        }
        for typed in [
            "",
            "-",
            "0011ABCDEFGHJKMNPQR",
            "0011ABCDEFGHJKMNPQRSS",
            "U011ABCDEFGHJKMNPQRS",
            "é011ABCDEFGHJKMNPQR",
        ] {
            assert_eq!(normalise(typed), None, "{typed}");
        }
        // Kelvin sign, Cyrillic А: look-alikes are not letters of this alphabet.
        assert_eq!(normalise("\u{212a}011ABCDEFGHJKMNPQRS"), None);
        assert_eq!(normalise("0011\u{410}BCDEFGHJKMNPQRS"), None);
        assert_eq!(normalise(&format!("0011ABCDEFGHJKMNPQRS{}", " ".repeat(200))), None);
    }

    #[test]
    fn its_hash_shows_nothing_of_it() {
        let hashed = hash("0011ABCDEFGHJKMNPQRS");
        assert_eq!(hashed.len(), 64);
        assert_ne!(hashed, format!("{:x}", Sha256::digest(b"0011ABCDEFGHJKMNPQRS")));
        assert_ne!(hashed, hash("0011ABCDEFGHJKMNPQRT"));
    }
}
