//! The PostgreSQL of one part: durable, as a careful operator sets it, on a directory of its own that goes with it.

use std::sync::OnceLock;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use tenure::database::options_of;
use tenure::embedded_postgres::{EmbeddedPostgres, Options};

/// Of the servers this program starts.
static VERSION: OnceLock<String> = OnceLock::new();

pub struct Postgres {
    server: EmbeddedPostgres,
}

impl Postgres {
    pub fn start() -> Self {
        Self::with([("shared_buffers", "1GB"), ("max_wal_size", "8GB")])
    }

    /// With the settings that `tenure serve` gives its own: what most people will have behind it.
    pub fn as_served() -> Self {
        Self::with([("shared_buffers", "256MB"), ("max_wal_size", "4GB")])
    }

    fn with(settings: [(&str, &str); 2]) -> Self {
        let data_dir = tempfile::tempdir().expect("a directory").keep();
        let options = Options {
            data_dir,
            durable: true,
            remove_on_exit: true,
            settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            max_connections: 200,
        };
        Self { server: EmbeddedPostgres::start(options).expect("a PostgreSQL") }
    }

    /// An empty database of that name, instead of any there was.
    pub async fn database(&self, name: &str) -> PgConnectOptions {
        let admin = options_of(&self.server.url("postgres")).expect("a URL");
        let mut connection = admin.connect().await.expect("a connection");
        let drop = format!("drop database if exists {name} with (force)");
        connection.execute(&*drop).await.expect("dropped");
        let version = sqlx::query_scalar("show server_version").fetch_one(&mut connection).await;
        VERSION.get_or_init(|| version.expect("a version"));
        connection.execute(&*format!("create database {name}")).await.expect("created");
        connection.close().await.expect("closed");
        let database = admin.database(name);
        checkpoint(&database).await;
        database
    }

    pub fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    pub fn stop(mut self) {
        self.server.stop();
    }
}

/// The version of PostgreSQL, once a part has used one.
pub fn version() -> String {
    VERSION.get().cloned().unwrap_or_else(|| "unknown".to_owned())
}

/// So that no page a round touches needs its full image in the log anew.
pub async fn checkpoint(database: &PgConnectOptions) {
    let mut connection = database.connect().await.expect("a connection");
    connection.execute("checkpoint").await.expect("a checkpoint");
    connection.close().await.expect("closed");
}
