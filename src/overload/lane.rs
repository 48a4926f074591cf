//! For whom a request counts: the workspace (or whatever else) its path names, once its credential was let in there.
//!
//! Before that it counts for the credential alone, so that nobody who knows a workspace's id uses up its share.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many pairs of a credential and a workspace are remembered; one is forgotten when another takes its slot.
const REMEMBERED: usize = 1 << 16;

/// Where a request stands in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lane {
    pub(super) key: u64,
    /// Whether the credential was let in there before.
    pub(super) known: bool,
    pair: u64,
}

/// Knows who was let in where. Bounded, without locks; what is lost is learned again with the next answer.
#[derive(Debug)]
pub struct Lanes {
    hasher: RandomState,
    known: Box<[AtomicU64]>,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { hasher: RandomState::new(), known: (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Lanes {
    /// The lane of a request about `subject` that shows `credential`, in as many parts as it has.
    pub fn of(&self, subject: Option<&str>, credential: &[&[u8]]) -> Lane {
        let pair = self.hasher.hash_one((subject, credential));
        let known = pair != 0 && self.slot(pair).load(Ordering::Relaxed) == pair;
        let key = match subject {
            Some(subject) if known => self.hasher.hash_one(subject),
            _ => pair,
        };
        Lane { key, known, pair }
    }

    /// The request was let in.
    pub fn learn(&self, lane: Lane) {
        if !lane.known {
            self.slot(lane.pair).store(lane.pair, Ordering::Relaxed);
        }
    }

    /// The request was not let in.
    pub fn forget(&self, lane: Lane) {
        if lane.known {
            let _ = self.slot(lane.pair).compare_exchange(lane.pair, 0, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    fn slot(&self, pair: u64) -> &AtomicU64 {
        #[allow(clippy::cast_possible_truncation, reason = "only the remainder counts")]
        let slot = pair as usize % REMEMBERED;
        &self.known[slot]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_counts_for_the_workspace_once_it_was_let_in() {
        let lanes = Lanes::default();
        let of = |subject, credential: &str| lanes.of(subject, &[credential.as_bytes()]);
        let (ada, bob) = (of(Some("a"), "ada"), of(Some("a"), "bob"));
        assert_ne!(ada.key, bob.key, "each for itself");
        lanes.learn(ada);
        lanes.learn(bob);
        let (ada, bob) = (of(Some("a"), "ada"), of(Some("a"), "bob"));
        assert!(ada.known && bob.known);
        assert_eq!(ada.key, bob.key, "both for the workspace");
        assert_ne!(of(Some("a"), "eve").key, ada.key, "a stranger does not");
        assert_ne!(of(Some("b"), "ada").key, ada.key, "nor in another workspace");
        lanes.forget(bob);
        assert!(!of(Some("a"), "bob").known);
        assert!(of(Some("a"), "ada").known);
    }

    #[test]
    fn without_a_workspace_it_always_counts_for_the_credential() {
        let lanes = Lanes::default();
        let before = lanes.of(None, &[b"key", b"ada"]);
        lanes.learn(before);
        let after = lanes.of(None, &[b"key", b"ada"]);
        assert_eq!((after.key, after.known), (before.key, true));
        assert_ne!(lanes.of(None, &[b"key", b"bob"]).key, after.key);
        assert_ne!(lanes.of(None, &[b"keya", b"da"]).key, after.key);
    }
}
