//! The master keys as a running process holds them: they follow their file, so that a rotation needs no restart.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::master_key::MasterKeys;
use super::secret_file::{self, Stamp};

/// How often a running server looks whether the file changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct HeldMasterKeys(Mutex<Held>);

#[derive(Debug)]
struct Held {
    keys: Arc<MasterKeys>,
    stamp: Option<Stamp>,
    looked_at: Instant,
}

impl HeldMasterKeys {
    /// Those of the settings stay as they are.
    pub fn new(keys: MasterKeys) -> Self {
        // No stamp: what was written since they were read is seen at the first look.
        Self(Mutex::new(Held { keys: Arc::new(keys), stamp: None, looked_at: Instant::now() }))
    }

    /// The keys as they were within the last second.
    pub fn get(&self) -> Arc<MasterKeys> {
        let mut held = self.lock();
        if held.looked_at.elapsed() >= LOOK_EVERY {
            held.look();
        }
        held.keys.clone()
    }

    /// The keys as they are now: for whoever met one that is not at hand.
    pub fn reread(&self) -> Arc<MasterKeys> {
        let mut held = self.lock();
        held.look();
        held.keys.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        // Fields are assigned whole, so a panic leaves nothing half-done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    /// A file that cannot be read leaves the keys at hand: they still open what they opened.
    fn look(&mut self) {
        self.looked_at = Instant::now();
        let Some(path) = self.keys.file() else { return };
        let stamp = secret_file::stamp(path).ok();
        if stamp.is_some() && stamp == self.stamp {
            return;
        }
        match MasterKeys::read(path) {
            Ok(keys) => {
                if keys != *self.keys {
                    tracing::info!(keys = keys.all().len(), "the master keys were changed");
                }
                self.keys = Arc::new(keys);
                self.stamp = stamp;
            }
            Err(error) => {
                tracing::error!(%error, "the master keys could not be read again; those at hand stay");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_is_seen_and_a_file_that_is_gone_changes_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("master.key");
        let first = MasterKeys::load_or_create(&path).unwrap();
        let held = HeldMasterKeys::new(first.clone());
        assert_eq!(*held.reread(), first);
        let second = MasterKeys::add_new(&path).unwrap();
        assert_eq!(*held.reread(), second);
        assert_eq!((second.all().len(), &second.all()[1]), (2, first.current()));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*held.reread(), second);
    }

    #[test]
    fn retiring_leaves_the_current_key_alone_and_the_file_private() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("master.key");
        MasterKeys::load_or_create(&path).unwrap();
        let rotated = MasterKeys::add_new(&path).unwrap();
        let left = MasterKeys::keep_current(&path).unwrap();
        assert_eq!(left.all(), &rotated.all()[..1]);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
