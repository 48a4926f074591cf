//! A key as it is stored: encrypted under the master key, bound to what it is.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::secrets::random::random_bytes;
use crate::secrets::{MasterKey, MasterKeys};

const NONCE: usize = 12;

/// The bytes that are stored, and which master key they need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedKey {
    pub wrapped: Vec<u8>,
    pub wrapped_by: Vec<u8>,
}

/// What came of unwrapping.
pub(super) enum Unwrapped {
    Key([u8; 32]),
    /// None of the master keys at hand wrapped it.
    OtherMaster,
    Tampered,
}

/// The cipher of a 32-byte key.
pub(super) fn cipher(key: &[u8; 32]) -> Option<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).ok().map(LessSafeKey::new)
}

/// Nonce, ciphertext and tag. Fails beyond 256 GiB only; a text that cannot be sealed must not be stored either.
pub(crate) fn encrypt(key: &[u8; 32], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let nonce: [u8; NONCE] = random_bytes();
    let mut bytes = Vec::with_capacity(NONCE + plain.len() + 16);
    bytes.extend_from_slice(&nonce);
    let mut text = plain.to_vec();
    let sealed = cipher(key).and_then(|cipher| {
        cipher.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad), &mut text).ok()
    });
    if sealed.is_none() {
        std::process::abort();
    }
    bytes.extend_from_slice(&text);
    bytes
}

pub(crate) fn decrypt(key: &[u8; 32], aad: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = bytes.split_first_chunk::<NONCE>()?;
    let mut text = rest.to_vec();
    let plain = cipher(key)?
        .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(aad), &mut text)
        .ok()?
        .len();
    text.truncate(plain);
    Some(text)
}

/// Wraps a key; `identity` says which one it is, so that none can be put in the place of another.
pub(super) fn wrap(master: &MasterKey, identity: &[u8], key: &[u8; 32]) -> WrappedKey {
    WrappedKey { wrapped: encrypt(&master.wrapping_key(), identity, key), wrapped_by: master.id().to_vec() }
}

pub(super) fn unwrap(masters: &MasterKeys, identity: &[u8], key: &WrappedKey) -> Unwrapped {
    let Some(master) = masters.by_id(&key.wrapped_by) else { return Unwrapped::OtherMaster };
    let plain = decrypt(&master.wrapping_key(), identity, &key.wrapped);
    match plain.and_then(|plain| <[u8; 32]>::try_from(plain).ok()) {
        Some(secret) => Unwrapped::Key(secret),
        None => Unwrapped::Tampered,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_key_opens_under_its_master_key_and_as_itself_only() {
        let masters = MasterKeys::of(vec![MasterKey::of([1; 32]), MasterKey::of([2; 32])]);
        let wrapped = wrap(masters.current(), b"this one", &[7; 32]);
        assert!(matches!(unwrap(&masters, b"this one", &wrapped), Unwrapped::Key(key) if key == [7; 32]));
        assert!(matches!(unwrap(&masters, b"another", &wrapped), Unwrapped::Tampered));
        let second = MasterKeys::of(vec![MasterKey::of([2; 32])]);
        assert!(matches!(unwrap(&second, b"this one", &wrapped), Unwrapped::OtherMaster));
        let by_second = wrap(second.current(), b"this one", &[7; 32]);
        assert!(matches!(unwrap(&masters, b"this one", &by_second), Unwrapped::Key(_)));
    }

    #[test]
    fn two_wrappings_differ_and_neither_holds_the_key() {
        let master = MasterKey::of([1; 32]);
        let (one, two) = (wrap(&master, b"k", &[7; 32]), wrap(&master, b"k", &[7; 32]));
        assert_ne!(one.wrapped, two.wrapped);
        assert!(!one.wrapped.windows(8).any(|bytes| bytes == [7; 8]));
    }
}
