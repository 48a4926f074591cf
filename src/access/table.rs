//! A sharded table of small entries, each guarded by its stream's sequence: what is older never replaces what is newer.
//!
//! Entries lie densely in chunks and are found through a table of their places ([`Places`]), so that growing moves four
//! bytes an entry and leaves no half-empty table of whole entries behind. What only few entries have (an end, roles of their
//! own) is kept aside.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::places::Places;

/// Enough that writers of different workspaces rarely meet.
const SHARDS: usize = 64;
/// Entries a chunk has room for.
const CHUNK: usize = 256;

pub(super) trait Entry: Copy {
    type Key: Copy + Eq + Hash;
    type Aside: Clone;

    fn key(&self) -> Self::Key;
    fn sequence(&self) -> u32;
    fn has_aside(&self) -> bool;
}

pub(super) struct Table<E: Entry> {
    shards: Box<[RwLock<Shard<E>>]>,
    /// From a key to its shard and its place there.
    hash: fn(&E::Key) -> u64,
}

struct Shard<E: Entry> {
    places: Places,
    chunks: Vec<Vec<E>>,
    free: Vec<u32>,
    aside: HashMap<E::Key, E::Aside>,
}

impl<E: Entry> Table<E> {
    /// `hash` must spread keys that somebody chose as well as any.
    pub(super) fn new(hash: fn(&E::Key) -> u64) -> Self {
        let shards = (0..SHARDS).map(|_| RwLock::new(Shard::new())).collect();
        Self { shards, hash }
    }

    pub(super) fn get(&self, key: &E::Key) -> Option<(E, Option<E::Aside>)> {
        let hash = (self.hash)(key);
        let shard = self.read(hash);
        let entry = *shard.entry(shard.find(hash, key)?);
        let aside = if entry.has_aside() { shard.aside.get(key).cloned() } else { None };
        Some((entry, aside))
    }

    /// Takes the entry unless one as new or newer is there; says whether it did.
    pub(super) fn put(&self, entry: E, aside: Option<E::Aside>) -> bool {
        let key = entry.key();
        let hash = (self.hash)(&key);
        let mut shard = self.write(hash);
        match shard.find(hash, &key) {
            Some(place) if shard.entry(place).sequence() >= entry.sequence() => return false,
            Some(place) => *shard.entry_mut(place) = entry,
            None => shard.insert(hash, entry, self.hash),
        }
        match aside {
            Some(aside) => drop(shard.aside.insert(key, aside)),
            None => drop(shard.aside.remove(&key)),
        }
        true
    }

    /// Drops the entry if it still is what the caller thinks.
    pub(super) fn remove_if(&self, key: &E::Key, still: impl FnOnce(&E) -> bool) {
        let hash = (self.hash)(key);
        let mut shard = self.write(hash);
        if let Some(place) = shard.find(hash, key)
            && still(shard.entry(place))
        {
            shard.remove(hash, key, place, self.hash);
        }
    }

    /// Makes room for about so many entries at once: each time a table grows, it leaves a smaller one behind.
    pub(super) fn reserve(&self, entries: usize) {
        // Some shards get a little more than their share.
        let share = entries / SHARDS + entries / SHARDS / 32;
        for shard in &self.shards {
            shard.write().unwrap_or_else(PoisonError::into_inner).reserve(share, self.hash);
        }
    }

    pub(super) fn clear(&self) {
        for shard in &self.shards {
            *shard.write().unwrap_or_else(PoisonError::into_inner) = Shard::new();
        }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).places.len())
            .sum()
    }

    // A panic while a lock was held leaves an entry whole: entries are assigned, not edited.

    fn read(&self, hash: u64) -> RwLockReadGuard<'_, Shard<E>> {
        self.shards[shard_of(hash)].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, hash: u64) -> RwLockWriteGuard<'_, Shard<E>> {
        self.shards[shard_of(hash)].write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bits by which [`Places`] chooses no slot.
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

impl<E: Entry> Shard<E> {
    fn new() -> Self {
        Self { places: Places::default(), chunks: Vec::new(), free: Vec::new(), aside: HashMap::new() }
    }

