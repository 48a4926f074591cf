use proptest::prelude::*;
use tenure_aggregates::event::Changed;
use tenure_aggregates::values::Slug;
use tenure_aggregates::workspace::{
    DEFAULT_PLAN, Ending, Kind, PERSONAL_SEATS, Profile, ProfileChange, Refusal, Social, TEAM_SEATS,
    WorkspaceCommand as C, WorkspaceEvent as E,
};
use tenure_aggregates::{Refused, Role, Time, Workspace};

use crate::arbitrary::{workspace_commands, workspace_events};
use crate::{an_instant, assert_table, days, fold, given, noon, user};

fn acme() -> Profile {
    Profile { name: "Acme".into(), slug: Some(Slug::parse("acme").unwrap()), ..Profile::default() }
}

fn created_as(kind: Kind, seats_limit: u32) -> E {
    E::WorkspaceCreated { kind, owner_id: user("olga"), profile: acme(), seats_limit, created_at: noon() }
}

fn team() -> E {
    created_as(Kind::Team, TEAM_SEATS)
}

fn personal() -> E {
    created_as(Kind::Personal, PERSONAL_SEATS)
}

fn suspended() -> E {
    E::WorkspaceSuspended { reason: Some("unpaid".into()), since: noon() }
}

fn resumed() -> E {
    E::WorkspaceResumed { reason: None }
}

fn deleted() -> E {
    E::WorkspaceDeleted { because: Ending::Deleted }
}

fn code_issued(generation: u32, hash: &str, expires_at: Option<Time>) -> E {
    E::InviteCodeIssued {
        generation,
        hash: hash.into(),
        role: Role::Member,
        max_uses: Some(3),
        expires_at,
        issued_by: Some(user("olga")),
        issued_by_key: None,
    }
}

fn create(kind: Kind) -> C {
    C::Create { kind, owner_id: user("olga"), profile: acme(), now: noon() }
}

fn issue(hash: &str, role: Role, expires_at: Option<Time>) -> C {
    C::IssueInviteCode {
        hash: hash.into(),
        role,
        max_uses: Some(3),
        expires_at,
        issued_by: Some(user("olga")),
        issued_by_key: None,
        now: noon(),
    }
}

fn suspend() -> C {
    C::Suspend { reason: Some("unpaid".into()), now: noon() }
}

// ---- creation

// S0.1, S4.30: one owner.
#[test]
fn a_team_workspace_is_created_with_its_owner_and_five_seats() {
    let state = given::<Workspace>([]).when(create(Kind::Team)).then([created_as(Kind::Team, 5)]);
    assert_eq!(state.owner(), Some(&user("olga")));
    assert!(state.joinable().is_ok());
}

// S2.1, S3.7.
#[test]
fn a_personal_workspace_has_the_one_seat_of_its_user() {
    let state = given::<Workspace>([]).when(create(Kind::Personal)).then([created_as(Kind::Personal, 1)]);
    assert_eq!(state.joinable(), Err(Refusal::Personal));
}

#[test]
fn a_workspace_is_created_once() {
    given::<Workspace>([team()]).when(create(Kind::Team)).then_refused(Refusal::Exists);
}

// Attack 9.
#[test]
fn a_deleted_workspace_never_comes_back() {
    given::<Workspace>([team(), deleted()]).when(create(Kind::Team)).then_refused(Refusal::Exists);
}

// ---- profile

// S4.1–11, attack 49: the event alone tells what changed.
#[test]
fn a_change_of_profile_mentions_exactly_the_fields_that_changed() {
    let profile = Profile {
        name: "Acme Corp".into(),
        slug: None,
        website: Some("https://acme.test".into()),
        social: Social { github: Some("@acme".into()), ..Social::default() },
        ..acme()
    };
    let state = given::<Workspace>([team()]).when(C::ChangeProfile { profile: profile.clone() }).then([
        E::WorkspaceProfileChanged(ProfileChange {
            name: Some(Changed { from: "Acme".into(), to: "Acme Corp".into() }),
            slug: Some(Changed { from: acme().slug, to: None }),
            website: Some(Changed { from: None, to: profile.website.clone() }),
            social: Some(Changed { from: Social::default(), to: profile.social.clone() }),
            ..ProfileChange::default()
        }),
    ]);
    assert_eq!(state.living().unwrap().profile, profile);
}

