use proptest::prelude::*;
use tenure_aggregates::event::Changed;
use tenure_aggregates::membership::{
    Ending, Entrance, MembershipCommand as C, MembershipEvent as E, Refusal, Standing,
};
use tenure_aggregates::{Membership, Refused, Role, Time};

use crate::arbitrary::{membership_command, membership_commands, membership_events};
use crate::{an_instant, assert_table, custom, days, fold, given, invitation_id, minutes, noon, user};

fn started_as(role: Role, expires_at: Option<Time>) -> E {
    E::MembershipStarted {
        user_id: user("ada"),
        role,
        expires_at,
        through: Entrance::Added,
        joined_at: noon() - days(1),
    }
}

fn started() -> E {
    started_as(Role::Member, None)
}

fn role_changed(from: Role, to: Role) -> E {
    E::MembershipRoleChanged { user_id: user("ada"), role: Changed { from, to } }
}

fn expiry_changed(from: Option<Time>, to: Option<Time>) -> E {
    E::MembershipExpiryChanged { user_id: user("ada"), expires_at: Changed { from, to } }
}

fn deactivated() -> E {
    E::MembershipDeactivated { user_id: user("ada"), reason: None }
}

fn reactivated() -> E {
    E::MembershipReactivated { user_id: user("ada") }
}

fn ended(because: Ending) -> E {
    E::MembershipEnded { user_id: user("ada"), because }
}

fn start_as(role: Role, expires_at: Option<Time>) -> C {
    C::Start { user_id: user("ada"), role, expires_at, through: Entrance::Added, now: noon() }
}

fn start() -> C {
    start_as(Role::Member, None)
}

fn change_role(role: Role, owner: bool) -> C {
    C::ChangeRole { role, owner, now: noon() }
}

fn change_expiry(expires_at: Option<Time>, owner: bool) -> C {
    C::ChangeExpiry { expires_at, owner, now: noon() }
}

fn deactivate(owner: bool) -> C {
    C::Deactivate { reason: None, owner, now: noon() }
}

// ---- joining

#[test]
fn whoever_joins_is_an_active_member_from_that_instant_with_that_role() {
    for through in [
        Entrance::Added,
        Entrance::Invitation { invitation_id: invitation_id(1) },
        Entrance::InviteCode { generation: 3 },
    ] {
        let command = C::Start {
            user_id: user("ada"),
            role: Role::Moderator,
            expires_at: None,
            through: through.clone(),
            now: noon(),
        };
        let state = given::<Membership>([]).when(command).then([E::MembershipStarted {
            user_id: user("ada"),
            role: Role::Moderator,
            expires_at: None,
            through,
            joined_at: noon(),
        }]);
        assert_eq!((state.standing(noon()), state.role()), (Standing::Active, Some(&Role::Moderator)));
    }
}

// Attack 20.
#[test]
fn an_active_member_cannot_join_again() {
    given::<Membership>([started()]).when(start_as(Role::Admin, None)).then_refused(Refusal::AlreadyMember);
}

#[test]
fn nobody_undoes_a_deactivation_by_joining_again() {
    given::<Membership>([started(), deactivated()]).when(start()).then_refused(Refusal::NotActive);
}

#[test]
fn whoever_left_or_was_removed_may_join_again() {
    for because in [Ending::Left, Ending::Removed, Ending::Expired] {
        let state = given::<Membership>([started(), ended(because)]).when(start_as(Role::Admin, None)).state;
        assert_eq!((state.standing(noon()), state.role()), (Standing::Active, Some(&Role::Admin)));
    }
}

#[test]
fn joining_after_the_expiry_first_records_the_end() {
    let rejoined = E::MembershipStarted {
        user_id: user("ada"),
        role: Role::Member,
        expires_at: None,
        through: Entrance::Added,
        joined_at: noon(),
    };
    given::<Membership>([started_as(Role::Admin, Some(noon()))])
        .when(start())
        .then([ended(Ending::Expired), rejoined]);
}

#[test]
fn a_membership_cannot_start_with_its_end_in_the_past() {
    given::<Membership>([])
        .when(start_as(Role::Member, Some(noon() - minutes(1))))
        .then_refused(Refusal::ExpiryPast);
    given::<Membership>([]).when(start_as(Role::Member, Some(noon()))).then_refused(Refusal::ExpiryPast);
}

