use chrono::TimeDelta;
use proptest::prelude::*;
use tenure_aggregates::event::Changed;
use tenure_aggregates::invitation::{
    DEFAULT_LIFETIME, InvitationCommand as C, InvitationEvent as E, MAX_LIFETIME, MIN_LIFETIME, Mailing,
    Refusal,
};
use tenure_aggregates::user::Profile;
use tenure_aggregates::{Invitation, Refused, Role, Time};

use crate::arbitrary::{invitation_commands, invitation_events};
use crate::{
    an_instant, api_key_id, assert_table, custom, days, email, fold, given, invitation_id, minutes, noon,
    user,
};

fn sent() -> E {
    E::InvitationSent {
        invitation_id: invitation_id(1),
        email: email("bob@acme.test"),
        role: Role::Moderator,
        invited_by: Some(user("olga")),
        invited_by_key: None,
        expires_at: noon() + days(7),
        generation: 1,
        notify: true,
        created_at: noon(),
        mailing: Mailing::default(),
    }
}

fn resent() -> E {
    E::InvitationResent {
        generation: 2,
        expires_at: noon() + days(14),
        notify: true,
        mailing: Mailing::default(),
    }
}

fn accepted() -> E {
    E::InvitationAccepted { user_id: user("bob") }
}

fn send_for(lifetime: TimeDelta) -> C {
    C::Send {
        invitation_id: invitation_id(1),
        email: email("bob@acme.test"),
        role: Role::Moderator,
        invited_by: Some(user("olga")),
        invited_by_key: None,
        lifetime,
        notify: true,
        mailing: Mailing::default(),
        now: noon(),
    }
}

fn resend(now: Time) -> C {
    C::Resend { lifetime: days(7), notify: true, mailing: Mailing::default(), now }
}

/// A user with this verified address.
fn profile(id: &str, address: &str) -> Profile {
    Profile {
        user_id: user(id),
        email: Some(email(address)),
        email_verified: true,
        name: None,
        created_at: noon(),
    }
}

fn bob() -> Profile {
    profile("bob", "bob@acme.test")
}

fn accept(generation: u32, profile: Profile, now: Time) -> C {
    C::Accept { generation, profile, now }
}

fn decline(generation: u32, profile: Option<Profile>, now: Time) -> C {
    C::Decline { generation, profile, now }
}

// ---- sending

// S4.33.
#[test]
fn an_invitation_is_sent_to_an_address_with_a_role_and_lasts_its_lifetime() {
    let state = given::<Invitation>([]).when(send_for(DEFAULT_LIFETIME)).then([sent()]);
    assert_eq!(state.status(noon()), "pending");
}

#[test]
fn an_invitation_lasts_a_week_when_nothing_is_said() {
    assert_eq!(DEFAULT_LIFETIME, days(7));
}

#[test]
fn an_invitation_lasts_between_5_minutes_and_90_days() {
    assert_eq!((MIN_LIFETIME, MAX_LIFETIME), (minutes(5), days(90)));
    for lifetime in [minutes(5), days(90)] {
        let state = given::<Invitation>([]).when(send_for(lifetime)).state;
        assert_eq!(state.offer().unwrap().expires_at, noon() + lifetime);
        let resend = C::Resend { lifetime, notify: true, mailing: Mailing::default(), now: noon() };
        assert_eq!(
            given::<Invitation>([sent()]).when(resend).state.offer().unwrap().expires_at,
            noon() + lifetime
        );
    }
    for lifetime in [
        minutes(5) - an_instant(),
        days(90) + an_instant(),
        TimeDelta::zero(),
        -days(1),
        TimeDelta::MAX,
        TimeDelta::MIN,
    ] {
        given::<Invitation>([]).when(send_for(lifetime)).then_refused(Refusal::LifetimeOutOfBounds);
        given::<Invitation>([sent()])
            .when(C::Resend { lifetime, notify: true, mailing: Mailing::default(), now: noon() })
            .then_refused(Refusal::LifetimeOutOfBounds);
    }
}

