//! The directories of one embedded PostgreSQL: ours alone, and held by one process at a time.

use super::{
    error::{During, EmbeddedPostgresError},
    run_as::RunAs,
};
use nix::{
    errno::Errno,
    sys::signal::kill,
    unistd::{Pid, Uid},
};
use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    },
    path::{Path, PathBuf},
    process, thread,
    time::{Duration, Instant},
};

pub(super) const PORT: u16 = 5432;

/// What fits into a socket address on every system we know (Linux: 107 bytes, macOS: 103).
const LONGEST_SOCKET_PATH: usize = 103;

/// A child that a killed owner had just forked keeps the lock until it has become another program.
const PATIENCE_WITH_THE_DEAD: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Home {
    pub(super) dir: PathBuf,
    /// The cluster.
    pub(super) data: PathBuf,
    pub(super) log_path: PathBuf,
    /// The kernel lets go of it when we die.
    lock: Option<File>,
}

impl Home {
    /// Makes the directory if needed and takes it, or says who has it.
    pub(super) fn take(dir: &Path) -> Result<Self, EmbeddedPostgresError> {
        let dir = make(dir)?;
        let lock = lock(&dir)?;
        Ok(Self { data: dir.join("data"), log_path: dir.join("postgres.log"), dir, lock: Some(lock) })
    }

    /// Lets the next instance in. Unlocked, not just closed: a child that some thread of ours is forking has the lock, too, until
    /// it has become another program.
    pub(super) fn release(&mut self) {
        if let Some(lock) = self.lock.take()
            && let Err(error) = lock.unlock()
        {
            tracing::warn!(%error, "could not unlock the directory of PostgreSQL");
        }
    }

    /// Shuts everyone out but the one who runs PostgreSQL.
    pub(super) fn admit(&self, run_as: RunAs) -> Result<(), EmbeddedPostgresError> {
        // Another user only passes through: what root opens in here must not be a link that they made.
        let mode = if matches!(run_as, RunAs::Other { .. }) { 0o711 } else { 0o700 };
        fs::set_permissions(&self.dir, Permissions::from_mode(mode))
            .during(|| format!("set the mode of {}", self.dir.display()))?;
        if !run_as.can_enter(&self.dir) {
            let (uid, _) = run_as.owner();
            let reason = format!(
                "cannot be entered by the unprivileged user (uid {uid}) that PostgreSQL runs as, because of \
                 the mode of a directory above it"
            );
            return Err(EmbeddedPostgresError::UnusableDir { dir: self.dir.clone(), reason });
        }
        Ok(())
    }

    pub(super) fn open_log(&self) -> Result<File, EmbeddedPostgresError> {
        OpenOptions::new()
            .create(true)
            .append(true)
            .read(true)
            .mode(0o600)
            .open(&self.log_path)
            .during(|| format!("open {}", self.log_path.display()))
    }

    /// Inside the home if the path is fit for it, else in a temporary directory.
    pub(super) fn socket_dir(&self, run_as: RunAs) -> Result<PathBuf, EmbeddedPostgresError> {
        let home = fs::metadata(&self.dir).during(|| format!("look at {}", self.dir.display()))?;
        let name = format!("tenure-pg-{}-{:x}-{:x}", Uid::effective(), home.dev(), home.ino());
        let candidates =
            [self.dir.join("socket"), env::temp_dir().join(&name), Path::new("/tmp").join(&name)];
        let dir = candidates.into_iter().find(|dir| is_fit_for_socket(dir)).ok_or_else(|| {
            let reason = "leaves no room for a socket path".to_owned();
            EmbeddedPostgresError::UnusableDir { dir: self.dir.clone(), reason }
        })?;
        make_private(&dir, run_as)?;
        Ok(dir)
    }
}

/// What was written to the log from `start` on, at most its last lines.
pub(super) fn tail_of(mut log: &File, start: u64) -> String {
    const LINES: usize = 20;
    let mut bytes = Vec::new();
    if log.seek(SeekFrom::Start(start)).and_then(|_| log.read_to_end(&mut bytes)).is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// A directory for PostgreSQL alone. What is there already is used only if nobody else can have a hand in it.
pub(super) fn make_private(dir: &Path, run_as: RunAs) -> Result<(), EmbeddedPostgresError> {
    let (uid, gid) = run_as.owner();
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).during(|| format!("make {}", dir.display()));
        }
        _ => {}
    }
    let found = fs::symlink_metadata(dir).during(|| format!("look at {}", dir.display()))?;
    let is_ours = [uid, Uid::effective()].iter().any(|uid| uid.as_raw() == found.uid());
    if !found.is_dir() || !is_ours || found.mode() & 0o077 != 0 {
        let reason = format!("must be a directory that only uid {uid} can enter, and is not; remove it");
        return Err(EmbeddedPostgresError::UnusableDir { dir: dir.to_path_buf(), reason });
    }
    if found.uid() != uid.as_raw() {
        chown(dir, Some(uid.as_raw()), Some(gid.as_raw()))
            .during(|| format!("give away {}", dir.display()))?;
    }
    Ok(())
}

