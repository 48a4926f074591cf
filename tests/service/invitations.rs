//! Invitations by e-mail: whose they are, and what they are worth (attacks 18, 20 to 25; S4.25 to S4.27, S4.33 to S4.36).

use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tenure::clock;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::membership::MembershipEvent;
use tenure_aggregates::values::Email;
use tenure_projections::recorded::Event;

use crate::support::{Answer, TestService, User, log, model};

/// Invites without mail; the answer holds the token.
async fn invite(by: &User<'_>, workspace: &str, email: &str, role: &str) -> Answer {
    let body = json!({"email": email, "role": role, "notify": false});
    by.post(&format!("/v1/workspaces/{workspace}/invitations"), body).await.expect(StatusCode::CREATED)
}

async fn status(by: &User<'_>, invitation: &Answer) -> String {
    let (workspace, id) = (invitation.text("workspace_id"), invitation.text("id"));
    by.get(&format!("/v1/workspaces/{workspace}/invitations/{id}"))
        .await
        .expect(StatusCode::OK)
        .text("status")
}

async fn provision(service: &TestService, id: &str, email: &str, verified: bool) {
    let body = json!({"email": email, "email_verified": verified});
    let answer = service.operator().put(&format!("/v1/users/{id}"), body).await;
    assert!(answer.status.is_success(), "{}", answer.body);
}

#[tokio::test]
async fn an_invitation_is_for_its_verified_address_alone() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    provision(&service, "carol", "carol@example.com", false).await;
    let carol = service.user("carol");
    let invitation = invite(&ada, &acme, "carol@example.com", "moderator").await;
    let token = invitation.text("token");
    let before = log::head(&service).await;
    bob.accepts(&token).await.refused(409, "email_mismatch");
    ada.accepts(&token).await.refused(409, "email_mismatch");
    carol.accepts(&token).await.refused(409, "email_unverified");
    service.operator().accepts(&token).await.refused(400, "actor_required");
    service.user("nobody").accepts(&token).await.refused(404, "user_not_found");
    for action in ["accept", "decline"] {
        let answer = bob.post(&format!("/v1/invitations/{action}"), json!({"token": token})).await;
        answer.refused(409, "email_mismatch");
    }
    for token in ["x".to_owned(), token[1..].to_owned(), token.to_uppercase(), format!("{token}x")] {
        carol.accepts(&token).await.refused(404, "token_invalid");
    }
    assert_eq!(log::head(&service).await, before, "something was written");
    assert_eq!(status(&ada, &invitation).await, "pending");
    // Somebody whose address has since become another's is nobody's guest.
    provision(&service, "bob", "carol@example.com", false).await;
    bob.accepts(&token).await.refused(409, "email_unverified");
    provision(&service, "carol", "carol@example.com", true).await;
    let member = carol.accepts(&token).await.expect(StatusCode::OK);
    assert_eq!((member.text("role"), member.text("user_id")), ("moderator".into(), "carol".into()));
    assert_eq!(status(&ada, &invitation).await, "accepted");
    provision(&service, "bob", "carol@example.com", true).await;
    bob.accepts(&token).await.refused(409, "invitation_not_pending");
    // Whoever was removed does not come back with the old token.
    ada.delete(&format!("/v1/workspaces/{acme}/members/carol")).await.expect(StatusCode::NO_CONTENT);
    carol.accepts(&token).await.refused(409, "invitation_not_pending");
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn ten_parallel_accepts_make_one_membership() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    let token = ada.invites(&acme, "bob@example.com", "admin").await;
    let answers = join_all((0..10).map(|_| bob.accepts(&token))).await;
    let first = answers[0].clone().expect(StatusCode::OK);
    for answer in answers {
        assert_eq!(answer.expect(StatusCode::OK).body, first.body);
    }
    let started = log::events(&service).await.into_iter().filter(|event| {
        matches!(&event.event, Event::Membership(MembershipEvent::MembershipStarted { user_id, .. })
            if user_id.as_str() == "bob" && event.workspace_id.to_string() == acme)
    });
    assert_eq!(started.count(), 1);
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn of_revoke_and_accept_exactly_one_wins() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    let mut accepts = 0;
    for round in 0..16_u64 {
        let invitation = invite(&ada, &acme, "bob@example.com", "member").await;
        let (token, id) = (invitation.text("token"), invitation.text("id"));
        let (revoke, role) = (format!("/v1/workspaces/{acme}/invitations/{id}/revoke"), round % 4);
        let late = async |first: bool| {
            if !first {
                tokio::time::sleep(Duration::from_micros(300 * role)).await;
            }
        };
        let (accepted, revoked) = tokio::join!(
            async {
                late(round % 2 == 0).await;
                bob.accepts(&token).await
            },
            async {
                late(round % 2 == 1).await;
                ada.post(&revoke, json!({})).await
            }
        );
        let won = match (accepted.status.as_u16(), revoked.status.as_u16()) {
            (200, 409) => {
                revoked.refused(409, "invitation_not_pending");
                log::position(&accepted)
            }
            (409, 200) => {
                accepted.refused(409, "invitation_not_pending");
                log::position(&revoked)
            }
            _ => panic!("both or neither: {accepted:?} {revoked:?}"),
        };
        let ends: Vec<_> = log::events(&service).await.into_iter().filter(|e| e.aggregate_id == id).collect();
        assert_eq!(ends.len(), 2, "{ends:?}");
        let is_accept =
            matches!(ends[1].event, Event::Invitation(InvitationEvent::InvitationAccepted { .. }));
        if is_accept {
            accepts += 1;
            ada.delete(&format!("/v1/workspaces/{acme}/members/bob")).await.expect(StatusCode::NO_CONTENT);
        }
        assert!(ends[1].position <= won && won <= ends[1].position + 1, "{won}: {ends:?}");
    }
    assert!(accepts > 0, "no accept ever won");
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn after_a_resend_the_old_token_is_dead() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    let invitation = invite(&ada, &acme, "bob@example.com", "member").await;
    let mut tokens = vec![invitation.text("token")];
    for _ in 0..2 {
        let path = format!("/v1/workspaces/{acme}/invitations/{}/resend", invitation.text("id"));
        let again = ada.post(&path, json!({"notify": false})).await.expect(StatusCode::OK);
        tokens.push(again.text("token"));
    }
    let last = tokens.pop().unwrap();
    for old in &tokens {
        assert_ne!(*old, last);
        for action in ["preview", "accept", "decline"] {
            let answer = bob.post(&format!("/v1/invitations/{action}"), json!({"token": old})).await;
            answer.refused(404, "token_invalid");
        }
    }
    let preview = bob.post("/v1/invitations/preview", json!({"token": last})).await.expect(StatusCode::OK);
    assert_eq!((preview.text("email"), preview.text("role")), ("bob@example.com".into(), "member".into()));
    bob.accepts(&last).await.expect(StatusCode::OK);
    for (action, code) in [("resend", "invitation_not_pending"), ("revoke", "invitation_not_pending")] {
        let path = format!("/v1/workspaces/{acme}/invitations/{}/{action}", invitation.text("id"));
        ada.post(&path, json!({})).await.refused(409, code);
    }
    service.stop().await;
}