#[test]
fn the_profile_it_has_already_changes_nothing() {
    given::<Workspace>([team()]).when(C::ChangeProfile { profile: acme() }).then_nothing();
}

// ---- seats

#[test]
fn the_limit_of_seats_is_moved() {
    given::<Workspace>([team()])
        .when(C::ChangeSeatsLimit { limit: 9 })
        .then([E::WorkspaceSeatsLimitChanged { seats_limit: Changed { from: 5, to: 9 } }]);
    given::<Workspace>([team()]).when(C::ChangeSeatsLimit { limit: 5 }).then_nothing();
}

#[test]
fn a_workspace_has_at_least_one_seat() {
    given::<Workspace>([team()]).when(C::ChangeSeatsLimit { limit: 0 }).then_refused(Refusal::SeatsLimitZero);
}

// S2.2: the very same primitives, once the operator opens it.
#[test]
fn a_personal_workspace_with_more_seats_is_open_to_others() {
    let state = given::<Workspace>([personal()]).when(C::ChangeSeatsLimit { limit: 2 }).state;
    assert!(state.joinable().is_ok());
}

// ---- plan

// Which plans there are, and what they allow, is not the workspace's to know.
#[test]
fn a_workspace_is_put_on_another_plan() {
    assert_eq!(fold::<Workspace>(&[team()]).living().unwrap().plan, DEFAULT_PLAN);
    let state = given::<Workspace>([team()])
        .when(C::ChangePlan { plan: "pro".into() })
        .then([E::WorkspacePlanChanged { plan: Changed { from: DEFAULT_PLAN.into(), to: "pro".into() } }]);
    assert_eq!(state.living().unwrap().plan, "pro");
    given::<Workspace>([team()]).when(C::ChangePlan { plan: DEFAULT_PLAN.into() }).then_nothing();
}

// ---- ownership (attacks 29 and 30)

#[test]
fn the_ownership_is_transferred() {
    let state = given::<Workspace>([team()]).when(C::TransferOwnership { to: user("ada") }).then([
        E::WorkspaceOwnershipTransferred { owner_id: Changed { from: user("olga"), to: user("ada") } },
    ]);
    assert_eq!(state.owner(), Some(&user("ada")));
}

#[test]
fn a_transfer_to_the_owner_is_so_already() {
    given::<Workspace>([team()]).when(C::TransferOwnership { to: user("olga") }).then_nothing();
}

#[test]
fn a_personal_workspace_cannot_be_given_away() {
    for seats in [1, 2] {
        given::<Workspace>([created_as(Kind::Personal, seats)])
            .when(C::TransferOwnership { to: user("ada") })
            .then_refused(Refusal::Personal);
    }
}

// ---- suspension (S2.13, S2.26, attack 16)

#[test]
fn a_suspended_workspace_can_be_read_and_not_written_to() {
    let state = given::<Workspace>([team()]).when(suspend()).then([suspended()]);
    assert!(state.living().is_ok());
    assert_eq!(state.writable(), Err(Refusal::Suspended));
    assert_eq!(state.joinable(), Err(Refusal::Suspended));
}

// S2.13: one fact.
#[test]
fn a_resumed_workspace_is_as_before() {
    let before = [team(), code_issued(1, "h", None), E::WorkspaceArchived];
    let state = given::<Workspace>(before.clone().into_iter().chain([suspended()]));
    let resume = C::Resume { reason: None };
    assert_eq!(state.when(resume).then([resumed()]), fold::<Workspace>(&before));
}

