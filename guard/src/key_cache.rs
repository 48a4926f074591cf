//! Tenure's keys, held: fresh for ten minutes, kept for a day while it cannot be reached, fetched by one at a time.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::fetch::JwksClient;
use crate::keys::KeySet;
use crate::refusal::Refusal;

/// How long keys are used without asking again: also how long a withdrawn key still works.
pub(crate) const FRESH: Duration = Duration::from_mins(10);
/// How long keys are used while Tenure does not answer.
pub(crate) const STALE: Duration = Duration::from_hours(24);
/// The pause after a failure.
pub(crate) const RETRY: Duration = Duration::from_secs(5);
/// The pause between two fetches that a token with an unknown key caused: anybody can write such a token.
pub(crate) const UNKNOWN_KEY: Duration = Duration::from_secs(5);

/// Keys and when they were asked for.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) keys: KeySet,
    asked_at: SystemTime,
}

#[derive(Clone, Debug)]
pub(crate) struct KeyCache {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: JwksClient,
    state: RwLock<State>,
    /// Whoever holds it is the one who fetches.
    gate: Arc<Mutex<Gate>>,
}

#[derive(Clone, Debug, Default)]
struct State {
    held: Option<Arc<Held>>,
    failing: bool,
}

#[derive(Debug, Default)]
struct Gate {
    /// When the last fetch was over, by the monotonic clock.
    ended: Option<Instant>,
    failed_at: Option<SystemTime>,
    unknown_key_at: Option<SystemTime>,
}

/// By distance: a clock set back must neither keep old keys alive nor stop us asking.
fn within(pause: Duration, then: SystemTime, now: SystemTime) -> bool {
    now.duration_since(then).unwrap_or_else(|backwards| backwards.duration()) < pause
}

impl Gate {
    /// Whoever stood in line behind a fetch has its outcome, and does not begin another: a silent Tenure costs them one
    /// timeout, not one each.
    fn was_used_since(&self, arrival: Instant) -> bool {
        self.ended.is_some_and(|ended| ended >= arrival)
    }

    fn pauses(&self, now: SystemTime) -> bool {
        self.failed_at.is_some_and(|at| within(RETRY, at, now))
    }
}

impl KeyCache {
    /// Nothing is fetched yet: a Tenure that is down must not keep a service from starting.
    pub(crate) fn new(client: JwksClient) -> Self {
        Self { shared: Arc::new(Shared { client, state: RwLock::default(), gate: Arc::default() }) }
    }

    /// The keys to use now; fetched first if there are none, or they are too old.
    pub(crate) async fn current(&self, now: SystemTime) -> Result<Arc<Held>, Refusal> {
        let state = self.shared.state();
        match state.held {
            Some(held) if within(FRESH, held.asked_at, now) => return Ok(held),
            // Tenure is known to be down: nobody waits for it to answer again.
            Some(held) if state.failing && within(STALE, held.asked_at, now) => {
                self.retry_in_background(now);
                return Ok(held);
            }
            _ => self.refresh(now).await,
        }
        let held = self.shared.state().held;
        held.filter(|held| within(STALE, held.asked_at, now)).ok_or(Refusal::Unavailable)
    }

    /// Newer keys than these if there are any: fetched, but not too often.
    pub(crate) async fn newer_than(&self, held: Arc<Held>, now: SystemTime) -> Arc<Held> {
        if held.asked_at == now {
            // This very request asked for them.
            return held;
        }
        let arrival = Instant::now();
        let mut gate = Arc::clone(&self.shared.gate).lock_owned().await;
        let latest = self.shared.state().held.unwrap_or_else(|| Arc::clone(&held));
        let asked_lately = gate.unknown_key_at.is_some_and(|at| within(UNKNOWN_KEY, at, now));
        if gate.was_used_since(arrival) || asked_lately || gate.pauses(now) {
            return latest;
        }
        gate.unknown_key_at = Some(now);
        self.shared.fetch(gate, now).await.ok();
        self.shared.state().held.unwrap_or(held)
    }

    async fn refresh(&self, now: SystemTime) {
        let arrival = Instant::now();
        let gate = Arc::clone(&self.shared.gate).lock_owned().await;
        if !gate.was_used_since(arrival) && !gate.pauses(now) {
            self.shared.fetch(gate, now).await.ok();
        }
    }

    fn retry_in_background(&self, now: SystemTime) {
        // A closed gate means somebody is at it.
        if let Ok(gate) = Arc::clone(&self.shared.gate).try_lock_owned()
            && !gate.pauses(now)
        {
            drop(self.shared.fetch(gate, now));
        }
    }
}

impl Shared {
    fn state(&self) -> State {
        self.state.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// In a task of its own: a client that hangs up must not cost the others their keys.
    fn fetch(self: &Arc<Self>, mut gate: OwnedMutexGuard<Gate>, now: SystemTime) -> JoinHandle<()> {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let began = Instant::now();
            let fetched = shared.client.keys().await;
            gate.ended = Some(Instant::now());
            let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
            match fetched {
                Ok(keys) => {
                    *state = State { held: Some(Arc::new(Held { keys, asked_at: now })), failing: false };
                    gate.failed_at = None;
                }
                Err(error) => {
                    tracing::warn!(%error, "Tenure's keys could not be fetched");
                    state.failing = true;
                    // The pause begins now, and `now` may be a whole timeout ago.
                    gate.failed_at = Some(now + began.elapsed());
                }
            }
        })
    }
}
