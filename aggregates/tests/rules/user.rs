use proptest::prelude::*;
use tenure_aggregates::event::Changed;
use tenure_aggregates::user::{Refusal, UserCommand as C, UserEvent as E};
use tenure_aggregates::{Refused, User, WorkspaceId};

use crate::arbitrary::{user_commands, user_events};
use crate::{assert_table, days, email, fold, given, noon, user};

fn provisioned() -> E {
    E::UserProvisioned {
        user_id: user("ada"),
        email: Some(email("ada@acme.test")),
        email_verified: true,
        name: Some("Ada".into()),
        created_at: noon(),
    }
}

fn erasure_started() -> E {
    E::UserErasureStarted { user_id: user("ada") }
}

fn erasure_withdrawn() -> E {
    E::UserErasureWithdrawn { user_id: user("ada") }
}

fn erased() -> E {
    E::UserErased { user_id: user("ada") }
}

/// A provision that says nothing of any field.
fn provision() -> C {
    C::Provision { user_id: user("ada"), email: None, email_verified: None, name: None, now: noon() }
}

fn provision_email(text: &str, verified: Option<bool>) -> C {
    C::Provision {
        user_id: user("ada"),
        email: Some(Some(email(text))),
        email_verified: verified,
        name: None,
        now: noon() + days(1),
    }
}

// ---- provisioning

#[test]
fn a_user_is_provisioned_with_the_identity_and_profile_given() {
    let command = C::Provision {
        user_id: user("ada"),
        email: Some(Some(email("ada@acme.test"))),
        email_verified: Some(true),
        name: Some(Some("Ada".into())),
        now: noon(),
    };
    let state = given::<User>([]).when(command).then([provisioned()]);
    assert_eq!(state.active().unwrap().created_at, noon());
}

#[test]
fn a_user_may_be_provisioned_by_the_id_alone() {
    given::<User>([]).when(provision()).then([E::UserProvisioned {
        user_id: user("ada"),
        email: None,
        email_verified: false,
        name: None,
        created_at: noon(),
    }]);
}

// Attack 18: what nobody vouched for is not verified.
#[test]
fn an_address_is_unverified_until_somebody_says_otherwise() {
    let state = given::<User>([]).when(provision_email("ada@acme.test", None)).state;
    assert!(!state.active().unwrap().email_verified);
}

#[test]
fn no_address_is_never_a_verified_one() {
    let verified_nothing = C::Provision {
        user_id: user("ada"),
        email: None,
        email_verified: Some(true),
        name: None,
        now: noon(),
    };
    let state = given::<User>([]).when(verified_nothing).state;
    assert!(!state.active().unwrap().email_verified);
}

#[test]
fn provisioning_again_with_the_same_is_so_already() {
    given::<User>([provisioned()]).when(provision()).then_nothing();
    given::<User>([provisioned()]).when(provision_email("ADA@acme.test ", Some(true))).then_nothing();
}

#[test]
fn provisioning_again_changes_only_what_is_given() {
    let rename = C::Provision {
        user_id: user("ada"),
        email: None,
        email_verified: None,
        name: Some(Some("Ada L.".into())),
        now: noon(),
    };
    given::<User>([provisioned()]).when(rename).then([E::UserProfileChanged {
        user_id: user("ada"),
        email: None,
        email_verified: None,
        name: Some(Changed { from: Some("Ada".into()), to: Some("Ada L.".into()) }),
    }]);
}

// Attack 18: what was shown to be theirs was the old address.
#[test]
fn a_new_address_starts_unverified() {
    given::<User>([provisioned()]).when(provision_email("ada@new.test", None)).then([
        E::UserProfileChanged {
            user_id: user("ada"),
            email: Some(Changed { from: Some(email("ada@acme.test")), to: Some(email("ada@new.test")) }),
            email_verified: Some(Changed { from: true, to: false }),
            name: None,
        },
    ]);
}

#[test]
fn a_new_address_may_come_verified() {
    let state = given::<User>([provisioned()]).when(provision_email("ada@new.test", Some(true))).state;
    assert!(state.active().unwrap().email_verified);
}

#[test]
fn the_same_address_said_again_stays_verified() {
    given::<User>([provisioned()]).when(provision_email("ada@acme.test", None)).then_nothing();
}

#[test]
fn an_address_taken_away_takes_its_verification_along() {
    let without = C::Provision {
        user_id: user("ada"),
        email: Some(None),
        email_verified: Some(true),
        name: None,
        now: noon(),
    };
    let state = given::<User>([provisioned()]).when(without).state;
    let profile = state.active().unwrap();
    assert_eq!((&profile.email, profile.email_verified), (&None, false));
}

