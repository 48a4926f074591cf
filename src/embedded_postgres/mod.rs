//! A private PostgreSQL for a Tenure that was given no `DATABASE_URL`.
//!
//! # Layout
//! - [`binaries`]: finds an installed PostgreSQL; [`download`]: fetches one
//! - [`home`]: the directories, the owner's lock and the socket's place
//! - [`run_as`]: root gives up its rights
//! - [`cluster`]: initdb; [`postmaster`]: who runs on the cluster; [`supervisor`]: dies with us
//! - [`write_back`]: what its files grow by goes to the disk in small lots
//! - [`error`]: what can go wrong
//!
//! # Must never
//! Leave a server running without its owner, signal a process that is not ours, listen on a network, or lose
//! an acknowledged commit when [`Options::durable`] is set.

mod binaries;
mod cluster;
mod download;
mod error;
mod home;
mod postmaster;
mod run_as;
mod supervisor;
mod write_back;

pub use binaries::{Binaries, find_binaries};
pub use error::EmbeddedPostgresError;

use error::During;
use home::Home;
use nix::sys::signal::Signal;
use postmaster::{PidFile, Postmaster};
use run_as::RunAs;
use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};
use supervisor::{Program, Supervised};
use write_back::WriteBack;

const USER: &str = "postgres";

/// Crash recovery of a large log takes its time.
const PATIENCE: Duration = Duration::from_mins(5);

/// How long what an old server left may stand in the way of a new one.
const PATIENCE_WITH_REMAINS: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub struct Options {
    /// Holds `owner.lock`, `postgres.log` and the cluster in `data/`; made if it is missing.
    pub data_dir: PathBuf,
    /// Off only for tests: a power failure then loses the database.
    pub durable: bool,
    /// For tests: removes `data_dir` at the end, even if we are killed.
    pub remove_on_exit: bool,
    /// Any others of PostgreSQL's settings.
    pub settings: Vec<(String, String)>,
    pub max_connections: u16,
}

/// A running server. It stops when this is dropped, and when this process ends in whatever way.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    home: Home,
    socket_dir: PathBuf,
    major: u32,
    postmaster: Postmaster,
    supervised: Supervised,
    /// None where nothing need be durable.
    write_back: Option<WriteBack>,
    options: Options,
    is_stopped: bool,
}

impl EmbeddedPostgres {
    /// Blocks until the server takes connections.
    pub fn start(options: Options) -> Result<Self, EmbeddedPostgresError> {
        let home = Home::take(&options.data_dir)?;
        let run_as = RunAs::detect(&home.data)?;
        home.admit(run_as)?;
        let binaries = choose_binaries(&home)?;
        let socket_dir = home.socket_dir(run_as)?;
        cluster::ensure(&home, &binaries, run_as, &socket_dir, &options)?;
        let launch =
            Launch { home: &home, binaries: &binaries, socket_dir: &socket_dir, run_as, options: &options };
        let (supervised, postmaster) = launch.until_ready()?;
        tracing::info!(pid = %postmaster.pid, major = binaries.major, data = %home.data.display(), "PostgreSQL is ready");
        let major = binaries.major;
        let write_back = options.durable.then(|| WriteBack::of(&home.data)).transpose();
        let write_back = write_back.during(|| "start a thread".to_owned())?;
        Ok(Self { home, socket_dir, major, postmaster, supervised, write_back, options, is_stopped: false })
    }

    pub fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    #[allow(clippy::unused_self)] // a fact about the server, whatever it is made of
    pub fn user(&self) -> &str {
        USER
    }

    /// As sqlx, psql and libpq understand it. TLS makes no sense on a socket, but `PGSSLMODE` could ask for it.
    pub fn url(&self, database: &str) -> String {
        let database = percent_encode(database);
        let socket_dir = percent_encode(&self.socket_dir.to_string_lossy());
        format!(
            "postgres://{USER}@localhost/{database}?host={socket_dir}&port={}&sslmode=disable",
            home::PORT
        )
    }

    pub fn server_pid(&self) -> i32 {
        self.postmaster.pid.as_raw()
    }

    pub fn major_version(&self) -> u32 {
        self.major
    }

    pub fn is_running(&self) -> bool {
        self.postmaster.serves(&self.home.data)
    }

    /// Rolls open transactions back, writes everything out, and waits.
    pub fn stop(&mut self) {
        if std::mem::replace(&mut self.is_stopped, true) {
            return;
        }
        self.write_back = None;
        if self.is_running() {
            self.postmaster.signal(Signal::SIGINT);
        }
        if let Err(error) = self.supervised.stop() {
            tracing::warn!(%error, "could not wait for the supervisor of PostgreSQL");
        }
        // Only if somebody killed the supervisor is there still something to do.
        if let Err(error) = postmaster::evict_survivor(&self.home.data) {
            tracing::error!(%error, "PostgreSQL does not stop");
        }
        if self.options.remove_on_exit {
            // The supervisor did it already, unless it had to run as another user.
            let _ = fs::remove_dir_all(&self.socket_dir);
            let _ = fs::remove_dir_all(&self.home.dir);
        }
        self.home.release();
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        self.stop();
    }
}