fn make(dir: &Path) -> Result<PathBuf, EmbeddedPostgresError> {
    if let Some(parent) = dir.parent() {
        fs::create_dir_all(parent).during(|| format!("make {}", parent.display()))?;
    }
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).during(|| format!("make {}", dir.display()));
        }
        _ => {}
    }
    let dir = fs::canonicalize(dir).during(|| format!("find {}", dir.display()))?;
    let found = fs::metadata(&dir).during(|| format!("look at {}", dir.display()))?;
    if !found.is_dir() {
        return Err(EmbeddedPostgresError::UnusableDir { dir, reason: "is not a directory".to_owned() });
    }
    if found.uid() != Uid::effective().as_raw() {
        let reason =
            format!("belongs to uid {}, and we are uid {}: run as that user", found.uid(), Uid::effective());
        return Err(EmbeddedPostgresError::UnusableDir { dir, reason });
    }
    Ok(dir)
}

fn lock(dir: &Path) -> Result<File, EmbeddedPostgresError> {
    let path = dir.join("owner.lock");
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).read(true).write(true).mode(0o600);
    let mut file = options.open(&path).during(|| format!("open {}", path.display()))?;
    let started = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::Error(error)) => {
                return Err(error).during(|| format!("lock {}", path.display()));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        let holder =
            fs::read_to_string(&path).ok().and_then(|note| note.trim().parse().ok()).map(Pid::from_raw);
        let has_died = holder.is_some_and(|pid| kill(pid, None) == Err(Errno::ESRCH));
        if !has_died || started.elapsed() > PATIENCE_WITH_THE_DEAD {
            let holder = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
            return Err(EmbeddedPostgresError::InUse { dir: dir.to_path_buf(), holder });
        }
        thread::sleep(Duration::from_millis(10));
    }
    let note = file.set_len(0).and_then(|()| writeln!(file, "{}", process::id()));
    note.during(|| format!("write {}", path.display()))?;
    Ok(file)
}

impl Drop for Home {
    fn drop(&mut self) {
        self.release();
    }
}

/// libpq would take a comma for the end of the first of several hosts.
fn is_fit_for_socket(dir: &Path) -> bool {
    let socket = dir.join(format!(".s.PGSQL.{PORT}"));
    socket.as_os_str().as_bytes().len() <= LONGEST_SOCKET_PATH
        && socket.to_str().is_some_and(|path| !path.contains(','))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn does_not_trust_a_prepared_socket_directory() {
        let root = tempfile::tempdir().unwrap();
        let (open, link) = (root.path().join("open"), root.path().join("link"));
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, Permissions::from_mode(0o755)).unwrap();
        symlink(root.path(), &link).unwrap();
        for trap in [open, link] {
            let refusal = make_private(&trap, RunAs::Ourselves).unwrap_err();
            assert!(matches!(refusal, EmbeddedPostgresError::UnusableDir { .. }), "{refusal}");
        }
    }

    #[test]
    fn a_directory_that_was_given_back_can_be_taken_although_a_child_still_has_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let home = Home::take(&root.path().join("pg")).unwrap();
        let of_the_child = home.lock.as_ref().unwrap().try_clone().unwrap();
        drop(home);
        Home::take(&root.path().join("pg")).unwrap();
        drop(of_the_child);
    }

    #[test]
    fn moves_the_socket_where_its_path_is_short_enough() {
        let root = tempfile::tempdir().unwrap();
        let short = Home::take(&root.path().join("pg")).unwrap();
        assert_eq!(short.socket_dir(RunAs::Ourselves).unwrap(), short.dir.join("socket"));
        let long = Home::take(&root.path().join("x".repeat(100))).unwrap();
        let elsewhere = long.socket_dir(RunAs::Ourselves).unwrap();
        assert!(is_fit_for_socket(&elsewhere) && !elsewhere.starts_with(&long.dir));
        assert_eq!(fs::metadata(&elsewhere).unwrap().mode() & 0o777, 0o700);
        fs::remove_dir(elsewhere).unwrap();
    }

    #[test]
    fn names_the_process_that_has_the_directory() {
        let root = tempfile::tempdir().unwrap();
        let _first = Home::take(root.path()).unwrap();
        let refusal = Home::take(root.path()).unwrap_err().to_string();
        assert!(refusal.contains(&format!("process {}", process::id())), "{refusal}");
    }
}
