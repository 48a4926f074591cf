//! The master key: 32 random bytes outside the database, which wraps the keys inside it.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::Sha256;

use super::random::random_bytes;
use super::secret_file::{self, SecretFileError};

const LENGTH: usize = 32;
/// How many keys a file may hold.
const MOST: usize = 64;

/// Why there is no usable master key.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    #[error("the master key: {0}")]
    File(#[from] SecretFileError),
    #[error("the master key {path} holds {length} bytes, not 32 for each key")]
    WrongLength { path: PathBuf, length: usize },
    #[error(
        "{path} holds {MOST} master keys: `tenure master-key retire` removes those that are needed no more"
    )]
    TooMany { path: PathBuf },
    #[error(
        "the master key {path} is text: it holds 32 raw bytes for each key (or set TENURE_MASTER_KEY to the text)"
    )]
    Text { path: PathBuf },
    #[error("the master key {0} is all zeroes")]
    AllZero(String),
    #[error("the master key {path} was made by another process and is gone again")]
    Vanished { path: PathBuf },
    #[error("{0} must be 32 bytes, in hexadecimal or Base64")]
    Unreadable(&'static str),
}

/// What wraps the keys in the database. Losing it loses everything they seal; leaking it alone opens nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct MasterKey {
    key: [u8; LENGTH],
    /// Derived once: every data key that is opened asks for both.
    id: [u8; 8],
    wrapping: [u8; 32],
}

impl MasterKey {
    pub fn of(key: [u8; LENGTH]) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&expand(&key, "tenure master key id v1")[..8]);
        Self { key, id, wrapping: expand(&key, "tenure key wrapping v1") }
    }

    /// A new one.
    pub fn random() -> Self {
        Self::of(random_bytes())
    }

    /// What tells it from others; it says nothing of the key.
    pub fn id(&self) -> [u8; 8] {
        self.id
    }

    pub(crate) fn wrapping_key(&self) -> [u8; 32] {
        self.wrapping
    }

    /// The key as the root of all others, which it was before there was a root key.
    pub(crate) fn as_root(&self) -> [u8; 32] {
        self.key
    }

    fn parse(name: &'static str, text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        let bytes = if text.len() == 2 * LENGTH { from_hex(text) } else { STANDARD.decode(text).ok() };
        let key: Option<[u8; LENGTH]> = bytes.and_then(|bytes| bytes.try_into().ok());
        match key {
            Some(key) if key == [0; LENGTH] => Err(MasterKeyError::AllZero(format!("in {name}"))),
            Some(key) => Ok(Self::of(key)),
            None => Err(MasterKeyError::Unreadable(name)),
        }
    }
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok()).collect()
}

/// The master keys at hand: the first wraps, all unwrap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterKeys {
    keys: Vec<MasterKey>,
    /// Where they were read from, if not from the settings.
    file: Option<PathBuf>,
}

impl MasterKeys {
    /// At least one key.
    pub fn of(keys: Vec<MasterKey>) -> Self {
        debug_assert!(!keys.is_empty(), "there is a current key");
        Self { keys, file: None }
    }

    /// From `TENURE_MASTER_KEY` and `TENURE_PREVIOUS_MASTER_KEYS` (commas between them).
    pub fn from_settings(current: &str, previous: Option<&str>) -> Result<Self, MasterKeyError> {
        let mut keys = vec![MasterKey::parse("TENURE_MASTER_KEY", current)?];
        for text in
            previous.into_iter().flat_map(|texts| texts.split(',')).filter(|text| !text.trim().is_empty())
        {
            keys.push(MasterKey::parse("TENURE_PREVIOUS_MASTER_KEYS", text)?);
        }
        Ok(Self::of(keys))
    }

    /// Reads the file again, which must be there.
    pub(crate) fn read(path: &Path) -> Result<Self, MasterKeyError> {
        match secret_file::read(path)? {
            Some(content) => Self::from_content(path, &content),
            None => Err(MasterKeyError::Vanished { path: path.to_owned() }),
        }
    }

    /// Puts a new key before the others, in one step: whoever reads the file has all of them or all but the new one.
    pub fn add_new(path: &Path) -> Result<Self, MasterKeyError> {
        let mut keys = Self::read(path)?.keys;
        if keys.len() >= MOST {
            return Err(MasterKeyError::TooMany { path: path.to_owned() });
        }
        keys.insert(0, MasterKey::random());
        Self::write(path, &keys)
    }

    /// Leaves the current key alone in the file.
    pub fn keep_current(path: &Path) -> Result<Self, MasterKeyError> {
        let keys = Self::read(path)?.keys;
        Self::write(path, &keys[..1])
    }

    fn write(path: &Path, keys: &[MasterKey]) -> Result<Self, MasterKeyError> {
        let content: Vec<u8> = keys.iter().flat_map(|key| key.key).collect();
        secret_file::replace(path, &content)?;
        Self::read(path)
    }

