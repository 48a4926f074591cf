//! API keys: created, rotated, revoked.

use chrono::TimeDelta;
use proptest::prelude::*;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::api_key::{
    ApiKeyCommand as C, ApiKeyEvent as E, DEFAULT_OVERLAP, MAX_NETWORKS_SEEN, MAX_OVERLAP, Refusal, Secret,
};
use tenure_aggregates::{ApiKey, Permission, Refused, Time};

use crate::arbitrary::{api_key_commands, api_key_events};
use crate::{an_instant, api_key_id, assert_table, days, fold, given, noon, permissions, rights, user};

fn secret(n: u32) -> Secret {
    Secret { hash: format!("hash{n}"), hint: format!("tnk_{n}") }
}

fn created_until(expires_at: Option<Time>) -> E {
    E::ApiKeyCreated {
        key_id: api_key_id(1),
        name: "Deploy".into(),
        hash: secret(1).hash,
        hint: secret(1).hint,
        permissions: permissions(["members:read", "reports:export"]),
        expires_at,
        networks: vec!["192.0.2.0/24".into()],
        created_by: Some(user("olga")),
        created_at: noon(),
    }
}

fn created() -> E {
    created_until(None)
}

fn rotated(n: u32, overlap_until: Time) -> E {
    E::ApiKeyRotated { hash: secret(n).hash, hint: secret(n).hint, overlap_until }
}

fn used_from(network: &str) -> E {
    E::ApiKeyUsedFromNewNetwork { network: network.into() }
}

fn create_until(expires_at: Option<Time>) -> C {
    C::Create {
        key_id: api_key_id(1),
        name: "Deploy".into(),
        secret: secret(1),
        permissions: permissions(["members:read", "reports:export"]),
        expires_at,
        networks: vec!["192.0.2.0/24".into()],
        created_by: Some(user("olga")),
        now: noon(),
    }
}

fn rotate(n: u32, overlap: TimeDelta) -> C {
    C::Rotate { secret: secret(n), overlap, now: noon() }
}

fn note(network: &str) -> C {
    C::NoteNetwork { network: network.into() }
}

/// Which of the first secrets open at an instant.
fn good(key: &ApiKey, now: Time) -> Vec<u32> {
    (1..5).filter(|n| key.terms().is_some_and(|terms| terms.accepts(&secret(*n).hash, now))).collect()
}

// ---- creating

#[test]
fn a_key_is_created_with_what_it_may_do_until_when_and_from_where() {
    let end = Some(noon() + days(90));
    let state = given::<ApiKey>([]).when(create_until(end)).then([created_until(end)]);
    let terms = state.terms().unwrap();
    assert_eq!((terms.expires_at, terms.networks.as_slice()), (end, &["192.0.2.0/24".to_owned()][..]));
    assert_eq!(state.rights(noon()), Some(rights(["members:read", "reports:export"])));
    assert_eq!(good(&state, noon()), [1]);
}

#[test]
fn a_key_is_created_once() {
    for history in [vec![created()], vec![created(), E::ApiKeyRevoked]] {
        given::<ApiKey>(history).when(create_until(None)).then_refused(Refusal::Exists);
    }
}

#[test]
fn a_key_cannot_expire_in_the_past() {
    for end in [noon(), noon() - an_instant(), noon() - days(1)] {
        given::<ApiKey>([]).when(create_until(Some(end))).then_refused(Refusal::ExpiryPast);
    }
    let soon = Some(noon() + an_instant());
    given::<ApiKey>([]).when(create_until(soon)).then([created_until(soon)]);
}

// ---- what it may do, and until when

// Attack 12.
#[test]
fn a_key_may_what_it_names_and_nothing_else() {
    let held = fold::<ApiKey>(&[created()]).rights(noon()).unwrap();
    let allowed: Vec<_> = Permission::catalogue().filter(|permission| held.allows(*permission)).collect();
    assert_eq!(allowed, [Permission::MembersRead]);
}

#[test]
fn a_key_runs_out_at_exactly_its_expiry() {
    let state = fold::<ApiKey>(&[created_until(Some(noon()))]);
    assert!(state.rights(noon() - an_instant()).is_some());
    assert_eq!(state.rights(noon()), None);
    assert_eq!(state.rights(noon() + days(1)), None);
}

#[test]
fn a_key_without_an_expiry_does_not_run_out() {
    assert!(fold::<ApiKey>(&[created()]).rights(Time::MAX_UTC).is_some());
}

