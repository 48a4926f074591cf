use tenure_aggregates::{Catalogue, Permission, PermissionName, Rights, Role, RoleName};

use crate::{assert_table, custom, role_name};

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

fn rights_of(role: &Role) -> Rights {
    Rights::of_built_in(role, &Catalogue::default())
}

#[test]
fn the_permissions_of_a_role_are_those_it_allows_in_the_order_of_the_contract() {
    for role in ROLES {
        let allowed: Vec<_> = Permission::catalogue()
            .filter(|permission| role.allows(*permission))
            .map(PermissionName::from)
            .collect();
        assert_eq!(rights_of(&role).names(&Catalogue::default()), allowed);
    }
    let member = rights_of(&Role::Member).names(&Catalogue::default());
    assert_eq!(
        member.iter().map(PermissionName::as_str).collect::<Vec<_>>(),
        ["workspace:read", "members:read", "projects:read", "content:read", "content:participate"]
    );
}

#[test]
fn a_higher_role_allows_all_that_a_lower_one_does() {
    for (lower, higher) in pairs() {
        for permission in Permission::catalogue().filter(|permission| lower.allows(*permission)) {
            assert!(higher.allows(permission), "{permission} of {lower} in {higher}");
        }
    }
}

#[test]
fn the_owner_stands_above_the_admin_above_the_moderator_above_the_member() {
    for (lower, higher) in pairs() {
        assert!(rights_of(&higher).covers(&rights_of(&lower)), "{higher} covers {lower}");
        assert!(!rights_of(&lower).covers(&rights_of(&higher)), "{lower} does not cover {higher}");
    }
}

/// Each two of the built-in roles, the lower first.
fn pairs() -> Vec<(Role, Role)> {
    let mut pairs = Vec::new();
    for (n, lower) in Role::BUILT_IN.iter().enumerate() {
        pairs.extend(Role::BUILT_IN[n + 1..].iter().map(|higher| (lower.clone(), higher.clone())));
    }
    pairs
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
        assert_eq!(serde_json::to_value(&role).unwrap(), name);
        assert_eq!(serde_json::from_value::<Role>(name.into()).unwrap(), role);
        assert_eq!(role.to_string(), name);
        assert_eq!(name.parse::<Role>().unwrap(), role);
    }
    for wrong in ["Owner", "OWNER", "owner ", "", "super user", "9lives", "-", "rôle", "a:b", "a/b", "a%"] {
        assert!(serde_json::from_value::<Role>(wrong.into()).is_err(), "{wrong:?}");
        assert!(wrong.parse::<Role>().is_err(), "{wrong:?}");
    }
}

// ---- a workspace's own

#[test]
fn any_other_name_is_a_role_of_the_workspaces_own() {
    for name in ["billing", "a", "on-call_2"] {
        let role: Role = name.parse().unwrap();
        assert_eq!((&role, role.custom()), (&custom(name), Some(&role_name(name))));
        assert_eq!(serde_json::to_value(&role).unwrap(), name);
        assert_eq!(serde_json::from_value::<Role>(name.into()).unwrap(), role);
        assert_eq!(role.to_string(), name);
    }
}

// Attack 19: no role of the workspace's own passes for a built-in one.
#[test]
fn the_name_of_a_built_in_role_is_taken() {
    for role in ROLES {
        assert_eq!(role.custom(), None);
        assert_eq!(RoleName::parse(role.as_str()).unwrap_err().code, "reserved");
        assert!(serde_json::from_value::<RoleName>(role.as_str().into()).is_err());
    }
}

#[test]
fn the_name_of_a_role_has_at_most_63_characters() {
    assert!(RoleName::parse(&"a".repeat(63)).is_ok());
    assert_eq!(RoleName::parse(&"a".repeat(64)).unwrap_err().code, "too_long");
    assert_eq!(RoleName::parse("").unwrap_err().code, "invalid");
}

// What it allows, its workspace knows.
#[test]
fn of_itself_a_role_of_the_workspaces_own_allows_nothing() {
    let allowed = Permission::catalogue().filter(|permission| custom("billing").allows(*permission));
    assert_eq!(allowed.count(), 0);
    assert_eq!(rights_of(&custom("billing")), Rights::default());
}

#[test]
fn whoever_does_not_own_the_workspace_any_more_is_an_admin() {
    assert_eq!(Role::Owner.unowned(), Role::Admin);
    for role in [Role::Admin, Role::Moderator, Role::Member, custom("billing")] {
        assert_eq!(role.clone().unowned(), role);
    }
}
