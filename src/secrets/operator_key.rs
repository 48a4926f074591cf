//! The operator key: made once, kept in a private file, rotated while the server runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::random::random_bytes;
use super::secret_file::{self, SecretFileError, Stamp};

const PREFIX: &str = "tno_";
const MIN_LENGTH: usize = 32;
const MAX_LENGTH: usize = 512;
/// How often a running server looks whether the file changed.
const LOOK_EVERY: TimeDelta = TimeDelta::seconds(1);

/// Why there is no usable operator key. Never holds the key.
#[derive(Debug, thiserror::Error)]
pub enum OperatorKeyError {
    #[error("the operator key: {0}")]
    File(#[from] SecretFileError),
    #[error(
        "TENURE_OPERATOR_KEY must have 32 to 512 printable ASCII characters, none of the outer ones a space"
    )]
    UnfitPreset,
    #[error("{path} must hold 32 to 512 printable ASCII characters, none of the outer ones a space")]
    UnfitFile { path: PathBuf },
    #[error("{path} is missing")]
    Missing { path: PathBuf },
}

/// The key of whoever runs this service.
#[derive(Clone)]
pub struct OperatorKey {
    text: String,
    digest: [u8; 32],
}

impl OperatorKey {
    fn generate() -> Self {
        Self::new(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random_bytes::<32>())))
    }

    fn new(text: String) -> Self {
        Self { digest: digest(&text), text }
    }

    /// Spaces at the ends would be lost on the way through a header or a file.
    fn parse(text: &str) -> Option<Self> {
        let fits = (MIN_LENGTH..=MAX_LENGTH).contains(&text.len())
            && text.bytes().all(|b| matches!(b, b' '..=b'~'))
            && text.trim_ascii() == text;
        fits.then(|| Self::new(text.to_owned()))
    }

    /// The preset key if there is one (it stays in memory), else the file's, else a new one put in the file.
    /// Says whether this call made the file.
    pub fn load_or_create(path: &Path, preset: Option<&str>) -> Result<(Self, bool), OperatorKeyError> {
        if let Some(preset) = preset {
            return Self::parse(preset).map(|key| (key, false)).ok_or(OperatorKeyError::UnfitPreset);
        }
        match Self::read(path) {
            Err(OperatorKeyError::Missing { .. }) => {
                let created = secret_file::create(path, Self::generate().line().as_bytes())?;
                // Read back: another process may have been first.
                Ok((Self::read(path)?, created))
            }
            other => Ok((other?, false)),
        }
    }

    /// Puts a new key in the file and gives it back; the old one is dead within a second everywhere.
    pub fn rotate(path: &Path) -> Result<Self, OperatorKeyError> {
        let key = Self::generate();
        secret_file::replace(path, key.line().as_bytes())?;
        Ok(key)
    }

    fn read(path: &Path) -> Result<Self, OperatorKeyError> {
        let content =
            secret_file::read(path)?.ok_or_else(|| OperatorKeyError::Missing { path: path.to_owned() })?;
        // An editor leaves a newline at the end, and so do we.
        str::from_utf8(&content)
            .ok()
            .and_then(|text| Self::parse(text.trim_ascii_end()))
            .ok_or_else(|| OperatorKeyError::UnfitFile { path: path.to_owned() })
    }

    fn line(&self) -> String {
        format!("{}\n", self.text)
    }

    /// Whether this is the key. Digests are compared, in constant time, so that not even the length shows.
    pub fn matches(&self, presented: &str) -> bool {
        self.matches_digest(&digest(presented))
    }

    fn matches_digest(&self, presented: &[u8; 32]) -> bool {
        self.digest.ct_eq(presented).into()
    }

    /// The key in clear, for `tenure operator-key` alone.
    pub fn reveal(&self) -> &str {
        &self.text
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

impl fmt::Debug for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperatorKey([redacted])")
    }
}

/// The operator key as a running server holds it: follows the file, so that a rotation by the command line
/// takes effect within a second. While the file cannot be read, nobody is the operator.
#[derive(Debug)]
pub struct OperatorKeyFile {
    source: Source,
}

#[derive(Debug)]
enum Source {
    Preset(OperatorKey),
    File { path: PathBuf, held: Mutex<Held> },
}

#[derive(Debug)]
struct Held {
    key: Option<OperatorKey>,
    stamp: Option<Stamp>,
    looked_at: DateTime<Utc>,
}

impl OperatorKeyFile {
    /// As [`OperatorKey::load_or_create`]; a preset key is not followed anywhere. Says whether this call
    /// made the file.
    pub fn open(
        path: &Path,
        preset: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<(Self, bool), OperatorKeyError> {
        // Stamped before it is read: a change in between is then seen at the next look.
        let stamp = secret_file::stamp(path).ok();
        let (key, created) = OperatorKey::load_or_create(path, preset)?;
        let source = if preset.is_some() {
            Source::Preset(key)
        } else {
            let held = Mutex::new(Held { key: Some(key), stamp, looked_at: now });
            Source::File { path: path.to_owned(), held }
        };
        Ok((Self { source }, created))
    }

    /// Whether this is the operator key as it stands now.
    pub fn matches(&self, presented: &str, now: DateTime<Utc>) -> bool {
        let (path, held) = match &self.source {
            Source::Preset(key) => return key.matches(presented),
            Source::File { path, held } => (path, held),
        };
        // Before the lock, which all requests share.
        let presented = digest(presented);
        // A poisoned lock guards nothing half-done here: fields are assigned whole.
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        // The distance, not the difference: a clock set back must not stop us looking.
        if (now - held.looked_at).abs() >= LOOK_EVERY {
            held.look(path);
            held.looked_at = now;
        }
        held.key.as_ref().is_some_and(|key| key.matches_digest(&presented))
    }
}

impl Held {
    fn look(&mut self, path: &Path) {
        let stamp = secret_file::stamp(path).ok();
        if stamp.is_some() && stamp == self.stamp {
            return;
        }
        let was_readable = self.key.is_some();
        self.stamp = stamp;
        match OperatorKey::read(path) {
            Ok(key) => self.key = Some(key),
            Err(error) => {
                if was_readable {
                    tracing::error!(%error, "no operator until the key file is readable again");
                }
                self.key = None;
            }
        }
    }
}

#[cfg(test)]
#[path = "operator_key_tests.rs"]
mod tests;