// Attack 19.
#[test]
fn nobody_is_invited_as_owner() {
    let mut as_owner = send_for(days(7));
    let C::Send { role, .. } = &mut as_owner else { unreachable!() };
    *role = Role::Owner;
    given::<Invitation>([]).when(as_owner).then_refused(Refusal::OwnerRequired);
}

#[test]
fn an_invitation_names_the_key_that_sent_it() {
    let mut by_key = send_for(days(7));
    let C::Send { invited_by, invited_by_key, .. } = &mut by_key else { unreachable!() };
    (*invited_by, *invited_by_key) = (None, Some(api_key_id(7)));
    let state = given::<Invitation>([]).when(by_key).state;
    let offer = state.offer().unwrap();
    assert_eq!((&offer.invited_by, offer.invited_by_key), (&None, Some(api_key_id(7))));
}

#[test]
fn a_resend_keeps_the_language_and_the_page_it_does_not_name() {
    let named = |language: Option<&str>, accept_url: Option<&str>| Mailing {
        language: language.map(str::to_owned),
        accept_url: accept_url.map(str::to_owned),
    };
    let C::Send { invitation_id, email, role, invited_by, invited_by_key, lifetime, notify, now, .. } =
        send_for(DEFAULT_LIFETIME)
    else {
        unreachable!("it sends")
    };
    let mailing = named(Some("de"), Some("https://acme.test/join"));
    let send = C::Send {
        invitation_id,
        email,
        role,
        invited_by,
        invited_by_key,
        lifetime,
        notify,
        mailing: mailing.clone(),
        now,
    };
    let first = given::<Invitation>([]).when(send).state;
    assert_eq!(first.offer().unwrap().mailing, mailing);
    let resent =
        |mailing| E::InvitationResent { generation: 2, expires_at: noon() + days(14), notify: true, mailing };
    assert_eq!(first.clone().evolve(resent(named(None, None))).offer().unwrap().mailing, mailing);
    let other = first.evolve(resent(named(Some("fr"), None)));
    assert_eq!(other.offer().unwrap().mailing, named(Some("fr"), Some("https://acme.test/join")));
}

#[test]
fn an_invitation_is_sent_once() {
    for history in [vec![sent()], vec![sent(), accepted()], vec![sent(), E::InvitationRevoked]] {
        given::<Invitation>(history).when(send_for(days(7))).then_refused(Refusal::NotPending);
    }
}

// Attack 24: the token is derived from the id and the generation.
#[test]
fn no_event_holds_a_token() {
    for event in [sent(), resent(), accepted()] {
        let json = serde_json::to_string(&event).unwrap();
        assert!(!json.contains("token") && !json.contains("secret"), "{json}");
    }
}

// ---- sending again

// Attack 22.
#[test]
fn after_a_resend_the_old_token_is_dead_and_the_new_one_is_good() {
    let resent = given::<Invitation>([sent()]).when(resend(noon() + days(7))).then([resent()]);
    assert_eq!(resent.redeemable(1), Err(Refusal::TokenInvalid));
    assert!(resent.redeemable(2).is_ok());
    let history = [
        sent(),
        E::InvitationResent {
            generation: 2,
            expires_at: noon() + days(7),
            notify: false,
            mailing: Mailing::default(),
        },
    ];
    given::<Invitation>(history.clone()).when(accept(1, bob(), noon())).then_refused(Refusal::TokenInvalid);
    given::<Invitation>(history.clone()).when(decline(1, None, noon())).then_refused(Refusal::TokenInvalid);
    given::<Invitation>(history).when(accept(2, bob(), noon())).then([accepted()]);
}

#[test]
fn an_expired_invitation_may_be_sent_again() {
    let state = given::<Invitation>([sent()]).when(resend(noon() + days(30))).state;
    assert_eq!(state.status(noon() + days(30)), "pending");
}

