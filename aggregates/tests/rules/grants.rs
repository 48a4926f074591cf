//! What may be given away where a workspace has roles of its own and API keys.

use proptest::prelude::*;
use tenure_aggregates::api_key::ApiKeyEvent;
use tenure_aggregates::authority::{Authority, Refusal};
use tenure_aggregates::event::Changed;
use tenure_aggregates::membership::{Ending, Entrance, MembershipEvent};
use tenure_aggregates::workspace::{CustomRole, Kind, Profile, RoleChange, WorkspaceEvent};
use tenure_aggregates::{
    ApiKey, Catalogue, Membership, Permission, PermissionName, Rights, Role, Time, Workspace,
};

use crate::arbitrary::rights_of_any_kind;
use crate::{
    an_instant, api_key_id, custom, days, fold, noon, permissions, registered, rights, role_name, user,
};

/// Members may look at reports; who may write them, a workspace says for itself.
fn reports() -> Catalogue {
    registered([("reports:read", &[Role::Member, Role::Moderator]), ("reports:write", &[])])
}

const MEMBER: [&str; 5] =
    ["workspace:read", "members:read", "projects:read", "content:read", "content:participate"];

fn defined(name: &str, names: &[&str]) -> WorkspaceEvent {
    WorkspaceEvent::RoleDefined {
        role: role_name(name),
        definition: CustomRole { description: None, permissions: permissions(names.iter().copied()) },
    }
}

/// Olga's workspace: recruiters invite and do all that members do; of the two kinds, only those in the know hold the
/// product's permission that members hold; auditors look.
fn workspace(then: &[WorkspaceEvent]) -> Workspace {
    let recruiter = [&MEMBER[..], &["members:invite"]].concat();
    let informed = [&recruiter[..], &["reports:read"]].concat();
    let created = WorkspaceEvent::WorkspaceCreated {
        kind: Kind::Team,
        owner_id: user("olga"),
        profile: Profile { name: "Acme".into(), ..Profile::default() },
        seats_limit: 5,
        created_at: noon() - days(9),
    };
    let roles = [
        created,
        defined("recruiter", &recruiter),
        defined("informed-recruiter", &informed),
        defined("auditor", &["workspace:read", "audit:read"]),
    ];
    fold::<Workspace>(&[&roles[..], then].concat())
}

fn joined(role: Role, expires_at: Option<Time>) -> MembershipEvent {
    MembershipEvent::MembershipStarted {
        user_id: user("mona"),
        role,
        expires_at,
        through: Entrance::Added,
        joined_at: noon() - days(9),
    }
}

/// Mona's authority, with that role.
fn monas(role: Role, workspace: &Workspace) -> Authority {
    let mona = fold::<Membership>(&[joined(role, None)]);
    Authority::of(workspace, &mona, &user("mona"), &reports(), noon())
}

fn grant(authority: &Authority, role: &Role, workspace: &Workspace) -> Result<(), Refusal> {
    authority.require_grant(role, &workspace.rights_of(role, &reports()))
}

fn above_own(role: &Role) -> Result<(), Refusal> {
    Err(Refusal::RoleAboveOwn { role: role.clone() })
}

fn key(names: &[&str], expires_at: Option<Time>) -> ApiKeyEvent {
    ApiKeyEvent::ApiKeyCreated {
        key_id: api_key_id(1),
        name: "Deploy".into(),
        hash: "h".into(),
        hint: "tnk_h".into(),
        permissions: permissions(names.iter().copied()),
        expires_at,
        networks: vec![],
        created_by: Some(user("olga")),
        created_at: noon() - days(9),
    }
}

fn keys(names: &[&str]) -> Authority {
    Authority::of_key(&fold::<ApiKey>(&[key(names, None)]), noon())
}

// ---- roles of the workspace's own

#[test]
fn a_member_with_a_role_of_the_workspaces_own_may_what_the_role_lists() {
    let workspace = workspace(&[]);
    let auditor = monas(custom("auditor"), &workspace);
    let allowed: Vec<_> =
        Permission::catalogue().filter(|permission| auditor.require(*permission).is_ok()).collect();
    assert_eq!(allowed, [Permission::WorkspaceRead, Permission::AuditRead]);
    let expected =
        Authority::Member { role: custom("auditor"), rights: rights(["workspace:read", "audit:read"]) };
    assert_eq!(auditor, expected);
}

