//! Webhook endpoints: created, changed, disabled, tested, asked to be sent things again, deleted.

use chrono::TimeDelta;
use proptest::prelude::*;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::event::Changed;
use tenure_aggregates::webhook_endpoint::{
    DEFAULT_OVERLAP, Disabling, MAX_OVERLAP, MAX_REDELIVERY, Refusal, WebhookEndpointCommand as C,
    WebhookEndpointEvent as E,
};
use tenure_aggregates::{Refused, Time, WebhookEndpoint};
use uuid::Uuid;

use crate::arbitrary::{webhook_endpoint_commands, webhook_endpoint_events};
use crate::{an_instant, assert_table, days, endpoint_id, fold, given, noon, user};

const URL: &str = "https://hooks.example.com/tenure";

fn patterns<const N: usize>(patterns: [&str; N]) -> Vec<String> {
    patterns.map(str::to_owned).into()
}

fn created() -> E {
    E::WebhookEndpointCreated {
        endpoint_id: endpoint_id(1),
        url: URL.into(),
        events: patterns(["membership.*"]),
        description: Some("CRM".into()),
        generation: 1,
        created_by: Some(user("olga")),
        created_at: noon(),
    }
}

fn create(enabled: bool) -> C {
    C::Create {
        endpoint_id: endpoint_id(1),
        url: URL.into(),
        events: patterns(["membership.*"]),
        description: Some("CRM".into()),
        enabled,
        created_by: Some(user("olga")),
        now: noon(),
    }
}

fn disabled(because: Disabling) -> E {
    E::WebhookEndpointDisabled { because }
}

fn rotated(generation: u32, overlap_until: Time) -> E {
    E::WebhookEndpointSecretRotated { generation, overlap_until }
}

fn nothing() -> C {
    C::Change { url: None, events: None, description: None, enabled: None }
}

fn switch(on: bool) -> C {
    C::Change { url: None, events: None, description: None, enabled: Some(on) }
}

fn rotate(overlap: TimeDelta) -> C {
    C::RotateSecret { overlap, now: noon() }
}

fn redeliver(from_seq: i64, to_seq: i64, head: i64) -> C {
    C::Redeliver { redelivery_id: Uuid::from_u128(9), from_seq, to_seq, delivery_id: None, head }
}

fn asked_for(from_seq: i64, to_seq: i64) -> E {
    E::WebhookEndpointRedeliveryRequested {
        redelivery_id: Uuid::from_u128(9),
        from_seq,
        to_seq,
        delivery_id: None,
    }
}

/// Which generations sign at an instant.
fn signing(endpoint: &WebhookEndpoint, now: Time) -> Vec<u32> {
    endpoint.target().into_iter().flat_map(|target| target.signing(now)).collect()
}

// ---- creating

#[test]
fn an_endpoint_is_created_with_where_to_what_and_its_first_secret() {
    let state = given::<WebhookEndpoint>([]).when(create(true)).then([created()]);
    let target = state.target().unwrap();
    assert_eq!((target.url.as_str(), target.events.clone()), (URL, patterns(["membership.*"])));
    assert_eq!((target.description.as_deref(), target.disabled), (Some("CRM"), None));
    assert_eq!((target.created_by.clone(), target.created_at), (Some(user("olga")), noon()));
    assert_eq!(signing(&state, noon()), [1]);
}

#[test]
fn an_endpoint_may_begin_disabled() {
    let state =
        given::<WebhookEndpoint>([]).when(create(false)).then([created(), disabled(Disabling::Requested)]);
    assert_eq!(state.target().unwrap().disabled, Some(Disabling::Requested));
}

#[test]
fn an_endpoint_is_created_once() {
    for history in [vec![created()], vec![created(), E::WebhookEndpointDeleted]] {
        given::<WebhookEndpoint>(history).when(create(true)).then_refused(Refusal::Exists);
    }
}

// ---- changing

#[test]
fn a_change_says_what_was_and_what_is() {
    let change = C::Change {
        url: Some("https://hooks.example.com/other".into()),
        events: Some(patterns(["invitation.sent", "workspace.*"])),
        description: Some(Some("Mailer".into())),
        enabled: None,
    };
    let state = given::<WebhookEndpoint>([created()]).when(change).then([E::WebhookEndpointChanged {
        url: Some(Changed { from: URL.into(), to: "https://hooks.example.com/other".into() }),
        events: Some(Changed {
            from: patterns(["membership.*"]),
            to: patterns(["invitation.sent", "workspace.*"]),
        }),
        description: Some(Changed { from: Some("CRM".into()), to: Some("Mailer".into()) }),
    }]);
    let target = state.target().unwrap();
    assert_eq!(target.url, "https://hooks.example.com/other");
    assert_eq!(target.events, patterns(["invitation.sent", "workspace.*"]));
    assert_eq!(target.description.as_deref(), Some("Mailer"));
}

