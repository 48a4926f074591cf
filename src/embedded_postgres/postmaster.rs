//! The postmaster of a cluster as others see it: its pid file and its process.

use super::error::{During, EmbeddedPostgresError};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    fs::{self, OpenOptions},
    io::Write,
    os::unix::{
        ffi::OsStrExt,
        fs::{MetadataExt, OpenOptionsExt, fchown},
    },
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

const PATIENCE: Duration = Duration::from_mins(1);
/// Long enough for a postmaster that quits at once to be gone.
const LAST_PATIENCE: Duration = Duration::from_secs(75);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: Pid,
    is_ready: bool,
}

impl Postmaster {
    /// What `postmaster.pid` says. It may be a lie left by a crash: ask [`Self::serves`].
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0).map(Pid::from_raw)?;
        let is_ready = lines.nth(6).is_some_and(|status| status.trim() == "ready"); // as `pg_ctl -w` does
        Some(Self { pid, is_ready })
    }

    /// Whether this process is the postmaster of that cluster, and not a stranger with a recycled pid.
    pub(super) fn serves(self, data: &Path) -> bool {
        let of_cluster = |args: &[&[u8]]| {
            args.first().is_some_and(|program| program.ends_with(b"postgres"))
                && args.windows(2).any(|pair| pair == [b"-D", data.as_os_str().as_bytes()])
        };
        if let Ok(line) = fs::read(format!("/proc/{}/cmdline", self.pid)) {
            return of_cluster(&line.split(|byte| *byte == 0).collect::<Vec<_>>());
        }
        if cfg!(target_os = "linux") {
            return false;
        }
        let ps = Command::new("ps").args(["-ww", "-o", "args=", "-p", &self.pid.to_string()]).output();
        ps.is_ok_and(|ps| String::from_utf8_lossy(&ps.stdout).contains(&format!("-D {} ", data.display())))
    }

    pub(super) fn signal(self, signal: Signal) {
        if let Err(error) = kill(self.pid, signal) {
            tracing::debug!(pid = %self.pid, %error, "could not signal PostgreSQL");
        }
    }

    fn is_alive(self) -> bool {
        kill(self.pid, None) != Err(Errno::ESRCH)
    }
}

/// The pid file as it was before a start, to tell what the new postmaster writes from what an old one left.
pub(super) struct PidFile {
    path: PathBuf,
    before: Option<String>,
}

impl PidFile {
    pub(super) fn before_start(data: &Path) -> Self {
        let path = pid_file(data);
        Self { before: fs::read_to_string(&path).ok(), path }
    }

    /// The postmaster that was started since, once it takes connections.
    pub(super) fn ready_postmaster(&self, data: &Path) -> Option<Postmaster> {
        let now = fs::read_to_string(&self.path).ok().filter(|now| self.before.as_ref() != Some(now))?;
        Postmaster::parse(&now).filter(|postmaster| postmaster.is_ready && postmaster.serves(data))
    }
}

/// Stops the postmaster that outlived a crash of its owner. The caller holds the lock, so nobody needs it.
/// (Taking it over instead would race with its supervisor, which is about to stop it.)
pub(super) fn evict_survivor(data: &Path) -> Result<(), EmbeddedPostgresError> {
    let started = Instant::now();
    while let Some(found) = read(data) {
        if !found.serves(data) {
            return if found.is_alive() { disown(data) } else { Ok(()) };
        }
        if started.elapsed() > LAST_PATIENCE {
            return Err(EmbeddedPostgresError::Survivor {
                pid: found.pid.as_raw(),
                data: data.to_path_buf(),
            });
        }
        found.signal(if started.elapsed() < PATIENCE { Signal::SIGINT } else { Signal::SIGQUIT });
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// PostgreSQL does not start while the pid in the file is alive, even as someone else's. Deleting the file
/// would also drop the shared memory key, by which it finds that old backends still run; so only the pid goes.
fn disown(data: &Path) -> Result<(), EmbeddedPostgresError> {
    let path = pid_file(data);
    let doing = || format!("replace the stale {}", path.display());
    let text = fs::read_to_string(&path).during(doing)?;
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    let owner = fs::metadata(data).during(doing)?;
    fs::remove_file(&path).during(doing)?; // a new file, as this one could be a link
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).during(doing)?;
    write!(file, "{}\n{rest}", i32::MAX).during(doing)?; // beyond every possible pid
    fchown(&file, Some(owner.uid()), Some(owner.gid())).during(doing)
}

fn read(data: &Path) -> Option<Postmaster> {
    Postmaster::parse(&fs::read_to_string(pid_file(data)).ok()?)
}

fn pid_file(data: &Path) -> PathBuf {
    data.join("postmaster.pid")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pid_file_text(pid: u32, status: &str) -> String {
        format!("{pid}\n/data\n1700000000\n5432\n/socket\n\n  123  4\n{status}\n")
    }

    #[test]
    fn knows_a_ready_postmaster_from_a_starting_one() {
        let parse = |status| Postmaster::parse(&pid_file_text(42, status)).unwrap();
        assert!(parse("ready   ").is_ready);
        assert!(!parse("starting").is_ready);
        assert_eq!(Postmaster::parse("not a pid\n"), None);
        assert_eq!(Postmaster::parse("-5\n"), None);
    }

    #[test]
    fn does_not_believe_a_stale_file() {
        let data = tempfile::tempdir().unwrap();
        fs::write(pid_file(data.path()), pid_file_text(std::process::id(), "ready")).unwrap();
        let file = PidFile::before_start(data.path());
        assert_eq!(file.ready_postmaster(data.path()), None);
    }

    #[test]
    fn spares_a_stranger_with_a_recycled_pid_and_frees_the_file_from_it() {
        let data = tempfile::tempdir().unwrap();
        let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
        fs::write(pid_file(data.path()), pid_file_text(stranger.id(), "ready")).unwrap();
        evict_survivor(data.path()).unwrap();
        assert_eq!(stranger.try_wait().unwrap(), None, "the stranger lives");
        let text = fs::read_to_string(pid_file(data.path())).unwrap();
        assert_eq!(text, pid_file_text(2_147_483_647, "ready"));
        stranger.kill().unwrap();
        stranger.wait().unwrap();
    }
}
