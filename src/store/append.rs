//! What one unit of work wants written, and where it came to stand.

use std::sync::Arc;

use tenure_aggregates::Time;
use uuid::Uuid;

use super::heads::{CachedState, Read, Ticket};
use super::idempotency::RequestKey;
use super::stream::StreamKey;
use crate::data_keys::{Destruction, NewDataKey};

/// What one unit of work wants written, all of it or nothing.
#[derive(Debug)]
pub struct Append {
    pub ticket: Ticket,
    /// How far the log was known before the first stream was read.
    pub read_at: i64,
    pub now: Time,
    /// The instant its payloads bear: `now`, until a batch it was planned for was to be recorded later.
    pub stamped: Time,
    pub reads: Vec<Read>,
    /// A workspace whose history must still end at this `workspace_seq`.
    pub untouched: Option<(Uuid, i64)>,
    pub events: Vec<NewEvent>,
    pub counters: Vec<CounterMove>,
    pub key: Option<NewKey>,
    /// The states the events lead to, for the next command.
    pub states: Vec<(StreamKey, CachedState)>,
    /// Keys that begin with these events.
    pub data_keys: Vec<NewDataKey>,
    /// Keys that end with them.
    pub destruction: Destruction,
}

#[derive(Debug)]
pub struct NewEvent {
    pub stream: StreamKey,
    pub workspace: Uuid,
    pub sequence: i64,
    pub event_type: &'static str,
    pub event_version: String,
    pub payload: String,
    pub metadata: String,
}

/// An idempotency key to be used up, with the answer it stands for from then on, sealed.
#[derive(Debug)]
pub struct NewKey {
    pub request: Arc<RequestKey>,
    pub answer: String,
}

/// A move of a workspace's counters, and the limits that must hold after it.
#[derive(Debug, Clone, Copy, Default)]
pub struct CounterMove {
    pub workspace: Uuid,
    pub seats: i32,
    pub seats_limit: Option<i32>,
    /// A new invite code: its uses count from zero.
    pub code_reset: bool,
    pub code_uses: i32,
    pub code_limit: Option<i32>,
}

/// A workspace's counters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    pub seats: i32,
    pub code_uses: i32,
}

#[derive(Debug, Clone, Copy)]
pub struct Appended {
    pub position: i64,
    pub recorded_at: Time,
}

impl Append {
    pub fn new(ticket: Ticket, read_at: i64, now: Time) -> Self {
        Self {
            ticket,
            read_at,
            now,
            stamped: now,
            reads: Vec::with_capacity(4),
            untouched: None,
            events: Vec::with_capacity(4),
            counters: Vec::new(),
            key: None,
            states: Vec::with_capacity(4),
            data_keys: Vec::new(),
            destruction: Destruction::default(),
        }
    }

    /// Whether this key is gone with the very unit it would begin with.
    pub fn destroys(&self, key: &NewDataKey) -> bool {
        self.destruction.workspaces.contains(&key.owner.workspace().0)
            || key.address_hash.is_some_and(|hash| self.destruction.addresses.contains(&hash))
    }

    pub fn read(&self, key: &StreamKey) -> Option<i64> {
        self.reads.iter().find(|read| read.stream == *key).map(|read| read.sequence)
    }

    /// The workspace it is about, first of all.
    pub(super) fn workspace(&self) -> Uuid {
        let event = self.events.first().map(|event| event.workspace);
        let key = || self.key.as_ref().map(|key| key.request.scope.workspace);
        event.or_else(key).unwrap_or_default()
    }

    /// How many positions the events take.
    pub fn length(&self) -> i64 {
        i64::try_from(self.events.len()).unwrap_or(i64::MAX)
    }

    /// The sum of this unit's counter moves in a workspace.
    pub fn moved(&self, workspace: Uuid) -> CounterMove {
        let mut sum = CounterMove { workspace, ..CounterMove::default() };
        for counters in self.counters.iter().filter(|counters| counters.workspace == workspace) {
            sum.seats += counters.seats;
            sum.code_reset |= counters.code_reset;
            sum.code_uses += counters.code_uses;
        }
        sum
    }
}
