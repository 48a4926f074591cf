//! A workspace's own roles, and what a workspace's status leaves of any permission.

use tenure_aggregates::event::Changed;
use tenure_aggregates::permission::reads;
use tenure_aggregates::workspace::{
    CustomRole, Ending, Kind, MAX_ROLES, Profile, Refusal, RoleChange, Status, WorkspaceCommand as C,
    WorkspaceEvent as E,
};
use tenure_aggregates::{Catalogue, Permission, Refused, Rights, Role, Workspace};

use proptest::prelude::*;

use crate::arbitrary::workspace_commands;
use crate::{assert_table, custom, fold, given, noon, permissions, registered, rights, role_name, user};

fn created() -> E {
    E::WorkspaceCreated {
        kind: Kind::Team,
        owner_id: user("olga"),
        profile: Profile { name: "Acme".into(), ..Profile::default() },
        seats_limit: 5,
        created_at: noon(),
    }
}

fn suspended() -> E {
    E::WorkspaceSuspended { reason: None, since: noon() }
}

fn definition(names: &[&str]) -> CustomRole {
    CustomRole { description: Some("Pays".into()), permissions: permissions(names.iter().copied()) }
}

fn defined(role: &str, names: &[&str]) -> E {
    E::RoleDefined { role: role_name(role), definition: definition(names) }
}

fn deleted(role: &str, replacement: Option<Role>) -> E {
    E::RoleDeleted { role: role_name(role), replacement }
}

fn code_for(role: Role) -> E {
    E::InviteCodeIssued {
        generation: 1,
        hash: "h".into(),
        role,
        max_uses: None,
        expires_at: None,
        issued_by: Some(user("olga")),
        issued_by_key: None,
    }
}

fn define(role: &str, names: &[&str]) -> C {
    C::DefineRole { role: role_name(role), definition: definition(names) }
}

fn delete(role: &str, replacement: Option<Role>, in_use: bool) -> C {
    C::DeleteRole { role: role_name(role), replacement, in_use }
}

fn rights_of(state: &Workspace, role: &str) -> Rights {
    state.rights_of(&custom(role), &Catalogue::default())
}

// ---- defining

#[test]
fn a_workspace_defines_a_role_of_its_own() {
    let state = given::<Workspace>([created()])
        .when(define("billing", &["billing:manage", "reports:read"]))
        .then([defined("billing", &["billing:manage", "reports:read"])]);
    assert_eq!(rights_of(&state, "billing"), rights(["billing:manage", "reports:read"]));
    assert_eq!(state.known_role(&custom("billing")), Ok(()));
}

#[test]
fn a_role_may_allow_nothing() {
    let state = given::<Workspace>([created()]).when(define("guest", &[])).then([defined("guest", &[])]);
    assert_eq!(rights_of(&state, "guest"), Rights::default());
}

#[test]
fn a_change_of_a_role_mentions_exactly_what_changed() {
    let state = given::<Workspace>([created(), defined("billing", &["billing:read"])])
        .when(define("billing", &["billing:manage"]))
        .then([E::RoleChanged {
            role: role_name("billing"),
            change: RoleChange {
                description: None,
                permissions: Some(Changed {
                    from: permissions(["billing:read"]),
                    to: permissions(["billing:manage"]),
                }),
            },
        }]);
    assert_eq!(rights_of(&state, "billing"), rights(["billing:manage"]));
    let undescribed = C::DefineRole {
        role: role_name("billing"),
        definition: CustomRole { description: None, ..definition(&["billing:read"]) },
    };
    let state = given::<Workspace>([created(), defined("billing", &["billing:read"])])
        .when(undescribed.clone())
        .then([E::RoleChanged {
            role: role_name("billing"),
            change: RoleChange {
                description: Some(Changed { from: Some("Pays".into()), to: None }),
                permissions: None,
            },
        }]);
    let C::DefineRole { role, definition } = undescribed else { unreachable!() };
    assert_eq!(state.living().unwrap().roles.get(&role), Some(&definition));
}