    fn reserve(&mut self, entries: usize, rehash: fn(&E::Key) -> u64) {
        self.chunks.reserve(entries / CHUNK);
        self.places.reserve(entries, rehashed(&self.chunks, rehash));
    }

    fn find(&self, hash: u64, key: &E::Key) -> Option<u32> {
        self.places.find(hash, |place| self.entry(place).key() == *key)
    }

    fn entry(&self, place: u32) -> &E {
        &self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    fn entry_mut(&mut self, place: u32) -> &mut E {
        &mut self.chunks[place as usize / CHUNK][place as usize % CHUNK]
    }

    fn insert(&mut self, hash: u64, entry: E, rehash: fn(&E::Key) -> u64) {
        let place = if let Some(place) = self.free.pop() {
            *self.entry_mut(place) = entry;
            place
        } else {
            self.push(entry)
        };
        self.places.insert(hash, place, rehashed(&self.chunks, rehash));
    }

    fn push(&mut self, entry: E) -> u32 {
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let before = (self.chunks.len() - 1) * CHUNK;
        let Some(chunk) = self.chunks.last_mut() else { return 0 };
        chunk.push(entry);
        // A shard of four thousand million entries does not fit into any memory.
        u32::try_from(before + chunk.len() - 1).unwrap_or(u32::MAX)
    }

    fn remove(&mut self, hash: u64, key: &E::Key, place: u32, rehash: fn(&E::Key) -> u64) {
        self.places.remove(hash, place, rehashed(&self.chunks, rehash));
        self.free.push(place);
        self.aside.remove(key);
    }
}

/// The hash of the entry at a place.
fn rehashed<E: Entry>(chunks: &[Vec<E>], rehash: fn(&E::Key) -> u64) -> impl Fn(u32) -> u64 {
    move |place| rehash(&chunks[place as usize / CHUNK][place as usize % CHUNK].key())
}

impl<E: Entry> fmt::Debug for Table<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("entries", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq)]
    struct Numbered {
        key: u64,
        sequence: u32,
        aside: bool,
    }

    impl Entry for Numbered {
        type Key = u64;
        type Aside = &'static str;

        fn key(&self) -> u64 {
            self.key
        }

        fn sequence(&self) -> u32 {
            self.sequence
        }

        fn has_aside(&self) -> bool {
            self.aside
        }
    }

    #[allow(clippy::trivially_copy_pass_by_ref, reason = "as the table calls it")]
    fn spread(key: &u64) -> u64 {
        key.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn plain(key: u64, sequence: u32) -> Numbered {
        Numbered { key, sequence, aside: false }
    }

    #[test]
    fn what_is_as_old_or_older_is_ignored() {
        let table = Table::new(spread);
        assert!(table.put(plain(7, 2), None));
        assert!(!table.put(plain(7, 2), None));
        assert!(!table.put(plain(7, 1), None));
        assert!(table.put(Numbered { aside: true, ..plain(7, 3) }, Some("noted")));
        assert_eq!(table.get(&7).unwrap().1, Some("noted"));
        assert!(table.put(plain(7, 4), None));
        assert_eq!(table.get(&7), Some((plain(7, 4), None)));
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn places_are_used_again() {
        let table = Table::new(spread);
        for key in 0..100_000 {
            table.put(plain(key, 1), None);
        }
        for key in (0..100_000).filter(|key| key % 3 == 0) {
            table.remove_if(&key, |_| true);
        }
        table.remove_if(&1, |entry| entry.sequence > 1);
        for key in (0..100_000).filter(|key| key % 3 == 0) {
            assert_eq!(table.get(&key), None);
            table.put(plain(key, 2), None);
        }
        assert_eq!(table.len(), 100_000);
        for key in 0..100_000 {
            assert_eq!(table.get(&key).unwrap().0.sequence, if key % 3 == 0 { 2 } else { 1 });
        }
        let room: usize = table.shards.iter().map(|shard| shard.read().unwrap().chunks.len() * CHUNK).sum();
        assert!(room <= 100_000 + SHARDS * CHUNK, "{room}");
    }
}