#[test]
fn a_second_suspension_keeps_the_reason_and_the_instant_of_the_first() {
    let again = C::Suspend { reason: Some("fraud".into()), now: noon() + days(1) };
    let state = given::<Workspace>([team(), suspended()]).when(again).then_nothing();
    assert_eq!(state.living().unwrap().suspension.as_ref().unwrap().reason.as_deref(), Some("unpaid"));
}

#[test]
fn an_archived_workspace_may_be_suspended_and_is_then_both() {
    let state = given::<Workspace>([team(), E::WorkspaceArchived]).when(suspend()).then([suspended()]);
    let details = state.living().unwrap();
    assert!(details.archived && details.suspension.is_some());
    assert_eq!(state.writable(), Err(Refusal::Suspended));
}

// ---- archive

#[test]
fn an_archived_workspace_is_not_written_to_until_restored() {
    let state = given::<Workspace>([team()]).when(C::Archive).then([E::WorkspaceArchived]);
    assert_eq!(state.writable(), Err(Refusal::Archived));
    let state =
        given::<Workspace>([team(), E::WorkspaceArchived]).when(C::Restore).then([E::WorkspaceRestored]);
    assert!(state.writable().is_ok());
}

// ---- the end

// S4.42–43: it stops existing for every command.
#[test]
fn a_deleted_workspace_is_not_there_any_more() {
    let state = given::<Workspace>([team(), code_issued(1, "h", None)]).when(C::Delete).then([deleted()]);
    assert_eq!(state.owner(), None);
    assert_eq!(state.living(), Err(Refusal::NotFound));
    assert_eq!(state.redeem_code("h", noon()), Err(Refusal::CodeInvalid));
}

#[test]
fn a_workspace_ends_with_its_owner_whatever_its_kind_and_state() {
    let ended = E::WorkspaceDeleted { because: Ending::OwnerErased };
    for kind in [team(), personal()] {
        for last in [vec![], vec![suspended()], vec![E::WorkspaceArchived]] {
            let history = [kind.clone()].into_iter().chain(last);
            given::<Workspace>(history).when(C::EndWithOwner).then([ended.clone()]);
        }
    }
}

// ---- invite code (S4.31, S4.39)

#[test]
fn the_holder_of_the_code_is_let_in_with_its_role() {
    let state =
        given::<Workspace>([team()]).when(issue("h1", Role::Member, None)).then([code_issued(1, "h1", None)]);
    assert_eq!(state.redeem_code("h1", noon()).unwrap().role, Role::Member);
}

// S4.40: rotated at once.
#[test]
fn a_new_code_kills_the_old_one() {
    let state = given::<Workspace>([team(), code_issued(1, "h1", None)])
        .when(issue("h2", Role::Member, None))
        .then([code_issued(2, "h2", None)]);
    assert_eq!(state.redeem_code("h1", noon()), Err(Refusal::CodeInvalid));
    assert!(state.redeem_code("h2", noon()).is_ok());
}

// A used-up count must never be counted for another code.
#[test]
fn a_generation_is_never_used_twice() {
    let history = [team(), code_issued(1, "h1", None), E::InviteCodeDisabled { generation: 1 }];
    given::<Workspace>(history).when(issue("h2", Role::Member, None)).then([code_issued(2, "h2", None)]);
}

#[test]
fn a_disabled_code_lets_nobody_in() {
    let state = given::<Workspace>([team(), code_issued(1, "h", None)])
        .when(C::DisableInviteCode)
        .then([E::InviteCodeDisabled { generation: 1 }]);
    assert_eq!(state.redeem_code("h", noon()), Err(Refusal::CodeInvalid));
}

#[test]
fn disabling_when_there_is_no_code_is_so_already() {
    given::<Workspace>([team()]).when(C::DisableInviteCode).then_nothing();
}

