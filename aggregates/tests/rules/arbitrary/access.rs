//! The same for the catalogue, rights and API keys.

use chrono::TimeDelta;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tenure_aggregates::api_key::{ApiKeyCommand, ApiKeyEvent, MAX_OVERLAP, Secret};
use tenure_aggregates::catalogue::{CatalogueCommand, CatalogueEvent, Entry};
use tenure_aggregates::{Catalogue, Rights, Role};

use super::{any_of, api_keys, changed, permission_names, permission_sets, roles, texts, times, users};
use crate::{api_key_id, days, minutes, permission};

// ---- catalogue

pub(crate) fn catalogue_events() -> impl Strategy<Value = Vec<CatalogueEvent>> {
    use CatalogueEvent as E;
    let description = option::of(changed(option::of(texts().boxed())));
    let granted_to = option::of(changed(btree_set(roles(), 0..3)));
    let event = any_of![
        (permission in permission_names(), description in option::of(texts()),
         granted_to in btree_set(roles(), 0..3)) =>
            E::PermissionRegistered { permission, description, granted_to },
        (permission in permission_names(), description in description, granted_to in granted_to) =>
            E::PermissionChanged { permission, description, granted_to },
        (permission in permission_names()) => E::PermissionWithdrawn { permission },
    ];
    vec(event, 0..20)
}

pub(crate) fn catalogue_commands() -> impl Strategy<Value = Vec<CatalogueCommand>> {
    use CatalogueCommand as C;
    let command = any_of![
        (permission in permission_names(), description in option::of(texts()),
         granted_to in btree_set(roles(), 0..3)) =>
            C::Register { permission, description, granted_to },
        (permission in permission_names()) => C::Withdraw { permission },
    ];
    vec(command, 0..20)
}

/// One that the rules could have led to.
pub(crate) fn catalogues() -> impl Strategy<Value = Catalogue> {
    let names = select(vec!["reports:read", "reports:export", "crm:read"]).prop_map(permission);
    let granted_to = btree_set(select(vec![Role::Member, Role::Moderator]), 0..3);
    let entry = granted_to.prop_map(|granted_to| Entry { description: None, granted_to });
    vec((names, entry), 0..4).prop_map(Catalogue::from_entries)
}

/// What anybody may come to hold: by a built-in role, by a list, or by being the owner.
pub(crate) fn rights_of_any_kind() -> impl Strategy<Value = Rights> {
    any_of![
        () => Rights::all(),
        (role in select(Role::BUILT_IN.to_vec()), catalogue in catalogues()) =>
            Rights::of_built_in(&role, &catalogue),
        (names in permission_sets()) => Rights::of_names(&names),
        (names in permission_sets()) => Rights::of_names(&names),
    ]
}

// ---- API key

fn secrets() -> impl Strategy<Value = Secret> {
    (1..5u32).prop_map(|n| Secret { hash: format!("hash{n}"), hint: format!("tnk_{n}") })
}

fn networks() -> impl Strategy<Value = String> {
    select(vec!["192.0.2.0/24", "198.51.100.0/24", "2001:db8::/64"]).prop_map(str::to_owned)
}

pub(crate) fn api_key_events() -> impl Strategy<Value = Vec<ApiKeyEvent>> {
    use ApiKeyEvent as E;
    let event = any_of![
        (key_id in api_keys(), name in texts(), secret in secrets(), permissions in permission_sets(),
         expires_at in option::of(times()), networks in vec(networks(), 0..3), created_by in option::of(users()),
         created_at in times()) =>
            E::ApiKeyCreated {
                key_id, name, hash: secret.hash, hint: secret.hint, permissions, expires_at, networks, created_by,
                created_at,
            },
        (secret in secrets(), overlap_until in times()) =>
            E::ApiKeyRotated { hash: secret.hash, hint: secret.hint, overlap_until },
        (network in networks()) => E::ApiKeyUsedFromNewNetwork { network },
        () => E::ApiKeyRevoked,
    ];
    vec(event, 0..20)
}

pub(crate) fn api_key_commands() -> impl Strategy<Value = Vec<ApiKeyCommand>> {
    use ApiKeyCommand as C;
    let overlaps =
        select(vec![-days(1), TimeDelta::zero(), minutes(2), MAX_OVERLAP, days(31), TimeDelta::MAX]);
    let create = any_of![
        (name in texts(), secret in secrets(), permissions in permission_sets(), expires_at in option::of(times()),
         networks in vec(networks(), 0..3), created_by in option::of(users()), now in times()) =>
            C::Create {
                key_id: api_key_id(1), name, secret, permissions, expires_at, networks, created_by, now,
            },
    ];
    let command = any_of![
        (secret in secrets(), overlap in overlaps, now in times()) => C::Rotate { secret, overlap, now },
        (network in networks()) => C::NoteNetwork { network },
    ];
    vec(prop_oneof![3 => create, 8 => command, 1 => Just(C::Revoke)], 0..20)
}
