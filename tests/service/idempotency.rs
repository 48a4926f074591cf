//! `Idempotency-Key`: a request sent twice is done once, and answered alike.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::service::Answer;
use crate::support::{Acme, TestService, User};

/// What must be equal in two answers to the same request.
fn heart(answer: &Answer) -> (u16, Value, Vec<Option<String>>) {
    let headers = ["etag", "location", "tenure-position"].map(|name| answer.header(name).map(str::to_owned));
    (answer.status.as_u16(), answer.body.clone(), headers.to_vec())
}

async fn keyed(user: &User<'_>, method: &Method, path: &str, body: &Value, key: &str) -> Answer {
    user.send(method.clone(), path, Some(body), &[("idempotency-key", key)]).await
}

#[tokio::test]
async fn every_command_repeated_with_its_key_is_answered_alike_and_done_once() {
    let acme = Acme::found().await;
    let (first, _) = acme.pending("eve@example.com").await;
    let (_, declined) = acme.pending("frank@example.com").await;
    let dave_token = acme.ada().invites(&acme.id, "dave@example.com", "member").await;
    let (ada, dave, operator) = (acme.ada(), acme.service.user("dave"), acme.service.operator());
    let (put, post, patch, delete) = (Method::PUT, Method::POST, Method::PATCH, Method::DELETE);
    let at = |rest: &str| acme.at(rest);
    let batch = json!({"invitations": [{"email": "h@example.com", "notify": false}, {"email": "nonsense"}]});
    let commands: Vec<(&User, &Method, String, Value)> = vec![
        (&operator, &put, "/v1/users/zoe".to_owned(), json!({"name": "Zoë"})),
        (&ada, &post, "/v1/workspaces".to_owned(), json!({"name": "Second", "slug": "second"})),
        (&ada, &patch, at(""), json!({"name": "Other"})),
        (&ada, &patch, at(""), json!({"name": "Other"})),
        (&ada, &post, at("/invitations"), json!({"email": "gina@example.com", "notify": false})),
        (&ada, &post, at("/invitations/batch"), batch),
        (&ada, &post, at(&format!("/invitations/{first}/resend")), json!({"notify": false})),
        (&ada, &post, at(&format!("/invitations/{first}/revoke")), json!({})),
        (&operator, &post, "/v1/invitations/decline".to_owned(), json!({"token": declined})),
        (&dave, &post, "/v1/invitations/accept".to_owned(), json!({"token": dave_token})),
        (&ada, &put, at("/members/zoe"), json!({"role": "moderator"})),
        (&ada, &patch, at("/members/zoe"), json!({"role": "member"})),
        (&ada, &post, at("/members/zoe/deactivate"), json!({"reason": "on leave"})),
        (&ada, &post, at("/members/zoe/reactivate"), json!({})),
        (&ada, &delete, at("/members/zoe"), json!({})),
        (&ada, &put, at("/invite-code"), json!({"max_uses": 3})),
        (&ada, &delete, at("/invite-code"), json!({})),
        (&operator, &post, at("/suspend"), json!({"reason": "unpaid"})),
        (&operator, &post, at("/resume"), json!({})),
        (&ada, &post, at("/archive"), json!({})),
        (&ada, &post, at("/restore"), json!({})),
        (&ada, &post, at("/transfer-ownership"), json!({"to": "bob"})),
        (&operator, &delete, "/v1/users/dave".to_owned(), json!({})),
        (&operator, &post, "/v1/users/zoe/erase".to_owned(), json!({})),
        (&operator, &delete, at(""), json!({})),
    ];
    for (index, (user, method, path, body)) in commands.into_iter().enumerate() {
        let key = format!("key-{index}");
        let first = keyed(user, method, &path, &body, &key).await;
        assert!(first.status.is_success(), "{method} {path}: {:#}", first.body);
        assert_eq!(first.header("idempotency-replayed"), None, "{method} {path}");
        let before = acme.service.head().await;
        let again = keyed(user, method, &path, &body, &key).await;
        assert_eq!(heart(&again), heart(&first), "{method} {path}");
        assert_eq!(acme.service.head().await, before, "{method} {path} was done twice");
        assert_eq!(again.header("idempotency-replayed"), Some("true"), "{method} {path}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn join_repeated_with_its_key_is_answered_alike() {
    let acme = Acme::found().await;
    let code = acme.ada().put(&acme.at("/invite-code"), json!({})).await.expect(StatusCode::OK).text("code");
    let dave = acme.service.user("dave");
    let first = keyed(&dave, &Method::POST, "/v1/join", &json!({"code": code}), "k").await;
    let again = keyed(&dave, &Method::POST, "/v1/join", &json!({"code": code}), "k").await;
    assert_eq!(heart(&again), heart(&first.expect(StatusCode::OK)));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    acme.stop().await;
}

#[tokio::test]
async fn secrets_are_in_the_replayed_answer_and_still_work() {
    let acme = Acme::found().await;
    let (ada, dave) = (acme.ada(), acme.service.user("dave"));
    let body = json!({"email": "dave@example.com", "notify": false});
    let path = acme.at("/invitations");
    let first = keyed(&ada, &Method::POST, &path, &body, "k").await.expect(StatusCode::CREATED);
    let again = keyed(&ada, &Method::POST, &path, &body, "k").await.expect(StatusCode::CREATED);
    assert_eq!(again.text("token"), first.text("token"));
    dave.accepts(&again.text("token")).await.expect(StatusCode::OK);
    let path = acme.at("/invite-code");
    let first = keyed(&ada, &Method::PUT, &path, &json!({}), "k2").await.expect(StatusCode::OK);
    let again = keyed(&ada, &Method::PUT, &path, &json!({}), "k2").await.expect(StatusCode::OK);
    assert_eq!(again.text("code"), first.text("code"));
    let eve = acme.service.provision("eve").await;
    eve.post("/v1/join", json!({"code": again.text("code")})).await.expect(StatusCode::OK);
    acme.stop().await;
}

#[tokio::test]
async fn a_key_is_not_good_for_another_request() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let body = json!({"name": "Other"});
    keyed(&ada, &Method::PATCH, &acme.at(""), &body, "k").await.expect(StatusCode::OK);
    let before = acme.service.head().await;
    let others = [
        (Method::PATCH, acme.at(""), json!({"name": "Third"})),
        (Method::POST, acme.at("/archive"), json!({})),
        (Method::DELETE, acme.at(""), json!({})),
    ];
    for (method, path, body) in others {
        let answer = keyed(&ada, &method, &path, &body, "k").await;
        answer.refused(422, "idempotency_key_reused").is_problem(422);
    }
    assert_eq!(acme.service.head().await, before);
    // Bare or quoted: the same key.
    let again = keyed(&ada, &Method::PATCH, &acme.at(""), &body, "\"k\"").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    acme.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_principal() {
    // Attack 32.
    let service = TestService::start().await;
    let mut ids = BTreeSet::new();
    for name in ["ada", "bob"] {
        let user = service.provision(name).await;
        let body = json!({"name": "Acme"});
        let answer = keyed(&user, &Method::POST, "/v1/workspaces", &body, "k").await;
        let answer = answer.expect(StatusCode::CREATED);
        assert_eq!(answer.header("idempotency-replayed"), None);
        assert_eq!(answer.body["owner_id"], name);
        ids.insert(answer.text("id"));
    }
    assert_eq!(ids.len(), 2);
    service.stop().await;
}

#[tokio::test]
async fn a_key_belongs_to_one_workspace() {
    // Attack 32.
    let acme = Acme::found().await;
    let ada = acme.ada();
    let other = ada.creates("Other").await;
    for id in [&acme.id, &other] {
        let path = format!("/v1/workspaces/{id}/invitations");
        let body = json!({"email": "eve@example.com"});
        let answer = keyed(&ada, &Method::POST, &path, &body, "k").await.expect(StatusCode::CREATED);
        assert_eq!(answer.header("idempotency-replayed"), None);
        assert_eq!(answer.body["workspace_id"], **id);
        let listed = ada.sees(&path).await;
        assert_eq!(listed.items().iter().filter(|item| item["email"] == "eve@example.com").count(), 1);
    }
    acme.stop().await;
}

#[tokio::test]
async fn fifty_equal_requests_at_once_have_one_effect_and_fifty_equal_answers() {
    // Attack 32.
    let acme = Acme::found().await;
    let (ada, before) = (acme.ada(), acme.service.head().await);
    let path = acme.at("/invitations");
    let body = json!({"email": "eve@example.com", "notify": false});
    let all = (0..50).map(|_| keyed(&ada, &Method::POST, &path, &body, "k"));
    let answers = futures::future::join_all(all).await;
    let first = heart(&answers[0]);
    assert_eq!(first.0, 201);
    for answer in &answers {
        assert_eq!(heart(answer), first);
    }
    let replayed = answers.iter().filter(|answer| answer.header("idempotency-replayed").is_some()).count();
    assert_eq!(replayed, 49);
    assert_eq!(acme.service.head().await, before + 1);
    acme.stop().await;
}

#[tokio::test]
async fn two_processes_share_their_keys() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let body = json!({"email": "eve@example.com", "notify": false});
    let path = acme.at("/invitations");
    let first = keyed(&acme.ada(), &Method::POST, &path, &body, "k").await.expect(StatusCode::CREATED);
    let again = keyed(&sibling.user("ada"), &Method::POST, &path, &body, "k").await;
    assert_eq!(heart(&again), heart(&first));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    acme.stop().await;
}

#[tokio::test]
async fn a_refusal_uses_no_key_up() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    operator.post(&acme.at("/suspend"), json!({})).await.expect(StatusCode::OK);
    let body = json!({"name": "Other"});
    keyed(&ada, &Method::PATCH, &acme.at(""), &body, "k").await.refused(423, "workspace_suspended");
    keyed(&ada, &Method::PATCH, &acme.at(""), &json!({"name": ""}), "k")
        .await
        .refused(400, "validation_failed");
    operator.post(&acme.at("/resume"), json!({})).await.expect(StatusCode::OK);
    let answer = keyed(&ada, &Method::PATCH, &acme.at(""), &body, "k").await.expect(StatusCode::OK);
    assert_eq!((answer.header("idempotency-replayed"), &answer.body["name"]), (None, &json!("Other")));
    acme.stop().await;
}

