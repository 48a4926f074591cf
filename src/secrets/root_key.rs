//! The root key: what every other secret of an installation is derived from, by HKDF with a label each.

use std::fmt;

use super::mac::MacKey;
use super::master_key::expand;
use super::{ApiKeyKey, CursorKey, InvitationTokenKey, InviteCodeKey, WebhookSecretKey};

/// Changing it voids open invitations, sessions and cursors; leaking it forges them.
#[derive(Clone)]
pub struct RootKey([u8; 32]);

impl RootKey {
    pub fn of(key: [u8; 32]) -> Self {
        Self(key)
    }

    /// The key for one purpose: HKDF-SHA256 without salt, the label as its info.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        expand(&self.0, label)
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey([redacted])")
    }
}

/// The derived keys the service works with, one type each.
#[derive(Clone, Debug)]
pub struct Keys {
    pub cursor: CursorKey,
    pub invitation_token: InvitationTokenKey,
    pub invite_code: InviteCodeKey,
    pub api_key: ApiKeyKey,
    pub webhook_secret: WebhookSecretKey,
}

impl From<&RootKey> for Keys {
    /// Changing a label voids everything ever issued under it.
    fn from(root: &RootKey) -> Self {
        Self {
            cursor: CursorKey::new(root.derive("tenure cursor key v1")),
            invitation_token: InvitationTokenKey::new(root.derive("tenure invitation token key v1")),
            invite_code: InviteCodeKey::new(root.derive("tenure invite code key v1")),
            api_key: ApiKeyKey::new(root.derive("tenure api key key v1")),
            webhook_secret: WebhookSecretKey::new(root.derive("tenure webhook secret key v1")),
        }
    }
}

/// Hashes values that must be found and not be read.
#[derive(Clone, Debug)]
pub struct IndexKey(MacKey);

impl From<&RootKey> for IndexKey {
    fn from(root: &RootKey) -> Self {
        Self(MacKey::new(root.derive("tenure index key v1")))
    }
}

impl IndexKey {
    /// The hash of a value of a kind.
    pub fn hash(&self, kind: &str, value: &str) -> [u8; 32] {
        self.0.mac(&[kind.as_bytes(), &[0], value.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derives_by_label_and_stays_the_same_for_ever() {
        let root = RootKey([1; 32]);
        assert_ne!(root.derive("a"), root.derive("b"));
        // Pinned, computed with Python's hmac: a change here would void every open invitation.
        let derived = root.derive("tenure cursor key v1").map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(derived, PINNED);
    }

    const PINNED: &str = "810a85e0e173f0930218e5a7b7dbad0b1e55c173dc22576e97aa1db3b688a14f";

    #[test]
    fn values_of_two_kinds_never_hash_alike() {
        let index = IndexKey::from(&RootKey([1; 32]));
        assert_eq!(index.hash("slug", "acme"), index.hash("slug", "acme"));
        assert_ne!(index.hash("slug", "acme"), index.hash("address", "acme"));
        assert_ne!(index.hash("slug", "acme"), index.hash("slug", "acme2"));
    }

    #[test]
    fn shows_nothing() {
        let root = RootKey([171; 32]);
        let shown = format!("{root:?} {:?} {:?}", Keys::from(&root), IndexKey::from(&root));
        assert!(!shown.contains("171") && !shown.contains("ab") && shown.contains("redacted"), "{shown}");
    }
}
