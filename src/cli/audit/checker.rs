//! Holds a history, entry by entry, against the checkpoints that were signed of it, and names the first bad entry.
//!
//! A root vouches for all leaves together and tells of none which one was changed. What does is hashes that were kept
//! beside the leaves: if the hashes give the signed root, they are genuine, and the first leaf that does not fit its
//! own is the one. Where hashes were rewritten, too, the checkpoints from before bracket it.

use tenure_aggregates::{Time, WorkspaceId};
use tenure_projections::proofs::{Frontier, Hash};
use tenure_projections::recorded::Logged;
use tlog_tiles::record_hash;

use super::checkpoints::{Checkpoints, Trusted};
use super::finding::{Finding, Place, Wrong};

/// One entry of the history.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) line: Option<u64>,
    pub(super) leaf: String,
    /// What the leaf says, if it is one.
    pub(super) event: Option<Logged>,
    /// The hashes that are kept for it: of its leaf and, from the tree itself, of all subtrees it completes.
    pub(super) tree: Option<Vec<Hash>>,
    /// What is said of it beside the leaf, and is not so.
    pub(super) doctored: Option<&'static str>,
}

/// What was found well.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verified {
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) last: Option<(i64, Time)>,
}

#[derive(Debug)]
pub(super) struct Checker {
    workspace: Option<WorkspaceId>,
    /// Those yet to come to, smallest first.
    checkpoints: std::vec::IntoIter<Trusted>,
    /// The largest of them, after which nothing is covered.
    last_checkpoint: Option<Trusted>,
    tree: Frontier,
    /// The tree of the hashes that are kept, while there are any.
    kept: Option<Frontier>,
    /// The first entry that does not look right; the next checkpoint tells more.
    suspect: Option<Finding>,
    /// Up to here a signature vouches for everything.
    vouched: u64,
    last: Option<(i64, Time)>,
}

impl Checker {
    pub(super) fn new(checkpoints: Checkpoints) -> Self {
        Self {
            workspace: checkpoints.workspace,
            last_checkpoint: checkpoints.all.last().cloned(),
            checkpoints: checkpoints.all.into_iter(),
            tree: Frontier::default(),
            kept: Some(Frontier::default()),
            suspect: None,
            vouched: 0,
            last: None,
        }
    }

    /// Up to which entry a signature vouches for what was seen so far.
    pub(super) fn vouched(&self) -> u64 {
        self.vouched
    }

    /// The next entry.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), Finding> {
        let expected = self.tree.size() + 1;
        let place = Place::Entry { seq: entry.seq, line: entry.line };
        if entry.seq != expected {
            let wrong = if entry.seq > expected {
                Finding {
                    place: Place::Entry { seq: expected, line: entry.line },
                    what: Wrong::Missing { last: entry.seq - 1 },
                }
            } else {
                Finding { place, what: Wrong::OutOfOrder { expected } }
            };
            return Err(self.suspect.take().unwrap_or(wrong));
        }
        if let Some(checkpoint) = self.last_checkpoint.as_ref().filter(|last| expected > last.size) {
            let what = Wrong::NotCovered { checkpoint: checkpoint.name.clone(), size: checkpoint.size };
            return Err(self.suspect.take().unwrap_or(Finding { place, what }));
        }
        if let Some(what) = self.looks_wrong(entry) {
            self.suspect.get_or_insert(Finding { place, what });
        }
        if let Some(event) = &entry.event {
            self.last = Some((event.position, event.recorded_at));
        }
        self.grow(entry, place);
        self.meet_checkpoints(expected)
    }

    /// The history ends here, although it is known to have gone on to that entry.
    pub(super) fn breaks_off(&mut self, last: u64) -> Finding {
        let place = Place::Entry { seq: self.tree.size() + 1, line: None };
        self.suspect.take().unwrap_or(Finding { place, what: Wrong::Missing { last } })
    }

    /// The history ends here.
    pub(super) fn finish(mut self) -> Result<Verified, Finding> {
        if let Some(suspect) = self.suspect {
            return Err(suspect);
        }
        let size = self.tree.size();
        if let Some(Trusted { name, size: covered, .. }) = self.checkpoints.next_back() {
            let what = Wrong::Cut { last: covered, checkpoint: name };
            return Err(Finding { place: Place::Entry { seq: size + 1, line: None }, what });
        }
        Ok(Verified { size, root: self.tree.root(), last: self.last })
    }

    /// What can be told of an entry without any checkpoint.
    fn looks_wrong(&self, entry: &Entry) -> Option<Wrong> {
        let Some(event) = &entry.event else { return Some(Wrong::NotALeaf) };
        if self.workspace.is_some_and(|id| id.0 != event.workspace_id) {
            return Some(Wrong::AnotherWorkspace(event.workspace_id.to_string()));
        }
        if u64::try_from(event.workspace_seq) != Ok(entry.seq) {
            return Some(Wrong::LeafOfAnother(event.workspace_seq));
        }
        let back = |(position, time): (i64, Time)| event.position <= position || event.recorded_at < time;
        if self.last.is_some_and(back) {
            return Some(Wrong::BackInTime);
        }
        entry.doctored.map(Wrong::Doctored)
    }

    fn grow(&mut self, entry: &Entry, place: Place) {
        let leaf = record_hash(entry.leaf.as_bytes());
        let completed = self.tree.push(leaf).unwrap_or_default();
        let Some(kept) = &entry.tree else {
            self.kept = None;
            return;
        };
        let wrong = if kept.first() != Some(&leaf) {
            Some(Wrong::Changed)
        } else if kept.len() > 1 && *kept != completed {
            Some(Wrong::TreeChanged)
        } else {
            None
        };
        if let Some(what) = wrong {
            self.suspect.get_or_insert(Finding { place, what });
        }
        if let (Some(tree), Some(hash)) = (&mut self.kept, kept.first()) {
            tree.push(*hash);
        }
    }

    fn meet_checkpoints(&mut self, size: u64) -> Result<(), Finding> {
        while self.checkpoints.as_slice().first().is_some_and(|next| next.size <= size) {
            let Some(checkpoint) = self.checkpoints.next() else { break };
            // One of no entries vouches for nothing.
            if checkpoint.size == size {
                self.meet(&checkpoint)?;
            }
        }
        Ok(())
    }

    fn meet(&mut self, checkpoint: &Trusted) -> Result<(), Finding> {
        let genuine = self.tree.root() == checkpoint.root;
        let kept_are_genuine = self.kept.as_ref().is_some_and(|kept| kept.root() == checkpoint.root);
        let bracket = Place::Between { first: self.vouched + 1, last: checkpoint.size };
        match self.suspect.take() {
            None if genuine => {
                self.vouched = checkpoint.size;
                Ok(())
            }
            None => Err(Finding {
                place: bracket,
                what: Wrong::Rewritten { checkpoint: checkpoint.name.clone() },
            }),
            // The leaf is the one that was signed: it is what was kept beside it that is not.
            Some(Finding { place, what: Wrong::Changed }) if genuine => {
                Err(Finding { place, what: Wrong::Doctored("leaf_hash") })
            }
            Some(suspect) if genuine || kept_are_genuine => Err(suspect),
            // Neither leaves nor hashes are what was signed: something before the suspect may have been rewritten whole.
            Some(Finding { place: Place::Entry { seq, .. }, what }) => {
                Err(Finding { place: Place::Between { first: self.vouched + 1, last: seq }, what })
            }
            Some(suspect) => Err(suspect),
        }
    }
}
