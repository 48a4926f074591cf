//! What the projector tells of itself: for readiness, metrics and the log.

use std::sync::Arc;

use tenure_projections::ALL;

use super::checkpoint::Seen;
use super::parking::Waiting;
use super::reader::Hole;
use super::step::Step;
use super::{Error, Projector};

/// How the loop stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    pub role: Role,
    /// What all live core read models have reached.
    pub position: i64,
    /// Events between that and the head of the log.
    pub lag: i64,
    /// Workspaces that wait, counted once per read model.
    pub parked: i64,
    /// Which those are. Complete up to `position`.
    pub waiting: Arc<Waiting>,
    /// Positions that are missing from the log: an alarm, and the read models wait there.
    pub hole: Option<Hole>,
    /// Read models that serve rows of an older version; [`rebuild`](fn@super::rebuild) mends that.
    pub outdated: Vec<&'static str>,
    /// Of the last round, if it failed.
    pub last_error: Option<String>,
}

/// Who moved the checkpoints last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Starting,
    Leader,
    Follower,
}

impl Projector {
    pub(super) fn led(&self, step: Step) {
        if step.events > 0 {
            #[allow(clippy::cast_precision_loss, reason = "a batch is small")]
            metrics::histogram!("tenure_projection_batch_size").record(step.events as f64);
            metrics::counter!("tenure_projection_events_total").increment(step.events.unsigned_abs());
        }
        self.reached(step.position, step.head, |now| {
            now.role = Role::Leader;
            if let Some(hole) = step.hole
                && now.hole != Some(hole)
            {
                tracing::error!(
                    after = hole.after,
                    next = hole.next,
                    "a hole in the log: the read models wait"
                );
                metrics::counter!("tenure_projection_holes_total").increment(1);
            }
            now.hole = step.hole;
        });
    }

    pub(super) async fn saw(&self, seen: Seen) -> Result<(), Error> {
        // Before it is told how far the read models are: whoever waited for that must know what is not shown.
        let waiting = if seen.parked > 0 { Waiting::read(&self.pool).await? } else { Waiting::default() };
        self.parked_are(waiting);
        self.reached(seen.applied, seen.head, |now| {
            if now.role == Role::Leader && seen.applied > now.position {
                now.role = Role::Follower;
            }
        });
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "exact below 2^53")]
    pub(super) fn parked_are(&self, waiting: Waiting) {
        metrics::gauge!("tenure_projection_parked").set(waiting.total() as f64);
        for projection in &ALL {
            let count = waiting.models.get(projection.name).copied().unwrap_or_default();
            metrics::gauge!("tenure_parked_workspaces", "projection" => projection.name).set(count as f64);
        }
        self.snapshot.send_if_modified(|now| {
            let news = *now.waiting != waiting;
            if news {
                (now.parked, now.waiting) = (waiting.total(), Arc::new(waiting));
            }
            news
        });
    }

    pub(super) fn failed(&self, error: &Error) {
        tracing::error!(%error, "the read models could not be moved on; trying again");
        metrics::counter!("tenure_projection_errors_total").increment(1);
        self.snapshot.send_modify(|now| now.last_error = Some(error.to_string()));
    }

    fn reached(&self, position: i64, head: i64, also: impl FnOnce(&mut Snapshot)) {
        let lag = (head - position).max(0);
        self.snapshot.send_modify(|now| {
            also(now);
            now.position = position;
            now.lag = lag;
            now.last_error = None;
        });
        #[allow(clippy::cast_precision_loss, reason = "exact below 2^53")]
        {
            metrics::gauge!("tenure_projection_position").set(position as f64);
            metrics::gauge!("tenure_projection_lag").set(lag as f64);
        }
        self.applied.send_if_modified(|applied| {
            let further = position > *applied;
            *applied = position.max(*applied);
            further
        });
    }
}
