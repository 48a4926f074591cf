//! Joining by code, and the seats that all ways in share (attacks 26 and 28; S4.31, S4.39, S4.40).

use std::time::Duration;

use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tenure::clock;

use crate::support::{Answer, TestService, User, log, model};

async fn provision_many(service: &TestService, count: usize) -> Vec<User<'_>> {
    let names: Vec<String> = (0..count).map(|n| format!("joiner-{n}")).collect();
    join_all(names.iter().map(|name| service.provision(name))).await
}

async fn seats(service: &TestService, workspace: &str, limit: u32) {
    let body = json!({"seats": {"limit": limit}});
    let answer = service.operator().patch(&format!("/v1/workspaces/{workspace}"), body).await;
    answer.expect(StatusCode::OK);
}

async fn issue(by: &User<'_>, workspace: &str, body: Value) -> String {
    let answer = by.put(&format!("/v1/workspaces/{workspace}/invite-code"), body).await;
    answer.expect(StatusCode::OK).text("code")
}

async fn join(user: &User<'_>, code: &str) -> Answer {
    user.post("/v1/join", json!({"code": code})).await
}

#[tokio::test]
async fn a_code_with_seven_uses_lets_exactly_seven_in() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    seats(&service, &acme, 200).await;
    let joiners = provision_many(&service, 70).await;
    let code = issue(&ada, &acme, json!({"max_uses": 7, "role": "moderator"})).await;
    let answers = join_all(joiners.iter().map(|user| join(user, &code))).await;
    let (joined, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == StatusCode::OK);
    assert_eq!(joined.len(), 7);
    for answer in refused {
        answer.refused(409, "code_exhausted");
    }
    assert!(joined.iter().all(|answer| answer.text("role") == "moderator"));
    let workspace = ada.get(&format!("/v1/workspaces/{acme}")).await.body;
    assert_eq!((&workspace["seats"]["used"], &workspace["invite_code"]["uses"]), (&json!(8), &json!(7)));
    assert_eq!(model::replay(&service).await.space(&acme).seats(), 8);
    service.stop().await;
}

/// As with invitations (attack 23): what somebody may no longer give, a code of theirs does not give either.
#[tokio::test]
async fn a_code_of_somebody_since_demoted_or_removed_lets_nobody_in() {
    let service = TestService::start().await;
    let (ada, bob, carol) =
        (service.provision("ada").await, service.provision("bob").await, service.provision("carol").await);
    let acme = ada.creates("Acme").await;
    ada.brings(&acme, &bob, "admin").await;
    let path = format!("/v1/workspaces/{acme}/invite-code");
    let code = bob.put(&path, json!({"role": "admin"})).await.expect(StatusCode::OK).text("code");
    let member = format!("/v1/workspaces/{acme}/members/bob");
    ada.patch(&member, json!({"role": "moderator"})).await.expect(StatusCode::OK);
    join(&carol, &code).await.refused(409, "inviter_not_permitted");
    ada.delete(&member).await.expect(StatusCode::NO_CONTENT);
    join(&carol, &code).await.refused(409, "inviter_not_permitted");
    service.stop().await;
}

