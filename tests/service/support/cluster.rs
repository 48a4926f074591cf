//! One PostgreSQL for the whole test binary, one migrated template, a fresh database per test.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};
use tenure::database::{migrate, options_of};
use tenure::embedded_postgres::{EmbeddedPostgres, Options};
use tokio::sync::OnceCell;

static SERVER: Mutex<Option<EmbeddedPostgres>> = Mutex::new(None);
static TEMPLATE: OnceCell<String> = OnceCell::const_new();
static NEXT: AtomicU32 = AtomicU32::new(1);

/// The address of the cluster, with `template` migrated in it.
async fn cluster() -> &'static str {
    TEMPLATE
        .get_or_init(|| async {
            let data_dir = tempfile::Builder::new().prefix("tenure-tests").tempdir().unwrap().keep();
            let options = Options {
                data_dir,
                durable: false,
                remove_on_exit: true,
                settings: vec![
                    ("shared_buffers".into(), "64MB".into()),
                    ("max_wal_size".into(), "4GB".into()),
                    ("jit".into(), "off".into()),
                ],
                max_connections: 500,
            };
            let server =
                tokio::task::spawn_blocking(|| EmbeddedPostgres::start(options)).await.unwrap().unwrap();
            let url = server.url("postgres");
            // The server's life is tied to this process's, however it ends; a static is never dropped.
            *SERVER.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
            let mut connection = options_of(&url).unwrap().connect().await.unwrap();
            connection.execute("create database template_tenure").await.unwrap();
            connection.close().await.unwrap();
            migrate(&options_of(&url).unwrap().database("template_tenure")).await.unwrap();
            url
        })
        .await
}

/// A database of the test's own; `tenure_service` and the others are the cluster's roles.
pub async fn fresh_database() -> PgConnectOptions {
    copy_of("template_tenure").await
}

/// One with nothing in it, for a product beside Tenure.
pub async fn empty_database() -> PgConnectOptions {
    copy_of("template0").await
}

async fn copy_of(template: &str) -> PgConnectOptions {
    let admin = options_of(cluster().await).unwrap();
    let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut connection = admin.connect().await.unwrap();
    let create = format!("create database {name} template {template} strategy file_copy");
    connection.execute(create.as_str()).await.unwrap();
    connection.close().await.unwrap();
    admin.database(&name)
}
