//! Counts requests, by class, credential and address (GCRA: a bucket that fills steadily, no window that resets).

use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::RateLimiter;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use strum::EnumCount;
use tokio_util::sync::CancellationToken;

use super::answer::{Exceeded, Limit, Standing};
use super::bounded::Bounded;
use super::class::Class;
use super::key::{Credential, Key, Network};
use super::setting::Quotas;

/// How many credentials, and how many addresses, each class tells apart; at most 4 MB for each of these eight.
const CAPACITY: usize = 65_536;
/// How often those are forgotten whose bucket is full again.
const FORGET_EVERY: Duration = Duration::from_secs(5);

/// The limits of this process: others on the same database count for themselves.
pub struct RateLimits<C: Clock = MonotonicClock> {
    classes: [Limits<C>; Class::COUNT],
}

struct Limits<C: Clock> {
    credential: Buckets<Credential, C>,
    address: Buckets<Network, C>,
}

/// One limit: a bucket for each key.
struct Buckets<K: Hash + Eq + Clone, C: Clock> {
    limit: Limit,
    /// How long it takes until there is room for one more.
    one: Duration,
    counts: Bounded<K>,
    limiter: RateLimiter<K, Bounded<K>, C, StateInformationMiddleware>,
}

impl RateLimits {
    pub fn new(quotas: &Quotas) -> Self {
        Self::with(quotas, CAPACITY, &MonotonicClock)
    }

    /// Keeps memory in bounds until told to stop.
    pub async fn look_after(&self, stop: CancellationToken) {
        let mut due = tokio::time::interval(FORGET_EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = due.tick() => self.forget(),
                () = stop.cancelled() => return,
            }
        }
    }
}

impl<C: Clock + Clone> RateLimits<C> {
    fn with(quotas: &Quotas, capacity: usize, clock: &C) -> Self {
        let classes = quotas.all().map(|quota| Limits {
            credential: Buckets::new(Limit::Credential, quota.credential, capacity, clock),
            address: Buckets::new(Limit::Address, quota.address, capacity, clock),
        });
        Self { classes }
    }

    /// Counts one request; says how its tighter limit stands, or which limit it has reached. What is refused by
    /// its address is not counted for its credential, which may be a guess.
    pub(super) fn count(&self, class: Class, key: &Key) -> Result<Option<Standing>, Exceeded> {
        let limits = &self.classes[class as usize];
        let address = key.address.map(|address| limits.address.count(&address)).transpose()?;
        let credential = key.credential.map(|credential| limits.credential.count(&credential)).transpose()?;
        Ok([credential, address].into_iter().flatten().min_by_key(|standing| standing.remaining))
    }

    /// Takes back what was counted for the credential: it was nothing to be counted.
    pub(super) fn give_back(&self, class: Class, key: &Key) {
        let buckets = &self.classes[class as usize].credential;
        if let Some(credential) = &key.credential {
            buckets.counts.give_back(credential, buckets.one);
        }
    }

    /// Forgets whoever has not used anything of his limit lately.
    fn forget(&self) {
        for limits in &self.classes {
            limits.credential.limiter.retain_recent();
            limits.address.limiter.retain_recent();
        }
    }
}

impl<K: Hash + Eq + Clone, C: Clock + Clone> Buckets<K, C> {
    fn new(limit: Limit, per_minute: NonZeroU32, capacity: usize, clock: &C) -> Self {
        let quota = governor::Quota::per_minute(per_minute);
        let counts = Bounded::new(capacity);
        let limiter = RateLimiter::new(quota, counts.clone(), clock.clone());
        Self { limit, one: quota.replenish_interval(), counts, limiter }
    }

    fn count(&self, key: &K) -> Result<Standing, Exceeded> {
        let standing = self.limiter.check_key(key).map_err(|until| Exceeded {
            limit: self.limit,
            quota: until.quota().burst_size().get(),
            wait: whole_seconds(until.wait_time_from(self.limiter.clock().now())).max(1),
        })?;
        let (quota, remaining) = (standing.quota(), standing.remaining_burst_capacity());
        let used = quota.burst_size().get().saturating_sub(remaining);
        let reset = whole_seconds(quota.replenish_interval() * used);
        Ok(Standing { quota: quota.burst_size().get(), remaining, reset })
    }
}

/// Rounded up: who waits so long has waited long enough.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl<C: Clock> fmt::Debug for RateLimits<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
mod tests;
