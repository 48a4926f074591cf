use tenure_aggregates::authority::{Authority, Refusal};
use tenure_aggregates::membership::{Ending, Entrance, MembershipEvent};
use tenure_aggregates::workspace::{Kind, Profile, WorkspaceEvent};
use tenure_aggregates::{Catalogue, Membership, Permission, Refused, Rights, Role, Workspace};

use crate::{days, fold, noon, user};

const ROLES: [Role; 4] = [Role::Owner, Role::Admin, Role::Moderator, Role::Member];

fn olgas_workspace() -> Vec<WorkspaceEvent> {
    vec![WorkspaceEvent::WorkspaceCreated {
        kind: Kind::Team,
        owner_id: user("olga"),
        profile: Profile { name: "Acme".into(), ..Profile::default() },
        seats_limit: 5,
        created_at: noon() - days(9),
    }]
}

fn joined(id: &str, role: Role) -> MembershipEvent {
    MembershipEvent::MembershipStarted {
        user_id: user(id),
        role,
        expires_at: None,
        through: Entrance::Added,
        joined_at: noon() - days(9),
    }
}

fn authority(id: &str, membership: &[MembershipEvent]) -> Authority {
    let (workspace, membership) = (fold::<Workspace>(&olgas_workspace()), fold::<Membership>(membership));
    Authority::of(&workspace, &membership, &user(id), &Catalogue::default(), noon())
}

fn rights_of(role: &Role) -> Rights {
    Rights::of_built_in(role, &Catalogue::default())
}

/// A member of a built-in role.
fn member(role: Role) -> Authority {
    Authority::Member { rights: rights_of(&role), role }
}

fn require_grant(authority: &Authority, role: &Role) -> Result<(), Refusal> {
    authority.require_grant(role, &rights_of(role))
}

/// Whether a built-in role stands above another one.
fn above(higher: &Role, lower: &Role) -> bool {
    !rights_of(lower).covers(&rights_of(higher))
}

#[test]
fn who_owns_the_workspace_is_its_owner_whatever_the_membership_records() {
    for recorded in ROLES {
        assert_eq!(authority("olga", &[joined("olga", recorded)]), member(Role::Owner));
    }
}

// Attack 29: by the fact of the workspace there is one owner at every position.
#[test]
fn a_former_owner_counts_as_admin() {
    assert_eq!(authority("fred", &[joined("fred", Role::Owner)]), member(Role::Admin));
}

#[test]
fn a_member_has_the_role_of_the_membership() {
    for role in [Role::Admin, Role::Moderator, Role::Member] {
        assert_eq!(authority("mona", &[joined("mona", role.clone())]), member(role));
    }
}

// S1.43, attack 23.
#[test]
fn a_deactivated_member_is_lapsed() {
    let deactivated = MembershipEvent::MembershipDeactivated { user_id: user("mona"), reason: None };
    assert_eq!(authority("mona", &[joined("mona", Role::Admin), deactivated]), Authority::Lapsed);
}

#[test]
fn a_member_lapses_at_exactly_the_expiry() {
    let until = MembershipEvent::MembershipStarted {
        user_id: user("mona"),
        role: Role::Admin,
        expires_at: Some(noon()),
        through: Entrance::Added,
        joined_at: noon() - days(1),
    };
    let (workspace, mona) = (fold::<Workspace>(&olgas_workspace()), fold::<Membership>(&[until]));
    let at = |now| Authority::of(&workspace, &mona, &user("mona"), &Catalogue::default(), now);
    assert_eq!(at(noon() - crate::an_instant()), member(Role::Admin));
    assert_eq!(at(noon()), Authority::Lapsed);
}

#[test]
fn who_never_joined_is_a_stranger() {
    assert_eq!(authority("eve", &[]), Authority::Stranger);
}

// Attack 15.
#[test]
fn who_was_removed_is_a_stranger() {
    let removed = MembershipEvent::MembershipEnded { user_id: user("mona"), because: Ending::Removed };
    assert_eq!(authority("mona", &[joined("mona", Role::Admin), removed]), Authority::Stranger);
}

#[test]
fn the_owner_without_a_membership_is_a_stranger() {
    assert_eq!(authority("olga", &[]), Authority::Stranger);
}

// ---- require. Attack 10: with the matrix of `role.rs` this is the whole table.

