//! The PostgreSQL of one part: durable, as a careful operator sets it, on a directory of its own that goes with it.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use tenure::database::options_of;
use tenure::embedded_postgres::{EmbeddedPostgres, Options};

pub struct Postgres {
    server: EmbeddedPostgres,
}

impl Postgres {
    pub fn start() -> Self {
        let data_dir = tempfile::tempdir().expect("a directory").keep();
        let settings = [("shared_buffers", "1GB"), ("max_wal_size", "8GB")];
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
        connection.execute(&*format!("create database {name}")).await.expect("created");
        connection.execute("checkpoint").await.expect("a checkpoint");
        connection.close().await.expect("closed");
        admin.database(name)
    }

    pub fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    pub fn stop(mut self) {
        self.server.stop();
    }
}
