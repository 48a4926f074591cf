//! Switching: the next request is in the new workspace, and what was shown before opens nothing any more.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure_aggregates::{UserId, WorkspaceId};

use super::support::{Client, claims, cookie, sign_in};
use crate::support::routes::{Even, Needs, Place, equip, workspace_routes};
use crate::support::{Acme, Answer, TestService, model};

fn personal(user: &str) -> String {
    WorkspaceId::personal(&UserId::parse(user).unwrap()).to_string()
}

fn current(answer: &Answer) -> &Value {
    &answer.body["current"]["workspace_id"]
}

// S2.14-18, S3.9-11, attack 17.
#[tokio::test]
async fn the_very_next_request_is_in_the_new_workspace_and_the_old_token_is_dead() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    acme.service.operator().patch(&acme.at(""), json!({"plan": "pro"})).await;
    let (home, signed_in) = sign_in(&ada, None).await;
    home.get(&acme.at("")).await.refused(404, "not_found");
    let answer = home.switch(&acme.id).await.expect(StatusCode::OK);
    assert_eq!(answer.body["session"], signed_in.body["session"], "the same session, re-issued in place");
    assert_eq!(*current(&answer), json!(acme.id));
    let said = claims(&answer.text("token"));
    assert_eq!((&said["workspace_id"], &said["gen"]), (&json!(acme.id), &json!(2)));
    assert_eq!(cookie(&answer).0, answer.text("token"));
    let there = Client::of(&acme.service, &answer);
    there.get(&acme.at("")).await.expect(StatusCode::OK);
    home.is_dead().await;
    // And back: no deep link breaks, no logout, and still only the last token counts.
    let back = there.switched(&personal("ada")).await;
    assert_eq!(*current(&back.shows().await), json!(personal("ada")));
    there.is_dead().await;
    home.is_dead().await;
    model::replay(&acme.service).await;
    acme.stop().await;
}

#[tokio::test]
async fn the_session_tells_everything_a_switcher_shows() {
    let acme = Acme::found().await;
    let (client, _) = sign_in(&acme.service.user("carol"), Some(&acme.id)).await;
    let answer = client.shows().await;
    let workspaces = answer.body["workspaces"].as_array().unwrap();
    let column = |field: &str| workspaces.iter().map(|item| item[field].clone()).collect::<Vec<_>>();
    assert_eq!(column("workspace_id"), [json!(personal("carol")), json!(acme.id)]);
    assert_eq!(column("role"), [json!("owner"), json!("member")]);
    assert_eq!(column("current"), [json!(false), json!(true)]);
    assert_eq!(column("plan"), [json!("free"), json!("free")]);
    assert_eq!(column("kind"), [json!("personal"), json!("team")]);
    assert_eq!(column("last_used_at").iter().filter(|at| at.is_null()).count(), 1, "one was used");
    let current = &answer.body["current"];
    assert_eq!((&current["name"], &current["role"]), (&json!("Acme"), &json!("member")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let list = client.get("/v1/users/carol/workspaces").await.expect(StatusCode::OK);
    assert_eq!(list.items()[1]["current"], true);
    // Renewal: a new token of the same generation; the one before goes on until it expires.
    let renewed = Client::of(&acme.service, &answer);
    assert_eq!(claims(&renewed.token)["gen"], 1);
    client.shows().await;
    let stay = renewed.switch(&acme.id).await.expect(StatusCode::OK);
    assert_eq!(claims(&stay.text("token"))["gen"], 1, "where it is already, nothing is switched");
    client.shows().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_switch_goes_only_where_its_user_is_an_active_member() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let (client, _) = sign_in(&acme.service.user("carol"), None).await;
    let gone = ada.creates("Gone").await;
    ada.brings(&gone, &acme.service.user("carol"), "member").await;
    ada.delete(&format!("/v1/workspaces/{gone}")).await.expect(StatusCode::NO_CONTENT);
    ada.post(&acme.at("/members/carol/deactivate"), json!({})).await.expect(StatusCode::OK);
    let before = acme.service.head().await;
    let random = tenure::ids::new_v7().to_string();
    let absent = client.switch(&random).await.refused(404, "not_found");
    for nowhere in [acme.id.clone(), gone, personal("ada")] {
        let answer = client.switch(&nowhere).await.refused(404, "not_found");
        assert_eq!(answer.body["detail"], absent.body["detail"]);
    }
    assert_eq!(acme.service.head().await, before);
    assert_eq!(*current(&client.shows().await), json!(personal("carol")), "the session stays where it was");
    ada.post(&acme.at("/members/carol/reactivate"), json!({})).await.expect(StatusCode::OK);
    client.switched(&acme.id).await;
    acme.stop().await;
}

#[tokio::test]
async fn a_switch_holds_only_if_the_session_is_what_its_client_saw() {
    let acme = Acme::found().await;
    let (client, signed_in) = sign_in(&acme.ada(), None).await;
    assert_eq!(signed_in.etag(), client.shows().await.etag());
    let switch = |client: &Client<'_>, etag: &str, to: &str| {
        let request = client.request(Method::POST, "/v1/session/switch").header("if-match", etag.to_owned());
        Answer::of(request.json(&json!({"workspace_id": to})))
    };
    switch(&client, "\"7\"", &acme.id).await.refused(412, "precondition_failed");
    let switched = switch(&client, &signed_in.etag(), &acme.id).await.expect(StatusCode::OK);
    assert_ne!(switched.etag(), signed_in.etag());
    let there = Client::of(&acme.service, &switched);
    switch(&there, &signed_in.etag(), &personal("ada")).await.refused(412, "precondition_failed");
    let end = there.request(Method::DELETE, "/v1/session").header("if-match", signed_in.etag());
    Answer::of(end).await.refused(412, "precondition_failed");
    // A read is as fresh as it is asked to be.
    let seen = switched.position();
    let fresh = there.request(Method::GET, "/v1/session").header("tenure-position", seen.to_string());
    assert!(Answer::of(fresh).await.expect(StatusCode::OK).position() >= seen);
    let lie = there.request(Method::GET, "/v1/session").header("tenure-position", (seen + 9_999).to_string());
    Answer::of(lie).await.refused(400, "position_in_future");
    acme.stop().await;
}

#[tokio::test]
async fn every_process_sees_a_switch_and_an_end_at_once() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let (home, _) = sign_in(&acme.ada(), None).await;
    home.at(&sibling).shows().await;
    let there = home.switched(&acme.id).await;
    home.at(&sibling).is_dead().await;
    there.at(&sibling).get(&acme.at("")).await.expect(StatusCode::OK);
    let rename = there.at(&sibling).send(Method::PATCH, &acme.at(""), json!({"name": "Renamed"})).await;
    rename.expect(StatusCode::OK);
    let back = there.at(&sibling).switched(&personal("ada")).await;
    there.is_dead().await;
    back.at(&acme.service).shows().await;
    back.at(&acme.service)
        .send(Method::DELETE, "/v1/session", json!({}))
        .await
        .expect(StatusCode::NO_CONTENT);
    back.is_dead().await;
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn of_two_switches_at_once_one_counts() {
    let acme = Acme::found().await;
    let other = acme.ada().creates("Other").await;
    let (client, _) = sign_in(&acme.ada(), None).await;
    let (one, two) = tokio::join!(client.switch(&acme.id), client.switch(&other));
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401], "{} {}", one.body, two.body);
    model::replay(&acme.service).await;
    acme.stop().await;
}

