//! Invitation tokens: derived from the invitation and its generation, so that none is ever stored.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::mac::MacKey;

const PREFIX: &str = "tni_";
const LABEL: &[u8] = b"tenure invitation v1";
/// 16 bytes of id, 4 of generation, 20 of MAC.
const LENGTH: usize = 40;

/// The key that signs invitation tokens.
#[derive(Clone, Debug)]
pub struct InvitationTokenKey(MacKey);

impl InvitationTokenKey {
    pub fn new(key: [u8; 32]) -> Self {
        Self(MacKey::new(key))
    }
}

/// The token of this generation of the invitation: always the same one.
pub fn issue(key: &InvitationTokenKey, invitation: Uuid, generation: u32) -> String {
    let generation = generation.to_be_bytes();
    let tag: [u8; 20] = key.0.mac(&[LABEL, invitation.as_bytes(), &generation]);
    let token = [invitation.as_bytes(), &generation[..], &tag].concat();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(token))
}

/// What a genuine token names. Whether that generation is still the invitation's is the caller's question.
pub fn open(key: &InvitationTokenKey, token: &str) -> Option<(Uuid, u32)> {
    let encoded = token.strip_prefix(PREFIX)?;
    let mut bytes = [0; LENGTH];
    // The slice variant would accept less; and this engine refuses padding and stray trailing bits.
    if URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes).ok()? != LENGTH {
        return None;
    }
    let (id, rest) = bytes.split_first_chunk::<16>()?;
    let (generation, tag) = rest.split_first_chunk::<4>()?;
    let tag: &[u8; 20] = tag.try_into().ok()?;
    key.0
        .verifies(&[LABEL, id, generation], tag)
        .then(|| (Uuid::from_bytes(*id), u32::from_be_bytes(*generation)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0198_7654_3210_7abc_8def_0123_4567_89ab);

    fn key() -> InvitationTokenKey {
        InvitationTokenKey::new([3; 32])
    }

    #[test]
    fn opens_what_it_issued() {
        for generation in [0, 1, 7, u32::MAX] {
            let token = issue(&key(), ID, generation);
            assert_eq!(token.len(), 58);
            assert_eq!(token, issue(&key(), ID, generation));
            assert_eq!(open(&key(), &token), Some((ID, generation)));
        }
        assert_ne!(issue(&key(), ID, 1), issue(&key(), ID, 2));
        assert_eq!(open(&InvitationTokenKey::new([4; 32]), &issue(&key(), ID, 1)), None);
    }

    #[test]
    fn any_other_character_anywhere_is_refused() {
        let token = issue(&key(), ID, 1);
        for position in 0..token.len() {
            for other in "ABYZabyz0189-_+/=. \n\0".chars() {
                let mut forged: Vec<char> = token.chars().collect();
                if forged[position] != other {
                    forged[position] = other;
                    assert_eq!(
                        open(&key(), &forged.iter().collect::<String>()),
                        None,
                        "{position} {other:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn has_one_spelling_only() {
        let token = issue(&key(), ID, 1);
        // 54 characters carry 324 bits, the token 320: the last four must be zero.
        let last = token.chars().last().unwrap();
        let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for other in alphabet.chars().filter(|c| *c != last) {
            assert_eq!(open(&key(), &format!("{}{other}", &token[..57])), None);
        }
        let bare = &token[4..];
        for spelling in ["", "tni_", bare, &token[..57], &token[..30]] {
            assert_eq!(open(&key(), spelling), None);
        }
        for spelling in [format!("{token}="), format!("{token}=="), format!("{token}A"), format!(" {token}")]
        {
            assert_eq!(open(&key(), &spelling), None);
        }
        assert_eq!(open(&key(), &format!("TNI_{bare}")), None);
        assert_eq!(open(&key(), &"tni_A".repeat(10_000)), None);
    }
}