#[test]
fn what_is_not_named_stays() {
    let change = C::Change { url: None, events: None, description: Some(None), enabled: None };
    let state = given::<WebhookEndpoint>([created()]).when(change).then([E::WebhookEndpointChanged {
        url: None,
        events: None,
        description: Some(Changed { from: Some("CRM".into()), to: None }),
    }]);
    let target = state.target().unwrap();
    assert_eq!((target.url.as_str(), target.description.as_deref()), (URL, None));
    assert_eq!((target.generation, target.created_at), (1, noon()));
}

#[test]
fn a_change_to_what_it_is_changes_nothing() {
    let same = C::Change {
        url: Some(URL.into()),
        events: Some(patterns(["membership.*"])),
        description: Some(Some("CRM".into())),
        enabled: Some(true),
    };
    for change in [same, nothing()] {
        given::<WebhookEndpoint>([created()]).when(change).then_nothing();
    }
}

// ---- enabling and disabling

#[test]
fn whoever_disables_it_asked_for_that() {
    let by_request = disabled(Disabling::Requested);
    let state = given::<WebhookEndpoint>([created()]).when(switch(false)).then([by_request]);
    assert_eq!(state.target().unwrap().disabled, Some(Disabling::Requested));
}

#[test]
fn what_is_disabled_stays_so_for_its_first_reason() {
    for because in [Disabling::Requested, Disabling::Gone, Disabling::Failing] {
        let history = [created(), disabled(because)];
        given::<WebhookEndpoint>(history.clone()).when(switch(false)).then_nothing();
        let give_up = C::GiveUp { because: Disabling::Failing };
        let state = given::<WebhookEndpoint>(history).when(give_up).then_nothing();
        assert_eq!(state.target().unwrap().disabled, Some(because));
    }
}

#[test]
fn enabling_takes_back_what_the_service_itself_disabled() {
    for because in [Disabling::Requested, Disabling::Gone, Disabling::Failing] {
        let state = given::<WebhookEndpoint>([created(), disabled(because)])
            .when(switch(true))
            .then([E::WebhookEndpointEnabled]);
        assert_eq!(state.target().unwrap().disabled, None);
    }
}

#[test]
fn the_service_gives_up_on_what_is_gone_or_keeps_failing() {
    for because in [Disabling::Gone, Disabling::Failing] {
        let state =
            given::<WebhookEndpoint>([created()]).when(C::GiveUp { because }).then([disabled(because)]);
        assert_eq!(state.target().unwrap().disabled, Some(because));
    }
}

// ---- rotating the secret

#[test]
fn after_a_rotation_both_secrets_sign_until_the_overlap_has_passed() {
    let until = noon() + days(1);
    let state = given::<WebhookEndpoint>([created()]).when(rotate(DEFAULT_OVERLAP)).then([rotated(2, until)]);
    assert_eq!(DEFAULT_OVERLAP, days(1));
    assert_eq!(signing(&state, noon()), [2, 1]);
    assert_eq!(signing(&state, until - an_instant()), [2, 1]);
    assert_eq!(signing(&state, until), [2]);
    assert_eq!(signing(&state, Time::MAX_UTC), [2]);
}

#[test]
fn without_an_overlap_only_the_new_secret_signs() {
    let state =
        given::<WebhookEndpoint>([created()]).when(rotate(TimeDelta::zero())).then([rotated(2, noon())]);
    assert_eq!(signing(&state, noon()), [2]);
}

#[test]
fn a_second_rotation_silences_the_secret_before_the_last_at_once() {
    let state = given::<WebhookEndpoint>([created(), rotated(2, noon() + days(30))])
        .when(rotate(days(1)))
        .then([rotated(3, noon() + days(1))]);
    assert_eq!(signing(&state, noon()), [3, 2]);
}

