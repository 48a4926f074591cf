//! `tenure serve`: everything together, from the first line printed to the last request finished.

use anyhow::Context;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::database::Database;
use crate::config::Settings;
use crate::http::base::server::ServerOptions;
use crate::http::{self, base::server};
use crate::mail::{Mail, WayOut};
use crate::service::Service;

pub(super) async fn run(settings: Settings) -> anyhow::Result<()> {
    super::log_to_stderr(&settings)?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    // Before anything takes time: an address that is taken should be said at once.
    let listener = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("cannot listen on {}", settings.listen))?;
    let address = listener.local_addr()?;
    // A port of 0 is a real one by now.
    let settings = Settings { listen: address, ..settings };
    let database = Database::open(&settings, false).await?;
    let recorder = recorder()?;
    let service = Service::start(&settings, &database.options, Some(recorder)).await?;
    let keeper =
        database.embedded.clone().map(|embedded| tokio::spawn(embedded.look_after(service.stopping_token())));
    greet(&settings, &address.to_string(), &database, &service);
    if let Some(mailbox) = service.app().mail.dev_mailbox() {
        mailbox.announce_with(print_line);
    }

    let stopping = service.stopping_token();
    let shutdown = async {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        tracing::info!("stopping: finishing what was accepted");
        stopping.cancel();
    };
    let served =
        server::serve(listener, http::service(service.app()), ServerOptions::default(), shutdown).await;
    service.stop().await;
    if let Some(keeper) = keeper {
        let _ = keeper.await;
    }
    database.close().await;
    tracing::info!("stopped");
    Ok(served?)
}

/// Durations and batch sizes need different buckets.
fn recorder() -> anyhow::Result<PrometheusHandle> {
    let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
    let events = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 2_000.0, 5_000.0];
    Ok(PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &seconds)?
        .set_buckets_for_metric(Matcher::Suffix("_events".to_owned()), &events)?
        .set_buckets_for_metric(Matcher::Suffix("_size".to_owned()), &events)?
        .install_recorder()?)
}

/// What a stranger needs: where it is, where the data lies, the key, and a line that works.
#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn greet(settings: &Settings, address: &str, database: &Database, service: &Service) {
    let data_dir = std::path::absolute(&settings.data_dir).unwrap_or_else(|_| settings.data_dir.clone());
    println!("Tenure serves on http://{address}");
    println!("  docs          http://{address}/docs");
    println!("  data          {}", data_dir.display());
    match &database.embedded {
        Some(embedded) => {
            println!("  database      its own PostgreSQL, pid {}", embedded.server_pid().unwrap_or_default());
        }
        None => println!("  database      as named"),
    }
    match service.first_operator_key() {
        Some(key) => println!("  operator key  {key}  (shown this once; kept in operator.key there)"),
        None => println!("  operator key  as before; `tenure operator-key` shows it"),
    }
    let bearer = if settings.operator_key.is_some() {
        "$TENURE_OPERATOR_KEY".to_owned()
    } else {
        format!("$(cat '{}')", settings.operator_key_file().display())
    };
    println!("  mail          {}", where_mail_goes(&service.app().mail));
    println!("Try:");
    println!("  curl -H \"Authorization: Bearer {bearer}\" http://{address}/v1/permissions");
}

/// Where mail goes, or that it goes nowhere.
fn where_mail_goes(mail: &Mail) -> String {
    match mail.way_out() {
        WayOut::Smtp(smtp) => {
            let (host, port) = smtp.host();
            format!("by {host}:{port}")
        }
        WayOut::DevMailbox(mailbox) => {
            format!("no mail server is set (TENURE_SMTP_URL): to {}", mailbox.url())
        }
        WayOut::Nowhere => {
            tracing::warn!(
                "no mail server is set (TENURE_SMTP_URL and TENURE_MAIL_FROM): mails wait for one"
            );
            "waits: no mail server is set (TENURE_SMTP_URL)".to_owned()
        }
    }
}

/// A line for whoever watches the development server; nobody may be there to read it.
fn print_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{line}");
}
