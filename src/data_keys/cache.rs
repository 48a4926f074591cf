//! Which keys this process has at hand. All are dropped at once when any was destroyed: that is rare, and what was
//! under way meanwhile puts none back.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lru::LruCache;
use uuid::Uuid;

use super::{DataKey, Found, Owner};

/// How many keys are kept; about 20 MB.
const KEPT: NonZeroUsize = NonZeroUsize::new(1 << 17).unwrap();

#[derive(Debug)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    /// How often all was forgotten.
    generation: u64,
    keys: LruCache<Uuid, DataKey>,
    owners: LruCache<Owner, Uuid>,
}

impl Cache {
    pub(super) fn new() -> Self {
        let (keys, owners) = (LruCache::new(KEPT), LruCache::new(KEPT));
        Self(Mutex::new(Kept { generation: 0, keys, owners }))
    }

    pub(super) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Keeps a key that was looked up at that generation, unless all was forgotten since.
    pub(super) fn keep(&self, seen: u64, key: &DataKey, owner: Option<Owner>) {
        let mut kept = self.lock();
        if kept.generation != seen {
            return;
        }
        kept.keys.put(key.id, key.clone());
        if let Some(owner) = owner {
            kept.owners.put(owner, key.id);
        }
    }

    pub(super) fn of(&self, owner: Owner) -> Option<DataKey> {
        let mut kept = self.lock();
        let id = *kept.owners.get(&owner)?;
        kept.keys.get(&id).cloned()
    }

    /// Those at hand, and the ids of the others.
    pub(super) fn find(&self, ids: &[Uuid]) -> (HashMap<Uuid, Found>, Vec<Uuid>) {
        let mut kept = self.lock();
        let (mut found, mut missing) = (HashMap::with_capacity(ids.len()), Vec::new());
        for id in ids {
            match kept.keys.get(id) {
                Some(key) => drop(found.insert(*id, Found::Key(key.clone()))),
                None => missing.push(*id),
            }
        }
        (found, missing)
    }

    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        kept.generation += 1;
        kept.keys.clear();
        kept.owners.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A panic while it was held leaves at worst a missing key, which is looked up again.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tenure_aggregates::WorkspaceId;

    use super::*;

    #[test]
    fn what_was_looked_up_before_all_was_forgotten_is_not_kept_after() {
        let cache = Cache::new();
        let key = DataKey { id: Uuid::from_u128(1), secret: [1; 32] };
        let owner = Owner::Workspace(WorkspaceId(Uuid::from_u128(2)));
        let seen = cache.generation();
        cache.keep(seen, &key, Some(owner));
        assert_eq!(cache.of(owner), Some(key.clone()));
        cache.clear();
        assert_eq!(cache.of(owner), None);
        cache.keep(seen, &key, Some(owner));
        assert_eq!(cache.find(&[key.id]).1, [key.id]);
    }
}
