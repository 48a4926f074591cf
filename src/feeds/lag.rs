//! How far the consumers of the whole log are behind, as a metric. Those of workspaces are not there: their number has
//! no bound.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sqlx::PgPool;
use tenure_projections::consumers;

use super::Feed;

/// Keeps the gauges, and lowers those whose consumer is gone.
#[derive(Debug, Default)]
pub struct Lags(Mutex<HashSet<String>>);

impl Lags {
    pub async fn measure(&self, projector: &PgPool) -> Result<(), sqlx::Error> {
        let lags = consumers::lags(projector, Feed::Whole.home()).await?;
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for gone in known.iter().filter(|name| lags.iter().all(|(other, _)| other != *name)) {
            gauge(gone, 0);
        }
        for (name, lag) in &lags {
            gauge(name, *lag);
        }
        *known = lags.into_iter().map(|(name, _)| name).collect();
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn gauge(consumer: &str, lag: i64) {
    metrics::gauge!("tenure_consumer_lag", "consumer" => consumer.to_owned()).set(lag as f64);
}
