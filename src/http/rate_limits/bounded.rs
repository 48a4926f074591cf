//! Where the counts of one limit are kept: one for each key up to a capacity, above it one for all further keys.
//!
//! A flood of keys costs those a share who come newly during it; it opens nothing, and takes no more memory.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};

/// A handle on the counts; cheap to clone.
#[derive(Debug)]
pub(super) struct Bounded<K: Hash + Eq + Clone>(Arc<Counts<K>>);

#[derive(Debug)]
struct Counts<K: Hash + Eq + Clone> {
    keyed: DashMapStateStore<K>,
    /// At least as many as there are: two requests may both be the first of a key.
    taken: AtomicUsize,
    capacity: usize,
    shared: InMemoryState,
}

impl<K: Hash + Eq + Clone> Bounded<K> {
    pub(super) fn new(capacity: usize) -> Self {
        let keyed = DashMapStateStore::default();
        let shared = InMemoryState::default();
        Self(Arc::new(Counts { keyed, taken: AtomicUsize::new(0), capacity, shared }))
    }

    /// Takes back what one request moved the time at which the key's bucket is full again.
    pub(super) fn give_back(&self, key: &K, one: Duration) {
        let before = |full_at: Option<Nanos>| full_at.map(|at| ((), at.saturating_sub(one.into()))).ok_or(());
        // Nothing is there to give back to a key that is forgotten.
        let _ = self.measure_and_replace(key, before);
    }

    fn has_room(&self) -> bool {
        let take = |taken| (taken < self.0.capacity).then_some(taken + 1);
        self.0.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl<K: Hash + Eq + Clone> Clone for Bounded<K> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K: Hash + Eq + Clone> StateStore for Bounded<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if self.0.keyed.contains_key(key) || self.has_room() {
            self.0.keyed.measure_and_replace(key, f)
        } else {
            self.0.shared.measure_and_replace(&NotKeyed::NonKey, f)
        }
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Bounded<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.0.keyed.retain_recent(drop_below);
        self.0.taken.store(self.0.keyed.len(), Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        self.0.keyed.len()
    }

    fn is_empty(&self) -> bool {
        self.0.keyed.is_empty()
    }
}