#[test]
fn a_role_defined_so_already_is_left_as_it_is() {
    given::<Workspace>([created(), defined("billing", &["billing:read"])])
        .when(define("billing", &["billing:read"]))
        .then_nothing();
}

#[test]
fn a_workspace_has_at_most_a_hundred_roles_of_its_own() {
    assert_eq!(MAX_ROLES, 100);
    let full: Vec<_> =
        [created()].into_iter().chain((0..100).map(|n| defined(&format!("role-{n}"), &[]))).collect();
    given::<Workspace>(full.clone()).when(define("more", &[])).then_refused(Refusal::TooManyRoles);
    // Those that are there can still be changed, and make room.
    assert_eq!(
        given::<Workspace>(full.clone()).when(define("role-7", &["billing:read"])).word(),
        "RoleChanged"
    );
    let room = full.into_iter().chain([deleted("role-7", None)]);
    given::<Workspace>(room).when(define("more", &[])).then([defined("more", &[])]);
}

// ---- which roles there are

#[test]
fn the_built_in_roles_are_known_everywhere_and_others_where_they_are_defined() {
    let state = fold::<Workspace>(&[created(), defined("billing", &[])]);
    for role in Role::BUILT_IN {
        assert_eq!(state.known_role(&role), Ok(()), "{role}");
    }
    assert_eq!(state.known_role(&custom("on-call")), Err(Refusal::RoleUnknown(role_name("on-call"))));
    let ended = fold::<Workspace>(&[
        created(),
        defined("billing", &[]),
        E::WorkspaceDeleted { because: Ending::Deleted },
    ]);
    assert_eq!(ended.known_role(&custom("billing")), Err(Refusal::NotFound));
}

#[test]
fn what_a_role_allows_here_is_what_is_defined_here() {
    let catalogue = registered([("reports:read", &[Role::Member])]);
    let state = fold::<Workspace>(&[created(), defined("billing", &["billing:read"])]);
    for role in Role::BUILT_IN {
        assert_eq!(state.rights_of(&role, &catalogue), Rights::of_built_in(&role, &catalogue), "{role}");
    }
    assert_eq!(state.rights_of(&custom("billing"), &catalogue), rights(["billing:read"]));
    assert_eq!(state.rights_of(&custom("on-call"), &catalogue), Rights::default());
    assert_eq!(Workspace::Deleted.rights_of(&custom("billing"), &catalogue), Rights::default());
}

// ---- deleting

#[test]
fn a_role_that_nobody_holds_is_deleted() {
    let state = given::<Workspace>([created(), defined("billing", &["billing:read"])])
        .when(delete("billing", None, false))
        .then([deleted("billing", None)]);
    assert_eq!(state.known_role(&custom("billing")), Err(Refusal::RoleUnknown(role_name("billing"))));
    assert_eq!(rights_of(&state, "billing"), Rights::default());
}

#[test]
fn a_role_in_use_is_deleted_only_with_a_replacement() {
    let history = [created(), defined("billing", &[]), defined("on-call", &[])];
    given::<Workspace>(history.clone()).when(delete("billing", None, true)).then_refused(Refusal::RoleInUse);
    for replacement in [Role::Member, Role::Moderator, Role::Admin, custom("on-call")] {
        for in_use in [true, false] {
            given::<Workspace>(history.clone())
                .when(delete("billing", Some(replacement.clone()), in_use))
                .then([deleted("billing", Some(replacement.clone()))]);
        }
    }
}

#[test]
fn a_replacement_must_exist() {
    given::<Workspace>([created(), defined("billing", &[])])
        .when(delete("billing", Some(custom("on-call")), true))
        .then_refused(Refusal::RoleUnknown(role_name("on-call")));
}