#[test]
fn a_code_expires_at_exactly_that_instant() {
    let state = fold::<Workspace>(&[team(), code_issued(1, "h", Some(noon()))]);
    assert!(state.redeem_code("h", noon() - an_instant()).is_ok());
    assert_eq!(state.redeem_code("h", noon()), Err(Refusal::CodeInvalid));
}

#[test]
fn a_code_cannot_expire_in_the_past() {
    given::<Workspace>([team()])
        .when(issue("h", Role::Member, Some(noon())))
        .then_refused(Refusal::ExpiryPast);
}

// Attack 19.
#[test]
fn no_code_makes_an_owner() {
    given::<Workspace>([team()]).when(issue("h", Role::Owner, None)).then_refused(Refusal::OwnerRequired);
}

#[test]
fn a_wrong_code_lets_nobody_in() {
    let state = fold::<Workspace>(&[team(), code_issued(1, "hash", None)]);
    for wrong in ["", "has", "hash ", "HASH", "hashh"] {
        assert_eq!(state.redeem_code(wrong, noon()), Err(Refusal::CodeInvalid), "{wrong:?}");
    }
    assert_eq!(fold::<Workspace>(&[]).redeem_code("", noon()), Err(Refusal::CodeInvalid));
    assert_eq!(fold::<Workspace>(&[team()]).redeem_code("", noon()), Err(Refusal::CodeInvalid));
}

// Attack 16: a code is no way around a suspension, and who has no good code learns nothing of it.
#[test]
fn a_code_of_a_suspended_or_archived_workspace_lets_nobody_in() {
    let state = fold::<Workspace>(&[team(), code_issued(1, "h", None), suspended()]);
    assert_eq!(state.redeem_code("h", noon()), Err(Refusal::Suspended));
    assert_eq!(state.redeem_code("x", noon()), Err(Refusal::CodeInvalid));
    let state = fold::<Workspace>(&[team(), code_issued(1, "h", None), E::WorkspaceArchived]);
    assert_eq!(state.redeem_code("h", noon()), Err(Refusal::Archived));
}

#[test]
fn a_personal_workspace_of_one_seat_has_no_code() {
    given::<Workspace>([personal()]).when(issue("h", Role::Member, None)).then_refused(Refusal::Personal);
}

// ---- all of it

