//! What this process knows of the log: exact for every stream and workspace it remembers, as long as the appender's
//! compare-and-set on `log_head` holds.
//!
//! A unit of work notes how far the log was known before it read anything. Everything appended since a *horizon* is
//! remembered here by stream; a unit that began reading behind the horizon is turned away, and one that began after
//! it is current in every stream that is not remembered with another sequence. So no append needs to ask the
//! database what a stream's sequence is.
//!
//! What a unit that waits to be written will have made of a stream is *foreseen*: the next command on it need not wait for
//! the disk. It rests on that very unit, by its ticket, and is turned away if the unit does not come to pass.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cqrs_es::Aggregate;
use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};
use lru::LruCache;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::{Time, User, WorkspaceId};
use tokio::sync::watch;
use uuid::Uuid;

use super::idempotency::KeyId;
use super::loader::Loaded;
use super::stream::StreamKey;
use super::unit_of_work::restamp;

/// How many appended events and keys are remembered. A unit of work slower than that many is tried again.
const REMEMBERED: usize = 1 << 17;
/// How many folded states, and how many workspace heads, are kept.
const CACHED: NonZeroUsize = NonZeroUsize::new(1 << 17).unwrap();

/// The counters of a workspace and where its history ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkspaceHead {
    pub seq: i64,
    pub seats: i32,
    pub code_uses: i32,
    /// The log position of its last event known here; 0 if none was seen lately.
    pub position: i64,
    /// The same, of the last event of any of its memberships.
    pub members: i64,
    /// Whether the database has it.
    pub stored: bool,
}

/// A folded state, kept so that a long stream need not be read again.
#[derive(Clone)]
pub struct CachedState {
    pub state: State,
    pub sequence: i64,
    pub home: Option<WorkspaceId>,
    /// Makes the state one that began at another instant than it was decided at.
    restamp: fn(&State, Time, Time) -> Option<State>,
}

type State = Arc<dyn Any + Send + Sync>;

impl CachedState {
    pub fn of<A: Stream + 'static>(state: Arc<A>, sequence: i64, home: Option<WorkspaceId>) -> Self {
        Self { state, sequence, home, restamp: restamped::<A> }
    }

    /// The state with the instant the log recorded in place of the one its last events were decided at.
    pub(super) fn restamped(&self, decided: Time, recorded: Time) -> Option<Self> {
        if decided == recorded {
            return Some(self.clone());
        }
        Some(Self { state: (self.restamp)(&self.state, decided, recorded)?, ..self.clone() })
    }
}

/// Times stand in a state as they stand in its events: where they are put right there, they are put right here.
fn restamped<A: Stream + 'static>(state: &State, decided: Time, recorded: Time) -> Option<State> {
    let text = serde_json::to_string(state.downcast_ref::<A>()?).ok()?;
    let state: A = serde_json::from_str(&restamp(text, decided, recorded)).ok()?;
    Some(Arc::new(state))
}

impl fmt::Debug for CachedState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedState")
            .field("sequence", &self.sequence)
            .field("home", &self.home)
            .finish_non_exhaustive()
    }
}

/// The number of a unit of work, of no meaning outside this process.
pub type Ticket = u64;

/// A stream that a unit of work depends on.
#[derive(Debug, Clone)]
pub struct Read {
    pub stream: StreamKey,
    /// The sequence seen. 0 = must not exist.
    pub sequence: i64,
    /// The unit that was yet to be written when its change was seen.
    pub rests_on: Option<Ticket>,
}

#[derive(Debug)]
pub struct Heads {
    inner: Mutex<Inner>,
    foreseen: Mutex<HashMap<StreamKey, (Ticket, CachedState)>>,
    tickets: AtomicU64,
    known: watch::Sender<i64>,
}

#[derive(Debug)]
pub(super) struct Inner {
    horizon: i64,
    streams: HashMap<StreamKey, Latest>,
    pub(super) keys: HashSet<KeyId>,
    order: VecDeque<(i64, Remembered)>,
    /// Workspaces that began after the horizon, and where: everything that ever happened in them is remembered.
    begun: HashMap<Uuid, i64>,
    /// The position of the last event of any user.
    users: i64,
    states: LruCache<StreamKey, CachedState>,
    pub(super) workspaces: LruCache<Uuid, WorkspaceHead>,
}

