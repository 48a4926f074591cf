//! The courier: takes what is due and lets the channel's carrier carry it, so much at once, and of no lane more than its
//! share, so that whoever does not answer holds up nobody else.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tenure_aggregates::Time;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::queue::{Lane, Queue, Room};
use super::{Carrier, Due, Outcome, Report, Retry};
use crate::clock;

/// How long what is under way may take to end when the service stops.
const GRACE: Duration = Duration::from_secs(5);
/// The wait after the database could not be asked.
const PAUSE: Duration = Duration::from_secs(1);

/// The loop of one channel, as its task owns it.
#[derive(Debug)]
pub struct Courier<C> {
    carrier: Arc<C>,
    queue: Queue,
    /// Told when something was written down.
    written: Arc<Notify>,
    /// The longest wait between two looks.
    pace: Duration,
    held: HashMap<Id, Due>,
    under_way: JoinSet<()>,
    /// The lane that was served last, so that all have their turn.
    last: Uuid,
}

impl<C: Carrier> Courier<C> {
    pub fn new(carrier: Arc<C>, queue: Queue, written: Arc<Notify>, pace: Duration) -> Self {
        let (held, under_way) = (HashMap::new(), JoinSet::new());
        Self { carrier, queue, written, pace, held, under_way, last: Uuid::nil() }
    }

    /// Runs until told to stop, and then for as long as it takes to end what is under way, within bounds.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut alive = tokio::time::interval(self.queue.lease / 3);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wait = Duration::ZERO;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.under_way.join_next_with_id() => self.ended(ended),
                _ = alive.tick() => { self.prolong().await; continue }
                () = self.written.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            wait = self.set_out().await.unwrap_or_else(|error| {
                tracing::warn!(channel = %self.queue.channel, %error, "what is due cannot be looked up; trying again");
                PAUSE
            });
        }
        self.wind_up().await;
    }

    /// Takes what there is room for; returns how long to wait for the next look.
    async fn set_out(&mut self) -> Result<Duration, sqlx::Error> {
        while let Some(ended) = self.under_way.try_join_next_with_id() {
            self.ended(ended);
        }
        let now = clock::now();
        let free = C::AT_ONCE.saturating_sub(self.held.len());
        // Whoever ends makes room, and wakes the loop.
        if free == 0 {
            return Ok(self.pace);
        }
        let next = self.queue.next().await?;
        if next.is_none_or(|next| next > now) {
            return Ok(next.and_then(|next| (next - now).to_std().ok()).unwrap_or(self.pace).min(self.pace));
        }
        let rooms = self.rooms(self.queue.lanes(self.last, now).await?);
        let due = if rooms.is_empty() { vec![] } else { self.queue.take(&rooms, free, now).await? };
        if due.is_empty() {
            return Ok(self.pace);
        }
        for due in due {
            self.last = due.lane;
            self.carry(due);
        }
        Ok(Duration::ZERO)
    }

    /// How much of each lane may be taken.
    fn rooms(&self, lanes: Vec<Lane>) -> Vec<Room> {
        let (mut of_lane, mut of_workspace) = (HashMap::new(), HashMap::new());
        for due in self.held.values() {
            *of_lane.entry(due.lane).or_default() += 1;
            *of_workspace.entry(due.workspace.0).or_default() += 1;
        }
        let mut rooms = Vec::with_capacity(lanes.len());
        for Lane { workspace, lane, failing } in lanes {
            let taken: usize = of_lane.get(&lane).copied().unwrap_or_default();
            // Whoever does not answer is asked by one at a time: the others' turn is not spent on it.
            let most = if failing { 1 } else { C::PER_LANE };
            let shared: &mut usize = of_workspace.entry(workspace).or_default();
            let room = most.saturating_sub(taken).min(C::PER_WORKSPACE.saturating_sub(*shared));
            *shared += room;
            if room > 0 {
                rooms.push((lane, room));
            }
        }
        rooms
    }

    fn carry(&mut self, due: Due) {
        let (carrier, queue, carried) = (self.carrier.clone(), self.queue.clone(), due.clone());
        let task = self.under_way.spawn(async move {
            let outcome = carrier.carry(&carried).await;
            settle(&queue, carrier.schedule(), &carried, &outcome).await;
        });
        self.held.insert(task.id(), due);
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "an attempt ended badly: it is made again");
                error.id()
            }
        };
        self.held.remove(&id);
    }

    async fn prolong(&self) {
        if self.held.is_empty() {
            return;
        }
        let held: Vec<Due> = self.held.values().cloned().collect();
        if let Err(error) = self.queue.prolong(&held, clock::now()).await {
            tracing::warn!(channel = %self.queue.channel, %error, "leases cannot be prolonged; trying again");
        }
    }

    async fn wind_up(&mut self) {
        let end = tokio::time::sleep(GRACE);
        tokio::pin!(end);
        while !self.held.is_empty() {
            tokio::select! {
                Some(ended) = self.under_way.join_next_with_id() => self.ended(ended),
                () = &mut end => break,
            }
        }
        self.under_way.shutdown().await;
        let held: Vec<Due> = self.held.drain().map(|(_, due)| due).collect();
        if !held.is_empty() && self.queue.give_back(&held, clock::now()).await.is_err() {
            tracing::debug!("what was under way is taken up again when its lease is over");
        }
    }
}