#[test]
fn the_old_secret_signs_for_at_most_30_days_more() {
    assert_eq!(MAX_OVERLAP, days(30));
    given::<WebhookEndpoint>([created()]).when(rotate(days(30))).then([rotated(2, noon() + days(30))]);
    for overlap in [days(30) + an_instant(), -an_instant(), TimeDelta::MAX, TimeDelta::MIN] {
        given::<WebhookEndpoint>([created()]).when(rotate(overlap)).then_refused(Refusal::OverlapOutOfBounds);
    }
}

// ---- testing

#[test]
fn a_test_changes_nothing_of_the_endpoint_whether_or_not_it_is_enabled() {
    let (test, tested) = (
        C::Test { delivery_id: Uuid::from_u128(8) },
        E::WebhookEndpointTested { delivery_id: Uuid::from_u128(8) },
    );
    for history in [vec![created()], vec![created(), disabled(Disabling::Gone)]] {
        let before = fold::<WebhookEndpoint>(&history);
        let after = given::<WebhookEndpoint>(history).when(test.clone()).then([tested.clone()]);
        assert_eq!(before, after);
    }
}

// ---- asking for things again

#[test]
fn a_stretch_of_the_history_is_delivered_again() {
    let state = given::<WebhookEndpoint>([created()]).when(redeliver(3, 7, 7)).then([asked_for(3, 7)]);
    assert_eq!(state, fold::<WebhookEndpoint>(&[created()]));
}

#[test]
fn one_delivery_is_repeated_by_its_id() {
    let one = |delivery_id| (Uuid::from_u128(9), 3, 3, Some(Uuid::from_u128(delivery_id)));
    let (redelivery_id, from_seq, to_seq, delivery_id) = one(7);
    given::<WebhookEndpoint>([created()])
        .when(C::Redeliver { redelivery_id, from_seq, to_seq, delivery_id, head: 5 })
        .then([E::WebhookEndpointRedeliveryRequested { redelivery_id, from_seq, to_seq, delivery_id }]);
}

#[test]
fn a_stretch_lies_within_the_history() {
    for (from_seq, to_seq, refusal) in [
        (0, 5, Refusal::StretchBegins),
        (-1, 5, Refusal::StretchBegins),
        (i64::MIN, i64::MAX, Refusal::StretchBegins),
        (3, 2, Refusal::StretchEnds),
        (3, 11, Refusal::StretchEnds),
        (1, i64::MAX, Refusal::StretchEnds),
    ] {
        given::<WebhookEndpoint>([created()]).when(redeliver(from_seq, to_seq, 10)).then_refused(refusal);
    }
    given::<WebhookEndpoint>([created()]).when(redeliver(1, 10, 10)).then([asked_for(1, 10)]);
    given::<WebhookEndpoint>([created()]).when(redeliver(10, 10, 10)).then([asked_for(10, 10)]);
}

#[test]
fn a_stretch_has_at_most_so_many_events() {
    assert_eq!(MAX_REDELIVERY, 10_000);
    given::<WebhookEndpoint>([created()]).when(redeliver(2, 10_001, 99_999)).then([asked_for(2, 10_001)]);
    given::<WebhookEndpoint>([created()])
        .when(redeliver(2, 10_002, 99_999))
        .then_refused(Refusal::StretchTooLong);
}

#[test]
fn nothing_is_delivered_again_to_what_is_disabled() {
    for because in [Disabling::Requested, Disabling::Gone, Disabling::Failing] {
        given::<WebhookEndpoint>([created(), disabled(because)])
            .when(redeliver(1, 2, 5))
            .then_refused(Refusal::Disabled);
    }
}

// ---- deleting

#[test]
fn nothing_comes_after_the_deletion() {
    let history = [created(), E::WebhookEndpointDeleted];
    for command in [
        create(true),
        switch(false),
        nothing(),
        rotate(days(1)),
        C::GiveUp { because: Disabling::Gone },
        C::Test { delivery_id: Uuid::from_u128(8) },
        redeliver(1, 1, 1),
        C::Delete,
    ] {
        let outcome = given::<WebhookEndpoint>(history.clone()).when(command);
        assert!(outcome.result.is_err() || outcome.result == Ok(vec![]));
        assert_eq!(outcome.state, WebhookEndpoint::Deleted);
        assert_eq!(signing(&outcome.state, noon()), Vec::<u32>::new());
    }
}

// ---- all of it

