//! The catalogue of the products' permissions.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::catalogue::{CatalogueCommand as C, CatalogueEvent as E, MAX_PERMISSIONS, Refusal};
use tenure_aggregates::event::Changed;
use tenure_aggregates::{Catalogue, Permission, Refused, Role, WorkspaceId};

use crate::arbitrary::{catalogue_commands, catalogue_events};
use crate::{assert_table, custom, fold, given, permission, workspace_id};

fn roles(roles: &[Role]) -> BTreeSet<Role> {
    roles.iter().cloned().collect()
}

fn registered(name: &str, granted_to: &[Role]) -> E {
    E::PermissionRegistered {
        permission: permission(name),
        description: Some("Export".into()),
        granted_to: roles(granted_to),
    }
}

fn withdrawn(name: &str) -> E {
    E::PermissionWithdrawn { permission: permission(name) }
}

fn register(name: &str, granted_to: &[Role]) -> C {
    C::Register {
        permission: permission(name),
        description: Some("Export".into()),
        granted_to: roles(granted_to),
    }
}

fn withdraw(name: &str) -> C {
    C::Withdraw { permission: permission(name) }
}

// ---- registering

#[test]
fn a_permission_of_a_product_is_registered_with_the_roles_that_hold_it() {
    let state = given::<Catalogue>([])
        .when(register("reports:export", &[Role::Moderator]))
        .then([registered("reports:export", &[Role::Moderator])]);
    assert!(state.knows(&permission("reports:export")));
    assert_eq!(state.granted_to(&Role::Moderator), BTreeSet::from([permission("reports:export")]));
    assert_eq!(state.granted_to(&Role::Member), BTreeSet::new());
}

#[test]
fn a_change_mentions_exactly_what_changed() {
    let granted_to = Changed { from: roles(&[Role::Moderator]), to: roles(&[Role::Member, Role::Moderator]) };
    let state = given::<Catalogue>([registered("reports:export", &[Role::Moderator])])
        .when(register("reports:export", &[Role::Member, Role::Moderator]))
        .then([E::PermissionChanged {
            permission: permission("reports:export"),
            description: None,
            granted_to: Some(granted_to),
        }]);
    assert_eq!(state.granted_to(&Role::Member), BTreeSet::from([permission("reports:export")]));
    let undescribed =
        C::Register { permission: permission("reports:export"), description: None, granted_to: roles(&[]) };
    let state = given::<Catalogue>([registered("reports:export", &[])]).when(undescribed).then([
        E::PermissionChanged {
            permission: permission("reports:export"),
            description: Some(Changed { from: Some("Export".into()), to: None }),
            granted_to: None,
        },
    ]);
    assert_eq!(state.entry(&permission("reports:export")).unwrap().description, None);
}

#[test]
fn what_is_registered_so_already_changes_nothing() {
    given::<Catalogue>([registered("reports:export", &[Role::Member])])
        .when(register("reports:export", &[Role::Member]))
        .then_nothing();
}

// Attack 19: a product takes no name that Tenure itself checks or will check.
#[test]
fn a_name_of_tenures_own_is_not_registered() {
    let own = Permission::catalogue().map(|permission| permission.as_str().to_owned());
    for name in own.chain(["members:impersonate".to_owned(), "workspace:own".to_owned()]) {
        given::<Catalogue>([]).when(register(&name, &[])).then_refused(Refusal::Reserved);
    }
}

// Owner and admin hold each permission by rule, and what a workspace's own role holds, that workspace says.
#[test]
fn only_member_and_moderator_can_be_named() {
    for role in [Role::Owner, Role::Admin, custom("billing")] {
        given::<Catalogue>([])
            .when(register("reports:export", &[Role::Member, role.clone()]))
            .then_refused(Refusal::NotGrantable);
        given::<Catalogue>([registered("reports:export", &[])])
            .when(register("reports:export", &[role]))
            .then_refused(Refusal::NotGrantable);
    }
}

#[test]
fn there_are_at_most_a_thousand() {
    assert_eq!(MAX_PERMISSIONS, 1_000);
    let full: Vec<_> = (0..1_000).map(|n| registered(&format!("reports:r{n}"), &[])).collect();
    given::<Catalogue>(full.clone()).when(register("reports:more", &[])).then_refused(Refusal::TooMany);
    // Those that are there can still be changed, and make room.
    let change = given::<Catalogue>(full.clone()).when(register("reports:r7", &[Role::Member]));
    assert_eq!(change.word(), "PermissionChanged");
    let room = given::<Catalogue>(full.into_iter().chain([withdrawn("reports:r7")]));
    assert_eq!(room.when(register("reports:more", &[])).word(), "PermissionRegistered");
}

