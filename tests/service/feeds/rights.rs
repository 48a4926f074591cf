//! Who may read a feed, and for how long: every chunk passes the same door as the first.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::support::{all_left, describe, end_of, lines, live, not_live, page};
use crate::sessions::support::sign_in;
use crate::support::service::OPERATOR_KEY;
use crate::support::{Acme, Answer, Live};

#[tokio::test]
async fn the_whole_feed_is_the_operators_alone() {
    let acme = Acme::found().await;
    let key = makes(&acme, json!({"permissions": ["audit:read"]})).await.1;
    for accept in ["application/x-ndjson", "application/json", "text/event-stream"] {
        let headers = [("accept", accept)];
        let answer = acme.ada().send(Method::GET, "/v1/events", None, &headers).await;
        assert_eq!(answer.refused(403, "permission_denied").body["permission"], "operator", "{accept}");
        let bearer = format!("Bearer {key}");
        let headers = [("accept", accept), ("authorization", bearer.as_str())];
        let answer = acme.service.bare(Method::GET, "/v1/events", &headers).await;
        answer.refused(403, "permission_denied");
        let answer = acme.service.bare(Method::GET, "/v1/events", &headers[..1]).await;
        answer.refused(401, "unauthenticated");
    }
    assert_eq!(acme.service.app().feeds.seats.taken(), 0);
    acme.stop().await;
}

#[tokio::test]
async fn a_live_stream_is_for_those_who_may_read_the_audit_log() {
    let acme = Acme::found().await;
    not_live(&acme.service.user("carol"), &acme.at("/events"), &[]).await.refused(403, "permission_denied");
    let foreign = not_live(&acme.service.user("dave"), &acme.at("/events"), &[]).await;
    let nowhere = format!("/v1/workspaces/{}/events", tenure::ids::new_v7());
    let absent = not_live(&acme.service.user("dave"), &nowhere, &[]).await;
    assert_eq!(
        foreign.refused(404, "not_found").body["detail"],
        absent.refused(404, "not_found").body["detail"]
    );
    live(&acme.service.user("bob"), &acme.at("/events")).await.next().await.unwrap();
    acme.stop().await;
}

/// A key of the workspace: its id, and the key.
async fn makes(acme: &Acme, mut body: serde_json::Value) -> (String, String) {
    body["name"] = json!("robot");
    let made = acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED);
    (made.text("id"), made.text("key"))
}

/// A stream of a key's, after all there is.
async fn of_key(acme: &Acme, key: &str) -> Live {
    let path = acme.at(&format!("/events?after={}", end_of(acme).await));
    let url = format!("{}{path}", acme.service.url);
    let mut stream = Live::open(acme.service.client.get(url).bearer_auth(key)).await;
    // Its first use from this network is recorded, too.
    while stream.next().await.unwrap().event != "tenure.api_key.used_from_new_network.v1" {}
    stream
}

#[tokio::test]
async fn a_reader_who_is_removed_reads_no_further_in_any_process() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    for round in 0..4 {
        let at = if round % 2 == 0 { &acme.service } else { &sibling };
        let end = end_of(&acme).await;
        let stream = live(&at.user("bob"), &acme.at(&format!("/events?after={end}"))).await;
        // Whatever comes after the removal is not for bob; nor is the removal itself.
        acme.ada().delete(&acme.at("/members/bob")).await.expect(StatusCode::NO_CONTENT);
        describe(&acme.ada(), &acme.id, &format!("secret {round}")).await;
        assert_eq!(stream.ends().await, ["closed not_found"]);
        let back = json!({"role": "admin"});
        acme.ada().put(&acme.at("/members/bob"), back).await.expect(StatusCode::CREATED);
    }
    let end = end_of(&acme).await;
    let stream = live(&acme.service.user("bob"), &acme.at(&format!("/events?after={end}"))).await;
    acme.ada().patch(&acme.at("/members/bob"), json!({"role": "member"})).await.expect(StatusCode::OK);
    assert_eq!(stream.ends().await, ["closed permission_denied"]);
    all_left(&acme.service).await;
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_workspace() {
    let acme = Acme::found().await;
    let end = end_of(&acme).await;
    let stream = live(&acme.ada(), &acme.at(&format!("/events?after={end}"))).await;
    acme.ada().delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(stream.ends().await, ["closed not_found"]);
    acme.stop().await;
}