// Attack 19: neither adding nor inviting makes an owner.
#[test]
fn only_who_creates_a_workspace_joins_as_its_owner() {
    for through in [
        Entrance::Added,
        Entrance::Invitation { invitation_id: invitation_id(1) },
        Entrance::InviteCode { generation: 1 },
    ] {
        let command =
            C::Start { user_id: user("ada"), role: Role::Owner, expires_at: None, through, now: noon() };
        given::<Membership>([]).when(command).then_refused(Refusal::OwnerRequired);
    }
    let create = C::Start {
        user_id: user("ada"),
        role: Role::Owner,
        expires_at: None,
        through: Entrance::Created,
        now: noon(),
    };
    assert_eq!(given::<Membership>([]).when(create).state.role(), Some(&Role::Owner));
}

// ---- role

#[test]
fn a_member_is_given_another_role() {
    let state = given::<Membership>([started()])
        .when(change_role(Role::Admin, false))
        .then([role_changed(Role::Member, Role::Admin)]);
    assert_eq!(state.role(), Some(&Role::Admin));
}

#[test]
fn the_role_one_has_already_changes_nothing() {
    given::<Membership>([started()]).when(change_role(Role::Member, false)).then_nothing();
}

#[test]
fn an_owner_cannot_be_demoted() {
    for role in [Role::Admin, Role::Moderator, Role::Member] {
        given::<Membership>([started_as(Role::Owner, None)])
            .when(change_role(role, true))
            .then_refused(Refusal::OwnerRequired);
    }
}

#[test]
fn an_owner_made_owner_is_so_already() {
    given::<Membership>([started_as(Role::Owner, None)]).when(change_role(Role::Owner, true)).then_nothing();
}

// Attack 19.
#[test]
fn nobody_is_made_owner_by_a_change_of_role() {
    given::<Membership>([started_as(Role::Admin, None)])
        .when(change_role(Role::Owner, false))
        .then_refused(Refusal::OwnerRequired);
}

#[test]
fn a_deactivated_member_may_be_given_another_role_and_stays_deactivated() {
    let state = given::<Membership>([started(), deactivated()])
        .when(change_role(Role::Admin, false))
        .then([role_changed(Role::Member, Role::Admin)]);
    assert_eq!((state.standing(noon()), state.role()), (Standing::Deactivated, Some(&Role::Admin)));
}

#[test]
fn a_former_owner_is_demoted_from_admin() {
    given::<Membership>([started_as(Role::Owner, None)])
        .when(change_role(Role::Member, false))
        .then([role_changed(Role::Admin, Role::Member)]);
}

#[test]
fn a_member_is_given_a_role_of_the_workspaces_own() {
    let state = given::<Membership>([started()])
        .when(change_role(custom("billing"), false))
        .then([role_changed(Role::Member, custom("billing"))]);
    assert_eq!(state.role(), Some(&custom("billing")));
}

// ---- a role that is no more

fn replace(role: Role) -> C {
    C::ReplaceRole { role }
}

#[test]
fn whoever_holds_a_role_that_is_no_more_holds_the_one_that_replaces_it_whatever_their_state() {
    let billing = || started_as(custom("billing"), None);
    let run_out = || started_as(custom("billing"), Some(noon() - days(1)));
    for history in [vec![billing()], vec![billing(), deactivated()], vec![run_out()]] {
        let before = fold::<Membership>(&history);
        let state = given::<Membership>(history)
            .when(replace(Role::Member))
            .then([role_changed(custom("billing"), Role::Member)]);
        assert_eq!(state.role(), Some(&Role::Member));
        assert_eq!(state.standing(noon()), before.standing(noon()));
    }
}

#[test]
fn a_role_is_not_replaced_by_itself() {
    given::<Membership>([started()]).when(replace(Role::Member)).then_nothing();
}

#[test]
fn whoever_is_no_member_holds_no_role_to_replace() {
    for history in [vec![], vec![started(), ended(Ending::Left)]] {
        given::<Membership>(history).when(replace(Role::Member)).then_refused(Refusal::NotFound);
    }
}

