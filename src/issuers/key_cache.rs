//! An issuer's keys, held: fresh for ten minutes, kept for a day while the issuer is down, fetched by one at a time.

use std::sync::{Arc, PoisonError, RwLock};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::config::IssuerConfig;
use super::fetch::JwksClient;
use super::keys::KeySet;
use super::refusal::TokenRefusal;

/// How long keys are used without asking again: also how long a withdrawn key still works.
const FRESH: TimeDelta = TimeDelta::minutes(10);
/// How long keys are used while the issuer does not answer.
const STALE: TimeDelta = TimeDelta::hours(24);
/// The pause after a failure.
const RETRY: TimeDelta = TimeDelta::seconds(5);
/// The pause between two fetches that a token with an unknown key caused: anybody can write such a token.
const UNKNOWN_KEY: TimeDelta = TimeDelta::seconds(30);

/// Keys and when they were asked for.
pub(super) struct Held {
    pub(super) keys: KeySet,
    asked_at: DateTime<Utc>,
}

#[derive(Clone)]
pub(super) struct KeyCache {
    shared: Arc<Shared>,
}

struct Shared {
    config: IssuerConfig,
    client: JwksClient,
    state: RwLock<State>,
    /// Whoever holds it is the one who fetches.
    gate: Arc<Mutex<Gate>>,
}

#[derive(Clone, Default)]
struct State {
    held: Option<Arc<Held>>,
    failing: bool,
}

#[derive(Default)]
struct Gate {
    /// When the last fetch was over, by the monotonic clock.
    ended: Option<Instant>,
    failed_at: Option<DateTime<Utc>>,
    unknown_key_at: Option<DateTime<Utc>>,
}

/// By distance: a clock set back must neither keep old keys alive nor stop us asking.
fn within(pause: TimeDelta, then: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    (now - then).abs() < pause
}

impl Gate {
    /// Whoever stood in line behind a fetch has its outcome, and does not begin another: a silent issuer costs them one
    /// timeout, not one each.
    fn was_used_since(&self, arrival: Instant) -> bool {
        self.ended.is_some_and(|ended| ended >= arrival)
    }

    fn pauses(&self, now: DateTime<Utc>) -> bool {
        self.failed_at.is_some_and(|at| within(RETRY, at, now))
    }
}

impl KeyCache {
    pub(super) fn new(config: IssuerConfig, client: JwksClient) -> Self {
        Self { shared: Arc::new(Shared { config, client, state: RwLock::default(), gate: Arc::default() }) }
    }

    /// The keys to use now; fetched first if there are none, or they are too old.
    pub(super) async fn current(&self, now: DateTime<Utc>) -> Result<Arc<Held>, TokenRefusal> {
        let state = self.shared.state();
        match state.held {
            Some(held) if within(FRESH, held.asked_at, now) => return Ok(held),
            // The issuer is known to be down: nobody waits for it to answer again.
            Some(held) if state.failing && within(STALE, held.asked_at, now) => {
                self.retry_in_background(now);
                return Ok(held);
            }
            _ => self.refresh(now).await,
        }
        let held = self.shared.state().held;
        held.filter(|held| within(STALE, held.asked_at, now)).ok_or(TokenRefusal::Unavailable)
    }

    /// Newer keys than these if there are any: fetched, but not too often.
    pub(super) async fn newer_than(&self, held: Arc<Held>, now: DateTime<Utc>) -> Arc<Held> {
        if held.asked_at == now {
            // This very request asked for them.
            return held;
        }
        let arrival = Instant::now();
        let mut gate = Arc::clone(&self.shared.gate).lock_owned().await;
        let latest = self.shared.state().held.unwrap_or_else(|| Arc::clone(&held));
        let asked_lately = gate.unknown_key_at.is_some_and(|at| within(UNKNOWN_KEY, at, now));
        let newer = !Arc::ptr_eq(&latest, &held) || gate.was_used_since(arrival);
        if newer || asked_lately || gate.pauses(now) {
            return latest;
        }
        gate.unknown_key_at = Some(now);
        self.shared.fetch(gate, now).await.ok();
        self.shared.state().held.unwrap_or(held)
    }

    async fn refresh(&self, now: DateTime<Utc>) {
        let arrival = Instant::now();
        let gate = Arc::clone(&self.shared.gate).lock_owned().await;
        // Somebody may have fetched, or failed to, just before we looked.
        let fetched = self.shared.state().held.is_some_and(|held| within(FRESH, held.asked_at, now));
        if !fetched && !gate.was_used_since(arrival) && !gate.pauses(now) {
            self.shared.fetch(gate, now).await.ok();
        }
    }

    fn retry_in_background(&self, now: DateTime<Utc>) {
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
    fn fetch(self: &Arc<Self>, mut gate: OwnedMutexGuard<Gate>, now: DateTime<Utc>) -> JoinHandle<()> {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let began = Instant::now();
            let fetched = shared.client.keys(&shared.config).await;
            gate.ended = Some(Instant::now());
            let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
            match fetched {
                Ok(keys) => {
                    *state = State { held: Some(Arc::new(Held { keys, asked_at: now })), failing: false };
                    gate.failed_at = None;
                }
                Err(error) => {
                    tracing::warn!(issuer = %shared.config.issuer, %error, "the issuer's keys could not be fetched");
                    state.failing = true;
                    // The pause begins now, and `now` may be a whole timeout ago.
                    gate.failed_at = Some(now + TimeDelta::from_std(began.elapsed()).unwrap_or_default());
                }
            }
        })
    }
}