// S2.19-20.
#[tokio::test]
async fn the_last_used_workspace_is_preferred_at_the_next_sign_in() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let (first, answer) = sign_in(&ada, None).await;
    assert_eq!(*current(&answer), json!(personal("ada")), "nothing was used yet");
    first.switched(&acme.id).await;
    let (second, answer) = sign_in(&ada, None).await;
    assert_eq!(*current(&answer), json!(acme.id));
    assert_eq!(answer.body.get("fallback"), None);
    second.switched(&personal("ada")).await;
    let (_, answer) = sign_in(&ada, None).await;
    assert_eq!(*current(&answer), json!(personal("ada")));
    let (_, answer) = sign_in(&ada, Some(&acme.id)).await;
    assert_eq!(*current(&answer), json!(acme.id), "what is asked for counts before what was used");
    let sibling = acme.service.sibling().await;
    let (_, answer) = sign_in(&sibling.user("ada"), None).await;
    assert_eq!(*current(&answer), json!(acme.id));
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_session_whose_membership_ended_falls_back_to_the_personal_workspace_and_says_so() {
    let acme = Acme::found().await;
    let (ada, carol) = (acme.ada(), acme.service.user("carol"));
    let fallback = json!({"from": acme.id, "reason": "membership_ended"});
    let ways: [(&str, Method, Value); 3] = [
        ("/members/carol/deactivate", Method::POST, json!({})),
        ("/members/carol", Method::DELETE, json!({})),
        ("", Method::DELETE, json!({})),
    ];
    for (path, method, body) in ways {
        let (client, _) = sign_in(&carol, Some(&acme.id)).await;
        let (stale, _) = sign_in(&carol, Some(&acme.id)).await;
        let body = (method == Method::POST).then_some(body);
        let done = ada.send(method, &acme.at(path), body.as_ref(), &[]).await;
        assert!(done.status.is_success(), "{}", done.body);
        assert!(client.get(&acme.at("")).await.status.is_client_error());
        // At the next look.
        let answer = client.shows().await;
        assert_eq!(answer.body["fallback"], fallback, "{path}");
        assert_eq!(*current(&answer), json!(personal("carol")));
        client.is_dead().await;
        let moved = Client::of(&acme.service, &answer);
        assert_eq!(moved.shows().await.body.get("fallback"), None, "it is said once");
        // A switch away is a way out, too.
        stale.switched(&personal("carol")).await;
        if path.ends_with("deactivate") {
            ada.post(&acme.at("/members/carol/reactivate"), json!({})).await.expect(StatusCode::OK);
        } else if !path.is_empty() {
            ada.brings(&acme.id, &carol, "member").await;
        }
    }
    model::replay(&acme.service).await;
    acme.stop().await;
}

