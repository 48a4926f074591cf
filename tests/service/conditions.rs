//! `ETag` and `If-Match`: a command that holds only while the resource is what its sender saw.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Acme, TestService};

/// A command on one resource: method, path under the workspace, body.
type Command = (Method, String, Value);

/// Every command on something that exists, each of which would change it.
fn commands(acme: &Acme, invitation: &str) -> Vec<Command> {
    let (put, post, patch, delete) = (Method::PUT, Method::POST, Method::PATCH, Method::DELETE);
    let of = |method: &Method, rest: &str, body: Value| (method.clone(), acme.at(rest), body);
    vec![
        (put.clone(), "/v1/users/carol".to_owned(), json!({"name": "Caroline"})),
        of(&patch, "", json!({"name": "Other"})),
        of(&post, "/transfer-ownership", json!({"to": "bob"})),
        of(&post, "/suspend", json!({"reason": "unpaid"})),
        of(&post, "/archive", json!({})),
        of(&put, "/invite-code", json!({})),
        of(&put, "/members/carol", json!({"role": "admin"})),
        of(&patch, "/members/carol", json!({"role": "moderator"})),
        of(&post, "/members/carol/deactivate", json!({})),
        of(&delete, "/members/carol", json!({})),
        of(&post, &format!("/invitations/{invitation}/resend"), json!({})),
        of(&post, &format!("/invitations/{invitation}/revoke"), json!({})),
        (delete.clone(), "/v1/users/dave".to_owned(), json!({})),
        (post.clone(), "/v1/users/dave/erase".to_owned(), json!({})),
        of(&delete, "", json!({})),
    ]
}

#[tokio::test]
async fn a_command_on_what_has_moved_is_refused_and_writes_nothing() {
    let acme = Acme::found().await;
    let (invitation, _) = acme.pending("eve@example.com").await;
    let before = acme.service.head().await;
    for (method, path, body) in commands(&acme, &invitation) {
        for stale in ["\"999\"", "\"0\"", "W/\"1\"", "\"998\", \"999\"", "\"abc\""] {
            let headers = [("if-match", stale)];
            let answer = acme.service.operator().send(method.clone(), &path, Some(&body), &headers).await;
            assert_eq!(answer.status, StatusCode::PRECONDITION_FAILED, "{method} {path}: {:#}", answer.body);
            answer.refused(412, "precondition_failed").is_problem(412);
        }
        for malformed in ["", "5", "\"5", "*, \"5\"", "\"5\" \"6\""] {
            let headers = [("if-match", malformed)];
            let answer = acme.service.operator().send(method.clone(), &path, Some(&body), &headers).await;
            assert_eq!(answer.refused(400, "validation_failed").errors(), [("If-Match", "invalid")]);
        }
    }
    assert_eq!(acme.service.head().await, before);
    acme.stop().await;
}

#[tokio::test]
async fn a_command_on_what_was_seen_is_done() {
    let acme = Acme::found().await;
    let (invitation, _) = acme.pending("eve@example.com").await;
    let operator = acme.service.operator();
    let resources = [
        ("/v1/users/carol".to_owned(), Method::PUT, json!({"name": "Caroline"}), String::new()),
        (acme.at(""), Method::PATCH, json!({"name": "Other"}), String::new()),
        (acme.at("/members/carol"), Method::PATCH, json!({"role": "moderator"}), String::new()),
        (acme.at(&format!("/invitations/{invitation}")), Method::POST, json!({}), "/resend".to_owned()),
    ];
    for (path, method, body, suffix) in resources {
        let seen = operator.sees(&path).await.etag();
        let list = format!("\"77\", {seen}");
        let command = format!("{path}{suffix}");
        let answer = operator.send(method.clone(), &command, Some(&body), &[("if-match", &list)]).await;
        let answer = answer.expect(StatusCode::OK);
        // The answer's tag is the one the next read has, and what was seen before is no longer good.
        assert_eq!(answer.etag(), operator.sees(&path).await.etag(), "{path}");
        assert_ne!(answer.etag(), seen, "{path}");
        let answer = operator.send(method.clone(), &command, Some(&body), &[("if-match", &seen)]).await;
        answer.refused(412, "precondition_failed");
        let answer = operator.send(method, &command, Some(&body), &[("if-match", "*")]).await;
        answer.expect(StatusCode::OK);
    }
    acme.stop().await;
}

#[tokio::test]
async fn of_ten_who_saw_the_same_one_wins() {
    let acme = Acme::found().await;
    let (ada, seen, before) =
        (acme.ada(), acme.ada().sees(&acme.at("")).await.etag(), acme.service.head().await);
    let path = acme.at("");
    let bodies: Vec<_> = (0..10).map(|n| json!({"name": format!("Name {n}")})).collect();
    let headers = [("if-match", seen.as_str())];
    let all = bodies.iter().map(|body| ada.send(Method::PATCH, &path, Some(body), &headers));
    let mut statuses: Vec<_> =
        futures::future::join_all(all).await.iter().map(|a| a.status.as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412, 412, 412]);
    assert_eq!(acme.service.head().await, before + 1);
    acme.stop().await;
}

#[tokio::test]
async fn what_a_preview_showed_can_be_accepted_on_that_condition() {
    let acme = Acme::found().await;
    let token = acme.ada().invites(&acme.id, "dave@example.com", "member").await;
    let (dave, body) = (acme.service.user("dave"), json!({"token": token}));
    let seen = dave.post("/v1/invitations/preview", body.clone()).await.expect(StatusCode::OK).etag();
    let path = "/v1/invitations/accept";
    dave.send(Method::POST, path, Some(&body), &[("if-match", "\"99\"")])
        .await
        .refused(412, "precondition_failed");
    dave.send(Method::POST, path, Some(&body), &[("if-match", &seen)]).await.expect(StatusCode::OK);
    acme.stop().await;
}

#[tokio::test]
async fn what_does_not_exist_matches_nothing() {
    let service = TestService::start().await;
    let operator = service.operator();
    for condition in ["*", "\"1\"", "\"0\""] {
        let body = json!({"name": "Ada"});
        let answer =
            operator.send(Method::PUT, "/v1/users/ada", Some(&body), &[("if-match", condition)]).await;
        answer.refused(412, "precondition_failed");
    }
    service.stop().await;
}

#[tokio::test]
async fn what_is_to_be_made_cannot_match() {
    // `If-Match` is honoured on every command, and a new resource is none that anybody has seen.
    let acme = Acme::found().await;
    let (_, token) = acme.pending("dave@example.com").await;
    let code = acme.ada().put(&acme.at("/invite-code"), json!({})).await.expect(StatusCode::OK).text("code");
    let before = acme.service.head().await;
    let (ada, dave) = (acme.ada(), acme.service.user("dave"));
    let attempts = [
        (&ada, "/v1/workspaces".to_owned(), json!({"name": "New"})),
        (&ada, acme.at("/invitations"), json!({"email": "eve@example.com"})),
        (&ada, acme.at("/invitations/batch"), json!({"invitations": [{"email": "eve@example.com"}]})),
        (&dave, "/v1/invitations/accept".to_owned(), json!({"token": token})),
        (&dave, "/v1/invitations/decline".to_owned(), json!({"token": token})),
        (&dave, "/v1/join".to_owned(), json!({"code": code})),
    ];
    for (user, path, body) in attempts {
        let answer = user.send(Method::POST, &path, Some(&body), &[("if-match", "\"999\"")]).await;
        assert_eq!(answer.status.as_u16(), 412, "{path}: {:#}", answer.body);
    }
    assert_eq!(acme.service.head().await, before);
    acme.stop().await;
}
