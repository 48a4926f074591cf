//! The master key: 32 random bytes in a file outside the database, from which the other keys are derived.

use std::fmt;
use std::path::{Path, PathBuf};

use hkdf::Hkdf;
use sha2::Sha256;

use super::random::random_bytes;
use super::secret_file::{self, SecretFileError};
use super::{ApiKeyKey, CursorKey, InvitationTokenKey, InviteCodeKey};

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("the master key: {0}")]
    File(#[from] SecretFileError),
    #[error("the master key {path} holds {length} bytes, not 32")]
    WrongLength { path: PathBuf, length: usize },
    #[error("the master key {path} is all zeroes")]
    AllZero { path: PathBuf },
    #[error("the master key {path} was made by another process and is gone again")]
    Vanished { path: PathBuf },
}

/// The root of every derived key. Losing it voids open invitations and cursors; leaking it forges them.
#[derive(Clone)]
pub struct MasterKey([u8; 32]);

impl MasterKey {
    /// Reads the key, or makes it when the file is not there yet.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterKeyError> {
        if let Some(content) = secret_file::read(path)? {
            return Self::from_content(path, &content);
        }
        secret_file::create(path, &random_bytes::<32>())?;
        // Read back even when just made: whoever came first, every process goes on with what is on disk.
        match secret_file::read(path)? {
            Some(content) => Self::from_content(path, &content),
            None => Err(MasterKeyError::Vanished { path: path.to_owned() }),
        }
    }

    fn from_content(path: &Path, content: &[u8]) -> Result<Self, MasterKeyError> {
        let key: [u8; 32] = content
            .try_into()
            .map_err(|_| MasterKeyError::WrongLength { path: path.to_owned(), length: content.len() })?;
        if key == [0; 32] {
            return Err(MasterKeyError::AllZero { path: path.to_owned() });
        }
        Ok(Self(key))
    }

    /// The key for one purpose: HKDF-SHA256 without salt, the label as its info.
    pub fn derive(&self, label: &str) -> [u8; 32] {
        expand(&self.0, label)
    }
}

/// A key out of a key, for one purpose.
pub(super) fn expand(key: &[u8; 32], label: &str) -> [u8; 32] {
    let mut derived = [0; 32];
    if Hkdf::<Sha256>::new(None, key).expand(label.as_bytes(), &mut derived).is_err() {
        // Fails beyond 8,160 bytes only; should it ever, a key of zeroes must not leave this function.
        std::process::abort();
    }
    derived
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey([redacted])")
    }
}

/// The derived keys the service works with, one type each.
#[derive(Clone, Debug)]
pub struct Keys {
    pub cursor: CursorKey,
    pub invitation_token: InvitationTokenKey,
    pub invite_code: InviteCodeKey,
    pub api_key: ApiKeyKey,
}

impl From<&MasterKey> for Keys {
    /// Changing a label voids everything ever issued under it.
    fn from(master: &MasterKey) -> Self {
        Self {
            cursor: CursorKey::new(master.derive("tenure cursor key v1")),
            invitation_token: InvitationTokenKey::new(master.derive("tenure invitation token key v1")),
            invite_code: InviteCodeKey::new(master.derive("tenure invite code key v1")),
            api_key: ApiKeyKey::new(master.derive("tenure api key key v1")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(content: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("master.key");
        secret_file::create(&path, content).unwrap();
        (home, path)
    }

    #[test]
    fn is_made_on_the_first_start_and_found_on_the_second() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data/master.key");
        let first = MasterKey::load_or_create(&path).unwrap();
        let second = MasterKey::load_or_create(&path).unwrap();
        assert_eq!(first.0, second.0);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let elsewhere = MasterKey::load_or_create(&home.path().join("other.key")).unwrap();
        assert_ne!(first.0, elsewhere.0);
    }

    #[test]
    fn refuses_a_wrong_length_zeroes_and_readers() {
        for length in [0, 31, 33, 64] {
            let (_home, path) = file(&vec![1; length]);
            let refusal = MasterKey::load_or_create(&path).unwrap_err();
            assert!(matches!(refusal, MasterKeyError::WrongLength { length: l, .. } if l == length));
            assert_eq!(fs::read(&path).unwrap().len(), length, "a wrong key is never overwritten");
        }
        let (_home, path) = file(&[0; 32]);
        assert!(matches!(MasterKey::load_or_create(&path), Err(MasterKeyError::AllZero { .. })));
        let (_home, path) = file(&[1; 32]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = MasterKey::load_or_create(&path).unwrap_err();
        assert!(matches!(refusal, MasterKeyError::File(SecretFileError::OpenToOthers { .. })));
    }

    #[test]
    fn derives_by_label_and_stays_the_same_for_ever() {
        let master = MasterKey([1; 32]);
        assert_ne!(master.derive("a"), master.derive("b"));
        // Pinned, computed with Python's hmac: a change here would void every open invitation.
        let derived = master.derive("tenure cursor key v1").map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(derived, PINNED);
    }

    const PINNED: &str = "810a85e0e173f0930218e5a7b7dbad0b1e55c173dc22576e97aa1db3b688a14f";

    #[test]
    fn shows_nothing() {
        let master = MasterKey([171; 32]);
        let keys = Keys::from(&master);
        let shown = format!("{master:?} {keys:?}");
        assert!(!shown.contains("171") && !shown.contains("ab") && shown.contains("redacted"), "{shown}");
    }
}
