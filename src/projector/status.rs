//! What the projector tells of itself: for readiness, metrics and the log.

use super::checkpoint::Seen;
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

    pub(super) fn saw(&self, seen: Seen) {
        self.reached(seen.applied, seen.head, |now| {
            if now.role == Role::Leader && seen.applied > now.position {
                now.role = Role::Follower;
            }
            now.parked = seen.parked;
        });
        self.parked_metric(seen.parked);
    }

    pub(super) fn parked_are(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.snapshot.send_modify(|now| now.parked = count);
        self.parked_metric(count);
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

    #[allow(clippy::cast_precision_loss, clippy::unused_self, reason = "exact below 2^53")]
    fn parked_metric(&self, count: i64) {
        metrics::gauge!("tenure_projection_parked").set(count as f64);
    }
}
