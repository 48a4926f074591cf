//! How many requests are at work at once, and whose turn is next.
//!
//! Of what is let in only so much is worked on, and of one lane only a share of that: the rest waits, first in, first
//! out in every lane, and the lanes in turn. So whoever floods waits behind themselves, and the path to the database
//! stays short for everybody else. The more lanes are there, the smaller the share: what a single lane may take while
//! it has the service to itself would keep the processors from the others.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::{Bound, Lane};

/// So many lanes are several.
const SEVERAL: usize = 8;
/// Of a lane that floods more than this wait.
const FLOOD: usize = 16;
/// How long anybody waits for their turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands out turns. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    what: &'static str,
    patience: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Turns nobody has.
    free: usize,
    /// How many one lane may have while there is at most one other.
    most: usize,
    lanes: HashMap<u64, Line>,
    /// Lanes in which somebody waits and that have not got their share, in the order of their turns.
    next: VecDeque<u64>,
}

#[derive(Debug, Default)]
struct Line {
    at_work: usize,
    waiting: VecDeque<oneshot::Sender<()>>,
    /// How many of those who wait have gone away.
    gone: usize,
    /// Whether it stands in `next`.
    is_next: bool,
}

/// The right to work, until it is dropped.
#[derive(Debug)]
pub struct Turn {
    turns: Turns,
    lane: u64,
}

/// Somebody who waits. What they were given after they had gone away is given back.
struct Waiter<'a> {
    turns: &'a Turns,
    lane: u64,
    called: oneshot::Receiver<()>,
    done: bool,
}

impl Turns {
    /// `what` names them in the metrics; of the `free` turns one lane may have `most`, and less where there are many.
    pub fn new(what: &'static str, free: usize, most: usize) -> Self {
        let state = State { free, most, lanes: HashMap::new(), next: VecDeque::new() };
        Self(Arc::new(Shared { what, patience: PATIENCE, state: Mutex::new(state) }))
    }

    /// Waits, bounded, for a turn.
    pub async fn take(&self, lane: Lane) -> Result<Turn, Bound> {
        let lane = lane.key;
        let Some(called) = self.lock().ask(lane) else { return Ok(Turn { turns: self.clone(), lane }) };
        let since = Instant::now();
        let waiter = Waiter { turns: self, lane, called, done: false };
        let outcome = timeout(self.0.patience, waiter.called()).await;
        metrics::histogram!("tenure_turn_wait_seconds", "of" => self.0.what).record(since.elapsed());
        outcome.ok().flatten().ok_or(Bound::Turn)
    }

    /// How many wait for their turn.
    pub fn waiting(&self) -> usize {
        self.lock().lanes.values().map(|line| line.waiting.len() - line.gone).sum()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics between two counts that belong together.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter<'_> {
    async fn called(mut self) -> Option<Turn> {
        let called = (&mut self.called).await.is_ok();
        self.done = true;
        called.then(|| Turn { turns: self.turns.clone(), lane: self.lane })
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.done {
            return;
        }
        let mut state = self.turns.lock();
        self.called.close();
        if self.called.try_recv().is_ok() { state.give_back(self.lane) } else { state.went_away(self.lane) }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.turns.lock().give_back(self.lane);
    }
}

/// How many turns a lane may have: all lanes together as many as two may have, but each two where it may have two, so that
/// one slow answer does not hold up a whole workspace. Where several lanes are there, one that floods has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    usual: usize,
    flooded: usize,
}

impl Share {
    fn of(self, line: &Line) -> usize {
        if line.waiting.len() - line.gone > FLOOD { self.flooded } else { self.usual }
    }
}

impl Line {
    /// Whether it belongs among the next from now on, and did not before.
    fn steps_up(&mut self, share: Share) -> bool {
        let steps_up = self.at_work < share.of(self) && !self.waiting.is_empty() && !self.is_next;
        self.is_next |= steps_up;
        steps_up
    }
}

impl State {
    /// How many turns each lane may have now.
    fn share(&self) -> Share {
        let lanes = self.lanes.len().max(1);
        let usual = (self.most * 2 / lanes).clamp(2.min(self.most), self.most);
        let flooded = if lanes < SEVERAL { usual } else { 1 };
        Share { usual, flooded }
    }

    /// Takes a turn at once, or a place in line.
    fn ask(&mut self, lane: u64) -> Option<oneshot::Receiver<()>> {
        // It counts among the lanes that share.
        self.lanes.entry(lane).or_default();
        let share = self.share();
        let line = self.lanes.entry(lane).or_default();
        if self.free > 0 && line.at_work < share.of(line) && line.waiting.len() == line.gone {
            line.at_work += 1;
            self.free -= 1;
            return None;
        }
        let (call, called) = oneshot::channel();
        line.waiting.push_back(call);
        if line.steps_up(share) {
            self.next.push_back(lane);
        }
        Some(called)
    }

    fn give_back(&mut self, lane: u64) {
        self.free += 1;
        let share = self.share();
        if let Some(line) = self.lanes.get_mut(&lane) {
            line.at_work -= 1;
            if line.steps_up(share) {
                self.next.push_back(lane);
            }
        }
        self.forget(lane);
        self.call_next();
    }

    /// Calls those whose turn it is.
    fn call_next(&mut self) {
        while self.free > 0
            && let Some(lane) = self.next.pop_front()
        {
            let share = self.share();
            let Some(line) = self.lanes.get_mut(&lane) else { continue };
            line.is_next = false;
            if line.at_work >= share.of(line) {
                continue;
            }
            while let Some(call) = line.waiting.pop_front() {
                if call.send(()).is_ok() {
                    line.at_work += 1;
                    self.free -= 1;
                    break;
                }
                line.gone = line.gone.saturating_sub(1);
            }
            if line.steps_up(share) {
                self.next.push_back(lane);
            }
            self.forget(lane);
        }
    }

    /// Somebody waits no more. The places of those who left are cleared once they are most. The lane may not flood any
    /// more.
    fn went_away(&mut self, lane: u64) {
        let share = self.share();
        let Some(line) = self.lanes.get_mut(&lane) else { return };
        line.gone += 1;
        if line.gone * 2 > line.waiting.len() {
            line.waiting.retain(|call| !call.is_closed());
            line.gone = 0;
        }
        if line.steps_up(share) {
            self.next.push_back(lane);
        }
        self.forget(lane);
        self.call_next();
    }

    fn forget(&mut self, lane: u64) {
        let over = |line: &&Line| line.at_work == 0 && line.waiting.is_empty();
        let Some(line) = self.lanes.get(&lane).filter(over) else { return };
        if line.is_next {
            self.next.retain(|next| *next != lane);
        }
        let before = self.share();
        self.lanes.remove(&lane);
        self.stand_in_line_again(before);
    }

    /// With a lane less the share may have grown, so that somebody is next who had it whole.
    fn stand_in_line_again(&mut self, before: Share) {
        let share = self.share();
        if share == before {
            return;
        }
        for (lane, line) in &mut self.lanes {
            if line.steps_up(share) {
                self.next.push_back(*lane);
            }
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
