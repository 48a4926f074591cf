//! Where the counts of one limit are kept: one for each key up to a capacity, above it one for all further keys.
//!
//! A flood of keys costs those a share who come newly during it; it opens nothing, and takes no more memory.

use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering};

use governor::nanos::Nanos;
use governor::state::keyed::{DashMapStateStore, ShrinkableKeyedStateStore};
use governor::state::{InMemoryState, NotKeyed, StateStore};

#[derive(Debug)]
pub(super) struct Bounded<K: Hash + Eq + Clone> {
    keyed: DashMapStateStore<K>,
    /// At least as many as there are: two requests may both be the first of a key.
    taken: AtomicUsize,
    capacity: usize,
    shared: InMemoryState,
}

impl<K: Hash + Eq + Clone> Bounded<K> {
    pub(super) fn new(capacity: usize) -> Self {
        let keyed = DashMapStateStore::default();
        Self { keyed, taken: AtomicUsize::new(0), capacity, shared: InMemoryState::default() }
    }

    fn has_room(&self) -> bool {
        let take = |taken| (taken < self.capacity).then_some(taken + 1);
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

impl<K: Hash + Eq + Clone> StateStore for Bounded<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        if self.keyed.contains_key(key) || self.has_room() {
            self.keyed.measure_and_replace(key, f)
        } else {
            self.shared.measure_and_replace(&NotKeyed::NonKey, f)
        }
    }
}

impl<K: Hash + Eq + Clone> ShrinkableKeyedStateStore<K> for Bounded<K> {
    fn retain_recent(&self, drop_below: Nanos) {
        self.keyed.retain_recent(drop_below);
        self.taken.store(self.keyed.len(), Ordering::Relaxed);
    }

    fn len(&self) -> usize {
        self.keyed.len()
    }

    fn is_empty(&self) -> bool {
        self.keyed.is_empty()
    }
}