#[tokio::test]
async fn an_invitation_is_worth_what_its_sender_may_still_give() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    let base = format!("/v1/workspaces/{acme}/members");
    service.operator().patch(&format!("/v1/workspaces/{acme}"), json!({"seats": {"limit": 20}})).await;
    for what in ["demoted", "removed", "deactivated", "expired"] {
        let (sender, guest) = (service.provision(what).await, service.provision(&format!("g-{what}")).await);
        let path = format!("{base}/{what}");
        ada.put(&path, json!({"role": "admin"})).await.expect(StatusCode::CREATED);
        let invitation = invite(&sender, &acme, &format!("g-{what}@example.com"), "admin").await;
        let token = invitation.text("token");
        match what {
            "demoted" => drop(ada.patch(&path, json!({"role": "moderator"})).await.expect(StatusCode::OK)),
            "removed" => drop(ada.delete(&path).await.expect(StatusCode::NO_CONTENT)),
            "deactivated" => {
                ada.post(&format!("{path}/deactivate"), json!({})).await.expect(StatusCode::OK);
            }
            _ => {
                let soon = clock::now() + Duration::from_millis(60);
                ada.patch(&path, json!({"expires_at": soon})).await.expect(StatusCode::OK);
                tokio::time::sleep(Duration::from_millis(70)).await;
            }
        }
        let before = log::head(&service).await;
        guest.accepts(&token).await.refused(409, "inviter_not_permitted");
        assert_eq!(log::head(&service).await, before, "something was written");
        assert_eq!(status(&ada, &invitation).await, "pending");
        // Given back what they had, their word counts again.
        if what == "demoted" {
            ada.patch(&path, json!({"role": "admin"})).await.expect(StatusCode::OK);
            guest.accepts(&token).await.expect(StatusCode::OK);
        }
    }
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn addresses_are_compared_by_one_rule() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    service.operator().patch(&format!("/v1/workspaces/{acme}"), json!({"seats": {"limit": 50}})).await;
    for (n, (invited, own, same)) in [
        ("u1@example.com", " U1@Example.COM ", true),
        ("Caf\u{e9}@example.com", "cafe\u{301}@example.com", true),
        ("\u{c9}mile@example.com", "\u{e9}mile@example.com", true),
        ("u2+tag@example.com", "u2@example.com", false),
        ("u_3@example.com", "ux3@example.com", false),
        ("%@example.com", "u4@example.com", false),
        ("ind\u{131}go@example.com", "indigo@example.com", false),
        ("\u{130}ndigo@example.com", "indigo@example.com", false),
        ("a.b@example.com", "ab@example.com", false),
        ("u5@example.com", "u5@example.co", false),
        ("u6@\u{430}pple.com", "u6@apple.com", false),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("user-{n}");
        provision(&service, &id, own, true).await;
        let invitation = invite(&ada, &acme, invited, "member").await;
        let answer = service.user(&id).accepts(&invitation.text("token")).await;
        if same {
            answer.expect(StatusCode::OK);
        } else {
            answer.refused(409, "email_mismatch");
            assert_eq!(status(&ada, &invitation).await, "pending");
        }
    }
    // The list is looked up by the same rule, exactly.
    let list = async |email: &str| {
        let request = ada.request(reqwest::Method::GET, &format!("/v1/workspaces/{acme}/invitations"));
        let answer = Answer::of(request.query(&[("email", email)])).await.expect(StatusCode::OK);
        answer.body["items"].as_array().unwrap().len()
    };
    assert_eq!(list(" U1@EXAMPLE.com").await, 1);
    assert_eq!(list("cafe\u{301}@example.com").await, 1);
    assert_eq!(list("u_3@example.com").await, 1);
    assert_eq!(list("%@example.com").await, 1);
    assert_eq!(list("ux3@example.com").await, 0);
    assert_eq!(list("u@example.com").await, 0);
    service.stop().await;
}