#[tokio::test]
async fn a_rotated_disabled_or_expired_code_lets_nobody_in() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    let joiners = provision_many(&service, 4).await;
    let first = issue(&ada, &acme, json!({"max_uses": 1})).await;
    let second = issue(&ada, &acme, json!({"max_uses": 2})).await;
    assert_ne!(first, second);
    join(&joiners[0], &first).await.refused(404, "token_invalid");
    join(&joiners[0], &second.to_lowercase().replace('-', " ")).await.expect(StatusCode::OK);
    join(&joiners[0], &second).await.refused(409, "already_member");
    join(&joiners[1], &second[1..]).await.refused(404, "token_invalid");
    service.operator().post("/v1/join", json!({"code": second})).await.refused(400, "actor_required");
    // A use that was not one does not count.
    join(&joiners[1], &second).await.expect(StatusCode::OK);
    join(&joiners[2], &second).await.refused(409, "code_exhausted");
    ada.delete(&format!("/v1/workspaces/{acme}/invite-code")).await.expect(StatusCode::NO_CONTENT);
    join(&joiners[2], &second).await.refused(404, "token_invalid");
    let soon = clock::now() + Duration::from_millis(300);
    let third = issue(&ada, &acme, json!({"expires_at": soon})).await;
    join(&joiners[2], &third).await.expect(StatusCode::OK);
    tokio::time::sleep(Duration::from_millis(310)).await;
    join(&joiners[3], &third).await.refused(404, "token_invalid");
    let past = json!({"expires_at": clock::now() - Duration::from_secs(1)});
    ada.put(&format!("/v1/workspaces/{acme}/invite-code"), past).await.refused(400, "validation_failed");
    // Joining again undoes no deactivation, and a removal only as far as the code goes.
    let fourth = issue(&ada, &acme, json!({})).await;
    let member = format!("/v1/workspaces/{acme}/members/joiner-0");
    ada.post(&format!("{member}/deactivate"), json!({})).await.expect(StatusCode::OK);
    join(&joiners[0], &fourth).await.refused(409, "not_an_active_member");
    ada.delete(&member).await.expect(StatusCode::NO_CONTENT);
    join(&joiners[0], &fourth).await.expect(StatusCode::OK);
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn rotating_while_many_join_lets_nobody_in_by_the_old_code_afterwards() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    seats(&service, &acme, 100).await;
    let joiners = provision_many(&service, 30).await;
    let old = issue(&ada, &acme, json!({})).await;
    let (rotated, answers) = tokio::join!(
        async {
            tokio::time::sleep(Duration::from_millis(8)).await;
            ada.put(&format!("/v1/workspaces/{acme}/invite-code"), json!({})).await.expect(StatusCode::OK)
        },
        join_all(joiners.iter().enumerate().map(async |(n, user)| {
            tokio::time::sleep(Duration::from_micros(700 * n as u64)).await;
            join(user, &old).await
        }))
    );
    for answer in answers {
        match answer.status.as_u16() {
            200 => assert!(log::position(&answer) < log::position(&rotated)),
            _ => drop(answer.refused(404, "token_invalid")),
        }
    }
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn three_free_seats_are_taken_by_three_of_thirty_by_every_way_in() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    seats(&service, &acme, 4).await;
    let joiners = provision_many(&service, 30).await;
    let code = issue(&ada, &acme, json!({})).await;
    let mut tokens = Vec::new();
    for n in 0..10 {
        tokens.push(ada.invites(&acme, &format!("joiner-{n}@example.com"), "member").await);
    }
    let operator = service.operator();
    let answers = join_all(joiners.iter().enumerate().map(async |(n, user)| match n {
        0..10 => user.accepts(&tokens[n]).await,
        10..20 => join(user, &code).await,
        _ if n % 2 == 0 => ada.put(&format!("/v1/workspaces/{acme}/members/joiner-{n}"), json!({})).await,
        _ => operator.put(&format!("/v1/workspaces/{acme}/members/joiner-{n}"), json!({})).await,
    }))
    .await;
    let (joined, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status.is_success());
    assert_eq!(joined.len(), 3);
    for answer in refused {
        answer.refused(409, "seats_exhausted");
    }
    let workspace = ada.get(&format!("/v1/workspaces/{acme}")).await.body;
    assert_eq!(workspace["seats"], json!({"used": 4, "limit": 4}));
    let lower = operator.patch(&format!("/v1/workspaces/{acme}"), json!({"seats": {"limit": 3}})).await;
    lower.refused(409, "seats_exhausted");
    assert_eq!(model::replay(&service).await.space(&acme).seats(), 4);
    service.stop().await;
}

#[tokio::test]
async fn whoever_is_deactivated_gives_the_seat_back_and_needs_one_to_return() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    seats(&service, &acme, 2).await;
    let joiners = provision_many(&service, 2).await;
    let code = issue(&ada, &acme, json!({})).await;
    let member = |n: usize| format!("/v1/workspaces/{acme}/members/joiner-{n}");
    join(&joiners[0], &code).await.expect(StatusCode::OK);
    join(&joiners[1], &code).await.refused(409, "seats_exhausted");
    ada.post(&format!("{}/deactivate", member(0)), json!({})).await.expect(StatusCode::OK);
    join(&joiners[1], &code).await.expect(StatusCode::OK);
    let back = ada.post(&format!("{}/reactivate", member(0)), json!({})).await;
    back.refused(409, "seats_exhausted");
    ada.delete(&member(1)).await.expect(StatusCode::NO_CONTENT);
    ada.post(&format!("{}/reactivate", member(0)), json!({})).await.expect(StatusCode::OK);
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn the_seats_of_expired_members_are_free_when_they_are_needed() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let joiners = provision_many(&service, 6).await;
    let acme = ada.creates("Acme").await;
    seats(&service, &acme, 4).await;
    for round in 0..4 {
        let code = issue(&ada, &acme, json!({})).await;
        let soon = clock::now() + Duration::from_millis(150);
        for n in 0..3 {
            let path = format!("/v1/workspaces/{acme}/members/joiner-{n}");
            ada.put(&path, json!({"expires_at": soon})).await.expect(StatusCode::CREATED);
        }
        let early = join(&joiners[3], &code).await;
        // On a machine that stood still meanwhile, the time may have come already, and only then is there a seat.
        let in_time = clock::now() < soon;
        let joined = early.status.is_success();
        assert!(!(in_time && joined), "{}", early.body);
        assert!(joined || early.body["code"] == "seats_exhausted", "{}", early.body);
        let left = (soon - clock::now()).to_std().unwrap_or_default();
        tokio::time::sleep(left + Duration::from_millis(5)).await;
        // All three at once find the three seats, although nobody has recorded an expiry yet.
        let first = 3 + usize::from(joined);
        let answers = join_all(joiners[first..6].iter().map(|user| join(user, &code))).await;
        for answer in answers {
            assert!(answer.status.is_success(), "round {round}: {}", answer.body);
        }
        for n in 3..6 {
            let path = format!("/v1/workspaces/{acme}/members/joiner-{n}");
            ada.delete(&path).await.expect(StatusCode::NO_CONTENT);
        }
    }
    model::replay(&service).await;
    service.stop().await;
}