#[test]
fn a_change_of_the_role_changes_what_its_holders_may() {
    let workspace = workspace(&[WorkspaceEvent::RoleChanged {
        role: role_name("auditor"),
        change: RoleChange {
            description: None,
            permissions: Some(Changed {
                from: permissions(["workspace:read", "audit:read"]),
                to: permissions(["billing:read"]),
            }),
        },
    }]);
    let auditor = monas(custom("auditor"), &workspace);
    assert_eq!(auditor.require(Permission::BillingRead), Ok(()));
    assert_eq!(auditor.require(Permission::AuditRead), Err(Refusal::PermissionDenied(Permission::AuditRead)));
}

// A role that is no more, or of another workspace, opens nothing; its holder is a member all the same.
#[test]
fn a_role_the_workspace_does_not_have_allows_nothing() {
    let workspace =
        workspace(&[WorkspaceEvent::RoleDeleted { role: role_name("auditor"), replacement: None }]);
    for role in [custom("auditor"), custom("never-defined")] {
        let mona = monas(role.clone(), &workspace);
        assert_eq!(mona, Authority::Member { role, rights: Rights::default() });
        for permission in Permission::catalogue() {
            assert_eq!(mona.require(permission), Err(Refusal::PermissionDenied(permission)));
        }
    }
}

#[test]
fn the_owner_is_owner_whatever_role_of_the_workspaces_own_is_recorded() {
    let olga = fold::<Membership>(&[joined(custom("auditor"), None)]);
    let authority = Authority::of(&workspace(&[]), &olga, &user("olga"), &reports(), noon());
    assert_eq!(authority, Authority::Member { role: Role::Owner, rights: Rights::all() });
}

// Attack 19: it is not the name of a role that counts but what it allows.
#[test]
fn nobody_grants_a_role_that_allows_what_their_own_does_not() {
    let workspace = workspace(&[]);
    let recruiter = monas(custom("informed-recruiter"), &workspace);
    for role in [custom("auditor"), Role::Moderator, Role::Admin, Role::Owner] {
        assert_eq!(grant(&recruiter, &role, &workspace), above_own(&role), "{role}");
    }
    for role in [custom("recruiter"), custom("informed-recruiter"), Role::Member] {
        assert_eq!(grant(&recruiter, &role, &workspace), Ok(()), "{role}");
    }
}

// Attack 19: members hold a product's permission that this recruiter does not.
#[test]
fn who_invites_does_not_grant_member_when_a_permission_that_members_hold_is_missing() {
    let workspace = workspace(&[]);
    let recruiter = monas(custom("recruiter"), &workspace);
    assert_eq!(recruiter.require(Permission::MembersInvite), Ok(()));
    assert_eq!(grant(&recruiter, &Role::Member, &workspace), above_own(&Role::Member));
    // With nothing registered there is nothing that members hold beyond it.
    let none = Catalogue::default();
    assert_eq!(recruiter.require_grant(&Role::Member, &workspace.rights_of(&Role::Member, &none)), Ok(()));
}

#[test]
fn admin_and_owner_grant_whatever_role_the_workspace_has() {
    let workspace = workspace(&[defined("writer", &["reports:write", "not-yet:registered"])]);
    for own in [Role::Admin, Role::Owner] {
        for role in ["recruiter", "informed-recruiter", "auditor", "writer"].map(custom) {
            assert_eq!(grant(&monas(own.clone(), &workspace), &role, &workspace), Ok(()), "{own} {role}");
        }
    }
}