#[tokio::test]
async fn a_sign_in_whose_last_workspace_is_lost_falls_back_and_says_so() {
    let acme = Acme::found().await;
    let (ada, carol) = (acme.ada(), acme.service.user("carol"));
    sign_in(&carol, Some(&acme.id)).await;
    ada.delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
    let (_, answer) = sign_in(&carol, None).await;
    assert_eq!(answer.body["fallback"], json!({"from": acme.id, "reason": "membership_ended"}));
    assert_eq!(*current(&answer), json!(personal("carol")));
    let (_, answer) = sign_in(&carol, None).await;
    assert_eq!(answer.body.get("fallback"), None, "it is said once");
    acme.stop().await;
}

#[tokio::test]
async fn signing_out_ends_the_session_everywhere_and_takes_the_cookie_away() {
    let acme = Acme::found().await;
    let (client, _) = sign_in(&acme.ada(), None).await;
    let (other, _) = sign_in(&acme.ada(), None).await;
    let renewed = Client::of(&acme.service, &client.shows().await);
    let out = Answer::of(client.with_cookie(Method::DELETE, "/v1/session")).await;
    let out = out.expect(StatusCode::NO_CONTENT);
    let (value, attributes) = cookie(&out);
    assert_eq!((value.as_str(), &attributes[1]), ("", &"Max-Age=0".to_owned()));
    client.is_dead().await;
    renewed.is_dead().await;
    other.shows().await;
    acme.stop().await;
}

// Attack 16, S2.26-27.
#[tokio::test]
async fn a_suspended_workspace_takes_no_write_of_a_session_and_can_be_switched_into() {
    let acme = Acme::found().await;
    let place = Place {
        user: "carol".into(),
        invitation: acme.pending("eve@example.com").await.0,
        other: "dave".into(),
        ..equip(&acme.ada(), &acme.id).await
    };
    let (home, _) = sign_in(&acme.ada(), None).await;
    let operator = acme.service.operator();
    operator.post(&acme.at("/suspend"), json!({"reason": "unpaid"})).await.expect(StatusCode::OK);
    let there = home.switch(&acme.id).await.expect(StatusCode::OK);
    assert_eq!(there.body["current"]["status"], "suspended");
    assert_eq!(claims(&there.text("token"))["workspace_status"], "suspended");
    let there = Client::of(&acme.service, &there);
    let before = acme.service.head().await;
    for route in workspace_routes() {
        let request = there.request(route.method.clone(), &place.fill(route.template));
        let request = match route.body_at(&place) {
            Some(body) => request.json(&body),
            None => request,
        };
        let answer = Answer::of(request).await;
        match (route.even, route.needs) {
            (Even::Read, _) => assert_eq!(answer.status, StatusCode::OK, "{route:?}"),
            (_, Needs::Service) => drop(answer.refused(403, "permission_denied")),
            (_, Needs::Permission(_)) => drop(answer.refused(423, "workspace_suspended")),
        }
    }
    assert_eq!(acme.service.head().await, before);
    // Nothing of it touches the user's other workspaces.
    let back = there.switched(&personal("ada")).await;
    let path = format!("/v1/workspaces/{}", personal("ada"));
    back.send(Method::PATCH, &path, json!({"name": "A"})).await.expect(StatusCode::OK);
    acme.stop().await;
}

#[tokio::test]
async fn an_erased_users_sessions_are_dead() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let (client, answer) = sign_in(&ada, None).await;
    let (other, _) = sign_in(&ada, None).await;
    let sibling = service.sibling().await;
    other.at(&sibling).shows().await;
    let erased = client.send(Method::DELETE, "/v1/users/ada", json!({})).await;
    erased.expect(StatusCode::NO_CONTENT);
    for client in [&client, &other, &client.at(&sibling), &other.at(&sibling)] {
        client.is_dead().await;
    }
    sibling.leave().await;
    let admin = service.admin().await;
    let reasons: Vec<String> =
        sqlx::query_scalar("select payload->>'because' from events where event_type = 'SessionEnded'")
            .fetch_all(&admin)
            .await
            .unwrap();
    assert_eq!(reasons, ["user_erased", "user_erased"]);
    let left: i64 = sqlx::query_scalar("select count(*) from sessions").fetch_one(&admin).await.unwrap();
    assert_eq!(left, 0, "{}", answer.body["session"]);
    admin.close().await;
    model::replay(&service).await;
    service.stop().await;
}
