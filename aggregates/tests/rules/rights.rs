//! Sets of permissions: who holds what, and which set covers which.

use proptest::prelude::*;
use tenure_aggregates::{Catalogue, Permission, PermissionName, Rights, Role};

use crate::arbitrary::{catalogues, rights_of_any_kind};
use crate::{custom, permission, permissions, registered, rights};

const ROLES: [Role; 4] = [Role::Owner, Role::Admin, Role::Moderator, Role::Member];

/// `reports:read` for members and moderators, `reports:write` for moderators, `reports:purge` for neither.
fn reports() -> Catalogue {
    registered([
        ("reports:write", &[Role::Moderator]),
        ("reports:read", &[Role::Member, Role::Moderator]),
        ("reports:purge", &[]),
    ])
}

fn products(role: &Role, catalogue: &Catalogue) -> Vec<String> {
    let names = Rights::of_built_in(role, catalogue).names(catalogue);
    names.iter().filter(|name| name.built_in().is_none()).map(ToString::to_string).collect()
}

// ---- what a built-in role holds

// Attack 10: of Tenure's own, what the matrix of `role.rs` says.
#[test]
fn the_rights_of_a_built_in_role_are_what_it_allows() {
    for role in ROLES {
        for permission in Permission::catalogue() {
            let rights = Rights::of_built_in(&role, &reports());
            assert_eq!(rights.allows(permission), role.allows(permission), "{role} {permission}");
            assert_eq!(rights.allows_name(&permission.into(), &reports()), role.allows(permission));
        }
    }
    assert_eq!(Rights::of_built_in(&Role::Owner, &reports()), Rights::all());
}

#[test]
fn owner_and_admin_hold_every_registered_permission() {
    for role in [Role::Owner, Role::Admin] {
        assert_eq!(products(&role, &reports()), ["reports:purge", "reports:read", "reports:write"]);
    }
}

#[test]
fn moderator_and_member_hold_what_the_registration_names_them_for() {
    assert_eq!(products(&Role::Moderator, &reports()), ["reports:read", "reports:write"]);
    assert_eq!(products(&Role::Member, &reports()), ["reports:read"]);
}

#[test]
fn nobody_holds_a_permission_that_nobody_has_registered() {
    let unknown = permission("reports:archive");
    for role in ROLES {
        assert!(!Rights::of_built_in(&role, &reports()).allows_name(&unknown, &reports()), "{role}");
    }
    assert!(!Rights::all().allows_name(&unknown, &reports()));
    assert!(!rights(["reports:archive"]).allows_name(&unknown, &reports()));
}

// Whatever roles and keys still say of it.
#[test]
fn a_withdrawn_permission_is_held_by_nobody() {
    let held = rights(["reports:read", "audit:read"]);
    assert!(held.allows_name(&permission("reports:read"), &reports()));
    assert!(!held.allows_name(&permission("reports:read"), &Catalogue::default()));
    assert_eq!(held.names(&Catalogue::default()), [permission("audit:read")]);
}

#[test]
fn a_role_of_the_workspaces_own_holds_nothing_of_itself() {
    assert_eq!(Rights::of_built_in(&custom("billing"), &reports()), Rights::default());
}

// ---- sets of names

#[test]
fn a_set_of_names_holds_them_and_nothing_else() {
    let held = rights(["billing:read", "reports:write"]);
    let allowed: Vec<_> = Permission::catalogue().filter(|permission| held.allows(*permission)).collect();
    assert_eq!(allowed, [Permission::BillingRead]);
    assert!(held.allows_name(&permission("reports:write"), &reports()));
    assert!(!held.allows_name(&permission("reports:read"), &reports()));
    assert_eq!(Rights::of_names([]), Rights::default());
}

#[test]
fn the_names_come_in_the_order_of_the_contract_and_then_the_products_by_name() {
    let held = rights(["reports:write", "content:read", "reports:read", "audit:read", "workspace:read"]);
    let names = held.names(&reports());
    let names: Vec<_> = names.iter().map(PermissionName::as_str).collect();
    assert_eq!(names, ["workspace:read", "audit:read", "content:read", "reports:read", "reports:write"]);
}

// ---- order

// Attack 19: also what products will define once the rights were looked at.
#[test]
fn everything_covers_any_list_and_no_list_covers_everything() {
    let listed = Rights::of_names(&Rights::all().names(&reports()).into_iter().collect::<Vec<_>>());
    assert!(Rights::all().covers(&listed));
    assert!(!listed.covers(&Rights::all()));
    let admin = Rights::of_built_in(&Role::Admin, &reports());
    assert!(!listed.covers(&admin), "an admin holds what is yet to be registered");
}

#[test]
fn one_permission_that_is_missing_is_enough_not_to_cover() {
    let names = permissions(["members:invite", "content:read", "reports:read", "reports:write"]);
    let all = Rights::of_names(&names);
    for missing in &names {
        let less = Rights::of_names(names.iter().filter(|name| *name != missing));
        assert!(all.covers(&less), "{missing}");
        assert!(!less.covers(&all), "{missing}");
    }
}

proptest! {
    #[test]
    fn covering_is_a_partial_order(
        a in rights_of_any_kind(), b in rights_of_any_kind(), c in rights_of_any_kind(),
    ) {
        prop_assert!(a.covers(&a));
        prop_assert!(!(a.covers(&b) && b.covers(&a)) || a == b);
        prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
        prop_assert!(a.covers(&Rights::default()));
        prop_assert!(Rights::all().covers(&a));
    }

    #[test]
    fn who_covers_another_holds_every_name_the_other_does(
        a in rights_of_any_kind(), b in rights_of_any_kind(), catalogue in catalogues(),
    ) {
        if a.covers(&b) {
            let (own, others) = (a.names(&catalogue), b.names(&catalogue));
            prop_assert!(others.iter().all(|name| own.contains(name)));
        }
    }

    #[test]
    fn the_names_are_those_that_are_held(rights in rights_of_any_kind(), catalogue in catalogues()) {
        let names = rights.names(&catalogue);
        let all: Vec<_> = Permission::catalogue().map(PermissionName::from).chain(catalogue.names().cloned()).collect();
        let held: Vec<_> = all.into_iter().filter(|name| rights.allows_name(name, &catalogue)).collect();
        prop_assert_eq!(names, held);
    }
}