// Attack 19: the two permissions that an admin lacks are no way up by a role that lists them.
#[test]
fn an_admin_grants_no_role_that_deletes_or_gives_away_the_workspace() {
    for name in ["workspace:delete", "workspace:transfer"] {
        let workspace = workspace(&[defined("heir", &[name])]);
        let (admin, olga) =
            (monas(Role::Admin, &workspace), fold::<Membership>(&[joined(Role::Owner, None)]));
        let olga = Authority::of(&workspace, &olga, &user("olga"), &reports(), noon());
        assert_eq!(grant(&admin, &custom("heir"), &workspace), above_own(&custom("heir")), "{name}");
        assert_eq!(admin.require_rights(&rights([name])), Err(Refusal::RightsAboveOwn), "{name}");
        assert_eq!(grant(&olga, &custom("heir"), &workspace), Ok(()), "{name}");
    }
}

// ---- rights given away: a role that is defined, a key that is made

// Attack 19, by role edit and by key.
#[test]
fn nobody_gives_away_rights_they_do_not_hold() {
    let recruiter = monas(custom("recruiter"), &workspace(&[]));
    for own in [&["members:invite"][..], &["content:read", "members:read"], &[]] {
        assert_eq!(recruiter.require_rights(&rights(own.iter().copied())), Ok(()), "{own:?}");
    }
    for beyond in [&["members:update"][..], &["content:read", "audit:read"], &["reports:read"]] {
        let refused = Err(Refusal::RightsAboveOwn);
        assert_eq!(recruiter.require_rights(&rights(beyond.iter().copied())), refused, "{beyond:?}");
    }
    assert_eq!(recruiter.require_rights(&Rights::all()), Err(Refusal::RightsAboveOwn));
}

#[test]
fn the_service_gives_away_any_rights() {
    assert_eq!(Authority::Service.require_rights(&Rights::all()), Ok(()));
}

// ---- keys

// Attack 12.
#[test]
fn a_key_may_what_it_names_and_is_told_the_permission_that_is_missing() {
    let reader = keys(&["workspace:read", "members:read"]);
    for permission in Permission::catalogue() {
        let held = matches!(permission, Permission::WorkspaceRead | Permission::MembersRead);
        let expected = if held { Ok(()) } else { Err(Refusal::PermissionDenied(permission)) };
        assert_eq!(reader.require(permission), expected, "{permission}");
    }
    assert_eq!(reader.require_service(), Err(Refusal::ServiceOnly));
}

// Attack 19, by key.
#[test]
fn a_key_grants_no_role_above_its_own_rights() {
    let workspace = workspace(&[]);
    let inviting = [&MEMBER[..], &["members:invite"]].concat();
    let (narrow, wide) = (keys(&inviting), keys(&[&inviting[..], &["reports:read"]].concat()));
    assert_eq!(grant(&narrow, &Role::Member, &workspace), above_own(&Role::Member));
    assert_eq!(grant(&narrow, &custom("recruiter"), &workspace), Ok(()));
    assert_eq!(grant(&wide, &Role::Member, &workspace), Ok(()));
    for role in [Role::Moderator, Role::Admin, Role::Owner, custom("auditor")] {
        assert_eq!(grant(&wide, &role, &workspace), above_own(&role), "{role}");
    }
}

// An admin holds what is yet to be registered, and a key what it lists.
#[test]
fn no_key_grants_admin_or_ownership_however_much_it_lists() {
    let workspace = workspace(&[]);
    let everything = Rights::all().names(&reports());
    let every: Vec<_> = everything.iter().map(PermissionName::as_str).collect();
    for role in [Role::Admin, Role::Owner] {
        assert_eq!(grant(&keys(&every), &role, &workspace), above_own(&role));
    }
}

#[test]
fn a_key_gives_away_no_rights_beyond_its_own() {
    let key = keys(&["api-keys:manage", "members:read", "reports:read"]);
    assert_eq!(key.require_rights(&rights(["members:read", "reports:read"])), Ok(()));
    for beyond in ["members:invite", "reports:write"] {
        let refused = Err(Refusal::RightsAboveOwn);
        assert_eq!(key.require_rights(&rights(["members:read", beyond])), refused, "{beyond}");
    }
}