/// The sequence a stream got, the log position at which it got it, and by which unit, if that is to be relied on.
#[derive(Debug, Clone, Copy)]
struct Latest {
    sequence: i64,
    position: i64,
    ticket: Option<Ticket>,
}

#[derive(Debug)]
enum Remembered {
    Stream(StreamKey),
    Key(KeyId),
}

impl Default for Heads {
    fn default() -> Self {
        Self::new()
    }
}

impl Heads {
    pub fn new() -> Self {
        Self {
            inner: Mutex::new(Inner {
                horizon: 0,
                streams: HashMap::new(),
                keys: HashSet::new(),
                order: VecDeque::new(),
                begun: HashMap::new(),
                users: 0,
                states: LruCache::new(CACHED),
                workspaces: LruCache::new(CACHED),
            }),
            foreseen: Mutex::default(),
            tickets: AtomicU64::new(1),
            known: watch::channel(0).0,
        }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.tickets.fetch_add(1, Ordering::Relaxed)
    }

    /// The last position known to be committed.
    pub fn position(&self) -> i64 {
        *self.known.borrow()
    }

    /// Whether anything was appended since the log was known up to `position`, or is about to be.
    pub(super) fn is_moving_since(&self, position: i64) -> bool {
        self.position() != position || !self.lock_foreseen().is_empty()
    }

    pub fn watch(&self) -> watch::Receiver<i64> {
        self.known.subscribe()
    }

    /// Up to where a reader of a workspace would miss something this process has written lately: its last event, or
    /// the last change to any user, whose name and address stand in every workspace they belong to.
    pub fn workspace_position(&self, workspace: WorkspaceId) -> i64 {
        let inner = self.lock();
        inner.workspaces.peek(&workspace.0).map_or(0, |head| head.position).max(inner.users)
    }

    /// The same for a reader of who the members are, whom nothing else in the workspace concerns.
    pub fn members_position(&self, workspace: WorkspaceId) -> i64 {
        let inner = self.lock();
        inner.workspaces.peek(&workspace.0).map_or(0, |head| head.members).max(inner.users)
    }

    pub fn workspace(&self, workspace: WorkspaceId) -> Option<WorkspaceHead> {
        self.lock().workspaces.peek(&workspace.0).copied()
    }

    /// Whether a stream whose id belongs to one workspace alone has not begun yet, as far as the log is known: that is
    /// certain of workspaces that began after the horizon.
    pub(super) fn never_began(&self, workspace: WorkspaceId, key: &StreamKey) -> bool {
        let inner = self.lock();
        inner.begun.contains_key(&workspace.0) && !inner.streams.contains_key(key)
    }

