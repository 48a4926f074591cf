//! HMAC-SHA256 under a key that never shows itself.

use std::fmt;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// A 32-byte key for HMAC-SHA256. Each purpose wraps its own, so that no two can be confused.
#[derive(Clone)]
pub(super) struct MacKey([u8; 32]);

impl MacKey {
    pub(super) fn new(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The first `N` bytes of the MAC over the parts, one after the other. The caller sees to it that no two
    /// different lists of parts run together to the same bytes.
    pub(super) fn mac<const N: usize>(&self, parts: &[&[u8]]) -> [u8; N] {
        const { assert!(N <= 32, "SHA-256 has no more than 32 bytes") };
        // HMAC pads its key with zeroes to one block: done here, so that nothing can fail.
        let mut block = [0; 64];
        block[..32].copy_from_slice(&self.0);
        let mut mac = <Hmac<Sha256> as hmac::digest::KeyInit>::new(&block.into());
        for part in parts {
            mac.update(part);
        }
        let mut truncated = [0; N];
        truncated.copy_from_slice(&mac.finalize().into_bytes()[..N]);
        truncated
    }

    /// Whether `tag` is the MAC over the parts, in constant time.
    pub(super) fn verifies<const N: usize>(&self, parts: &[&[u8]], tag: &[u8; N]) -> bool {
        self.mac::<N>(parts).ct_eq(tag).into()
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

#[cfg(test)]
mod tests {
    use super::MacKey;

    #[test]
    fn agrees_with_the_plain_hmac_crate() {
        use hmac::Mac as _;
        let key = [7; 32];
        let mut plain = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        plain.update(b"ab");
        let expected: [u8; 32] = plain.finalize().into_bytes().into();
        assert_eq!(MacKey::new(key).mac::<32>(&[b"a", b"b"]), expected);
        assert_eq!(MacKey::new(key).mac::<20>(&[b"ab"]), expected[..20]);
    }

    #[test]
    fn shows_nothing() {
        assert_eq!(format!("{:?}", MacKey::new([7; 32])), "[redacted]");
    }
}