#[test]
fn a_resend_keeps_address_role_inviter_and_birth() {
    let offers = [vec![sent()], vec![sent(), resent()]].map(|history| {
        let offer = fold::<Invitation>(&history).offer().unwrap().clone();
        (offer.email, offer.role, offer.invited_by, offer.created_at)
    });
    assert_eq!(offers[0], offers[1]);
}

#[test]
fn an_invitation_that_was_answered_or_revoked_is_not_sent_again() {
    for last in [accepted(), E::InvitationDeclined, E::InvitationRevoked] {
        given::<Invitation>([sent(), last]).when(resend(noon())).then_refused(Refusal::NotPending);
    }
}

// ---- accepting

// S4.35.
#[test]
fn the_addressee_accepts() {
    let state = given::<Invitation>([sent()]).when(accept(1, bob(), noon())).then([accepted()]);
    assert_eq!(state.status(noon()), "accepted");
}

// Attack 18.
#[test]
fn another_address_cannot_accept() {
    for profile in [profile("bob", "bobby@acme.test"), Profile { email: None, ..bob() }] {
        let state = given::<Invitation>([sent()]).when(accept(1, profile, noon()));
        assert_eq!(state.then_refused(Refusal::EmailMismatch).status(noon()), "pending");
    }
}

// Attack 18.
#[test]
fn an_unverified_address_cannot_accept() {
    let unverified = Profile { email_verified: false, ..bob() };
    let state = given::<Invitation>([sent()]).when(accept(1, unverified, noon()));
    assert_eq!(state.then_refused(Refusal::EmailUnverified).status(noon()), "pending");
}

// Attack 25.
#[test]
fn the_address_is_compared_in_its_one_form() {
    given::<Invitation>([sent()])
        .when(accept(1, profile("bob", " BOB@Acme.TEST"), noon()))
        .then([accepted()]);
    for address in ["bob+x@acme.test", "bob@acme.test.evil.example", "b%b@acme.test", "b_b@acme.test"] {
        given::<Invitation>([sent()])
            .when(accept(1, profile("bob", address), noon()))
            .then_refused(Refusal::EmailMismatch);
    }
}

#[test]
fn an_invitation_expires_at_exactly_that_instant() {
    let end = noon() + days(7);
    let state = fold::<Invitation>(&[sent()]);
    assert_eq!((state.status(end - an_instant()), state.status(end)), ("pending", "expired"));
    given::<Invitation>([sent()]).when(accept(1, bob(), end - an_instant())).then([accepted()]);
    given::<Invitation>([sent()]).when(accept(1, bob(), end)).then_refused(Refusal::Expired);
    given::<Invitation>([sent()]).when(decline(1, None, end - an_instant())).then([E::InvitationDeclined]);
    given::<Invitation>([sent()]).when(decline(1, None, end)).then_refused(Refusal::Expired);
}

// S4.25, attack 20: the same benign answer for the rest.
#[test]
fn the_one_who_accepted_may_ask_again_even_after_the_expiry() {
    given::<Invitation>([sent(), accepted()]).when(accept(1, bob(), noon())).then_nothing();
    given::<Invitation>([sent(), accepted()]).when(accept(1, bob(), noon() + days(30))).then_nothing();
}

// S4.25: single use.
#[test]
fn nobody_else_accepts_after_that() {
    given::<Invitation>([sent(), accepted()])
        .when(accept(1, profile("bob2", "bob@acme.test"), noon()))
        .then_refused(Refusal::NotPending);
}

// Attack 21.
#[test]
fn a_revoked_or_declined_invitation_cannot_be_accepted() {
    for last in [E::InvitationRevoked, E::InvitationDeclined] {
        given::<Invitation>([sent(), last]).when(accept(1, bob(), noon())).then_refused(Refusal::NotPending);
    }
}

#[test]
fn an_invitation_that_never_was_has_no_good_token() {
    given::<Invitation>([]).when(accept(1, bob(), noon())).then_refused(Refusal::TokenInvalid);
    given::<Invitation>([]).when(decline(1, None, noon())).then_refused(Refusal::TokenInvalid);
}