// Attack 19: nobody is made owner by a deleted role.
#[test]
fn neither_the_role_itself_nor_ownership_replaces_a_role() {
    for unfit in [custom("billing"), Role::Owner] {
        for in_use in [true, false] {
            given::<Workspace>([created(), defined("billing", &[])])
                .when(delete("billing", Some(unfit.clone()), in_use))
                .then_refused(Refusal::ReplacementUnfit);
        }
    }
}

#[test]
fn a_role_that_is_not_there_cannot_be_deleted() {
    for replacement in [None, Some(Role::Member), Some(custom("billing"))] {
        given::<Workspace>([created()])
            .when(delete("billing", replacement, false))
            .then_refused(Refusal::RoleNotFound);
    }
}

#[test]
fn a_role_that_the_invite_code_promises_is_in_use() {
    let history = [created(), defined("billing", &[]), code_for(custom("billing"))];
    given::<Workspace>(history.clone()).when(delete("billing", None, false)).then_refused(Refusal::RoleInUse);
    let disabled = history.into_iter().chain([E::InviteCodeDisabled { generation: 1 }]);
    given::<Workspace>(disabled).when(delete("billing", None, false)).then([deleted("billing", None)]);
}

#[test]
fn the_invite_code_promises_the_replacement_from_then_on() {
    let state = given::<Workspace>([created(), defined("billing", &[]), code_for(custom("billing"))])
        .when(delete("billing", Some(Role::Moderator), false))
        .then([deleted("billing", Some(Role::Moderator))]);
    assert_eq!(state.redeem_code("h", noon()).unwrap().role, Role::Moderator);
}

#[test]
fn an_invite_code_for_another_role_is_left_alone() {
    let state = given::<Workspace>([created(), defined("billing", &[]), code_for(Role::Member)])
        .when(delete("billing", Some(Role::Admin), true))
        .state;
    assert_eq!(state.redeem_code("h", noon()).unwrap().role, Role::Member);
}

// What was once held by that name is not given back with it.
#[test]
fn a_deleted_role_may_be_defined_anew_and_begins_anew() {
    let state =
        given::<Workspace>([created(), defined("billing", &["billing:read"]), deleted("billing", None)])
            .when(define("billing", &[]))
            .then([defined("billing", &[])]);
    assert_eq!(rights_of(&state, "billing"), Rights::default());
}

// ---- all of it

// Attacks 16 and 33.
#[test]
fn every_command_in_every_state() {
    let there = || vec![created(), defined("billing", &[])];
    let and = |event: E| there().into_iter().chain([event]).collect::<Vec<_>>();
    let states: [(&str, Vec<E>); 5] = [
        ("missing", vec![]),
        ("active", there()),
        ("suspended", and(suspended())),
        ("archived", and(E::WorkspaceArchived)),
        ("deleted", and(E::WorkspaceDeleted { because: Ending::Deleted })),
    ];
    let commands = [
        ("define", define("on-call", &[])),
        ("change", define("billing", &["billing:read"])),
        ("delete", delete("billing", None, false)),
    ];
    let lines = commands.into_iter().flat_map(|(command, c)| {
        states.clone().map(|(state, history)| {
            vec![command.to_owned(), state.to_owned(), given::<Workspace>(history).when(c.clone()).word()]
        })
    });
    assert_table(
        "
        define | missing   | not_found
        define | active    | RoleDefined
        define | suspended | workspace_suspended
        define | archived  | workspace_archived
        define | deleted   | not_found
        change | missing   | not_found
        change | active    | RoleChanged
        change | suspended | workspace_suspended
        change | archived  | workspace_archived
        change | deleted   | not_found
        delete | missing   | not_found
        delete | active    | RoleDeleted
        delete | suspended | workspace_suspended
        delete | archived  | workspace_archived
        delete | deleted   | not_found
        ",
        lines,
    );
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    let unknown = Refusal::RoleUnknown(role_name("billing"));
    assert_eq!(Refusal::RoleNotFound.code(), "not_found");
    assert_eq!((unknown.code(), unknown.pointer()), ("validation_failed", Some("/role")));
    assert_eq!(Refusal::TooManyRoles.code(), "too_many_roles");
    assert_eq!(Refusal::RoleInUse.code(), "role_in_use");
    assert_eq!(Refusal::ReplacementUnfit.code(), "validation_failed");
    assert_eq!(Refusal::ReplacementUnfit.pointer(), Some("replacement"));
}

