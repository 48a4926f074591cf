//! How much waits to be delivered, for how long, and how far each channel is behind the log, as metrics.

use sqlx::PgPool;
use tenure_aggregates::Time;

/// How a channel stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    pub channel: String,
    /// Events between what is written down and the head of the log.
    pub lag: i64,
    /// Deliveries that have yet to arrive or be given up.
    pub pending: i64,
    /// When the one that is longest due was due.
    pub due_since: Option<Time>,
    /// When the oldest of them was written down.
    pub oldest: Option<Time>,
}

/// How the channels stand. `projector` reads the deliveries of all tenants.
pub async fn standings(projector: &PgPool) -> Result<Vec<Standing>, sqlx::Error> {
    sqlx::query_as!(
        Standing,
        r#"select c.channel, greatest(h.position - c.position, 0) as "lag!", count(d.delivery_id) as "pending!",
                  min(d.next_attempt_at) as due_since, min(d.created_at) as oldest
           from delivery_checkpoints c
           join log_head h on h.id = 1
           left join deliveries d on d.channel = c.channel and d.next_attempt_at is not null
           group by c.channel, h.position, c.position order by c.channel"#
    )
    .fetch_all(projector)
    .await
}

/// Sets the gauges.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub async fn measure(projector: &PgPool, now: Time) -> Result<(), sqlx::Error> {
    for standing in standings(projector).await? {
        let age = |since: Option<Time>| {
            since.and_then(|since| (now - since).to_std().ok()).map_or(0.0, |age| age.as_secs_f64())
        };
        let channel = standing.channel.clone();
        metrics::gauge!("tenure_delivery_lag", "channel" => channel.clone()).set(standing.lag as f64);
        metrics::gauge!("tenure_delivery_pending", "channel" => channel.clone()).set(standing.pending as f64);
        metrics::gauge!("tenure_delivery_queue_age_seconds", "channel" => channel.clone())
            .set(age(standing.due_since));
        metrics::gauge!("tenure_delivery_oldest_seconds", "channel" => channel).set(age(standing.oldest));
    }
    Ok(())
}