// What somebody else's token is worth is not told to whoever is not the addressee.
#[test]
fn a_dead_token_is_refused_before_anything_is_said_of_the_invitation() {
    let nobody = || Profile { email: None, ..bob() };
    given::<Invitation>([sent()]).when(accept(9, nobody(), noon())).then_refused(Refusal::TokenInvalid);
    given::<Invitation>([sent(), accepted()])
        .when(accept(1, nobody(), noon()))
        .then_refused(Refusal::EmailMismatch);
}

// ---- declining and revoking

#[test]
fn the_holder_of_the_token_may_decline_without_an_account() {
    let state = given::<Invitation>([sent()]).when(decline(1, None, noon())).then([E::InvitationDeclined]);
    assert_eq!(state.status(noon()), "declined");
}

#[test]
fn a_user_declines_only_their_own_invitation() {
    let eve = Some(profile("eve", "eve@acme.test"));
    given::<Invitation>([sent()]).when(decline(1, Some(bob()), noon())).then([E::InvitationDeclined]);
    given::<Invitation>([sent()]).when(decline(1, eve, noon())).then_refused(Refusal::EmailMismatch);
}

#[test]
fn an_open_or_expired_invitation_may_be_revoked() {
    for now in [noon(), noon() + days(30)] {
        let state = given::<Invitation>([sent()]).when(C::Revoke { now }).then([E::InvitationRevoked]);
        assert_eq!(state.status(now), "revoked");
    }
}

// ---- a role that is no more

fn role_changed(from: Role, to: Role) -> E {
    E::InvitationRoleChanged { role: Changed { from, to } }
}

#[test]
fn an_open_or_expired_invitation_is_moved_to_the_role_that_replaces_its_own() {
    let state = given::<Invitation>([sent()])
        .when(C::ChangeRole { role: custom("billing") })
        .then([role_changed(Role::Moderator, custom("billing"))]);
    assert_eq!(state.offer().unwrap().role, custom("billing"));
    let before = fold::<Invitation>(&[sent()]);
    let (before, after) = (before.offer().unwrap(), state.offer().unwrap());
    assert_eq!((before.generation, before.expires_at), (after.generation, after.expires_at));
}

#[test]
fn an_invitation_to_that_role_already_stays_as_it_is() {
    given::<Invitation>([sent()]).when(C::ChangeRole { role: Role::Moderator }).then_nothing();
}

// Attack 19.
#[test]
fn no_invitation_is_moved_to_ownership() {
    given::<Invitation>([sent()])
        .when(C::ChangeRole { role: Role::Owner })
        .then_refused(Refusal::OwnerRequired);
}

#[test]
fn what_was_answered_keeps_the_role_it_was_answered_with() {
    for last in [accepted(), E::InvitationDeclined, E::InvitationRevoked] {
        let state = given::<Invitation>([sent(), last])
            .when(C::ChangeRole { role: Role::Member })
            .then_refused(Refusal::NotPending);
        assert_eq!(state.offer().unwrap().role, Role::Moderator);
    }
    given::<Invitation>([]).when(C::ChangeRole { role: Role::Member }).then_refused(Refusal::NotFound);
}

// ---- all of it