// Attacks 19 and 29.
#[test]
fn nobody_becomes_owner_or_ceases_to_be_by_replacement() {
    given::<Membership>([started()]).when(replace(Role::Owner)).then_refused(Refusal::OwnerRequired);
    given::<Membership>([started_as(Role::Owner, None)])
        .when(replace(Role::Member))
        .then_refused(Refusal::OwnerRequired);
}

// ---- ownership, as part of a transfer (attacks 29 and 30)

#[test]
fn the_new_owner_is_crowned_and_no_longer_runs_out() {
    let until = Some(noon() + days(1));
    given::<Membership>([started_as(Role::Moderator, until)])
        .when(C::Crown)
        .then([expiry_changed(until, None), role_changed(Role::Moderator, Role::Owner)]);
}

#[test]
fn the_old_owner_stays_as_admin() {
    let state = given::<Membership>([started_as(Role::Owner, None)])
        .when(C::Uncrown)
        .then([role_changed(Role::Owner, Role::Admin)]);
    assert_eq!((state.standing(noon()), state.role()), (Standing::Active, Some(&Role::Admin)));
}

#[test]
fn only_an_active_member_is_crowned() {
    for history in [vec![], vec![started(), deactivated()], vec![started(), ended(Ending::Left)]] {
        given::<Membership>(history).when(C::Crown).then_refused(Refusal::NotActive);
    }
}

#[test]
fn nobody_is_promoted_by_giving_up_an_ownership_they_do_not_have() {
    given::<Membership>([started()]).when(C::Uncrown).then_nothing();
}

// ---- expiry

#[test]
fn a_membership_runs_out_at_exactly_its_expiry() {
    let state = fold::<Membership>(&[started_as(Role::Member, Some(noon()))]);
    assert_eq!(state.standing(noon() - an_instant()), Standing::Active);
    assert_eq!(state.standing(noon()), Standing::Expired);
}

#[test]
fn a_deactivated_membership_runs_out_as_well() {
    let state = fold::<Membership>(&[started_as(Role::Member, Some(noon())), deactivated()]);
    assert_eq!(state.standing(noon() - an_instant()), Standing::Deactivated);
    assert_eq!(state.standing(noon()), Standing::Expired);
}

#[test]
fn the_end_that_has_come_is_recorded_once() {
    let until = started_as(Role::Member, Some(noon()));
    let expire = |now| C::Expire { now };
    given::<Membership>([until.clone()]).when(expire(noon() - an_instant())).then_nothing();
    given::<Membership>([until.clone()]).when(expire(noon())).then([ended(Ending::Expired)]);
    given::<Membership>([until, ended(Ending::Expired)]).when(expire(noon())).then_nothing();
}

#[test]
fn the_expiry_of_a_membership_is_moved_or_taken_away() {
    let (soon, later) = (Some(noon() + days(1)), Some(noon() + days(2)));
    given::<Membership>([started_as(Role::Member, soon)])
        .when(change_expiry(later, false))
        .then([expiry_changed(soon, later)]);
    given::<Membership>([started_as(Role::Member, soon)])
        .when(change_expiry(None, false))
        .then([expiry_changed(soon, None)]);
    given::<Membership>([started_as(Role::Member, soon)]).when(change_expiry(soon, false)).then_nothing();
}

#[test]
fn an_expiry_cannot_be_moved_into_the_past() {
    given::<Membership>([started()])
        .when(change_expiry(Some(noon()), false))
        .then_refused(Refusal::ExpiryPast);
}

#[test]
fn an_owner_does_not_run_out() {
    given::<Membership>([started_as(Role::Owner, None)])
        .when(change_expiry(Some(noon() + days(1)), true))
        .then_refused(Refusal::OwnerRequired);
}

#[test]
fn whoever_has_run_out_is_no_longer_to_be_found() {
    let now = noon();
    for command in [
        change_role(Role::Admin, false),
        change_expiry(None, false),
        deactivate(false),
        C::Reactivate { now },
        C::Leave { owner: false, now },
    ] {
        given::<Membership>([started_as(Role::Member, Some(noon()))])
            .when(command)
            .then_refused(Refusal::NotFound);
    }
}

// ---- deactivation (S1.43)