#[test]
fn a_key_that_never_was_may_nothing() {
    assert_eq!(ApiKey::default().rights(noon()), None);
}

// ---- rotating

#[test]
fn after_a_rotation_both_secrets_are_good_until_the_overlap_has_passed() {
    let until = noon() + days(1);
    let state = given::<ApiKey>([created()]).when(rotate(2, DEFAULT_OVERLAP)).then([rotated(2, until)]);
    assert_eq!(DEFAULT_OVERLAP, days(1));
    assert_eq!(good(&state, noon()), [1, 2]);
    assert_eq!(good(&state, until - an_instant()), [1, 2]);
    assert_eq!(good(&state, until), [2]);
    assert_eq!(good(&state, Time::MAX_UTC), [2]);
}

// Attack 22: of an ousted secret nothing is left.
#[test]
fn without_an_overlap_the_old_secret_dies_at_once() {
    let state = given::<ApiKey>([created()]).when(rotate(2, TimeDelta::zero())).then([rotated(2, noon())]);
    assert_eq!(good(&state, noon()), [2]);
}

#[test]
fn a_second_rotation_kills_the_secret_before_the_last_at_once() {
    let state = given::<ApiKey>([created(), rotated(2, noon() + days(30))])
        .when(rotate(3, days(1)))
        .then([rotated(3, noon() + days(1))]);
    assert_eq!(good(&state, noon()), [2, 3]);
    assert_eq!(good(&state, noon() + days(1)), [3]);
}

#[test]
fn a_rotation_changes_the_secret_and_nothing_else() {
    let end = Some(noon() + days(90));
    let before = fold::<ApiKey>(&[created_until(end), used_from("192.0.2.0/24")]);
    let after =
        given::<ApiKey>([created_until(end), used_from("192.0.2.0/24")]).when(rotate(2, days(1))).state;
    let (mut before, after) = (before.terms().unwrap().clone(), after.terms().unwrap().clone());
    assert_eq!((&after.secret, &after.previous), (&secret(2), &Some((secret(1), noon() + days(1)))));
    (before.secret, before.previous) = (after.secret.clone(), after.previous.clone());
    assert_eq!(before, after);
}

#[test]
fn the_old_secret_stays_good_for_at_most_30_days() {
    assert_eq!(MAX_OVERLAP, days(30));
    given::<ApiKey>([created()]).when(rotate(2, days(30))).then([rotated(2, noon() + days(30))]);
    for overlap in [days(30) + an_instant(), -an_instant(), TimeDelta::MAX, TimeDelta::MIN] {
        given::<ApiKey>([created()]).when(rotate(2, overlap)).then_refused(Refusal::OverlapOutOfBounds);
    }
}

#[test]
fn what_has_run_out_is_not_brought_back_by_rotation() {
    given::<ApiKey>([created_until(Some(noon()))]).when(rotate(2, days(1))).then_refused(Refusal::Expired);
    let later = noon() + an_instant();
    let state = given::<ApiKey>([created_until(Some(later))]).when(rotate(2, days(1))).state;
    // The overlap outlives the key, and the key is dead all the same.
    assert_eq!(state.rights(later), None);
}

// ---- where it has been used from

#[test]
fn a_network_is_noted_the_first_time() {
    let state = given::<ApiKey>([created()]).when(note("192.0.2.0/24")).then([used_from("192.0.2.0/24")]);
    assert_eq!(state.terms().unwrap().networks_seen.len(), 1);
    given::<ApiKey>([created(), used_from("192.0.2.0/24")]).when(note("192.0.2.0/24")).then_nothing();
}

// Whoever comes from everywhere does not fill the log.
#[test]
fn so_many_networks_are_noted_and_no_more() {
    assert_eq!(MAX_NETWORKS_SEEN, 64);
    let network = |n: usize| format!("10.0.{n}.0/24");
    let history: Vec<_> = [created()].into_iter().chain((0..64).map(|n| used_from(&network(n)))).collect();
    given::<ApiKey>(history.clone()).when(note(&network(64))).then_nothing();
    given::<ApiKey>(history[..64].to_vec()).when(note(&network(63))).then([used_from(&network(63))]);
}

// ---- revoking

// S2.29, attack 34.
#[test]
fn a_revoked_key_opens_nothing_and_may_nothing_from_that_position_on() {
    let state =
        given::<ApiKey>([created(), rotated(2, noon() + days(1))]).when(C::Revoke).then([E::ApiKeyRevoked]);
    assert_eq!(good(&state, noon()), Vec::<u32>::new());
    assert_eq!((state.rights(noon()), state.terms()), (None, None));
}