// Attacks 10, 16 and 33.
#[test]
fn every_command_in_every_state() {
    let code = code_issued(1, "h", None);
    let states: [(&str, Vec<E>); 6] = [
        ("missing", vec![]),
        ("team", vec![team(), code.clone()]),
        ("personal", vec![personal(), code.clone()]),
        ("suspended", vec![team(), code.clone(), suspended()]),
        ("archived", vec![team(), code, E::WorkspaceArchived]),
        ("deleted", vec![team(), deleted()]),
    ];
    let commands = [
        ("create", create(Kind::Team)),
        ("change profile", C::ChangeProfile { profile: Profile { name: "A".into(), ..acme() } }),
        ("change seats", C::ChangeSeatsLimit { limit: 9 }),
        ("change plan", C::ChangePlan { plan: "pro".into() }),
        ("transfer", C::TransferOwnership { to: user("ada") }),
        ("suspend", suspend()),
        ("resume", C::Resume { reason: None }),
        ("archive", C::Archive),
        ("restore", C::Restore),
        ("delete", C::Delete),
        ("end with owner", C::EndWithOwner),
        ("issue code", issue("h2", Role::Member, None)),
        ("disable code", C::DisableInviteCode),
    ];
    let lines = commands.into_iter().map(|(command, c)| {
        let words =
            states.iter().map(|(_, history)| given::<Workspace>(history.clone()).when(c.clone()).word());
        [command.to_owned()].into_iter().chain(words).collect()
    });
    let head = ["command"].into_iter().chain(states.iter().map(|(state, _)| *state));
    let head = head.map(str::to_owned).collect();
    assert_table(
        "
        command        | missing   | team                          | personal                   | suspended           | archived           | deleted
        create         | WorkspaceCreated | conflict               | conflict                   | conflict            | conflict           | conflict
        change profile | not_found | WorkspaceProfileChanged       | WorkspaceProfileChanged    | workspace_suspended | workspace_archived | not_found
        change seats   | not_found | WorkspaceSeatsLimitChanged    | WorkspaceSeatsLimitChanged | workspace_suspended | workspace_archived | not_found
        change plan    | not_found | WorkspacePlanChanged | WorkspacePlanChanged | WorkspacePlanChanged | WorkspacePlanChanged | not_found
        transfer       | not_found | WorkspaceOwnershipTransferred | personal_workspace         | workspace_suspended | workspace_archived | not_found
        suspend        | not_found | WorkspaceSuspended            | WorkspaceSuspended         | so already          | WorkspaceSuspended | not_found
        resume         | not_found | so already                    | so already                 | WorkspaceResumed    | so already         | not_found
        archive        | not_found | WorkspaceArchived             | personal_workspace         | workspace_suspended | so already         | not_found
        restore        | not_found | so already                    | so already                 | workspace_suspended | WorkspaceRestored  | not_found
        delete         | not_found | WorkspaceDeleted              | personal_workspace         | workspace_suspended | WorkspaceDeleted   | not_found
        end with owner | not_found | WorkspaceDeleted              | WorkspaceDeleted           | WorkspaceDeleted    | WorkspaceDeleted   | not_found
        issue code     | not_found | InviteCodeIssued              | personal_workspace         | workspace_suspended | workspace_archived | not_found
        disable code   | not_found | InviteCodeDisabled            | InviteCodeDisabled         | workspace_suspended | workspace_archived | not_found
        ",
        [head].into_iter().chain(lines),
    );
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    assert_eq!(Refusal::NotFound.code(), "not_found");
    assert_eq!(Refusal::Exists.code(), "conflict");
    assert_eq!(Refusal::Suspended.code(), "workspace_suspended");
    assert_eq!(Refusal::Archived.code(), "workspace_archived");
    assert_eq!(Refusal::Personal.code(), "personal_workspace");
    assert_eq!(Refusal::OwnerRequired.code(), "owner_required");
    assert_eq!(Refusal::CodeInvalid.code(), "token_invalid");
    assert_eq!(Refusal::ExpiryPast.code(), "validation_failed");
    assert_eq!(Refusal::SeatsLimitZero.code(), "validation_failed");
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in workspace_events()) {
        fold::<Workspace>(&history);
    }

    // All but a new code, which is asked for to kill the one there is.
    #[test]
    fn a_command_said_twice_happens_once(commands in workspace_commands()) {
        let mut history = Vec::new();
        for command in commands {
            if let Ok(events) = given::<Workspace>(history.clone()).when(command.clone()).result {
                history.extend(events);
                let again = given::<Workspace>(history.clone()).when(command.clone()).result;
                let anew = matches!(command, C::IssueInviteCode { .. });
                prop_assert!(anew || again.is_err() || again.is_ok_and(|events| events.is_empty()));
            }
        }
    }

    // Invariant 4; attacks 9 and 33.
    #[test]
    fn whatever_is_asked_a_living_workspace_has_one_owner_and_the_dead_stay_dead(
        commands in workspace_commands(),
    ) {
        let mut history = Vec::new();
        for command in commands {
            let before = fold::<Workspace>(&history);
            let unfreezes = matches!(command, C::Resume { .. } | C::EndWithOwner | C::ChangePlan { .. });
            let events = given::<Workspace>(history.clone()).when(command).result.unwrap_or_default();
            if before.writable() == Err(Refusal::Suspended) && !unfreezes {
                prop_assert_eq!(&events, &vec![]);
            }
            history.extend(events);
            let after = fold::<Workspace>(&history);
            prop_assert_eq!(after.owner().is_some(), matches!(after, Workspace::Living(_)));
            prop_assert!(before != Workspace::Deleted || after == Workspace::Deleted);
        }
    }
}