#[tokio::test]
async fn an_invitation_that_was_answered_stays_so() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    let declined = invite(&ada, &acme, "bob@example.com", "member").await;
    for _ in 0..2 {
        let decline = bob.post("/v1/invitations/decline", json!({"token": declined.text("token")})).await;
        decline.expect(StatusCode::NO_CONTENT);
    }
    bob.accepts(&declined.text("token")).await.refused(409, "invitation_not_pending");
    let revoked = invite(&ada, &acme, "bob@example.com", "admin").await;
    let path = format!("/v1/workspaces/{acme}/invitations/{}/revoke", revoked.text("id"));
    for _ in 0..2 {
        ada.post(&path, json!({})).await.expect(StatusCode::OK);
    }
    bob.accepts(&revoked.text("token")).await.refused(409, "invitation_not_pending");
    let accepted = invite(&ada, &acme, "bob@example.com", "member").await;
    bob.accepts(&accepted.text("token")).await.expect(StatusCode::OK);
    let list = ada.get(&format!("/v1/workspaces/{acme}/invitations?email=bob@example.com")).await;
    let mut states: Vec<_> = list.body["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["status"].as_str().unwrap(), item["accepted"].as_bool().unwrap()))
        .collect();
    states.sort_unstable();
    assert_eq!(states, [("accepted", true), ("declined", false), ("revoked", false)]);
    assert!(list.body.to_string().find("token").is_none(), "{}", list.body);
    // A member is not invited again; an invitation that is older than the membership joins nobody twice.
    let body = json!({"email": "bob@example.com"});
    let again = ada.post(&format!("/v1/workspaces/{acme}/invitations"), body).await;
    again.refused(409, "already_member");
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn an_invitation_waits_for_read_models_only_where_members_have_changed() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    ada.get(&format!("/v1/workspaces/{acme}/members")).await.expect(StatusCode::OK);
    let mut holder = PgConnection::connect_with(&service.database).await.unwrap();
    // Nobody moves the read models on.
    holder.execute("begin; select from projection_checkpoints for update").await.unwrap();
    ada.patch(&format!("/v1/workspaces/{acme}"), json!({"name": "Acme Ltd"})).await.expect(StatusCode::OK);
    invite(&ada, &acme, "eve@example.com", "member").await;
    let joining = ada.invites(&acme, "bob@example.com", "member").await;
    bob.accepts(&joining).await.expect(StatusCode::OK);
    // Bob is a member, and the read models do not know yet.
    let (invitations, body) =
        (format!("/v1/workspaces/{acme}/invitations"), json!({"email": "bob@example.com"}));
    let again = ada.post(&invitations, body.clone()).await;
    assert_eq!(again.status, StatusCode::SERVICE_UNAVAILABLE, "{}", again.body);
    holder.execute("rollback").await.unwrap();
    holder.close().await.unwrap();
    ada.post(&invitations, body).await.refused(409, "already_member");
    service.stop().await;
}

