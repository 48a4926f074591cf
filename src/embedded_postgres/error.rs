//! What can go wrong with the embedded PostgreSQL, in words a stranger can act on.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum EmbeddedPostgresError {
    #[error("TENURE_PG_BIN={} is of no use: {reason}. Point it at the bin directory of PostgreSQL 15 or newer", dir.display())]
    UnusableBinDir { dir: PathBuf, reason: String },
    #[error(
        "no PostgreSQL found{}. Either install PostgreSQL 15 or newer, or set TENURE_PG_BIN to the directory \
         of its postgres and initdb, or set DATABASE_URL to use a server that already runs",
        because(download.as_deref())
    )]
    NoBinaries { download: Option<String> },
    #[error(
        "{} was made by PostgreSQL {made_by}, but {found}. Install PostgreSQL {made_by}, or set TENURE_PG_BIN to \
         its bin directory, or move the data over with pg_upgrade",
        data.display()
    )]
    ForeignMajor { data: PathBuf, made_by: String, found: String },
    #[error("{} is in use by another instance{holder}. Stop that one first, or choose another data directory", dir.display())]
    InUse { dir: PathBuf, holder: String },
    #[error("{} {reason}. Choose another data directory, or set DATABASE_URL", dir.display())]
    UnusableDir { dir: PathBuf, reason: String },
    #[error(
        "PostgreSQL refuses to run as root, and {reason}. Run Tenure as an ordinary user, or set DATABASE_URL"
    )]
    NoUnprivilegedUser { reason: String },
    #[error("initdb could not make a database cluster in {}: {output}", dir.display())]
    InitDb { dir: PathBuf, output: String },
    #[error("PostgreSQL stopped while starting; the end of {}:\n{tail}", log.display())]
    StoppedAtStart { log: PathBuf, tail: String },
    #[error("PostgreSQL was not ready after {seconds} s; see {}", log.display())]
    NotReady { seconds: u64, log: PathBuf },
    #[error(
        "an earlier PostgreSQL (process {pid}) still runs in {} and does not stop; end it and start again",
        data.display()
    )]
    Survivor { pid: i32, data: PathBuf },
    #[error("could not {action}: {source}")]
    Io { action: String, source: io::Error },
}

fn because(download: Option<&str>) -> String {
    download.map_or_else(String::new, |reason| format!(", and downloading it failed ({reason})"))
}

/// Says what was being done when the operating system refused.
pub(super) trait During<T> {
    fn during(self, action: impl FnOnce() -> String) -> Result<T, EmbeddedPostgresError>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, action: impl FnOnce() -> String) -> Result<T, EmbeddedPostgresError> {
        self.map_err(|source| EmbeddedPostgresError::Io { action: action(), source: source.into() })
    }
}
