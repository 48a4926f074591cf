use std::collections::HashSet;

use tenure_aggregates::{Permission, Role};

use crate::assert_table;

const ROLES: [Role; 4] = [Role::Owner, Role::Admin, Role::Moderator, Role::Member];

/// The table of the HTTP contract, written out.
const MATRIX: &str = "
    workspace:read      | owner | admin | moderator | member
    workspace:update    | owner | admin |           |
    workspace:delete    | owner |       |           |
    workspace:transfer  | owner |       |           |
    members:read        | owner | admin | moderator | member
    members:invite      | owner | admin |           |
    members:update      | owner | admin |           |
    members:remove      | owner | admin |           |
    roles:manage        | owner | admin |           |
    audit:read          | owner | admin |           |
    billing:read        | owner | admin |           |
    billing:manage      | owner | admin |           |
    api-keys:manage     | owner | admin |           |
    webhooks:manage     | owner | admin |           |
    integrations:manage | owner | admin |           |
    projects:read       | owner | admin | moderator | member
    projects:manage     | owner | admin |           |
    content:read        | owner | admin | moderator | member
    content:participate | owner | admin | moderator | member
    content:write       | owner | admin | moderator |
    content:moderate    | owner | admin | moderator |
";

// Attack 10, S4.13–17.
#[test]
fn each_role_allows_what_the_contract_says_and_nothing_else() {
    let lines = Permission::catalogue().map(|permission| {
        let cell =
            |role: Role| if role.allows(permission) { role.as_str().to_owned() } else { String::new() };
        [permission.as_str().to_owned()].into_iter().chain(ROLES.map(cell)).collect()
    });
    assert_table(MATRIX, lines);
}

#[test]
fn the_permissions_of_a_role_are_those_it_allows_in_the_order_of_the_catalogue() {
    for role in ROLES {
        let allowed: Vec<_> = Permission::catalogue().filter(|permission| role.allows(*permission)).collect();
        assert_eq!(role.permissions().collect::<Vec<_>>(), allowed);
    }
    let member: Vec<_> = Role::Member.permissions().map(Permission::as_str).collect();
    assert_eq!(
        member,
        ["workspace:read", "members:read", "projects:read", "content:read", "content:participate"]
    );
}

#[test]
fn a_higher_role_allows_all_that_a_lower_one_does() {
    for lower in ROLES {
        for higher in ROLES.into_iter().filter(|role| *role > lower) {
            assert!(lower.permissions().all(|permission| higher.allows(permission)), "{lower} in {higher}");
        }
    }
}

#[test]
fn the_owner_stands_above_the_admin_above_the_moderator_above_the_member() {
    assert!(Role::Owner > Role::Admin && Role::Admin > Role::Moderator && Role::Moderator > Role::Member);
}

// S4.12, S4.41.
#[test]
fn a_role_that_is_not_said_is_member() {
    assert_eq!(Role::default(), Role::Member);
}

// S4.17.
#[test]
fn roles_are_lower_case_on_the_wire() {
    for (role, name) in ROLES.into_iter().zip(["owner", "admin", "moderator", "member"]) {
        assert_eq!(serde_json::to_value(role).unwrap(), name);
        assert_eq!(serde_json::from_value::<Role>(name.into()).unwrap(), role);
        assert_eq!(role.to_string(), name);
        assert_eq!(name.parse::<Role>().unwrap(), role);
    }
    for wrong in ["Owner", "OWNER", "owner ", "", "superuser"] {
        assert!(serde_json::from_value::<Role>(wrong.into()).is_err(), "{wrong:?}");
        assert!(wrong.parse::<Role>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_permission_has_one_name_everywhere() {
    for permission in Permission::catalogue() {
        let name = permission.as_str();
        assert_eq!(serde_json::to_value(permission).unwrap(), name);
        assert_eq!(serde_json::from_value::<Permission>(name.into()).unwrap(), permission);
        assert_eq!(permission.to_string(), name);
        assert_eq!(name.parse::<Permission>().unwrap(), permission);
    }
}

#[test]
fn no_two_permissions_share_a_name() {
    let names: HashSet<_> = Permission::catalogue().map(Permission::as_str).collect();
    assert_eq!(names.len(), Permission::catalogue().count());
}
