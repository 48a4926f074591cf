//! Which e-mail addresses are anybody's at all: most who are invited are nobody's yet, and of those nothing need be
//! looked up.
//!
//! A superset, kept as Bloom filters: an address that is not in it belongs to no user, one that is may belong to some.
//! Nothing is taken out again, so an address that was given up is only looked up once more than needed. The filters
//! are keyed anew in every process and no address can be read from them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use fastbloom::AtomicBloomFilter;

/// How many addresses the first filter is made for; each one after it is made for four times as many.
const FIRST: usize = 1 << 14;
const GROWTH: usize = 4;
/// How often a filter takes an address for one it holds: 10 bits an address.
const MISTAKEN: f64 = 0.01;

/// Addresses as `users` and the invitations compare them, in the letters [`tenure_aggregates::values::Email`] keeps.
#[derive(Debug, Default)]
pub struct Addresses {
    filters: RwLock<Vec<Filter>>,
    /// Some user's address could not be read.
    incomplete: AtomicBool,
}

#[derive(Debug)]
struct Filter {
    bits: AtomicBloomFilter,
    made_for: usize,
    taken: AtomicUsize,
}

impl Filter {
    fn for_as_many_as(made_for: usize) -> Self {
        let bits = AtomicBloomFilter::with_false_pos(MISTAKEN).expected_items(made_for);
        Self { bits, made_for, taken: AtomicUsize::new(0) }
    }

    /// Puts one in, if there is room.
    fn take(&self, address: &str) -> bool {
        let room = self.taken.fetch_add(1, Ordering::Relaxed) < self.made_for;
        if room {
            self.bits.insert(address);
        }
        room
    }
}

impl Addresses {
    /// Somebody has this address.
    pub(super) fn put(&self, address: &str) {
        if self.holds(address) {
            return;
        }
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        if filters.last().is_some_and(|last| last.take(address)) {
            return;
        }
        drop(filters);
        let mut filters = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have made the next one meanwhile.
        if !filters.last().is_some_and(|last| last.take(address)) {
            let next = Filter::for_as_many_as(filters.last().map_or(FIRST, |last| last.made_for * GROWTH));
            next.take(address);
            filters.push(next);
        }
    }

    /// Some user's address is not known here: from now on any may be somebody's.
    pub(super) fn miss(&self) {
        self.incomplete.store(true, Ordering::Relaxed);
    }

    /// Whether a user may have this address; never no for one that was put in.
    pub(super) fn may_have(&self, address: &str) -> bool {
        self.incomplete.load(Ordering::Relaxed) || self.holds(address)
    }

    fn holds(&self, address: &str) -> bool {
        let filters = self.filters.read().unwrap_or_else(PoisonError::into_inner);
        filters.iter().rev().any(|filter| filter.bits.contains(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> String {
        format!("user{number}@example.com")
    }

    #[test]
    fn what_was_put_in_is_there_however_many_there_are() {
        let addresses = Addresses::default();
        assert!(!addresses.may_have(&address(0)));
        let many = FIRST * (2 + GROWTH);
        (0..many).for_each(|number| addresses.put(&address(number)));
        assert_eq!(addresses.filters.read().unwrap().len(), 3);
        assert!((0..many).all(|number| addresses.may_have(&address(number))));
    }

    #[test]
    fn few_others_are_taken_for_them() {
        let addresses = Addresses::default();
        (0..FIRST).for_each(|number| addresses.put(&address(number)));
        let mistaken = (FIRST..FIRST * 2).filter(|number| addresses.may_have(&address(*number))).count();
        assert!(mistaken < FIRST / 50, "{mistaken} of {FIRST}");
    }

    #[test]
    fn one_put_in_again_takes_no_room() {
        let addresses = Addresses::default();
        (0..FIRST * 2).for_each(|_| addresses.put("ada@example.com"));
        assert_eq!(addresses.filters.read().unwrap().len(), 1);
    }

    #[test]
    fn where_one_is_missing_any_may_be_somebodys() {
        let addresses = Addresses::default();
        addresses.miss();
        assert!(addresses.may_have("ada@example.com"));
    }

    #[test]
    fn many_at_once_lose_none() {
        let addresses = Addresses::default();
        std::thread::scope(|scope| {
            for part in 0..4 {
                let addresses = &addresses;
                scope.spawn(move || {
                    (0..FIRST).for_each(|number| addresses.put(&address(part * FIRST + number)));
                });
            }
        });
        assert!((0..4 * FIRST).all(|number| addresses.may_have(&address(number))));
    }
}
