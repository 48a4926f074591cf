//! The courier: takes what is due and lets the channel's carrier carry it, so much at once, and of no lane more than its
//! share, so that whoever does not answer holds up nobody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use tenure_aggregates::Time;
use tokio::sync::Notify;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::queue::{Ended, Lane, Queue, Room};
use super::{Carrier, Channel, Due, Outcome, Report, Retry};
use crate::clock;

/// How long what is under way may take to end when the service stops.
const GRACE: Duration = Duration::from_secs(5);
/// The wait after the database could not be asked.
const PAUSE: Duration = Duration::from_secs(1);
/// What ends within so long of another is noted together with it, and what takes its room is taken together.
const TOGETHER: Duration = Duration::from_millis(2);
/// So many more lanes are looked at than there is room for: some have none, because others of their workspace are served.
const SPARE_LANES: usize = 16;
/// The wait before the lanes after those are looked at, where none of them had room.
const ONWARD: Duration = Duration::from_millis(20);

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
    under_way: JoinSet<Outcome>,
    /// What ended, and is not noted yet.
    ended: Vec<Ended>,
    /// Of the lanes that something is carried of, those on which nothing has arrived lately.
    failing: HashSet<Uuid>,
    /// The lane that was served last, so that all have their turn.
    last: Uuid,
}

impl<C: Carrier> Courier<C> {
    pub fn new(carrier: Arc<C>, queue: Queue, written: Arc<Notify>, pace: Duration) -> Self {
        let (held, under_way, ended) = (HashMap::new(), JoinSet::new(), Vec::new());
        let (failing, last) = (HashSet::new(), Uuid::nil());
        Self { carrier, queue, written, pace, held, under_way, ended, failing, last }
    }

    /// Runs until told to stop, and then for as long as it takes to end what is under way, within bounds.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut alive = tokio::time::interval(self.queue.lease / 3);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wait = Duration::ZERO;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = self.under_way.join_next_with_id() => {
                    self.has_ended(ended);
                    tokio::time::sleep(TOGETHER).await;
                }
                _ = alive.tick() => { self.prolong().await; continue }
                () = self.written.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            self.note().await;
            wait = self.set_out().await.unwrap_or_else(|error| {
                tracing::warn!(channel = %self.queue.channel, %error, "what is due cannot be looked up; trying again");
                PAUSE
            });
        }
        self.wind_up().await;
    }

    /// Takes what there is room for; returns how long to wait for the next look.
    async fn set_out(&mut self) -> Result<Duration, sqlx::Error> {
        let now = clock::now();
        let free = C::AT_ONCE.saturating_sub(self.held.len());
        // Whoever ends makes room, and wakes the loop.
        if free == 0 {
            return Ok(self.pace);
        }
        // Lanes are looked for by walking them, which is not worth it where all that waits has its time yet to come.
        let next = self.queue.next().await?;
        if next.is_none_or(|next| next > now) {
            return Ok(next.and_then(|next| (next - now).to_std().ok()).unwrap_or(self.pace).min(self.pace));
        }
        let full = self.full_lanes();
        let lanes = self.queue.lanes(self.last, &full, free + SPARE_LANES, now).await?;
        let Some(last) = lanes.last().map(|lane| lane.lane) else { return Ok(self.pace) };
        let rooms = self.rooms(lanes);
        if rooms.is_empty() {
            self.last = last;
            return Ok(ONWARD);
        }
        let due = self.queue.take(&rooms, free, now).await?;
        if due.is_empty() {
            return Ok(self.pace);
        }
        for due in due {
            self.last = due.lane;
            self.carry(due);
        }
        Ok(Duration::ZERO)
    }

    /// Lanes of which as much is carried as may be.
    fn full_lanes(&mut self) -> Vec<Uuid> {
        let carried = tally(self.held.values().map(|due| due.lane));
        self.failing.retain(|lane| carried.contains_key(lane));
        let failing = &self.failing;
        let is_full = |(lane, carried): &(Uuid, usize)| *carried >= most::<C>(failing.contains(lane));
        carried.into_iter().filter(is_full).map(|(lane, _)| lane).collect()
    }

    /// How much of each lane may be taken.
    fn rooms(&mut self, lanes: Vec<Lane>) -> Vec<Room> {
        let of_lane = tally(self.held.values().map(|due| due.lane));
        let mut of_workspace = tally(self.held.values().map(|due| due.workspace.0));
        let mut rooms = Vec::with_capacity(lanes.len());
        for Lane { workspace, lane, failing } in lanes {
            if failing {
                self.failing.insert(lane);
            } else {
                self.failing.remove(&lane);
            }
            let carried = of_lane.get(&lane).copied().unwrap_or_default();
            let shared = of_workspace.entry(workspace).or_default();
            let room =
                most::<C>(failing).saturating_sub(carried).min(C::PER_WORKSPACE.saturating_sub(*shared));
            *shared += room;
            if room > 0 {
                rooms.push((lane, room));
            }
        }
        rooms
    }

    fn carry(&mut self, due: Due) {
        let (carrier, carried) = (self.carrier.clone(), due.clone());
        let task = self.under_way.spawn(async move { carrier.carry(&carried).await });
        self.held.insert(task.id(), due);
    }

    fn has_ended(&mut self, ended: Result<(Id, Outcome), JoinError>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, Some(outcome)),
            Err(error) => {
                tracing::error!(%error, "an attempt ended badly: it is made again");
                (error.id(), None)
            }
        };
        let Some((due, outcome)) = self.held.remove(&id).zip(outcome) else { return };
        count(self.queue.channel, &outcome);
        let retry = again_at(self.carrier.schedule(), due.attempt, &outcome, clock::now(), fastrand::f64());
        self.ended.push(Ended { due, outcome, retry });
    }

    /// Notes what came of attempts. Where that fails, their lease ends and they are made again.
    async fn note(&mut self) {
        while let Some(ended) = self.under_way.try_join_next_with_id() {
            self.has_ended(ended);
        }
        let ended = std::mem::take(&mut self.ended);
        if let Err(error) = self.queue.note(&ended, clock::now()).await {
            let (channel, attempts) = (self.queue.channel, ended.len());
            tracing::warn!(%channel, attempts, %error, "what came of deliveries cannot be noted: they are made again");
        }
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
                Some(ended) = self.under_way.join_next_with_id() => self.has_ended(ended),
                () = &mut end => break,
            }
        }
        self.note().await;
        self.under_way.shutdown().await;
        let held: Vec<Due> = self.held.drain().map(|(_, due)| due).collect();
        if !held.is_empty() && self.queue.give_back(&held, clock::now()).await.is_err() {
            tracing::debug!("what was under way is taken up again when its lease is over");
        }
    }
}

/// How much of a lane may be carried. Whoever does not answer is asked by one at a time: the others' turn is not spent
/// on it.
fn most<C: Carrier>(failing: bool) -> usize {
    if failing { 1 } else { C::PER_LANE }
}

fn tally(of: impl Iterator<Item = Uuid>) -> HashMap<Uuid, usize> {
    let mut tally = HashMap::new();
    for one in of {
        *tally.entry(one).or_default() += 1;
    }
    tally
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

fn count(channel: Channel, outcome: &Outcome) {
    let channel = channel.as_str();
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