#[test]
fn a_member_may_what_the_role_allows_and_is_told_the_permission_that_is_missing() {
    for role in ROLES {
        for permission in Permission::catalogue() {
            let expected =
                if role.allows(permission) { Ok(()) } else { Err(Refusal::PermissionDenied(permission)) };
            assert_eq!(member(role.clone()).require(permission), expected, "{role} {permission}");
        }
    }
}

#[test]
fn the_service_may_everything() {
    assert!(Permission::catalogue().all(|permission| Authority::Service.require(permission).is_ok()));
    assert_eq!(Authority::Service.require_service(), Ok(()));
}

#[test]
fn a_lapsed_member_may_nothing_and_is_told_so() {
    for permission in Permission::catalogue() {
        assert_eq!(Authority::Lapsed.require(permission), Err(Refusal::PermissionDenied(permission)));
    }
}

// Attack 1: to a stranger the workspace looks as if it did not exist.
#[test]
fn a_stranger_finds_nothing_whatever_is_asked() {
    for permission in Permission::catalogue() {
        assert_eq!(Authority::Stranger.require(permission), Err(Refusal::NotFound));
    }
    for role in ROLES {
        assert_eq!(require_grant(&Authority::Stranger, &role), Err(Refusal::NotFound));
        assert_eq!(Authority::Stranger.require_rights(&rights_of(&role)), Err(Refusal::NotFound));
    }
    assert_eq!(Authority::Stranger.require_service(), Err(Refusal::NotFound));
}

#[test]
fn only_the_service_may_what_is_the_services() {
    for role in ROLES {
        assert_eq!(member(role).require_service(), Err(Refusal::ServiceOnly));
    }
    assert_eq!(Authority::Lapsed.require_service(), Err(Refusal::ServiceOnly));
}

// ---- require_grant

// Attack 19.
#[test]
fn nobody_grants_a_role_above_their_own() {
    for own in ROLES {
        for role in ROLES.into_iter().filter(|role| above(role, &own)) {
            assert_eq!(
                require_grant(&member(own.clone()), &role),
                Err(Refusal::RoleAboveOwn { role: role.clone() }),
                "{own} grants {role}"
            );
        }
    }
}

#[test]
fn a_role_up_to_ones_own_may_be_granted() {
    for own in ROLES {
        for role in ROLES.into_iter().filter(|role| !above(role, &own) && *role != Role::Owner) {
            assert_eq!(require_grant(&member(own.clone()), &role), Ok(()), "{own} grants {role}");
        }
    }
}

#[test]
fn not_even_the_owner_or_the_service_grants_ownership() {
    for authority in [member(Role::Owner), Authority::Service] {
        assert_eq!(require_grant(&authority, &Role::Owner), Err(Refusal::OwnerRequired));
    }
}

#[test]
fn the_service_grants_every_other_role() {
    for role in [Role::Admin, Role::Moderator, Role::Member] {
        assert_eq!(require_grant(&Authority::Service, &role), Ok(()));
    }
}

// Attack 23.
#[test]
fn a_lapsed_member_grants_nothing() {
    for role in ROLES {
        let refusal = require_grant(&Authority::Lapsed, &role).unwrap_err();
        assert_eq!(refusal.code(), "permission_denied");
        let refusal = Authority::Lapsed.require_rights(&rights_of(&role)).unwrap_err();
        assert_eq!(refusal, Refusal::RightsAboveOwn);
    }
}

// ---- what a refusal says

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    let denied = Refusal::PermissionDenied(Permission::MembersInvite);
    let above = Refusal::RoleAboveOwn { role: Role::Owner };
    assert_eq!(Refusal::NotFound.code(), "not_found");
    assert_eq!(denied.code(), "permission_denied");
    assert_eq!(Refusal::ServiceOnly.code(), "permission_denied");
    assert_eq!(above.code(), "role_above_own");
    assert_eq!(Refusal::OwnerRequired.code(), "owner_required");
    assert_eq!(denied.to_string(), "This needs the permission members:invite.");
    assert_eq!(above.to_string(), "The role owner allows what your own does not.");
    assert_eq!(Refusal::RightsAboveOwn.code(), "role_above_own");
    assert_eq!(denied.permission(), Some("members:invite"));
    assert_eq!(Refusal::ServiceOnly.permission(), Some("operator"));
    assert_eq!(above.permission(), None);
}