#[test]
fn a_deactivated_member_keeps_the_terms_and_frees_the_seat() {
    let state = given::<Membership>([started()]).when(deactivate(false)).then([deactivated()]);
    assert_eq!(state.standing(noon()), Standing::Deactivated);
    assert_eq!(state.terms(), fold::<Membership>(&[started()]).terms());
    assert!(!state.takes_seat());
}

#[test]
fn an_owner_cannot_be_deactivated() {
    given::<Membership>([started_as(Role::Owner, None)])
        .when(deactivate(true))
        .then_refused(Refusal::OwnerRequired);
}

#[test]
fn a_reactivated_member_is_as_before() {
    let state = given::<Membership>([started(), deactivated()]).when(C::Reactivate { now: noon() });
    assert_eq!(state.then([reactivated()]), fold::<Membership>(&[started()]));
}

#[test]
fn deactivating_and_reactivating_twice_is_so_already() {
    given::<Membership>([started(), deactivated()]).when(deactivate(false)).then_nothing();
    given::<Membership>([started()]).when(C::Reactivate { now: noon() }).then_nothing();
}

// ---- the end

#[test]
fn a_member_leaves() {
    given::<Membership>([started()]).when(C::Leave { owner: false, now: noon() }).then([ended(Ending::Left)]);
}

#[test]
fn an_owner_cannot_leave() {
    given::<Membership>([started_as(Role::Owner, None)])
        .when(C::Leave { owner: true, now: noon() })
        .then_refused(Refusal::OwnerCannotLeave);
}

#[test]
fn a_member_is_removed() {
    let state =
        given::<Membership>([started()]).when(C::Remove { owner: false }).then([ended(Ending::Removed)]);
    assert_eq!((state.standing(noon()), state.role()), (Standing::Absent, None));
}

// Attack 29: never zero owners.
#[test]
fn an_owner_cannot_be_removed() {
    given::<Membership>([started_as(Role::Owner, None)])
        .when(C::Remove { owner: true })
        .then_refused(Refusal::OwnerRequired);
}

#[test]
fn a_deactivated_or_expired_member_may_be_removed() {
    for history in [vec![started(), deactivated()], vec![started_as(Role::Member, Some(noon()))]] {
        given::<Membership>(history).when(C::Remove { owner: false }).then([ended(Ending::Removed)]);
    }
}

#[test]
fn whoever_is_no_member_cannot_be_removed() {
    given::<Membership>([]).when(C::Remove { owner: false }).then_refused(Refusal::NotFound);
    given::<Membership>([started(), ended(Ending::Left)])
        .when(C::Remove { owner: false })
        .then_refused(Refusal::NotFound);
}

#[test]
fn the_membership_of_an_erased_user_ends_whatever_its_state() {
    for history in [vec![started()], vec![started(), deactivated()], vec![started_as(Role::Owner, None)]] {
        given::<Membership>(history).when(C::Erase).then([ended(Ending::UserErased)]);
    }
    given::<Membership>([]).when(C::Erase).then_nothing();
}

// Attack 28: one that has run out frees its seat when its end is recorded.
#[test]
fn a_seat_is_taken_from_the_start_to_the_recorded_end_but_not_while_deactivated() {
    let seat = |history: &[E]| fold::<Membership>(history).takes_seat();
    assert!(!seat(&[]));
    assert!(seat(&[started()]));
    assert!(seat(&[started_as(Role::Member, Some(noon() - days(1)))]));
    assert!(!seat(&[started(), deactivated()]));
    assert!(seat(&[started(), deactivated(), reactivated()]));
    assert!(!seat(&[started(), ended(Ending::Left)]));
}

// ---- all of it

