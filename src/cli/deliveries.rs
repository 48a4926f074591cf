//! `tenure deliveries`: what waits to go out, what failed and why, and how to try it again.

use anyhow::ensure;
use chrono::SecondsFormat;
use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::PgPool;
use tenure_aggregates::Time;
use uuid::Uuid;

use super::database::Database;
use crate::clock;
use crate::config::Settings;
use crate::database::{Role, migrate, pool};
use crate::deliveries::Channel;
use crate::deliveries::gauges::standings;
use crate::deliveries::inspect::{Filter, Shown, attempts, list, retry};

/// States a delivery can be in.
const STATUSES: [&str; 4] = ["pending", "delivered", "failed", "cancelled"];

/// What `tenure deliveries` is asked.
#[derive(Debug, Args)]
pub(super) struct Deliveries {
    #[command(flatten)]
    which: Which,
    /// How many, the newest first
    #[arg(long, default_value_t = 50, value_name = "N")]
    limit: i64,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(subcommand)]
    task: Option<Task>,
}

/// Which deliveries.
#[derive(Debug, Args)]
struct Which {
    /// Of this workspace only
    #[arg(long, value_name = "ID", global = true)]
    workspace: Option<Uuid>,
    /// mail or webhook
    #[arg(long, global = true)]
    channel: Option<Channel>,
    /// pending, delivered, failed or cancelled; several are separated by commas
    #[arg(long, value_delimiter = ',', value_parser = STATUSES, global = true)]
    status: Vec<String>,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Show one delivery with its attempts
    Show { delivery: Uuid },
    /// Try deliveries again now: those that are named, or those that the filters let through
    Retry {
        #[arg(required_unless_present_any = ["status", "channel", "workspace"])]
        deliveries: Vec<Uuid>,
    },
}

impl Which {
    fn filter(&self, ids: &[Uuid]) -> Filter {
        Filter {
            workspace: self.workspace,
            channel: self.channel,
            statuses: self.status.clone(),
            ids: ids.to_vec(),
        }
    }
}

pub(super) async fn run(settings: Settings, asked: Deliveries) -> anyhow::Result<()> {
    super::log_to_stderr(&settings)?;
    let database = Database::open(&settings, true).await?;
    let projector = pool(&database.options, Role::Projector, 2);
    let outcome = async {
        migrate(&database.options).await?;
        asked.answer(&projector).await
    };
    let outcome = outcome.await;
    projector.close().await;
    database.close().await;
    outcome
}

impl Deliveries {
    async fn answer(&self, projector: &PgPool) -> anyhow::Result<()> {
        match &self.task {
            None => self.list(projector).await,
            Some(Task::Show { delivery }) => self.show(projector, *delivery).await,
            Some(Task::Retry { deliveries }) => self.retry(projector, deliveries).await,
        }
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    async fn list(&self, projector: &PgPool) -> anyhow::Result<()> {
        let found = list(projector, &self.which.filter(&[]), self.limit).await?;
        if self.json {
            for delivery in &found {
                println!("{}", as_json(delivery));
            }
            return Ok(());
        }
        for standing in standings(projector).await? {
            let since = standing.due_since.filter(|since| *since < clock::now());
            let waits = since.map_or_else(String::new, |since| format!(", due since {}", instant(since)));
            println!(
                "{}: {} pending{waits}; {} events behind the log",
                standing.channel, standing.pending, standing.lag
            );
        }
        println!(
            "{:<36} {:<7} {:<9} {:>8} {:<20} {:<20} {:<28} why",
            "delivery", "channel", "status", "attempts", "created", "next attempt", "what"
        );
        for delivery in &found {
            println!(
                "{:<36} {:<7} {:<9} {:>8} {:<20} {:<20} {:<28} {}",
                delivery.delivery_id,
                delivery.channel,
                delivery.status,
                delivery.attempts,
                instant(delivery.created_at),
                delivery.next_attempt_at.map(instant).unwrap_or_default(),
                delivery.kind,
                delivery.reason.as_deref().unwrap_or_default()
            );
        }
        Ok(())
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    async fn show(&self, projector: &PgPool, id: Uuid) -> anyhow::Result<()> {
        let found = list(projector, &self.which.filter(&[id]), 1).await?;
        let Some(delivery) = found.first() else { anyhow::bail!("there is no delivery {id}") };
        let attempts = attempts(projector, delivery).await?;
        let log = attempts.iter().map(|attempt| {
            json!({"attempt": attempt.attempt, "at": attempt.at, "delivered": attempt.delivered,
                   "status": attempt.status, "reason": attempt.reason, "latency_ms": attempt.latency_ms})
        });
        let mut shown = as_json(delivery);
        shown["attempt_log"] = log.collect();
        println!("{shown:#}");
        Ok(())
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    async fn retry(&self, projector: &PgPool, ids: &[Uuid]) -> anyhow::Result<()> {
        let tried = retry(projector, &self.which.filter(ids), clock::now()).await?;
        ensure!(
            tried > 0 || ids.is_empty(),
            "nothing to try again: unknown, delivered already, or due as it is"
        );
        println!("{tried} due now.");
        Ok(())
    }
}

fn as_json(delivery: &Shown) -> serde_json::Value {
    json!({
        "id": delivery.delivery_id,
        "workspace_id": delivery.workspace_id,
        "channel": delivery.channel,
        "endpoint_id": (delivery.channel == Channel::Webhook.as_str()).then_some(delivery.lane),
        "type": delivery.kind,
        "trigger": delivery.trigger,
        "event_id": delivery.event_id,
        "position": delivery.position,
        "recipient": delivery.recipient,
        "status": delivery.status,
        "attempts": delivery.attempts,
        "next_attempt_at": delivery.next_attempt_at,
        "reason": delivery.reason,
        "created_at": delivery.created_at,
        "finished_at": delivery.finished_at,
    })
}

fn instant(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}
