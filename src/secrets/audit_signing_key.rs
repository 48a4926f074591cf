//! The audit signing key: an Ed25519 key in a file of its own, with which checkpoints of the history are signed.
//!
//! It is not derived from the master key, which may be replaced; this one must stay what it is.

use std::fmt;
use std::path::{Path, PathBuf};

use ring::signature::{Ed25519KeyPair, KeyPair};

use super::random::random_bytes;
use super::secret_file::{self, SecretFileError};

/// Why there is no usable signing key.
#[derive(Debug, thiserror::Error)]
pub enum AuditSigningKeyError {
    #[error("the audit signing key: {0}")]
    File(#[from] SecretFileError),
    #[error("the audit signing key {path} holds {length} bytes, not 32")]
    WrongLength { path: PathBuf, length: usize },
    #[error("the audit signing key {path} is all zeroes")]
    AllZero { path: PathBuf },
    #[error("the audit signing key {path} was made by another process and is gone again")]
    Vanished { path: PathBuf },
}

/// What signs checkpoints. Whoever has it can sign a history that never was.
pub struct AuditSigningKey {
    pair: Ed25519KeyPair,
    public: [u8; 32],
}

impl AuditSigningKey {
    /// The key of that file, or none if there is no such file.
    pub fn load(path: &Path) -> Result<Option<Self>, AuditSigningKeyError> {
        secret_file::read(path)?.map(|seed| Self::from_seed(path, &seed)).transpose()
    }

    /// Makes the file; a key that is there already is taken.
    pub fn create(path: &Path) -> Result<Self, AuditSigningKeyError> {
        secret_file::create(path, &random_bytes::<32>())?;
        Self::load(path)?.ok_or_else(|| AuditSigningKeyError::Vanished { path: path.to_owned() })
    }

    fn from_seed(path: &Path, seed: &[u8]) -> Result<Self, AuditSigningKeyError> {
        if seed.len() == 32 && seed.iter().all(|byte| *byte == 0) {
            return Err(AuditSigningKeyError::AllZero { path: path.to_owned() });
        }
        let wrong = || AuditSigningKeyError::WrongLength { path: path.to_owned(), length: seed.len() };
        // Refuses nothing but another length.
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| wrong())?;
        let public = pair.public_key().as_ref().try_into().map_err(|_| wrong())?;
        Ok(Self { pair, public })
    }

    pub fn public(&self) -> &[u8; 32] {
        &self.public
    }

    /// The same text always gets the same signature.
    pub fn sign(&self, text: &[u8]) -> Vec<u8> {
        self.pair.sign(text).as_ref().to_vec()
    }
}

impl fmt::Debug for AuditSigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditSigningKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn is_made_once_and_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data/audit-signing.key");
        assert!(AuditSigningKey::load(&path).unwrap().is_none());
        let first = AuditSigningKey::create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for again in [AuditSigningKey::load(&path).unwrap().unwrap(), AuditSigningKey::create(&path).unwrap()]
        {
            assert_eq!((again.public(), again.sign(b"x")), (first.public(), first.sign(b"x")));
        }
        let other = AuditSigningKey::create(&home.path().join("other.key")).unwrap();
        assert_ne!(other.public(), first.public());
        assert_eq!(format!("{first:?}"), "AuditSigningKey([redacted])");
    }

    #[test]
    fn refuses_a_wrong_length_and_zeroes() {
        let home = tempfile::tempdir().unwrap();
        for (length, byte) in [(0, 1), (31, 1), (33, 1), (64, 1), (32, 0)] {
            let path = home.path().join(format!("{length}.key"));
            secret_file::create(&path, &vec![byte; length]).unwrap();
            let refusal = AuditSigningKey::load(&path).unwrap_err().to_string();
            assert!(refusal.contains(if byte == 0 { "zeroes" } else { "not 32" }), "{refusal}");
        }
    }
}