#[test]
fn every_command_in_every_state() {
    let now = noon();
    let states: [(&str, Vec<E>); 5] = [
        ("never", vec![]),
        ("active", vec![started()]),
        ("deactivated", vec![started(), deactivated()]),
        ("expired", vec![started_as(Role::Member, Some(now))]),
        ("ended", vec![started(), ended(Ending::Removed)]),
    ];
    let commands = [
        ("start", start()),
        ("change role", change_role(Role::Admin, false)),
        ("replace role", replace(Role::Admin)),
        ("change expiry", change_expiry(Some(now + days(1)), false)),
        ("deactivate", deactivate(false)),
        ("reactivate", C::Reactivate { now }),
        ("leave", C::Leave { owner: false, now }),
        ("remove", C::Remove { owner: false }),
        ("expire", C::Expire { now }),
        ("erase", C::Erase),
    ];
    let lines = commands.into_iter().flat_map(|(command, c)| {
        states.clone().map(|(state, history)| {
            vec![command.to_owned(), state.to_owned(), given::<Membership>(history).when(c.clone()).word()]
        })
    });
    assert_table(
        "
        start         | never       | MembershipStarted
        start         | active      | already_member
        start         | deactivated | not_an_active_member
        start         | expired     | MembershipEnded + MembershipStarted
        start         | ended       | MembershipStarted
        change role   | never       | not_found
        change role   | active      | MembershipRoleChanged
        change role   | deactivated | MembershipRoleChanged
        change role   | expired     | not_found
        change role   | ended       | not_found
        replace role  | never       | not_found
        replace role  | active      | MembershipRoleChanged
        replace role  | deactivated | MembershipRoleChanged
        replace role  | expired     | MembershipRoleChanged
        replace role  | ended       | not_found
        change expiry | never       | not_found
        change expiry | active      | MembershipExpiryChanged
        change expiry | deactivated | MembershipExpiryChanged
        change expiry | expired     | not_found
        change expiry | ended       | not_found
        deactivate    | never       | not_found
        deactivate    | active      | MembershipDeactivated
        deactivate    | deactivated | so already
        deactivate    | expired     | not_found
        deactivate    | ended       | not_found
        reactivate    | never       | not_found
        reactivate    | active      | so already
        reactivate    | deactivated | MembershipReactivated
        reactivate    | expired     | not_found
        reactivate    | ended       | not_found
        leave         | never       | not_found
        leave         | active      | MembershipEnded
        leave         | deactivated | MembershipEnded
        leave         | expired     | not_found
        leave         | ended       | not_found
        remove        | never       | not_found
        remove        | active      | MembershipEnded
        remove        | deactivated | MembershipEnded
        remove        | expired     | MembershipEnded
        remove        | ended       | not_found
        expire        | never       | so already
        expire        | active      | so already
        expire        | deactivated | so already
        expire        | expired     | MembershipEnded
        expire        | ended       | so already
        erase         | never       | so already
        erase         | active      | MembershipEnded
        erase         | deactivated | MembershipEnded
        erase         | expired     | MembershipEnded
        erase         | ended       | so already
        ",
        lines,
    );
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    assert_eq!(Refusal::NotFound.code(), "not_found");
    assert_eq!(Refusal::AlreadyMember.code(), "already_member");
    assert_eq!(Refusal::NotActive.code(), "not_an_active_member");
    assert_eq!(Refusal::OwnerRequired.code(), "owner_required");
    assert_eq!(Refusal::OwnerCannotLeave.code(), "owner_cannot_leave");
    assert_eq!(Refusal::ExpiryPast.code(), "validation_failed");
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in membership_events()) {
        fold::<Membership>(&history);
    }

    #[test]
    fn a_command_said_twice_happens_once(commands in membership_commands()) {
        let mut history = Vec::new();
        for command in commands {
            if let Ok(events) = given::<Membership>(history.clone()).when(command.clone()).result {
                history.extend(events);
                let again = given::<Membership>(history.clone()).when(command).result;
                prop_assert!(again.is_err() || again.is_ok_and(|events| events.is_empty()));
            }
        }
    }

    // Invariant 4, as far as one membership can hold it.
    #[test]
    fn nothing_but_a_transfer_or_an_erasure_ends_an_ownership(
        commands in proptest::collection::vec(membership_command(true), 0..20),
    ) {
        let mut history = vec![started_as(Role::Owner, None)];
        for command in commands.into_iter().filter(|command| !matches!(command, C::Uncrown | C::Erase)) {
            history.extend(given::<Membership>(history.clone()).when(command).result.unwrap_or_default());
            let state = fold::<Membership>(&history);
            prop_assert_eq!(state.standing(Time::MAX_UTC), Standing::Active);
            prop_assert_eq!(state.role(), Some(&Role::Owner));
        }
    }
}