#[tokio::test]
async fn only_addresses_that_may_be_somebodys_are_looked_up() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    bob.accepts(&ada.invites(&acme, "bob@example.com", "member").await).await.expect(StatusCode::OK);
    let sibling = service.sibling().await;
    for service in [&service, &sibling] {
        service.index_answers().await;
    }
    let invitations = format!("/v1/workspaces/{acme}/invitations");
    let knows = |service: &TestService, address: &str| {
        !service.app().access.is_nobodys(&Email::parse(address).unwrap())
    };
    // From the read models at the start, from what is committed here, and from what another process commits.
    let moved = json!({"email": "bob@elsewhere.example", "email_verified": true});
    let moved = service.operator().put("/v1/users/bob", moved).await.expect(StatusCode::OK);
    let position = moved.header("tenure-position").unwrap();
    let shown = sibling.request(Method::GET, &format!("/v1/workspaces/{acme}/members"), Some("ada"));
    Answer::of(shown.header("Tenure-Position", position)).await.expect(StatusCode::OK);
    for other in [&service, &sibling] {
        other.index_catches_up().await;
        for address in ["ada@example.com", "bob@example.com", "bob@elsewhere.example"] {
            assert!(knows(other, address), "{address}");
        }
        assert!(!knows(other, "carol@example.com"));
        let again = json!({"email": "bob@elsewhere.example"});
        other.user("ada").post(&invitations, again).await.refused(409, "already_member");
        // Bob has it no more.
        other.user("ada").invites(&acme, "bob@example.com", "member").await;
        // A batch goes by the same rule.
        let both =
            json!({"invitations": [{"email": "bob@elsewhere.example"}, {"email": "carol@example.com"}]});
        let batch = other.user("ada").post(&format!("{invitations}/batch"), both).await;
        let statuses = [&batch.body["items"][0]["status"], &batch.body["items"][1]["status"]];
        assert_eq!(statuses, [409, 201], "{}", batch.body);
    }
    sibling.leave().await;
    service.stop().await;
}

#[tokio::test]
async fn no_table_holds_a_token_or_a_code() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    let base = format!("/v1/workspaces/{acme}");
    let invite = async || {
        let body = json!({"email": "bob@example.com", "notify": false});
        let request = ada.request(reqwest::Method::POST, &format!("{base}/invitations")).json(&body);
        Answer::of(request.header("Idempotency-Key", "one")).await.expect(StatusCode::CREATED)
    };
    let issue = async || {
        let request = ada.request(reqwest::Method::PUT, &format!("{base}/invite-code")).json(&json!({}));
        Answer::of(request.header("Idempotency-Key", "two")).await.expect(StatusCode::OK)
    };
    let (token, code) = (invite().await.text("token"), issue().await.text("code"));
    let (replayed, again) = (invite().await, issue().await);
    assert_eq!((replayed.text("token"), again.text("code")), (token.clone(), code.clone()));
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    bob.accepts(&token).await.expect(StatusCode::OK);
    let mut admin = PgConnection::connect_with(&service.database).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.oid::regclass::text from pg_class c where c.relkind in ('r', 'p')
         and c.relnamespace::regnamespace::text not in ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut admin)
    .await
    .unwrap();
    let secret = token[token.len() - 20..].to_owned();
    let bare = code.replace('-', "").to_lowercase();
    for name in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(&format!("select t::text from {name} t")).fetch_all(&mut admin).await.unwrap();
        for row in rows {
            let plain = row.replace('-', "").to_lowercase();
            assert!(!row.contains(&token) && !row.contains(&secret), "{name} holds a token: {row}");
            assert!(!plain.contains(&bare), "{name} holds a code: {row}");
        }
    }
    admin.close().await.unwrap();
    for path in ["", "/invitations", "/audit-log", "/events", "/members"] {
        let text = ada.get(&format!("{base}{path}")).await.expect(StatusCode::OK).body.to_string();
        assert!(!text.contains(&secret) && !text.contains(&code), "{path} tells: {text}");
    }
    let preview = ada.post("/v1/invitations/preview", json!({"token": token})).await.body;
    assert_eq!(preview["token"], Value::Null);
    service.stop().await;
}