/// Notes what came of an attempt. Where that fails, the lease ends and the attempt is made again.
async fn settle(queue: &Queue, schedule: &[Duration], due: &Due, outcome: &Outcome) {
    let now = clock::now();
    let retry = again_at(schedule, due.attempt, outcome, now, fastrand::f64());
    count(queue, outcome);
    if let Err(error) = queue.note(due, outcome, retry, now).await {
        tracing::warn!(delivery = %due.id, %error, "what came of a delivery cannot be noted: it is made again");
    }
}

/// When there is another attempt after this one; `chance` is from 0 to 1.
fn again_at(schedule: &[Duration], attempt: u32, outcome: &Outcome, now: Time, chance: f64) -> Option<Time> {
    let Outcome::Failed(_, retry) = outcome else { return None };
    let wait = schedule.get(usize::try_from(attempt).ok()?)?;
    // A tenth more or less, so that what failed together does not come back together.
    let wait = wait.mul_f64(0.9 + chance / 5.0);
    let wait = match retry {
        Retry::Scheduled => wait,
        Retry::After(least) => wait.max(*least),
        Retry::Never => return None,
    };
    now.checked_add_signed(TimeDelta::from_std(wait).ok()?)
}

fn count(queue: &Queue, outcome: &Outcome) {
    let channel = queue.channel.as_str();
    let (name, report) = match outcome {
        Outcome::Delivered(report) => ("delivered", Some(report)),
        Outcome::Failed(report, _) => ("failed", Some(report)),
        Outcome::Cancelled(_) => ("cancelled", None),
        Outcome::NotNow(_) => ("put_off", None),
    };
    metrics::counter!("tenure_delivery_attempts_total", "channel" => channel, "outcome" => name).increment(1);
    if let Some(report) = report {
        metrics::histogram!("tenure_delivery_attempt_seconds", "channel" => channel).record(report.latency);
    }
    if let Outcome::Failed(Report { reason, .. }, _) = outcome {
        // The word alone: what follows it has no bound.
        let reason = reason.as_deref().unwrap_or("unknown").split(':').next().unwrap_or_default().to_owned();
        metrics::counter!("tenure_delivery_failures_total", "channel" => channel, "reason" => reason)
            .increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: [Duration; 3] = [Duration::ZERO, Duration::from_secs(10), Duration::from_secs(100)];

    fn again(attempt: u32, retry: Retry, chance: f64) -> Option<i64> {
        let now = Time::UNIX_EPOCH;
        let failed = Outcome::Failed(Report::default(), retry);
        again_at(&SCHEDULE, attempt, &failed, now, chance).map(|at| (at - now).num_seconds())
    }

    #[test]
    fn an_attempt_that_failed_is_made_again_as_the_schedule_says_a_tenth_more_or_less() {
        assert_eq!(again(1, Retry::Scheduled, 0.5), Some(10));
        assert_eq!(again(2, Retry::Scheduled, 0.0), Some(90));
        assert_eq!(again(2, Retry::Scheduled, 1.0), Some(110));
        assert_eq!(again(3, Retry::Scheduled, 0.5), None, "that was the last one");
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_and_not_for_more_attempts() {
        assert_eq!(again(1, Retry::After(Duration::from_mins(1)), 0.5), Some(60));
        assert_eq!(again(1, Retry::After(Duration::from_secs(1)), 0.5), Some(10));
        assert_eq!(again(3, Retry::After(Duration::from_mins(1)), 0.5), None);
        assert_eq!(again(1, Retry::Never, 0.5), None);
    }

    #[test]
    fn what_arrived_is_over() {
        let arrived = Outcome::Delivered(Report::default());
        assert_eq!(again_at(&SCHEDULE, 1, &arrived, Time::UNIX_EPOCH, 0.5), None);
    }
}