// Attack 34: to a dead key the workspace looks as if it did not exist.
#[test]
fn a_revoked_or_expired_key_is_a_strangers() {
    let names = &["workspace:read"];
    let revoked = fold::<ApiKey>(&[key(names, None), ApiKeyEvent::ApiKeyRevoked]);
    assert_eq!(Authority::of_key(&revoked, noon()), Authority::Stranger);
    assert_eq!(Authority::of_key(&ApiKey::default(), noon()), Authority::Stranger);
    let until_noon = fold::<ApiKey>(&[key(names, Some(noon()))]);
    assert_eq!(
        Authority::of_key(&until_noon, noon() - an_instant()),
        Authority::Key(rights(["workspace:read"]))
    );
    assert_eq!(Authority::of_key(&until_noon, noon()), Authority::Stranger);
}

// ---- attack 23: what an issuer may still give when the invitation or code is used

#[test]
fn an_inviter_since_demoted_opens_no_door() {
    let workspace = workspace(&[]);
    let invited = Role::Moderator;
    let demoted = |to| {
        let change = Changed { from: Role::Admin, to };
        let events = [
            joined(Role::Admin, None),
            MembershipEvent::MembershipRoleChanged { user_id: user("mona"), role: change },
        ];
        Authority::of(&workspace, &fold::<Membership>(&events), &user("mona"), &reports(), noon())
    };
    assert_eq!(grant(&monas(Role::Admin, &workspace), &invited, &workspace), Ok(()));
    for to in [Role::Member, custom("auditor"), custom("recruiter")] {
        assert_eq!(grant(&demoted(to.clone()), &invited, &workspace), above_own(&invited), "{to}");
    }
}

#[test]
fn an_inviter_since_removed_deactivated_or_expired_opens_no_door() {
    let workspace = workspace(&[]);
    let deactivated = MembershipEvent::MembershipDeactivated { user_id: user("mona"), reason: None };
    let removed = MembershipEvent::MembershipEnded { user_id: user("mona"), because: Ending::Removed };
    let admin = || joined(Role::Admin, None);
    let histories =
        [vec![admin(), deactivated], vec![admin(), removed], vec![joined(Role::Admin, Some(noon()))]];
    for history in histories {
        let mona = fold::<Membership>(&history);
        let authority = Authority::of(&workspace, &mona, &user("mona"), &reports(), noon());
        assert!(grant(&authority, &Role::Member, &workspace).is_err(), "{history:?}");
        assert!(authority.require(Permission::MembersInvite).is_err(), "{history:?}");
    }
}

#[test]
fn an_inviter_whose_role_has_been_cut_or_deleted_opens_no_door() {
    let cut = WorkspaceEvent::RoleChanged {
        role: role_name("informed-recruiter"),
        change: RoleChange {
            description: None,
            permissions: Some(Changed { from: permissions([]), to: permissions(["members:invite"]) }),
        },
    };
    let deleted = WorkspaceEvent::RoleDeleted {
        role: role_name("informed-recruiter"),
        replacement: Some(Role::Member),
    };
    for since in [cut, deleted] {
        let workspace = workspace(&[since]);
        let mona = monas(custom("informed-recruiter"), &workspace);
        assert_eq!(grant(&mona, &Role::Member, &workspace), above_own(&Role::Member));
    }
}

// The role that was promised may have grown since.
#[test]
fn an_invitation_to_a_role_that_has_grown_beyond_the_inviters_opens_no_door() {
    let workspace = workspace(&[defined("recruiter", &["members:invite", "audit:read"])]);
    let mona = monas(custom("informed-recruiter"), &workspace);
    assert_eq!(grant(&mona, &custom("recruiter"), &workspace), above_own(&custom("recruiter")));
}

proptest! {
    // Attack 19, whatever anybody holds: what was given away was held before.
    #[test]
    fn who_gives_rights_away_holds_them(own in rights_of_any_kind(), given in rights_of_any_kind()) {
        let member = Authority::Member { role: custom("any"), rights: own.clone() };
        for authority in [member, Authority::Key(own.clone())] {
            prop_assert_eq!(authority.require_rights(&given).is_ok(), own.covers(&given));
            prop_assert_eq!(authority.require_grant(&custom("other"), &given).is_ok(), own.covers(&given));
            prop_assert!(authority.require_grant(&Role::Owner, &given).is_err());
        }
    }
}