#[tokio::test]
async fn a_stream_ends_with_its_credential_within_a_heartbeat() {
    let acme = Acme::found_with(|settings| settings.feed_times.heartbeat = Duration::from_millis(50)).await;
    let beats = |mut comments: Vec<String>| -> Option<String> {
        comments.retain(|comment| comment != "heartbeat");
        comments.pop()
    };
    // A key that is revoked, and one that runs out while nothing happens.
    let (id, key) = makes(&acme, json!({"permissions": ["audit:read"]})).await;
    let stream = of_key(&acme, &key).await;
    acme.ada().delete(&acme.at(&format!("/api-keys/{id}"))).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(beats(stream.ends().await).as_deref(), Some("closed unauthenticated"));
    let soon = tenure::clock::now() + Duration::from_secs(2);
    let (_, key) = makes(&acme, json!({"permissions": ["audit:read"], "expires_at": soon})).await;
    let stream = of_key(&acme, &key).await;
    assert_eq!(beats(stream.ends().await).as_deref(), Some("closed unauthenticated"));
    // A session that ends: no event of the workspace tells of it.
    let (session, _) = sign_in(&acme.ada(), Some(&acme.id)).await;
    let path = acme.at(&format!("/events?after={}", end_of(&acme).await));
    let stream = Live::open(session.request(Method::GET, &path)).await;
    Answer::of(session.request(Method::DELETE, "/v1/session")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(beats(stream.ends().await).as_deref(), Some("closed unauthenticated"));
    acme.stop().await;
}

#[tokio::test]
async fn a_browser_follows_by_its_cookie_and_by_nothing_in_its_address() {
    let acme = Acme::found().await;
    let (session, _) = sign_in(&acme.ada(), Some(&acme.id)).await;
    let path = acme.at("/events");
    let cookie = session.with_cookie(Method::GET, &path).header("sec-fetch-site", "same-origin");
    let mut stream = Live::open(cookie).await;
    assert_eq!(stream.next().await.unwrap().id, 1);
    let in_query = format!("{}{path}?token={OPERATOR_KEY}", acme.service.url);
    Answer::of(acme.service.client.get(in_query)).await.refused(400, "secret_in_query");
    acme.stop().await;
}

#[tokio::test]
async fn what_is_sealed_goes_out_opened_and_once_it_is_erased_as_erased() {
    let acme = Acme::found().await;
    let (operator, sibling) = (acme.service.operator(), acme.service.sibling().await);
    acme.pending("dave@example.com").await;
    // What happened elsewhere is fed here once the read models here have heard of it.
    sibling.app().reads.wait_for(acme.service.head().await).await.unwrap();
    let told = async |feed: &str| -> Vec<String> {
        let mut all = Vec::new();
        for user in [&operator, &sibling.operator()] {
            let text = lines(user, feed).await.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            let one = page(user, &format!("{feed}?limit=500")).await.expect(StatusCode::OK).body.to_string();
            let received = live(user, feed).await.up_to(text.lines().count() as i64).await;
            let received: Vec<_> = received.iter().map(|received| received.data.to_string()).collect();
            all.extend([text, one, received.join("\n")]);
        }
        for text in &all {
            assert!(!text.contains("sealed:"), "{text}");
        }
        all
    };
    for feed in [acme.at("/events"), "/v1/events".to_owned()] {
        for text in told(&feed).await {
            assert!(text.contains("dave@example.com") && text.contains("Acme"), "{text}");
        }
    }
    operator.delete("/v1/users/dave").await.expect(StatusCode::NO_CONTENT);
    sibling.app().reads.wait_for(acme.service.head().await).await.unwrap();
    for feed in [acme.at("/events"), "/v1/events".to_owned()] {
        for text in told(&feed).await {
            assert!(!text.contains("dave@example.com") && text.contains("[erased]"), "{text}");
        }
    }
    sibling.leave().await;
    acme.stop().await;
}
