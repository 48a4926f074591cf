//! The `invoices` binary. Settings are environment variables; the README lists them.

use std::env;

use anyhow::Context;
use sqlx::postgres::PgConnectOptions;
use tenure_guard::{AUDIENCE, Guard, RemoteVerifier, check_isolation};
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

const CONNECTIONS: u32 = 10;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).init();
    let database: PgConnectOptions = setting("INVOICES_DATABASE_URL")?.parse()?;
    let tenure = env::var("TENURE_URL").unwrap_or_else(|_| "http://127.0.0.1:7373".into());
    let listen = env::var("INVOICES_LISTEN").unwrap_or_else(|_| "127.0.0.1:7400".into());

    invoices::schema::install(&database).await.context("the table cannot be made")?;
    let pool = invoices::schema::pool(&database, CONNECTIONS);
    check_isolation(&pool).await?;

    let mut guard = Guard::new(RemoteVerifier::new(tenure, AUDIENCE)?);
    if let Ok(url) = env::var("INVOICES_PUBLIC_URL") {
        guard = guard.with_public_url(&url)?;
    }
    let listener = TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    tracing::info!(address = %listener.local_addr()?, "invoices are served");
    let interrupted = async { drop(tokio::signal::ctrl_c().await) };
    axum::serve(listener, invoices::router(pool, &guard)).with_graceful_shutdown(interrupted).await?;
    Ok(())
}

fn setting(name: &str) -> anyhow::Result<String> {
    env::var(name).with_context(|| format!("{name} is not set"))
}