/// As ordered, else installed, else fetched earlier, else fetched now.
fn choose_binaries(home: &Home) -> Result<Binaries, EmbeddedPostgresError> {
    if let Some(ordered) = binaries::ordered()? {
        return cluster::choose(&home.data, &[ordered]);
    }
    let mut found = binaries::installed();
    found.extend(download::cached(&home.dir));
    let refusal = match cluster::choose(&home.data, &found) {
        Ok(binaries) => return Ok(binaries),
        Err(refusal) => refusal,
    };
    let made_by = cluster::made_by(&home.data);
    if made_by.as_ref().is_some_and(|major| *major != download::MAJOR.to_string()) {
        return Err(refusal);
    }
    download::download(&home.dir).map_err(|reason| {
        if made_by.is_none() {
            return EmbeddedPostgresError::NoBinaries { download: Some(reason) };
        }
        tracing::error!(reason, "could not download the PostgreSQL that made the cluster");
        refusal
    })
}

struct Launch<'a> {
    home: &'a Home,
    binaries: &'a Binaries,
    socket_dir: &'a Path,
    run_as: RunAs,
    options: &'a Options,
}

impl Launch<'_> {
    /// Starts again while remains of an earlier server are in the way.
    fn until_ready(&self) -> Result<(Supervised, Postmaster), EmbeddedPostgresError> {
        let started = Instant::now();
        let log = self.home.open_log()?;
        loop {
            postmaster::evict_survivor(&self.home.data)?;
            let pid_file = PidFile::before_start(&self.home.data);
            let log_start = log.metadata().map_or(0, |log| log.len());
            let supervised = self.spawn(&log)?;
            if let Some(postmaster) = self.wait(&supervised, &pid_file)? {
                return Ok((supervised, postmaster));
            }
            drop(supervised);
            let tail = home::tail_of(&log, log_start);
            if !blames_remains(&tail) || started.elapsed() > PATIENCE_WITH_REMAINS {
                return Err(EmbeddedPostgresError::StoppedAtStart { log: self.home.log_path.clone(), tail });
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn spawn(&self, log: &File) -> Result<Supervised, EmbeddedPostgresError> {
        let program = Program {
            path: &self.binaries.program("postgres"),
            works_in: &self.home.data,
            remove_at_end: self.options.remove_on_exit.then_some([&self.home.dir, self.socket_dir]),
            log,
            run_as: self.run_as,
        };
        let spawned = Supervised::spawn(&program, |command| {
            command.arg("-D").arg(&self.home.data);
            for setting in self.settings() {
                command.arg("-c").arg(setting);
            }
        });
        spawned.during(|| "start postgres".to_owned())
    }

    /// Nothing if it ended instead.
    fn wait(
        &self,
        supervised: &Supervised,
        pid_file: &PidFile,
    ) -> Result<Option<Postmaster>, EmbeddedPostgresError> {
        let started = Instant::now();
        while !supervised.has_ended_within(5_u8) {
            if let Some(postmaster) = pid_file.ready_postmaster(&self.home.data) {
                return Ok(Some(postmaster));
            }
            if started.elapsed() > PATIENCE {
                let log = self.home.log_path.clone();
                return Err(EmbeddedPostgresError::NotReady { seconds: PATIENCE.as_secs(), log });
            }
        }
        Ok(None)
    }

    /// On the command line, where they outrank the cluster's own files; of two for one name the last counts.
    fn settings(&self) -> Vec<OsString> {
        let socket_dir = self.socket_dir.to_string_lossy().replace('"', "\"\""); // a list: commas separate
        let mut settings = vec![
            "listen_addresses=".to_owned(),
            format!("port={}", home::PORT),
            format!("unix_socket_directories=\"{socket_dir}\""),
            "unix_socket_permissions=0700".to_owned(),
            "logging_collector=off".to_owned(),
            format!("max_connections={}", self.options.max_connections),
        ];
        settings.extend(cluster::WAL_SETTINGS.map(str::to_owned));
        let safety = ["fsync", "synchronous_commit", "full_page_writes"];
        let switch = if self.options.durable { "on" } else { "off" };
        settings.extend(safety.map(|name| format!("{name}={switch}")));
        if self.options.durable {
            settings.extend(cluster::WRITE_BACK.map(str::to_owned));
            settings.extend(cluster::pages_compressed(&self.home.data, self.binaries).map(str::to_owned));
        }
        settings.extend(self.options.settings.iter().map(|(name, value)| format!("{name}={value}")));
        settings.into_iter().map(OsString::from).collect()
    }
}

/// The messages are English: the locale is C.
fn blames_remains(log: &str) -> bool {
    log.contains("shared memory block") && log.contains("still in use")
        || log.contains("lock file \"postmaster.pid\" already exists")
}

fn percent_encode(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            encoded + &char::from(byte).to_string()
        }
        _ => encoded + &format!("%{byte:02X}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_survives_the_url() {
        assert_eq!(percent_encode("/tmp/a b&c?ü"), "%2Ftmp%2Fa%20b%26c%3F%C3%BC");
    }
}