#[tokio::test]
async fn a_key_is_bounded_visible_and_alone() {
    let acme = Acme::found().await;
    let (ada, before) = (acme.ada(), acme.service.head().await);
    let (long, body) = ("k".repeat(256), json!({"name": "Other"}));
    for keys in [&[""][..], &["a b"], &[&long], &["\""], &["a", "a"], &["ké"]] {
        let headers: Vec<_> = keys.iter().map(|key| ("idempotency-key", *key)).collect();
        let answer = ada.send(Method::PATCH, &acme.at(""), Some(&body), &headers).await;
        assert_eq!(answer.refused(400, "validation_failed").errors(), [("Idempotency-Key", "invalid")]);
    }
    assert_eq!(acme.service.head().await, before);
    keyed(&ada, &Method::PATCH, &acme.at(""), &body, &long[1..]).await.expect(StatusCode::OK);
    acme.stop().await;
}

#[tokio::test]
async fn a_replay_tells_of_then_and_not_of_now() {
    let acme = Acme::found().await;
    let (ada, body) = (acme.ada(), json!({"name": "Other"}));
    let first = keyed(&ada, &Method::PATCH, &acme.at(""), &body, "k").await.expect(StatusCode::OK);
    ada.patch(&acme.at(""), json!({"phone": "555"})).await.expect(StatusCode::OK);
    let again = keyed(&ada, &Method::PATCH, &acme.at(""), &body, "k").await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(heart(&again), heart(&first));
    acme.stop().await;
}

