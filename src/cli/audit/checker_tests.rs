//! A checker finds whatever was done to a history, and where, with what the auditor kept.

use chrono::DateTime;
use proptest::prelude::*;
use tenure_aggregates::WorkspaceId;
use tenure_projections::leaf;
use tenure_projections::proofs::{Frontier, Hash};
use tenure_projections::recorded::Logged;
use tlog_tiles::record_hash;
use uuid::Uuid;

use super::checker::{Checker, Entry, Verified};
use super::checkpoints::{Checkpoints, Distrust, Trusted};
use super::finding::{Finding, Place, Wrong};

const WORKSPACE: Uuid = Uuid::from_u128(7);

fn event(seq: u64) -> Logged {
    let number = i64::try_from(seq).unwrap();
    Logged {
        position: 3 * number,
        workspace_id: WORKSPACE,
        workspace_seq: number,
        aggregate_type: "User".into(),
        aggregate_id: "ada".into(),
        sequence: number,
        event_type: "UserErased".into(),
        event_version: "1".into(),
        payload: format!("{{\"n\":{seq}}}"),
        metadata: "{}".into(),
        recorded_at: DateTime::from_timestamp(1_800_000_000 + number, 0).unwrap(),
    }
}

/// An entry with the hash that is kept for it.
fn entry(event: Logged, kept: Option<Hash>) -> Entry {
    let (seq, leaf) = (event.workspace_seq.unsigned_abs(), leaf::leaf(&event));
    Entry {
        seq,
        line: Some(seq),
        leaf,
        event: Some(event),
        tree: kept.map(|hash| vec![hash]),
        doctored: None,
    }
}

fn history(size: u64) -> Vec<Logged> {
    (1..=size).map(event).collect()
}

fn hashes(events: &[Logged]) -> Vec<Hash> {
    events.iter().map(leaf::hash).collect()
}

fn entries(events: &[Logged], kept: &[Hash]) -> Vec<Entry> {
    events.iter().enumerate().map(|(at, event)| entry(event.clone(), kept.get(at).copied())).collect()
}

/// Checkpoints of a history at those sizes.
fn signed(events: &[Logged], sizes: &[u64]) -> Checkpoints {
    let mut tree = Frontier::default();
    let mut all = Vec::new();
    for hash in hashes(events) {
        tree.push(hash).unwrap();
        if sizes.contains(&tree.size()) {
            all.push(Trusted { name: format!("at {}", tree.size()), size: tree.size(), root: tree.root() });
        }
    }
    Checkpoints { workspace: Some(WorkspaceId(WORKSPACE)), all }
}

fn check(entries: &[Entry], checkpoints: Checkpoints) -> Result<Verified, Finding> {
    let mut checker = Checker::new(checkpoints);
    for entry in entries {
        checker.push(entry)?;
    }
    checker.finish()
}

fn at(seq: u64) -> Place {
    Place::Entry { seq, line: Some(seq) }
}

#[test]
fn a_history_as_it_was_signed_is_verified() {
    for size in 1..40 {
        let events = history(size);
        let earlier: Vec<u64> = (1..=size).collect();
        let verified = check(&entries(&events, &hashes(&events)), signed(&events, &earlier)).unwrap();
        assert_eq!((verified.size, verified.root), (size, signed(&events, &[size]).all[0].root));
        assert!(check(&entries(&events, &[]), signed(&events, &[size])).is_ok(), "also without hashes");
    }
}

#[test]
fn a_deleted_a_swapped_and_a_repeated_entry_are_named() {
    let events = history(9);
    let whole = entries(&events, &hashes(&events));
    let mut gone = whole.clone();
    gone.drain(4..6);
    let finding = check(&gone, signed(&events, &[9])).unwrap_err();
    assert_eq!(
        finding,
        Finding { place: Place::Entry { seq: 5, line: Some(7) }, what: Wrong::Missing { last: 6 } }
    );
    let mut swapped = whole.clone();
    swapped.swap(2, 3);
    let finding = check(&swapped, signed(&events, &[9])).unwrap_err();
    assert_eq!(finding.place, Place::Entry { seq: 3, line: Some(4) });
    let mut repeated = whole.clone();
    repeated.insert(3, whole[2].clone());
    let finding = check(&repeated, signed(&events, &[9])).unwrap_err();
    assert_eq!(finding, Finding { place: at(3), what: Wrong::OutOfOrder { expected: 4 } });
}

#[test]
fn entries_under_each_others_number_are_named() {
    let events = history(9);
    let mut whole = entries(&events, &hashes(&events));
    let (third, fourth) = (whole[2].clone(), whole[3].clone());
    (whole[2].leaf, whole[2].event) = (fourth.leaf, fourth.event);
    (whole[3].leaf, whole[3].event) = (third.leaf, third.event);
    let finding = check(&whole, signed(&events, &[9])).unwrap_err();
    assert_eq!(finding, Finding { place: at(3), what: Wrong::LeafOfAnother(4) });
}

