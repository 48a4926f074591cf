//! Where the database is: the one that was named, or Tenure's own, running here or in another process.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use tokio_util::sync::CancellationToken;

use crate::config::Settings;
use crate::database::options_of;
use crate::embedded_postgres::{EmbeddedPostgres, EmbeddedPostgresError, Options};

/// How often a PostgreSQL of our own is looked after.
const LOOK_AFTER: Duration = Duration::from_millis(250);

/// A reachable database, and the server behind it if it is ours.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) options: PgConnectOptions,
    pub(super) embedded: Option<Embedded>,
}

/// Our own PostgreSQL, restarted should it die.
#[derive(Debug, Clone)]
pub(super) struct Embedded {
    server: Arc<Mutex<Option<EmbeddedPostgres>>>,
    settings: Arc<Settings>,
}

impl Database {
    /// Connects to the named database, or starts our own; where another Tenure runs it already, `share` says whether
    /// to use that one.
    pub(super) async fn open(settings: &Settings, share: bool) -> anyhow::Result<Self> {
        if let Some(url) = &settings.database_url {
            let options = options_of(url).context("the database URL cannot be read")?;
            return Ok(Self { options, embedded: None });
        }
        match start(settings.clone()).await {
            Ok(server) => {
                let url = server.url("postgres");
                tell(settings, &url)?;
                let embedded = Embedded {
                    server: Arc::new(Mutex::new(Some(server))),
                    settings: Arc::new(settings.clone()),
                };
                Ok(Self { options: options_of(&url)?, embedded: Some(embedded) })
            }
            Err(EmbeddedPostgresError::InUse { .. }) if share => {
                let url = std::fs::read_to_string(settings.embedded_url_file()).context(
                    "another Tenure runs on this data directory, but does not say how to reach its database",
                )?;
                Ok(Self { options: options_of(url.trim())?, embedded: None })
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn close(self) {
        if let Some(embedded) = self.embedded {
            embedded.stop().await;
        }
    }
}

impl Embedded {
    /// Starts the server again whenever it is gone, until told to stop.
    pub(super) async fn look_after(self, stop: CancellationToken) {
        let mut due = tokio::time::interval(LOOK_AFTER);
        loop {
            tokio::select! {
                _ = due.tick() => {}
                () = stop.cancelled() => return,
            }
            let running = self.lock().as_ref().is_some_and(EmbeddedPostgres::is_running);
            if running {
                continue;
            }
            tracing::error!("PostgreSQL is gone; starting it again");
            let dead = self.lock().take();
            // Its end waits for what is left of it, and gives the directory's lock back.
            let _ = tokio::task::spawn_blocking(move || drop(dead)).await;
            match start((*self.settings).clone()).await {
                Ok(server) => {
                    *self.lock() = Some(server);
                    tracing::info!("PostgreSQL runs again");
                }
                Err(error) => tracing::error!(%error, "PostgreSQL could not be started; trying again"),
            }
        }
    }

    pub(super) fn server_pid(&self) -> Option<i32> {
        self.lock().as_ref().map(EmbeddedPostgres::server_pid)
    }

    async fn stop(self) {
        let server = self.lock().take();
        let _ = tokio::task::spawn_blocking(move || drop(server)).await;
        let _ = std::fs::remove_file(self.settings.embedded_url_file());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<EmbeddedPostgres>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn start(settings: Settings) -> Result<EmbeddedPostgres, EmbeddedPostgresError> {
    let options = Options {
        data_dir: settings.data_dir.join("pg"),
        durable: true,
        remove_on_exit: false,
        settings: vec![("shared_buffers".into(), "256MB".into()), ("max_wal_size".into(), "4GB".into())],
        max_connections: 100,
    };
    let started = tokio::task::spawn_blocking(move || EmbeddedPostgres::start(options)).await;
    started.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Lets other commands on this data directory find the server. The address holds no secret, but is nobody's business.
fn tell(settings: &Settings, url: &str) -> anyhow::Result<()> {
    let path = settings.embedded_url_file();
    let _ = std::fs::remove_file(&path);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
    writeln!(file, "{url}").context("the data directory cannot be written")
}