/// The awkward truth: a command that changed nothing is kept without a body, as only the read model knows when the
/// resource last changed. Its replay still changes nothing, but shows the resource as it is now.
#[tokio::test]
async fn a_replay_of_what_changed_nothing_changes_nothing_and_tells_of_now() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let same = json!({"name": "Acme"});
    keyed(&ada, &Method::PATCH, &acme.at(""), &same, "k").await.expect(StatusCode::OK);
    ada.patch(&acme.at(""), json!({"name": "Other"})).await.expect(StatusCode::OK);
    let again = keyed(&ada, &Method::PATCH, &acme.at(""), &same, "k").await.expect(StatusCode::OK);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.text("name"), "Other");
    acme.stop().await;
}

/// Whoever has lost the right to invite is not told an invitation's token a second time.
#[tokio::test]
async fn a_replay_tells_no_secret_to_whoever_has_lost_the_right_to_it() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    ada.brings(&acme, &bob, "admin").await;
    let path = format!("/v1/workspaces/{acme}/invitations");
    let body = json!({"email": "carol@example.com", "notify": false});
    keyed(&bob, &Method::POST, &path, &body, "k").await.expect(StatusCode::CREATED).text("token");
    let member = format!("/v1/workspaces/{acme}/members/bob");
    ada.patch(&member, json!({"role": "member"})).await.expect(StatusCode::OK);
    keyed(&bob, &Method::POST, &path, &body, "k").await.refused(403, "permission_denied");
    ada.delete(&member).await.expect(StatusCode::NO_CONTENT);
    keyed(&bob, &Method::POST, &path, &body, "k").await.refused(404, "not_found");
    service.stop().await;
}
