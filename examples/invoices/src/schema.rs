//! The product's table, protected, and the pool that requests are served from.

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool, raw_sql};
use tenure_guard::ROW_LEVEL_SECURITY;

/// The role requests are served as.
const APP_ROLE: &str = "invoices_app";

/// Makes or completes the table. `owner` may create tables and roles; it serves no request.
pub async fn install(owner: &PgConnectOptions) -> Result<(), sqlx::Error> {
    let mut connection = owner.connect().await?;
    let mut tx = connection.begin().await?;
    // Two processes that start at once take turns.
    raw_sql("select pg_advisory_xact_lock(hashtext('invoices schema'))").execute(&mut *tx).await?;
    raw_sql(ROW_LEVEL_SECURITY).execute(&mut *tx).await?;
    raw_sql(include_str!("../schema.sql")).execute(&mut *tx).await?;
    tx.commit().await?;
    connection.close().await
}

/// A pool that works as [`APP_ROLE`], which row level security binds; the login only lends its connections.
pub fn pool(login: &PgConnectOptions, connections: u32) -> PgPool {
    let options = login.clone().options([("role", APP_ROLE)]);
    PgPoolOptions::new().max_connections(connections).connect_lazy_with(options)
}