    /// A state that was current when last looked at; the append finds out if it no longer is.
    pub fn cached<A: Stream + 'static>(&self, key: &StreamKey) -> Option<Loaded<A>> {
        let cached = self.lock().states.get(key).cloned()?;
        let state = cached.state.downcast::<A>().ok()?;
        Some(Loaded { state, sequence: cached.sequence, home: cached.home })
    }

    /// Whether a state of the stream is kept or foreseen.
    pub(super) fn has_state(&self, key: &StreamKey) -> bool {
        self.lock().states.contains(key) || self.lock_foreseen().contains_key(key)
    }

    /// What the stream will be once the unit of that ticket is written.
    pub(super) fn foreseen<A: Stream + 'static>(&self, key: &StreamKey) -> Option<(Loaded<A>, Ticket)> {
        let (ticket, foreseen) = self.lock_foreseen().get(key).cloned()?;
        let state = foreseen.state.downcast::<A>().ok()?;
        Some((Loaded { state, sequence: foreseen.sequence, home: foreseen.home }, ticket))
    }

    /// Lets others see what this unit, which is about to be queued, will make of its streams.
    pub(super) fn foresee(&self, ticket: Ticket, states: impl Iterator<Item = (StreamKey, CachedState)>) {
        self.lock_foreseen().extend(states.map(|(key, state)| (key, (ticket, state))));
    }

    /// The unit came to an end, whichever.
    pub(super) fn foresee_no_longer(&self, ticket: Ticket, keys: &[StreamKey]) {
        let mut foreseen = self.lock_foreseen();
        for key in keys {
            if foreseen.get(key).is_some_and(|(of, _)| *of == ticket) {
                foreseen.remove(key);
            }
        }
    }

    /// What was foreseen of these streams will not be, whoever's unit it was.
    pub(super) fn unforesee<'a>(&self, keys: impl Iterator<Item = &'a StreamKey>) {
        let mut foreseen = self.lock_foreseen();
        for key in keys {
            foreseen.remove(key);
        }
    }

    fn lock_foreseen(&self) -> MutexGuard<'_, HashMap<StreamKey, (Ticket, CachedState)>> {
        self.foreseen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a state read from the database after the log was known up to `read_at`, unless something newer is known.
    pub fn keep<A: Stream + 'static>(&self, key: &StreamKey, loaded: &Loaded<A>, read_at: i64) {
        let mut inner = self.lock();
        let newest = inner.streams.get(key).is_none_or(|latest| latest.sequence == loaded.sequence);
        if newest && read_at >= inner.horizon && loaded.sequence > 0 {
            let state = CachedState::of(loaded.state.clone(), loaded.sequence, loaded.home);
            inner.states.put(key.clone(), state);
        }
    }

    /// Whether any of these reads has seen more of its stream than is known here: another process wrote it, and to go
    /// by what is known would turn the reader away for ever.
    pub(super) fn are_behind<'a>(&self, mut reads: impl Iterator<Item = &'a Read>) -> bool {
        let inner = self.lock();
        let behind = |read: &Read| {
            inner.streams.get(&read.stream).is_some_and(|latest| latest.sequence < read.sequence)
        };
        reads.any(|read| read.rests_on.is_none() && behind(read))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere while the lock was held leaves at worst a missing entry, which is looked up again.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn publish(&self, position: i64) {
        self.known.send_if_modified(|known| std::mem::replace(known, position.max(*known)) < position);
    }

    /// Forgets what was made of the streams, as it may hold what was erased.
    pub fn forget_states(&self) {
        self.lock().states.clear();
        self.lock_foreseen().clear();
    }

    /// Forgets everything: from `position` on, what is appended will be remembered again.
    pub(super) fn restart(&self, position: i64) {
        let mut inner = self.lock();
        inner.horizon = position;
        inner.streams.clear();
        inner.keys.clear();
        inner.order.clear();
        inner.begun.clear();
        inner.states.clear();
        inner.workspaces.clear();
        drop(inner);
        self.publish(position);
    }
}

impl Inner {
    /// Whether what was read is still so, for one who began reading when the log was known up to `read_at`.
    pub(super) fn is_current(&self, read: &Read, read_at: i64) -> bool {
        let still = match self.streams.get(&read.stream) {
            Some(latest) => {
                latest.sequence == read.sequence
                    && (read.rests_on.is_none() || latest.ticket == read.rests_on)
            }
            None => read.rests_on.is_none(),
        };
        still && read_at >= self.horizon
    }

    pub(super) fn remember_stream(
        &mut self,
        position: i64,
        key: StreamKey,
        sequence: i64,
        ticket: Option<Ticket>,
        state: Option<CachedState>,
    ) {
        match state {
            Some(state) => drop(self.states.put(key.clone(), state)),
            None => drop(self.states.pop(&key)),
        }
        if key.aggregate_type == User::TYPE {
            self.users = position;
        }
        if sequence == 1
            && let Some(workspace) = key.workspace()
        {
            self.begun.insert(workspace, position);
        }
        self.streams.insert(key.clone(), Latest { sequence, position, ticket });
        self.remember(position, Remembered::Stream(key));
    }

    pub(super) fn remember_key(&mut self, position: i64, key: KeyId) {
        self.keys.insert(key);
        self.remember(position, Remembered::Key(key));
    }

    fn remember(&mut self, position: i64, what: Remembered) {
        self.order.push_back((position, what));
        while self.order.len() > REMEMBERED {
            let Some((position, oldest)) = self.order.pop_front() else { return };
            self.horizon = self.horizon.max(position);
            match oldest {
                Remembered::Stream(key) => {
                    if let Some(workspace) = key.workspace()
                        && self.begun.get(&workspace).is_some_and(|begun| *begun <= position)
                    {
                        self.begun.remove(&workspace);
                    }
                    // One that was remembered again since stays.
                    if self.streams.get(&key).is_some_and(|latest| latest.position == position) {
                        self.streams.remove(&key);
                    }
                }
                Remembered::Key(key) => drop(self.keys.remove(&key)),
            }
        }
    }
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
