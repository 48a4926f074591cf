use proptest::prelude::*;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::claim::{ClaimCommand as C, ClaimEvent as E, Refusal};
use tenure_aggregates::{Claim, Refused};

use crate::arbitrary::{claim_commands, claim_events};
use crate::{fold, given, workspace_id};

fn taken(n: u128) -> E {
    E::ClaimTaken { workspace_id: workspace_id(n) }
}

fn released(n: u128) -> E {
    E::ClaimReleased { workspace_id: workspace_id(n) }
}

#[test]
fn a_free_value_is_taken_by_whoever_asks_first() {
    let claim = given::<Claim>([]).when(C::Take { by: workspace_id(1) }).then([taken(1)]);
    assert_eq!(claim.holder(), Some(workspace_id(1)));
}

// Attack 31: one winner.
#[test]
fn a_value_held_by_another_workspace_cannot_be_taken() {
    let claim = given::<Claim>([taken(1)]).when(C::Take { by: workspace_id(2) }).then_refused(Refusal::Taken);
    assert_eq!(claim.holder(), Some(workspace_id(1)));
    assert_eq!(Refusal::Taken.code(), "slug_taken");
}

#[test]
fn taking_what_one_holds_is_so_already() {
    given::<Claim>([taken(1)]).when(C::Take { by: workspace_id(1) }).then_nothing();
}

#[test]
fn the_holder_releases_the_value() {
    let claim = given::<Claim>([taken(1)]).when(C::Release { by: workspace_id(1) }).then([released(1)]);
    assert_eq!(claim.holder(), None);
}

#[test]
fn nobody_releases_what_another_workspace_holds() {
    let claim = given::<Claim>([taken(1)]).when(C::Release { by: workspace_id(2) }).then_nothing();
    assert_eq!(claim.holder(), Some(workspace_id(1)));
}

#[test]
fn releasing_a_free_value_is_so_already() {
    given::<Claim>([]).when(C::Release { by: workspace_id(1) }).then_nothing();
}

#[test]
fn a_released_value_may_be_taken_by_another_workspace() {
    given::<Claim>([taken(1), released(1)]).when(C::Take { by: workspace_id(2) }).then([taken(2)]);
}

#[test]
fn a_slug_and_an_invite_code_never_share_a_claim() {
    assert_eq!(Claim::slug("acme"), "slug:acme");
    assert_eq!(Claim::invite_code("acme"), "invite-code:acme");
}

#[test]
fn a_claim_is_the_only_stream_shared_by_all_tenants() {
    const { assert!(Claim::SHARED) };
    const { assert!(!tenure_aggregates::Workspace::SHARED) };
    const { assert!(!tenure_aggregates::Membership::SHARED) };
    const { assert!(!tenure_aggregates::Invitation::SHARED) };
    const { assert!(!tenure_aggregates::Session::SHARED) };
    const { assert!(!tenure_aggregates::User::SHARED) };
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in claim_events()) {
        fold::<Claim>(&history);
    }

    #[test]
    fn at_most_one_workspace_holds_a_value_whatever_is_asked(commands in claim_commands()) {
        let mut history: Vec<E> = Vec::new();
        for command in commands {
            let holder = fold::<Claim>(&history).holder();
            if let Ok(events) = given::<Claim>(history.clone()).when(command).result {
                for event in &events {
                    match event {
                        E::ClaimTaken { .. } => prop_assert_eq!(holder, None),
                        E::ClaimReleased { workspace_id } => prop_assert_eq!(holder, Some(*workspace_id)),
                    }
                }
                history.extend(events);
                prop_assert_eq!(given::<Claim>(history.clone()).when(command).result, Ok(vec![]));
            }
        }
    }
}