#[test]
fn every_command_in_every_state() {
    let now = noon() + days(7);
    let fresh = E::InvitationResent {
        generation: 1,
        expires_at: now + days(7),
        notify: true,
        mailing: Mailing::default(),
    };
    let states: [(&str, Vec<E>); 6] = [
        ("missing", vec![]),
        ("pending", vec![sent(), fresh]),
        ("expired", vec![sent()]),
        ("accepted", vec![sent(), accepted()]),
        ("declined", vec![sent(), E::InvitationDeclined]),
        ("revoked", vec![sent(), E::InvitationRevoked]),
    ];
    let commands = [
        ("resend", resend(now)),
        ("revoke", C::Revoke { now }),
        ("change role", C::ChangeRole { role: Role::Member }),
        ("accept", accept(1, bob(), now)),
        ("decline", decline(1, None, now)),
    ];
    for (state, history) in states.clone() {
        assert_eq!(fold::<Invitation>(&history).status(now), state);
    }
    let lines = commands.into_iter().flat_map(|(command, c)| {
        states.clone().map(|(state, history)| {
            vec![command.to_owned(), state.to_owned(), given::<Invitation>(history).when(c.clone()).word()]
        })
    });
    assert_table(
        "
        resend  | missing  | not_found
        resend  | pending  | InvitationResent
        resend  | expired  | InvitationResent
        resend  | accepted | invitation_not_pending
        resend  | declined | invitation_not_pending
        resend  | revoked  | invitation_not_pending
        revoke  | missing  | not_found
        revoke  | pending  | InvitationRevoked
        revoke  | expired  | InvitationRevoked
        revoke  | accepted | invitation_not_pending
        revoke  | declined | invitation_not_pending
        revoke  | revoked  | so already
        change role | missing  | not_found
        change role | pending  | InvitationRoleChanged
        change role | expired  | InvitationRoleChanged
        change role | accepted | invitation_not_pending
        change role | declined | invitation_not_pending
        change role | revoked  | invitation_not_pending
        accept  | missing  | token_invalid
        accept  | pending  | InvitationAccepted
        accept  | expired  | invitation_expired
        accept  | accepted | so already
        accept  | declined | invitation_not_pending
        accept  | revoked  | invitation_not_pending
        decline | missing  | token_invalid
        decline | pending  | InvitationDeclined
        decline | expired  | invitation_expired
        decline | accepted | invitation_not_pending
        decline | declined | so already
        decline | revoked  | invitation_not_pending
        ",
        lines,
    );
}

#[test]
fn each_refusal_has_the_code_of_the_contract() {
    assert_eq!(Refusal::NotFound.code(), "not_found");
    assert_eq!(Refusal::NotPending.code(), "invitation_not_pending");
    assert_eq!(Refusal::Expired.code(), "invitation_expired");
    assert_eq!(Refusal::TokenInvalid.code(), "token_invalid");
    assert_eq!(Refusal::EmailMismatch.code(), "email_mismatch");
    assert_eq!(Refusal::EmailUnverified.code(), "email_unverified");
    assert_eq!(Refusal::LifetimeOutOfBounds.code(), "validation_failed");
    assert_eq!(Refusal::OwnerRequired.code(), "owner_required");
}

proptest! {
    #[test]
    fn no_history_breaks_the_fold(history in invitation_events()) {
        fold::<Invitation>(&history);
    }

    // All but a resend, which is asked for to make yet another token.
    #[test]
    fn a_command_said_twice_happens_once(commands in invitation_commands()) {
        let mut history = Vec::new();
        for command in commands {
            if let Ok(events) = given::<Invitation>(history.clone()).when(command.clone()).result {
                history.extend(events);
                let again = given::<Invitation>(history.clone()).when(command.clone()).result;
                let anew = matches!(command, C::Resend { .. });
                prop_assert!(anew || again.is_err() || again.is_ok_and(|events| events.is_empty()));
            }
        }
    }

    #[test]
    fn an_invitation_is_answered_at_most_once_and_each_token_is_new(commands in invitation_commands()) {
        let (mut history, mut answers, mut generations) = (Vec::new(), 0, vec![0]);
        for command in commands {
            let events = given::<Invitation>(history.clone()).when(command).result.unwrap_or_default();
            for event in &events {
                match event {
                    E::InvitationSent { generation, .. } | E::InvitationResent { generation, .. } => {
                        generations.push(*generation);
                    }
                    E::InvitationRoleChanged { role } => prop_assert_ne!(&role.to, &Role::Owner),
                    E::InvitationAccepted { .. } | E::InvitationDeclined | E::InvitationRevoked => answers += 1,
                }
            }
            history.extend(events);
        }
        prop_assert!(answers <= 1);
        prop_assert!(generations.is_sorted_by(|one, next| one < next));
    }
}