#[test]
fn every_command_in_every_state() {
    let states = [
        ("missing", vec![]),
        ("enabled", vec![created()]),
        ("disabled", vec![created(), disabled(Disabling::Failing)]),
        ("deleted", vec![created(), E::WebhookEndpointDeleted]),
    ];
    let commands = [
        ("create", create(true)),
        ("disable", switch(false)),
        ("enable", switch(true)),
        ("rotate", rotate(days(1))),
        ("give up", C::GiveUp { because: Disabling::Gone }),
        ("test", C::Test { delivery_id: Uuid::from_u128(8) }),
        ("redeliver", redeliver(1, 1, 1)),
        ("delete", C::Delete),
    ];
    let lines = commands.into_iter().flat_map(|(command, c)| {
        states.clone().map(|(state, history)| {
            let word = given::<WebhookEndpoint>(history).when(c.clone()).word();
            vec![command.to_owned(), state.to_owned(), word]
        })
    });
    assert_table(
        "
        create    | missing  | WebhookEndpointCreated
        create    | enabled  | conflict
        create    | disabled | conflict
        create    | deleted  | conflict
        disable   | missing  | not_found
        disable   | enabled  | WebhookEndpointDisabled
        disable   | disabled | so already
        disable   | deleted  | not_found
        enable    | missing  | not_found
        enable    | enabled  | so already
        enable    | disabled | WebhookEndpointEnabled
        enable    | deleted  | not_found
        rotate    | missing  | not_found
        rotate    | enabled  | WebhookEndpointSecretRotated
        rotate    | disabled | WebhookEndpointSecretRotated
        rotate    | deleted  | not_found
        give up   | missing  | not_found
        give up   | enabled  | WebhookEndpointDisabled
        give up   | disabled | so already
        give up   | deleted  | not_found
        test      | missing  | not_found
        test      | enabled  | WebhookEndpointTested
        test      | disabled | WebhookEndpointTested
        test      | deleted  | not_found
        redeliver | missing  | not_found
        redeliver | enabled  | WebhookEndpointRedeliveryRequested
        redeliver | disabled | webhook_endpoint_disabled
        redeliver | deleted  | not_found
        delete    | missing  | not_found
        delete    | enabled  | WebhookEndpointDeleted
        delete    | disabled | WebhookEndpointDeleted
        delete    | deleted  | so already
        ",
        lines,
    );
}

#[test]
fn an_endpoint_is_a_stream_of_one_workspace() {
    const { assert!(!WebhookEndpoint::SHARED) };
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    for (refusal, code, pointer) in [
        (Refusal::NotFound, "not_found", None),
        (Refusal::Exists, "conflict", None),
        (Refusal::Disabled, "webhook_endpoint_disabled", None),
        (Refusal::OverlapOutOfBounds, "validation_failed", Some("/overlap")),
        (Refusal::StretchBegins, "validation_failed", Some("/from_seq")),
        (Refusal::StretchEnds, "validation_failed", Some("/to_seq")),
        (Refusal::StretchTooLong, "validation_failed", Some("/to_seq")),
    ] {
        assert_eq!((refusal.code(), refusal.pointer()), (code, pointer), "{refusal:?}");
    }
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in webhook_endpoint_events()) {
        signing(&fold::<WebhookEndpoint>(&history), noon());
    }

    // All but what is asked for to happen once more.
    #[test]
    fn a_command_said_twice_happens_once(commands in webhook_endpoint_commands()) {
        let mut history = Vec::new();
        for command in commands {
            if let Ok(events) = given::<WebhookEndpoint>(history.clone()).when(command.clone()).result {
                history.extend(events);
                let again = given::<WebhookEndpoint>(history.clone()).when(command.clone()).result;
                let anew = matches!(command, C::RotateSecret { .. } | C::Test { .. } | C::Redeliver { .. });
                prop_assert!(anew || again.is_err() || again.is_ok_and(|events| events.is_empty()));
            }
        }
    }

    #[test]
    fn whatever_is_asked_at_most_two_secrets_sign_and_none_comes_back(commands in webhook_endpoint_commands()) {
        let mut history = Vec::new();
        for command in commands {
            let before = fold::<WebhookEndpoint>(&history);
            history.extend(given::<WebhookEndpoint>(history.clone()).when(command).result.unwrap_or_default());
            let after = fold::<WebhookEndpoint>(&history);
            prop_assert!(before != WebhookEndpoint::Deleted || after == WebhookEndpoint::Deleted);
            prop_assert!(signing(&after, noon()).len() <= 2);
            if let (Some(before), Some(after)) = (before.target(), after.target()) {
                prop_assert!(after.generation >= before.generation);
                prop_assert_eq!(before.created_at, after.created_at);
            }
        }
    }
}