// ---- withdrawing

#[test]
fn a_withdrawn_permission_is_not_there_any_more() {
    let state = given::<Catalogue>([registered("reports:export", &[Role::Member])])
        .when(withdraw("reports:export"))
        .then([withdrawn("reports:export")]);
    assert!(!state.knows(&permission("reports:export")));
    assert_eq!(state.granted_to(&Role::Member), BTreeSet::new());
    assert_eq!(state, Catalogue::default());
}

#[test]
fn what_is_not_there_cannot_be_withdrawn() {
    given::<Catalogue>([]).when(withdraw("reports:export")).then_refused(Refusal::NotFound);
    given::<Catalogue>([registered("reports:export", &[]), withdrawn("reports:export")])
        .when(withdraw("reports:export"))
        .then_refused(Refusal::NotFound);
    given::<Catalogue>([]).when(withdraw("members:invite")).then_refused(Refusal::NotFound);
}

#[test]
fn a_withdrawn_permission_may_be_registered_anew_and_begins_anew() {
    let history = [registered("reports:export", &[Role::Member]), withdrawn("reports:export")];
    given::<Catalogue>(history)
        .when(register("reports:export", &[]))
        .then([registered("reports:export", &[])]);
}

// ---- all of it

#[test]
fn every_command_in_every_state() {
    let there = registered("reports:export", &[Role::Member]);
    let states = [
        ("missing", vec![]),
        ("registered", vec![there.clone()]),
        ("withdrawn", vec![there, withdrawn("reports:export")]),
    ];
    let commands = [
        ("register", register("reports:export", &[Role::Member])),
        ("change", register("reports:export", &[Role::Moderator])),
        ("withdraw", withdraw("reports:export")),
    ];
    let lines = commands.into_iter().flat_map(|(command, c)| {
        states.clone().map(|(state, history)| {
            vec![command.to_owned(), state.to_owned(), given::<Catalogue>(history).when(c.clone()).word()]
        })
    });
    assert_table(
        "
        register | missing    | PermissionRegistered
        register | registered | so already
        register | withdrawn  | PermissionRegistered
        change   | missing    | PermissionRegistered
        change   | registered | PermissionChanged
        change   | withdrawn  | PermissionRegistered
        withdraw | missing    | not_found
        withdraw | registered | PermissionWithdrawn
        withdraw | withdrawn  | not_found
        ",
        lines,
    );
}

// Nobody is a member of it, and no workspace is ever given its id.
#[test]
fn the_catalogue_lies_in_a_workspace_of_the_installations_own() {
    const { assert!(!Catalogue::SHARED) };
    assert_eq!(Catalogue::home(), WorkspaceId::installation());
    assert_ne!(Catalogue::home(), workspace_id(0));
    assert_ne!(Catalogue::home().0.get_version_num(), 7);
    assert_eq!(Catalogue::home().to_string(), "74656e75-7265-5370-8000-6f7065726174");
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    assert_eq!(Refusal::NotFound.code(), "not_found");
    assert_eq!(Refusal::Reserved.code(), "permission_reserved");
    assert_eq!(Refusal::NotGrantable.code(), "validation_failed");
    assert_eq!(Refusal::NotGrantable.pointer(), Some("/granted_to"));
    assert_eq!(Refusal::TooMany.code(), "too_many_permissions");
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in catalogue_events()) {
        fold::<Catalogue>(&history);
    }

    #[test]
    fn a_command_said_twice_happens_once(commands in catalogue_commands()) {
        let mut history = Vec::new();
        for command in commands {
            if let Ok(events) = given::<Catalogue>(history.clone()).when(command.clone()).result {
                history.extend(events);
                let again = given::<Catalogue>(history.clone()).when(command).result;
                prop_assert!(again.is_err() || again.is_ok_and(|events| events.is_empty()));
            }
        }
    }

    #[test]
    fn whatever_is_asked_no_permission_is_reserved_or_granted_above_moderator(commands in catalogue_commands()) {
        let mut history = Vec::new();
        for command in commands {
            history.extend(given::<Catalogue>(history.clone()).when(command).result.unwrap_or_default());
        }
        let state = fold::<Catalogue>(&history);
        for name in state.names() {
            prop_assert!(!name.is_reserved());
        }
        for role in [Role::Owner, Role::Admin, custom("billing")] {
            prop_assert_eq!(state.granted_to(&role), BTreeSet::new());
        }
    }
}
