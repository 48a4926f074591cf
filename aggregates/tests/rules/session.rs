use proptest::prelude::*;
use tenure_aggregates::session::{Ending, Refusal, SessionCommand as C, SessionEvent as E, Switching};
use tenure_aggregates::{Changed, Refused, Session, Time};

use crate::arbitrary::{session_commands, session_events};
use crate::{an_instant, fold, given, minutes, noon, session_id, user, workspace_id};

fn start(now: Time) -> C {
    C::Start {
        session_id: session_id(1),
        user_id: user("ada"),
        workspace_id: workspace_id(1),
        lifetime: minutes(720),
        now,
    }
}

fn started() -> E {
    E::SessionStarted {
        session_id: session_id(1),
        user_id: user("ada"),
        workspace_id: workspace_id(1),
        expires_at: noon() + minutes(720),
        started_at: noon(),
    }
}

fn to(n: u128, because: Switching, now: Time) -> C {
    C::Switch { workspace_id: workspace_id(n), because, now }
}

fn switched(from: u128, to: u128, generation: u32, because: Switching) -> E {
    E::SessionSwitched {
        user_id: user("ada"),
        workspace_id: Changed { from: workspace_id(from), to: workspace_id(to) },
        generation,
        because,
        switched_at: noon(),
    }
}

fn ended(because: Ending) -> E {
    E::SessionEnded { user_id: user("ada"), because }
}

// ---- starting

#[test]
fn a_session_starts_in_a_workspace_and_lasts_its_lifetime() {
    let session = given::<Session>([]).when(start(noon())).then([started()]);
    let details = session.live(noon()).unwrap();
    assert_eq!((details.workspace_id, details.generation), (workspace_id(1), 1));
    assert_eq!(details.expires_at, noon() + minutes(720));
}

#[test]
fn a_session_starts_once() {
    for history in [vec![started()], vec![started(), ended(Ending::SignedOut)]] {
        given::<Session>(history).when(start(noon())).then_refused(Refusal::StartedAlready);
    }
}

#[test]
fn a_session_is_over_at_the_very_instant_of_its_end() {
    let session: Session = fold(&[started()]);
    let end = noon() + minutes(720);
    assert!(session.live(end - an_instant()).is_ok());
    assert_eq!(session.live(end), Err(Refusal::Over));
    given::<Session>([started()]).when(to(2, Switching::Chosen, end)).then_refused(Refusal::Over);
}

// ---- switching (S2.14-18)

#[test]
fn a_switch_goes_to_another_workspace_under_a_new_generation() {
    let chosen = Switching::Chosen;
    let session = given::<Session>([started()]).when(to(2, chosen, noon())).then([switched(1, 2, 2, chosen)]);
    assert_eq!(session.live(noon()).unwrap().workspace_id, workspace_id(2));
}

// Attack 17.
#[test]
fn what_was_good_before_a_switch_is_good_no_longer() {
    let session: Session = fold(&[started(), switched(1, 2, 2, Switching::Chosen)]);
    assert_eq!(session.honours(&user("ada"), 1, noon()), Err(Refusal::Over));
    assert!(session.honours(&user("ada"), 2, noon()).is_ok());
    assert_eq!(session.honours(&user("ada"), 3, noon()), Err(Refusal::Over));
}

#[test]
fn going_back_does_not_bring_the_first_generation_back() {
    let there_and_back =
        [started(), switched(1, 2, 2, Switching::Chosen), switched(2, 1, 3, Switching::Chosen)];
    let session: Session = fold(&there_and_back);
    assert_eq!(session.honours(&user("ada"), 1, noon()), Err(Refusal::Over));
    assert_eq!(session.honours(&user("ada"), 3, noon()).unwrap().workspace_id, workspace_id(1));
}

#[test]
fn switching_to_where_one_is_is_so_already() {
    given::<Session>([started()]).when(to(1, Switching::Chosen, noon())).then_nothing();
}

#[test]
fn a_session_whose_membership_ended_says_why_it_moved() {
    let because = Switching::MembershipEnded;
    given::<Session>([started()]).when(to(2, because, noon())).then([switched(1, 2, 2, because)]);
}

#[test]
fn a_session_is_nobody_elses() {
    let session: Session = fold(&[started()]);
    assert_eq!(session.honours(&user("bob"), 1, noon()), Err(Refusal::Over));
}

// ---- ending

#[test]
fn signing_out_ends_a_session_for_good() {
    for because in [Ending::SignedOut, Ending::UserErased] {
        let session = given::<Session>([started()]).when(C::End { because }).then([ended(because)]);
        assert_eq!(session.live(noon()), Err(Refusal::Over));
        let ended = || given::<Session>([started(), ended(because)]);
        ended().when(to(2, Switching::Chosen, noon())).then_refused(Refusal::Over);
        ended().when(C::End { because: Ending::SignedOut }).then_nothing();
    }
}

#[test]
fn a_session_that_never_was_neither_switches_nor_ends() {
    given::<Session>([]).when(to(2, Switching::Chosen, noon())).then_refused(Refusal::Over);
    given::<Session>([]).when(C::End { because: Ending::SignedOut }).then_refused(Refusal::Over);
    assert_eq!(Refusal::Over.code(), "unauthenticated");
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in session_events()) {
        fold::<Session>(&history);
    }

    #[test]
    fn every_move_raises_the_generation_by_one_whatever_is_asked(commands in session_commands()) {
        let mut history: Vec<E> = Vec::new();
        for command in commands {
            let before = fold::<Session>(&history).live(noon()).ok().cloned();
            let Ok(events) = given::<Session>(history.clone()).when(command).result else { continue };
            for event in &events {
                if let E::SessionSwitched { workspace_id, generation, .. } = event {
                    let before = before.as_ref().unwrap();
                    prop_assert_eq!(*generation, before.generation + 1);
                    prop_assert_eq!(workspace_id.from, before.workspace_id);
                }
            }
            history.extend(events);
        }
    }
}
