//! The same for where events are delivered.

use chrono::TimeDelta;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tenure_aggregates::webhook_endpoint::{
    Disabling, MAX_OVERLAP, WebhookEndpointCommand, WebhookEndpointEvent,
};
use uuid::Uuid;

use super::{any_of, changed, numbers, texts, times, users};
use crate::{days, endpoint_id, minutes};

fn urls() -> impl Strategy<Value = String> + Clone {
    select(vec!["https://hooks.example.com/a", "https://hooks.example.com/b"]).prop_map(str::to_owned)
}

fn patterns() -> impl Strategy<Value = Vec<String>> + Clone {
    vec(select(vec!["*", "membership.*", "invitation.sent"]).prop_map(str::to_owned), 0..3)
}

fn disablings() -> impl Strategy<Value = Disabling> {
    select(vec![Disabling::Requested, Disabling::Gone, Disabling::Failing])
}

fn deliveries() -> impl Strategy<Value = Uuid> {
    (1..3u128).prop_map(Uuid::from_u128)
}

fn places() -> impl Strategy<Value = i64> {
    prop_oneof![-1..12i64, Just(i64::MAX)]
}

pub(crate) fn webhook_endpoint_events() -> impl Strategy<Value = Vec<WebhookEndpointEvent>> {
    use WebhookEndpointEvent as E;
    let description = option::of(changed(option::of(texts().boxed())));
    let event = any_of![
        (url in urls(), events in patterns(), description in option::of(texts()), generation in numbers(),
         created_by in option::of(users()), created_at in times()) =>
            E::WebhookEndpointCreated {
                endpoint_id: endpoint_id(1), url, events, description, generation, created_by, created_at,
            },
        (url in option::of(changed(urls())), events in option::of(changed(patterns())), description in description) =>
            E::WebhookEndpointChanged { url, events, description },
        (generation in numbers(), overlap_until in times()) =>
            E::WebhookEndpointSecretRotated { generation, overlap_until },
        () => E::WebhookEndpointEnabled,
        (because in disablings()) => E::WebhookEndpointDisabled { because },
        (delivery_id in deliveries()) => E::WebhookEndpointTested { delivery_id },
        (redelivery_id in deliveries(), from_seq in places(), to_seq in places(),
         delivery_id in option::of(deliveries())) =>
            E::WebhookEndpointRedeliveryRequested { redelivery_id, from_seq, to_seq, delivery_id },
        () => E::WebhookEndpointDeleted,
    ];
    vec(event, 0..20)
}

pub(crate) fn webhook_endpoint_commands() -> impl Strategy<Value = Vec<WebhookEndpointCommand>> {
    use WebhookEndpointCommand as C;
    let overlaps =
        select(vec![-days(1), TimeDelta::zero(), minutes(2), MAX_OVERLAP, days(31), TimeDelta::MAX]);
    let create = any_of![
        (url in urls(), events in patterns(), description in option::of(texts()), enabled in any::<bool>(),
         created_by in option::of(users()), now in times()) =>
            C::Create {
                endpoint_id: endpoint_id(1), url, events, description, enabled, created_by, now,
            },
    ];
    let command = any_of![
        (url in option::of(urls()), events in option::of(patterns()),
         description in option::of(option::of(texts())), enabled in option::of(any::<bool>())) =>
            C::Change { url, events, description, enabled },
        (overlap in overlaps, now in times()) => C::RotateSecret { overlap, now },
        (because in disablings()) => C::GiveUp { because },
        (delivery_id in deliveries()) => C::Test { delivery_id },
        (redelivery_id in deliveries(), from_seq in places(), to_seq in places(),
         delivery_id in option::of(deliveries()), head in 0..12i64) =>
            C::Redeliver { redelivery_id, from_seq, to_seq, delivery_id, head },
    ];
    vec(prop_oneof![3 => create, 8 => command, 1 => Just(C::Delete)], 0..20)
}