#[test]
fn nothing_comes_after_the_revocation() {
    for command in [create_until(None), rotate(3, days(1)), note("192.0.2.0/24"), C::Revoke] {
        let outcome = given::<ApiKey>([created(), E::ApiKeyRevoked]).when(command);
        assert!(outcome.result.is_err() || outcome.result == Ok(vec![]));
        assert_eq!(outcome.state, ApiKey::Revoked);
    }
}

#[test]
fn an_expired_key_may_be_revoked() {
    given::<ApiKey>([created_until(Some(noon()))]).when(C::Revoke).then([E::ApiKeyRevoked]);
}

// ---- all of it

#[test]
fn every_command_in_every_state() {
    let states = [
        ("missing", vec![]),
        ("active", vec![created()]),
        ("expired", vec![created_until(Some(noon()))]),
        ("revoked", vec![created(), E::ApiKeyRevoked]),
    ];
    let commands = [
        ("create", create_until(None)),
        ("rotate", rotate(2, days(1))),
        ("note network", note("192.0.2.0/24")),
        ("revoke", C::Revoke),
    ];
    let lines = commands.into_iter().flat_map(|(command, c)| {
        states.clone().map(|(state, history)| {
            vec![command.to_owned(), state.to_owned(), given::<ApiKey>(history).when(c.clone()).word()]
        })
    });
    assert_table(
        "
        create       | missing | ApiKeyCreated
        create       | active  | conflict
        create       | expired | conflict
        create       | revoked | conflict
        rotate       | missing | not_found
        rotate       | active  | ApiKeyRotated
        rotate       | expired | api_key_expired
        rotate       | revoked | not_found
        note network | missing | not_found
        note network | active  | ApiKeyUsedFromNewNetwork
        note network | expired | ApiKeyUsedFromNewNetwork
        note network | revoked | not_found
        revoke       | missing | not_found
        revoke       | active  | ApiKeyRevoked
        revoke       | expired | ApiKeyRevoked
        revoke       | revoked | so already
        ",
        lines,
    );
}

#[test]
fn a_key_is_a_stream_of_one_workspace() {
    const { assert!(!ApiKey::SHARED) };
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    assert_eq!(Refusal::NotFound.code(), "not_found");
    assert_eq!(Refusal::Exists.code(), "conflict");
    assert_eq!(Refusal::Expired.code(), "api_key_expired");
    assert_eq!(Refusal::ExpiryPast.code(), "validation_failed");
    assert_eq!(Refusal::ExpiryPast.pointer(), Some("/expires_at"));
    assert_eq!(Refusal::OverlapOutOfBounds.code(), "validation_failed");
    assert_eq!(Refusal::OverlapOutOfBounds.pointer(), Some("/overlap"));
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in api_key_events()) {
        fold::<ApiKey>(&history);
    }

    // All but a rotation, which is asked for to make yet another secret.
    #[test]
    fn a_command_said_twice_happens_once(commands in api_key_commands()) {
        let mut history = Vec::new();
        for command in commands {
            if let Ok(events) = given::<ApiKey>(history.clone()).when(command.clone()).result {
                history.extend(events);
                let again = given::<ApiKey>(history.clone()).when(command.clone()).result;
                let anew = matches!(command, C::Rotate { .. });
                prop_assert!(anew || again.is_err() || again.is_ok_and(|events| events.is_empty()));
            }
        }
    }

    // Attack 19: no command gives a key more than it was created with, or longer, and the dead stay dead.
    #[test]
    fn whatever_is_asked_a_key_never_gains_and_never_comes_back(commands in api_key_commands()) {
        let mut history = Vec::new();
        for command in commands {
            let before = fold::<ApiKey>(&history);
            history.extend(given::<ApiKey>(history.clone()).when(command).result.unwrap_or_default());
            let after = fold::<ApiKey>(&history);
            prop_assert!(before != ApiKey::Revoked || after == ApiKey::Revoked);
            if let (Some(before), Some(after)) = (before.terms(), after.terms()) {
                prop_assert_eq!(&before.permissions, &after.permissions);
                prop_assert_eq!(before.expires_at, after.expires_at);
                prop_assert_eq!(&before.networks, &after.networks);
            }
        }
    }
}
