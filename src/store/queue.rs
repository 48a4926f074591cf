//! What waits for the appender: bounded, and fair between workspaces.
//!
//! Every workspace has a lane of its own, first in, first out; a batch is taken from all lanes in turn, by what the
//! units cost. A lane may hold as much as is still free in the whole: whoever floods is turned away with half of the
//! queue taken, two with two thirds, and a newcomer gets in until the very last place.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use foldhash::{HashMap, HashMapExt};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::overload::Drain;

/// What a lane may have taken, in cost, before it is the next lane's turn.
const QUANTUM: u32 = 4;
/// A unit that costs more counts as this much: nobody waits longer for one unit.
const COSTLIEST: u32 = 64;
/// How much of an emptied lane's memory is kept for the next, and how many such lanes.
const KEPT_PLACES: usize = 64;
const KEPT_LANES: usize = 512;

/// What can stand in line.
pub(super) trait Queued {
    /// In whose lane.
    fn lane(&self) -> Uuid;
    /// How much of a batch it takes, in events.
    fn cost(&self) -> u32;
}

/// Why something did not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rejected {
    /// Every place is taken.
    Full,
    /// Its lane holds as much as is left for all.
    Share,
    Closed,
}

/// Puts in. The queue is closed when the last of these is gone.
pub(super) struct Sender<T> {
    queue: Arc<Queue<T>>,
    open: Arc<Closing<T>>,
}

/// Takes out; there is one.
pub(super) struct Receiver<T>(Arc<Queue<T>>);

struct Closing<T>(Arc<Queue<T>>);

struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    filled: Notify,
}

struct Waiting<T> {
    capacity: usize,
    len: usize,
    lanes: Vec<Lane<T>>,
    by_id: HashMap<Uuid, usize>,
    /// Lanes with something in them, in the order of their turns.
    turns: VecDeque<usize>,
    /// Lanes of nobody.
    spare: Vec<usize>,
    closed: bool,
    /// Whether the receiver waits to be woken.
    asleep: bool,
    drain: Drain,
}

struct Lane<T> {
    id: Uuid,
    items: VecDeque<T>,
    /// What is left of its turns so far.
    credit: u32,
}

pub(super) fn queue<T: Queued>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let waiting = Waiting {
        capacity,
        len: 0,
        lanes: Vec::new(),
        by_id: HashMap::new(),
        turns: VecDeque::new(),
        spare: Vec::new(),
        closed: false,
        asleep: false,
        drain: Drain::new(Instant::now()),
    };
    let queue = Arc::new(Queue { waiting: Mutex::new(waiting), filled: Notify::new() });
    let open = Arc::new(Closing(queue.clone()));
    (Sender { queue: queue.clone(), open }, Receiver(queue))
}

impl<T: Queued> Sender<T> {
    /// Puts one in, or says at once why not; it is dropped then.
    pub(super) fn try_send(&self, item: T) -> Result<(), Rejected> {
        let mut waiting = self.queue.lock();
        waiting.push(item)?;
        let wake = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if wake {
            self.queue.filled.notify_one();
        }
        Ok(())
    }
}

impl<T> Sender<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.queue.lock().len
    }

    /// In how many seconds what waits now will have been taken.
    pub(super) fn seconds_to_drain(&self) -> u64 {
        let waiting = self.queue.lock();
        waiting.drain.seconds(waiting.len, Instant::now())
    }
}

impl<T: Queued> Receiver<T> {
    /// Waits until there is something, and takes at most so much of it; 0 once it is closed and empty. What was not
    /// taken stays if this is dropped while it waits.
    pub(super) async fn recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        loop {
            {
                let mut waiting = self.0.lock();
                let taken = waiting.take(into, limit);
                if taken > 0 || waiting.closed {
                    return taken;
                }
                waiting.asleep = true;
            }
            self.0.filled.notified().await;
        }
    }

    /// Takes at most so much of what is there.
    pub(super) fn try_recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        self.0.lock().take(into, limit)
    }
}

impl<T> Receiver<T> {
    /// Lets nothing more in; what is there can still be taken.
    pub(super) fn close(&mut self) {
        self.0.close();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.0.lock().len
    }
}

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        // Nothing panics between two states that belong together.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }
}

impl<T: Queued> Waiting<T> {
    fn push(&mut self, item: T) -> Result<(), Rejected> {
        if self.closed {
            return Err(Rejected::Closed);
        }
        let free = self.capacity - self.len;
        if free == 0 {
            return Err(Rejected::Full);
        }
        let id = item.lane();
        let at = match self.by_id.get(&id) {
            Some(at) if self.lanes[*at].items.len() >= free => return Err(Rejected::Share),
            Some(at) => *at,
            None => self.open_lane(id),
        };
        self.lanes[at].items.push_back(item);
        self.len += 1;
        Ok(())
    }

    fn open_lane(&mut self, id: Uuid) -> usize {
        let at = self.spare.pop().unwrap_or_else(|| {
            self.lanes.push(Lane { id, items: VecDeque::new(), credit: 0 });
            self.lanes.len() - 1
        });
        self.lanes[at].id = id;
        self.by_id.insert(id, at);
        self.turns.push_back(at);
        at
    }

    fn take(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        let mut taken = 0;
        while taken < limit
            && let Some(at) = self.turns.pop_front()
        {
            let lane = &mut self.lanes[at];
            lane.credit += QUANTUM;
            while taken < limit
                && let Some(cost) = lane.items.front().map(|item| item.cost().clamp(1, COSTLIEST))
                && cost <= lane.credit
                && let Some(item) = lane.items.pop_front()
            {
                lane.credit -= cost;
                into.push(item);
                taken += 1;
            }
            if lane.items.is_empty() { self.close_lane(at) } else { self.turns.push_back(at) }
        }
        self.len -= taken;
        if taken > 0 {
            self.drain.went(taken, Instant::now());
        }
        taken
    }

    fn close_lane(&mut self, at: usize) {
        let spare = self.spare.len();
        let lane = &mut self.lanes[at];
        lane.credit = 0;
        if lane.items.capacity() > KEPT_PLACES || spare >= KEPT_LANES {
            lane.items = VecDeque::new();
        }
        self.by_id.remove(&lane.id);
        self.spare.push(at);
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), open: self.open.clone() }
    }
}

impl<T> Drop for Closing<T> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Nobody will take what is left: whoever waits for it must hear of that.
impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.closed = true;
        waiting.len = 0;
        let lanes = std::mem::take(&mut waiting.lanes);
        waiting.by_id.clear();
        waiting.turns.clear();
        waiting.spare.clear();
        drop(waiting);
        drop(lanes);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
