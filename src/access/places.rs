//! From hashes to the places of entries: open addressing in a table that grows by a quarter and is kept nearly full, since
//! there are millions of entries, and tables that double are half empty on average where it counts.
//!
//! A slot is four bytes: the place in its low bits, and as much of the hash as fits above, so that hardly any entry is
//! looked at but the one that is sought.

/// Slots of which that many in eight are used at most: probes stay within a cache line or two.
const FULL: usize = 7;
const LEAST: usize = 16;
const EMPTY: u32 = 0;

#[derive(Debug, Default)]
pub(super) struct Places {
    /// [`EMPTY`], or a tag and one more than a place.
    slots: Vec<u32>,
    used: usize,
}

impl Places {
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// The place with that hash that is the one.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.seek(hash, is).map(|at| self.place(at))
    }

    /// Adds a place that is not there. `rehash` tells the hash of the entry at a place that is; places are as dense as
    /// those of a list.
    pub(super) fn insert(&mut self, hash: u64, place: u32, rehash: impl Fn(u32) -> u64) {
        // Places below the number of slots fit into them.
        while self.used >= room(self.slots.len()) || place as usize >= self.slots.len() {
            self.resize((self.slots.len() + self.slots.len() / 4).max(LEAST), &rehash);
        }
        self.add(hash, place);
    }

    /// Makes room for so many in all.
    pub(super) fn reserve(&mut self, places: usize, rehash: impl Fn(u32) -> u64) {
        let slots = places / FULL * 8 + 8;
        if slots > self.slots.len() {
            self.resize(slots.max(LEAST), &rehash);
        }
    }

    /// Drops that place, if it is there.
    pub(super) fn remove(&mut self, hash: u64, place: u32, rehash: impl Fn(u32) -> u64) {
        let Some(mut hole) = self.seek(hash, |other| other == place) else { return };
        // Whatever came to lie further on because the hole was taken moves back into it.
        let mut at = self.after(hole);
        while self.slots[at] != EMPTY {
            let home = self.home(rehash(self.place(at)));
            if self.steps(home, at) >= self.steps(hole, at) {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.slots[hole] = EMPTY;
        self.used -= 1;
    }

    fn seek(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<usize> {
        if self.slots.is_empty() {
            return None;
        }
        let (tag, mask) = (self.tag(hash), self.mask());
        let mut at = self.home(hash);
        // Some slot is always empty.
        while self.slots[at] != EMPTY {
            if self.slots[at] & !mask == tag && is(self.place(at)) {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    fn add(&mut self, hash: u64, place: u32) {
        let mut at = self.home(hash);
        while self.slots[at] != EMPTY {
            at = self.after(at);
        }
        self.slots[at] = self.tag(hash) | (place + 1);
        self.used += 1;
    }

    fn resize(&mut self, slots: usize, rehash: &impl Fn(u32) -> u64) {
        let mask = self.mask();
        let mut before = Vec::with_capacity(slots);
        before.resize(slots, EMPTY);
        std::mem::swap(&mut before, &mut self.slots);
        self.used = 0;
        for slot in before.into_iter().filter(|slot| *slot != EMPTY) {
            let place = (slot & mask) - 1;
            self.add(rehash(place), place);
        }
    }

    fn place(&self, at: usize) -> u32 {
        (self.slots[at] & self.mask()) - 1
    }

    /// The bits of a place, or of one more.
    fn mask(&self) -> u32 {
        let slots = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        u32::MAX.checked_shr(slots.leading_zeros()).unwrap_or(0)
    }

    /// Of the bits that choose neither a slot nor a shard, as many as are left in one.
    #[allow(clippy::cast_possible_truncation, reason = "as many as fit")]
    fn tag(&self, hash: u64) -> u32 {
        (hash >> 32) as u32 & !self.mask()
    }

    /// By the low half of the hash.
    #[allow(clippy::cast_possible_truncation, reason = "less than there are slots")]
    fn home(&self, hash: u64) -> usize {
        (((hash & 0xFFFF_FFFF) * self.slots.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }

    /// How far it is from one slot to another.
    fn steps(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.slots.len() - from }
    }
}

fn room(slots: usize) -> usize {
    slots / 8 * FULL
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rand::rngs::SmallRng;
    use rand::seq::IteratorRandom;
    use rand::{Rng, SeedableRng};

    use super::*;

    /// Good hashes; few different ones; all of them at the end of the table; none that choose a slot.
    const HASHES: [fn(u32) -> u64; 4] = [
        |place| u64::from(place + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29),
        |place| u64::from(place % 7).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        |place| 0xFFFF_FFF0 | u64::from(place % 16),
        |place| u64::from(place) << 32,
    ];

    fn fill(places: &mut Places, up_to: u32) {
        for place in 0..up_to {
            places.insert(HASHES[0](place), place, HASHES[0]);
        }
    }

    fn check(places: &Places, there: &BTreeMap<u32, u64>, up_to: u32, hash: fn(u32) -> u64) {
        assert_eq!(places.len(), there.len());
        for place in 0..up_to {
            let found = places.find(hash(place), |other| other == place);
            assert_eq!(found, there.contains_key(&place).then_some(place), "{place}");
        }
    }

    #[test]
    fn what_was_put_in_is_found_until_it_is_taken_out() {
        for (seed, hash) in HASHES.into_iter().enumerate() {
            let mut random = SmallRng::seed_from_u64(seed as u64);
            let (mut places, mut there) = (Places::default(), BTreeMap::new());
            let (mut free, mut next) = (Vec::new(), 0);
            for step in 0..2_000 {
                if random.random_bool(0.6) {
                    let place = free.pop().unwrap_or_else(|| {
                        next += 1;
                        next - 1
                    });
                    places.insert(hash(place), place, hash);
                    there.insert(place, hash(place));
                } else if let Some(place) = there.keys().copied().choose(&mut random) {
                    places.remove(hash(place), place, hash);
                    there.remove(&place);
                    free.push(place);
                }
                if random.random_bool(0.001) {
                    places.reserve(random.random_range(0..2_000), hash);
                }
                if step % 199 == 0 {
                    check(&places, &there, next + 3, hash);
                }
            }
            check(&places, &there, next + 3, hash);
        }
    }

    #[test]
    fn what_is_not_there_cannot_be_taken_out() {
        let hash = HASHES[0];
        let mut places = Places::default();
        places.remove(hash(0), 0, hash);
        assert_eq!(places.find(hash(0), |_| true), None);
        places.insert(hash(0), 0, hash);
        places.remove(hash(1), 1, hash);
        assert_eq!(places.len(), 1);
    }

    #[test]
    fn hardly_anything_is_looked_at_in_vain() {
        let hash = HASHES[0];
        let mut places = Places::default();
        fill(&mut places, 50_000);
        let looks = std::cell::Cell::new(0);
        for place in 0..50_000 {
            let is = |other| {
                looks.set(looks.get() + 1);
                other == place
            };
            assert_eq!(places.find(hash(place), is), Some(place));
        }
        assert!(looks.get() < 51_000, "{} looks for 50,000", looks.get());
    }

    #[test]
    fn it_is_nearly_full_whatever_its_size() {
        let hash = HASHES[0];
        let mut places = Places::default();
        for place in 0..100_000 {
            places.insert(hash(place), place, hash);
            let slots = places.slots.len();
            assert!(slots <= 64 || places.len() * 3 > slots * 2, "{} in {slots}", places.len());
        }
        let mut reserved = Places::default();
        reserved.reserve(100_000, hash);
        let slots = reserved.slots.len();
        fill(&mut reserved, 100_000);
        assert_eq!((reserved.slots.len(), slots), (slots, 100_000 / 7 * 8 + 8));
    }
}