#[test]
fn a_cut_tail_and_an_addition_are_named() {
    let events = history(9);
    let whole = entries(&events, &hashes(&events));
    let cut = Wrong::Cut { last: 9, checkpoint: "at 9".into() };
    let finding = check(&whole[..7], signed(&events, &[3, 9])).unwrap_err();
    assert_eq!(finding, Finding { place: Place::Entry { seq: 8, line: None }, what: cut });
    let added = Wrong::NotCovered { checkpoint: "at 7".into(), size: 7 };
    assert_eq!(check(&whole, signed(&events, &[7])).unwrap_err(), Finding { place: at(8), what: added });
}

#[test]
fn what_stands_beside_a_genuine_leaf_may_be_wrong_too() {
    let events = history(9);
    let mut whole = entries(&events, &hashes(&events));
    whole[5].doctored = Some("time");
    let finding = check(&whole, signed(&events, &[4, 9])).unwrap_err();
    assert_eq!(finding, Finding { place: at(6), what: Wrong::Doctored("time") });
    whole[5].doctored = None;
    whole[5].tree = Some(vec![Hash::default()]);
    let finding = check(&whole, signed(&events, &[4, 9])).unwrap_err();
    assert_eq!(finding, Finding { place: at(6), what: Wrong::Doctored("leaf_hash") });
}

#[test]
fn another_workspace_and_what_is_no_leaf_are_named() {
    let events = history(9);
    let mut foreign = events.clone();
    foreign[1].workspace_id = Uuid::from_u128(8);
    let finding = check(&entries(&foreign, &[]), signed(&events, &[9])).unwrap_err();
    assert_eq!(finding.what, Wrong::AnotherWorkspace(Uuid::from_u128(8).to_string()));
    let mut whole = entries(&events, &hashes(&events));
    whole[6] = Entry { leaf: "tenure leaf v2".into(), event: None, ..whole[6].clone() };
    let finding = check(&whole, signed(&events, &[9])).unwrap_err();
    assert_eq!(finding, Finding { place: at(7), what: Wrong::NotALeaf });
}

#[test]
fn two_signed_histories_of_one_size_are_told() {
    let events = history(4);
    let mut two = signed(&events, &[4]);
    two.all.push(Trusted { name: "other".into(), size: 4, root: record_hash(b"") });
    assert_eq!(two.sorted(), Err(Distrust::TwoHistories("at 4".into(), "other".into())));
}

proptest! {
    /// Whatever the sizes, a changed leaf is named exactly by hashes that were kept, and bracketed without.
    #[test]
    fn a_change_is_named_or_bracketed(
        size in 1u64..70,
        changed in any::<prop::sample::Index>(),
        earlier in prop::collection::btree_set(1u64..70, 0..6),
    ) {
        let events = history(size);
        let changed = changed.index(events.len());
        let seq = changed as u64 + 1;
        let sizes: Vec<u64> = earlier.into_iter().filter(|at| *at < size).chain([size]).collect();
        let mut other = events.clone();
        other[changed].payload = "{\"n\":0}".into();
        let first = sizes.iter().filter(|at| **at < seq).max().unwrap_or(&0) + 1;
        let last = *sizes.iter().find(|at| **at >= seq).unwrap();
        // The hashes were kept, or only the log was changed and not the tree.
        let finding = check(&entries(&other, &hashes(&events)), signed(&events, &sizes)).unwrap_err();
        prop_assert_eq!(finding, Finding { place: at(seq), what: Wrong::Changed });
        // Everything was rewritten, or there are no hashes.
        for kept in [hashes(&other), vec![]] {
            let finding = check(&entries(&other, &kept), signed(&events, &sizes)).unwrap_err();
            prop_assert_eq!(finding.place, Place::Between { first, last });
            let rewritten = matches!(finding.what, Wrong::Rewritten { .. });
            prop_assert!(rewritten);
        }
    }

    /// Whoever rewrites an entry with its hash, and another one without, hides the first behind the second only as far
    /// as the checkpoints let them.
    #[test]
    fn an_entry_rewritten_whole_is_not_hidden_by_a_later_one(
        size in 3u64..70,
        pair in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let events = history(size);
        let (one, two) = (pair.0.index(events.len()), pair.1.index(events.len()));
        prop_assume!(one < two);
        let mut other = events.clone();
        other[one].payload = "{\"n\":0}".into();
        let mut kept = hashes(&other);
        kept[two] = Hash::default();
        let finding = check(&entries(&other, &kept), signed(&events, &[size])).unwrap_err();
        prop_assert_eq!(finding.place, Place::Between { first: 1, last: two as u64 + 1 });
    }
}