#[test]
fn an_update_never_moves_the_instant_of_birth() {
    let state = given::<User>([provisioned()]).when(provision_email("ada@new.test", None)).state;
    assert_eq!(state.active().unwrap().created_at, noon());
}

// ---- erasure

#[test]
fn while_the_erasure_runs_the_user_cannot_act_join_or_own() {
    let state = given::<User>([provisioned()]).when(C::StartErasure).then([erasure_started()]);
    assert_eq!(state.active(), Err(Refusal::NotFound));
}

#[test]
fn a_withdrawn_erasure_leaves_the_user_as_before() {
    let state = given::<User>([provisioned(), erasure_started()]).when(C::WithdrawErasure);
    assert_eq!(state.then([erasure_withdrawn()]), fold::<User>(&[provisioned()]));
}

#[test]
fn an_erased_user_leaves_no_profile_in_the_state() {
    let state = given::<User>([provisioned(), erasure_started()]).when(C::Erase).then([erased()]);
    assert_eq!(state, User::Erased);
}

// Attack 9: an id that was deleted never comes back.
#[test]
fn an_erased_user_never_comes_back() {
    given::<User>([provisioned(), erasure_started(), erased()])
        .when(provision())
        .then_refused(Refusal::Erased);
}

#[test]
fn every_command_in_every_state() {
    let states: [(&str, Vec<E>); 4] = [
        ("missing", vec![]),
        ("active", vec![provisioned()]),
        ("erasing", vec![provisioned(), erasure_started()]),
        ("erased", vec![provisioned(), erasure_started(), erased()]),
    ];
    let commands = [
        ("provision", provision_email("ada@new.test", None)),
        ("start erasure", C::StartErasure),
        ("withdraw erasure", C::WithdrawErasure),
        ("erase", C::Erase),
    ];
    let lines = commands.into_iter().flat_map(|(command, c)| {
        states.clone().map(|(state, history)| {
            vec![command.to_owned(), state.to_owned(), given::<User>(history).when(c.clone()).word()]
        })
    });
    assert_table(
        "
        provision        | missing | UserProvisioned
        provision        | active  | UserProfileChanged
        provision        | erasing | user_erased
        provision        | erased  | user_erased
        start erasure    | missing | user_not_found
        start erasure    | active  | UserErasureStarted
        start erasure    | erasing | so already
        start erasure    | erased  | user_not_found
        withdraw erasure | missing | user_not_found
        withdraw erasure | active  | so already
        withdraw erasure | erasing | UserErasureWithdrawn
        withdraw erasure | erased  | user_not_found
        erase            | missing | user_not_found
        erase            | active  | user_not_found
        erase            | erasing | UserErased
        erase            | erased  | so already
        ",
        lines,
    );
}

// ---- the personal workspace

// S2.1: uniqueness comes from the id.
#[test]
fn the_personal_workspace_follows_from_the_user_id() {
    let (ada, again, other) = (user("ada"), user("ada"), user("Ada"));
    assert_eq!(WorkspaceId::personal(&ada), WorkspaceId::personal(&again));
    assert_ne!(WorkspaceId::personal(&ada), WorkspaceId::personal(&other));
    assert_eq!(WorkspaceId::personal(&ada).0.get_version_num(), 5);
}

// What is stored under a derived id is lost when the derivation changes.
#[test]
fn the_derivation_of_the_personal_workspace_never_changes() {
    assert_eq!(WorkspaceId::personal(&user("ada")).to_string(), "c32459d7-759b-5ca6-ade9-b1d4603ece5c");
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    assert_eq!(Refusal::NotFound.code(), "user_not_found");
    assert_eq!(Refusal::Erased.code(), "user_erased");
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in user_events()) {
        fold::<User>(&history);
    }

    #[test]
    fn a_command_said_twice_happens_once(commands in user_commands()) {
        let mut history = Vec::new();
        for command in commands {
            if let Ok(events) = given::<User>(history.clone()).when(command.clone()).result {
                history.extend(events);
                let again = given::<User>(history.clone()).when(command).result;
                prop_assert!(again.is_ok_and(|events| events.is_empty()));
            }
            if let Ok(profile) = fold::<User>(&history).active() {
                prop_assert!(profile.email.is_some() || !profile.email_verified);
            }
        }
    }
}