proptest! {
    #[test]
    fn whatever_is_asked_there_are_at_most_so_many_roles_and_no_code_promises_ownership(
        commands in workspace_commands(),
    ) {
        let mut history = Vec::new();
        for command in commands {
            history.extend(given::<Workspace>(history.clone()).when(command).result.unwrap_or_default());
            if let Workspace::Living(details) = fold::<Workspace>(&history) {
                prop_assert!(details.roles.len() <= MAX_ROLES);
                prop_assert!(details.invite_code.is_none_or(|code| code.role != Role::Owner));
            }
        }
    }
}

// ---- status

/// What a status leaves of each permission, written out.
const LEFT: &str = "
    workspace:read      | active | suspended | archived
    workspace:update    | active |           |
    workspace:delete    | active |           | archived
    workspace:transfer  | active |           |
    members:read        | active | suspended | archived
    members:invite      | active |           |
    members:update      | active |           |
    members:remove      | active |           |
    roles:manage        | active |           |
    audit:read          | active | suspended | archived
    billing:read        | active | suspended | archived
    billing:manage      | active | suspended |
    api-keys:manage     | active |           |
    webhooks:manage     | active |           |
    integrations:manage | active |           |
    projects:read       | active | suspended | archived
    projects:manage     | active |           |
    content:read        | active | suspended | archived
    content:participate | active |           |
    content:write       | active |           |
    content:moderate    | active |           |
    reports:read        | active | suspended | archived
    reports:export      | active |           |
    reports:read-all    | active |           |
";

// Attacks 10 and 16.
#[test]
fn a_status_leaves_of_the_permissions_what_the_contract_says_and_nothing_else() {
    let statuses =
        [(Status::Active, "active"), (Status::Suspended, "suspended"), (Status::Archived, "archived")];
    let products = ["reports:read", "reports:export", "reports:read-all"];
    let lines = Permission::catalogue().map(Permission::as_str).chain(products).map(|permission| {
        let cell = |(status, name): (Status, &str)| {
            if status.permits(permission) { name.to_owned() } else { String::new() }
        };
        [permission.to_owned()].into_iter().chain(statuses.map(cell)).collect()
    });
    assert_table(LEFT, lines);
}

// Attack 10: role × permission × status, with the matrix of `role.rs` and the table above.
#[test]
fn what_is_left_of_a_role_is_what_it_allows_and_the_status_permits() {
    for permission in Permission::catalogue() {
        for status in [Status::Active, Status::Suspended, Status::Archived] {
            let exception = match status {
                Status::Active => true,
                Status::Suspended => permission == Permission::BillingManage,
                Status::Archived => permission == Permission::WorkspaceDelete,
            };
            let permits = exception || reads(permission.as_str());
            assert_eq!(status.permits(permission.as_str()), permits, "{permission} {status:?}");
        }
    }
}

#[test]
fn a_workspace_that_is_suspended_and_archived_is_suspended() {
    let status = |history: &[E]| fold::<Workspace>(history).living().unwrap().status();
    assert_eq!(status(&[created()]), Status::Active);
    assert_eq!(status(&[created(), suspended()]), Status::Suspended);
    assert_eq!(status(&[created(), E::WorkspaceArchived]), Status::Archived);
    assert_eq!(status(&[created(), E::WorkspaceArchived, suspended()]), Status::Suspended);
}