    /// Reads the file, or makes it when it is not there yet. It holds the current key, then earlier ones.
    pub fn load_or_create(path: &Path) -> Result<Self, MasterKeyError> {
        if let Some(content) = secret_file::read(path)? {
            return Self::from_content(path, &content);
        }
        secret_file::create(path, &random_bytes::<LENGTH>())?;
        // Read back even when just made: whoever came first, every process goes on with what is on disk.
        match secret_file::read(path)? {
            Some(content) => Self::from_content(path, &content),
            None => Err(MasterKeyError::Vanished { path: path.to_owned() }),
        }
    }

    fn from_content(path: &Path, content: &[u8]) -> Result<Self, MasterKeyError> {
        let (keys, rest) = content.as_chunks::<LENGTH>();
        if keys.is_empty() || !rest.is_empty() {
            return Err(MasterKeyError::WrongLength { path: path.to_owned(), length: content.len() });
        }
        // A key in hexadecimal would else count as two.
        if keys.len() > 1 && content.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
        {
            return Err(MasterKeyError::Text { path: path.to_owned() });
        }
        if keys.contains(&[0; LENGTH]) {
            return Err(MasterKeyError::AllZero(path.display().to_string()));
        }
        let keys = keys.iter().copied().map(MasterKey::of).collect();
        Ok(Self { keys, file: Some(path.to_owned()) })
    }

    pub fn current(&self) -> &MasterKey {
        &self.keys[0]
    }

    /// All of them, the current one first.
    pub fn all(&self) -> &[MasterKey] {
        &self.keys
    }

    pub fn by_id(&self, id: &[u8]) -> Option<&MasterKey> {
        self.keys.iter().find(|key| key.id() == id)
    }

    /// The file they stand in; none if the settings hold them.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
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
        let first = MasterKeys::load_or_create(&path).unwrap();
        let second = MasterKeys::load_or_create(&path).unwrap();
        assert_eq!(first, second);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let elsewhere = MasterKeys::load_or_create(&home.path().join("other.key")).unwrap();
        assert_ne!(first, elsewhere);
    }

    #[test]
    fn refuses_a_wrong_length_zeroes_and_readers() {
        for length in [0, 31, 33, 65] {
            let (_home, path) = file(&vec![1; length]);
            let refusal = MasterKeys::load_or_create(&path).unwrap_err();
            assert!(matches!(refusal, MasterKeyError::WrongLength { length: l, .. } if l == length));
            assert_eq!(fs::read(&path).unwrap().len(), length, "a wrong key is never overwritten");
        }
        let (_home, path) = file("0123456789abcdef".repeat(4).as_bytes());
        assert!(matches!(MasterKeys::load_or_create(&path), Err(MasterKeyError::Text { .. })));
        let (_home, path) = file(&[0; 32]);
        assert!(matches!(MasterKeys::load_or_create(&path), Err(MasterKeyError::AllZero(_))));
        let (_home, path) = file(&[1; 32]);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let refusal = MasterKeys::load_or_create(&path).unwrap_err();
        assert!(matches!(refusal, MasterKeyError::File(SecretFileError::OpenToOthers { .. })));
    }

    #[test]
    fn the_first_key_of_the_file_is_current_and_the_others_are_found_by_their_id() {
        let (_home, path) = file(&[[1; 32], [2; 32]].concat());
        let keys = MasterKeys::load_or_create(&path).unwrap();
        assert_eq!(keys.current(), &MasterKey::of([1; 32]));
        assert_eq!(keys.by_id(&MasterKey::of([2; 32]).id()), Some(&MasterKey::of([2; 32])));
        assert_eq!(keys.by_id(&MasterKey::of([3; 32]).id()), None);
    }

    #[test]
    fn the_environment_takes_hexadecimal_and_base64() {
        let hex = "07".repeat(32);
        let base64 = STANDARD.encode([8; 32]);
        let keys = MasterKeys::from_settings(&hex, Some(&format!("{base64}, {}", "09".repeat(32)))).unwrap();
        assert_eq!(keys, MasterKeys::of([7, 8, 9].map(|byte| MasterKey::of([byte; 32])).to_vec()));
        for wrong in ["", "07", "not a key", &"zz".repeat(32), &"00".repeat(32)] {
            assert!(MasterKeys::from_settings(wrong, None).is_err(), "{wrong}");
            assert!(wrong.is_empty() || MasterKeys::from_settings(&hex, Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn its_id_and_its_wrapping_key_stay_the_same_for_ever() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        // Pinned, computed with Python's hmac: a change here would lock every database.
        let master = MasterKey::of([1; 32]);
        assert_eq!((hex(&master.id()), hex(&master.wrapping_key())), (PINNED.0.into(), PINNED.1.into()));
    }

    const PINNED: (&str, &str) =
        ("08ad8dd5c9ccec6a", "7c2a14b7b04066ae26f7b5e34ff789846d68b5511ba528cf70c6344265494f24");

    #[test]
    fn shows_nothing() {
        let master = MasterKeys::of(vec![MasterKey::of([171; 32])]);
        let shown = format!("{master:?}");
        assert!(!shown.contains("171") && !shown.contains("ab") && shown.contains("redacted"), "{shown}");
    }
}
