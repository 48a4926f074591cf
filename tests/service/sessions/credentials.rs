//! What a session's token and cookie are, and what they open.

use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::clock;
use tenure::commands::Precondition;
use tenure::commands::sessions::SwitchSession;
use tenure::store::Failure;
use tenure::store::origin::{Actor, Origin, SessionRef};
use tenure_aggregates::{SessionId, UserId, WorkspaceId};

use super::support::{COOKIE, Client, claims, cookie, header, sign_in};
use crate::support::issuer::TestIssuer;
use crate::support::routes::{Place, equip, workspace_routes};
use crate::support::service::OPERATOR_KEY;
use crate::support::{Acme, Answer, TestService, log, model};

fn now() -> i64 {
    clock::now().timestamp()
}

fn personal(user: &str) -> String {
    WorkspaceId::personal(&UserId::parse(user).unwrap()).to_string()
}

async fn post_session(service: &TestService, bearer: &str, body: Value) -> Answer {
    let request = service.client.post(format!("{}/v1/session", service.url)).bearer_auth(bearer);
    Answer::of(request.json(&body)).await
}

#[tokio::test]
async fn an_issuers_token_is_exchanged_for_a_session() {
    let issuer = TestIssuer::start().await;
    let setting = issuer.setting();
    let service = TestService::start_with(|settings| settings.jwt_issuers = Some(setting)).await;
    service.provision("ada").await;
    let answer = post_session(&service, &issuer.token("ada", now()), json!({})).await;
    let answer = answer.expect(StatusCode::CREATED);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let home = personal("ada");
    let members: Vec<&str> = answer.body.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["session", "user", "current", "workspaces", "token", "token_expires_at"]);
    assert_eq!(answer.body["user"]["email"], "ada@example.com");
    assert_eq!(answer.body["session"]["user_id"], "ada");
    let current = &answer.body["current"];
    assert_eq!(
        (&current["workspace_id"], &current["kind"], &current["role"], &current["status"], &current["plan"]),
        (&json!(home), &json!("personal"), &json!("owner"), &json!("active"), &json!("free"))
    );
    assert!(current["permissions"].as_array().unwrap().contains(&json!("workspace:delete")));
    assert_eq!(answer.body["workspaces"][0]["workspace_id"], json!(home));
    // What a token says.
    let said = claims(&answer.text("token"));
    let exp = said["exp"].as_i64().unwrap();
    assert_eq!(exp - said["iat"].as_i64().unwrap(), 900);
    assert_eq!(header(&answer.text("token"))["alg"], "EdDSA");
    let expected = json!({
        "iss": "http://127.0.0.1:7373", "aud": "tenure", "sub": "ada", "iat": exp - 900, "exp": exp,
        "sid": answer.body["session"]["id"], "gen": 1, "workspace_id": home, "workspace_kind": "personal",
        "workspace_status": "active", "role": "owner",
    });
    assert_eq!(said, expected, "an owner's permissions follow from the role");
    // As bearer and as cookie.
    let (value, attributes) = cookie(&answer);
    assert_eq!(value, answer.text("token"));
    let max_age = attributes.iter().find_map(|part| part.strip_prefix("Max-Age=")).unwrap().to_owned();
    assert!((1..=900).contains(&max_age.parse::<i64>().unwrap()));
    let expected = ["HttpOnly", &format!("Max-Age={max_age}"), "Path=/", "SameSite=Lax", "Secure"];
    assert_eq!(attributes, expected);
    let ada = Client::of(&service, &answer);
    for request in [ada.request(Method::GET, "/v1/users/ada"), ada.with_cookie(Method::GET, "/v1/users/ada")]
    {
        assert_eq!(Answer::of(request).await.expect(StatusCode::OK).text("user_id"), "ada");
    }
    let create = ada.with_cookie(Method::POST, "/v1/workspaces").json(&json!({"name": "Acme"}));
    let acme = Answer::of(create).await.expect(StatusCode::CREATED).text("id");
    let entry = service.operator().get(&format!("/v1/workspaces/{acme}/audit-log?limit=1")).await;
    assert_eq!(entry.body["items"][0]["actor"], json!({"type": "user", "id": "ada"}), "the user did it");
    let admin = service.admin().await;
    let session: Option<String> = sqlx::query_scalar(
        "select metadata->>'session_id' from events where workspace_id = $1::uuid order by position limit 1",
    )
    .bind(&acme)
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(session.as_deref(), answer.body["session"]["id"].as_str(), "in that session");
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn the_operator_signs_a_user_in() {
    let acme = Acme::found().await;
    let carol = acme.service.user("carol");
    let (client, answer) = sign_in(&carol, Some(&acme.id)).await;
    let said = claims(&client.token);
    assert_eq!((&said["role"], &said["workspace_kind"]), (&json!("member"), &json!("team")));
    let allowed =
        json!(["workspace:read", "members:read", "projects:read", "content:read", "content:participate"]);
    assert_eq!(said["permissions"], allowed);
    assert_eq!(answer.body["current"]["permissions"], allowed);
    let said = claims(&sign_in(&acme.service.user("bob"), Some(&acme.id)).await.0.token);
    assert_eq!((&said["role"], said.get("permissions")), (&json!("admin"), None));
    let operator = acme.service.operator();
    operator.post("/v1/session", json!({})).await.refused(400, "actor_required");
    acme.service.user("nobody").post("/v1/session", json!({})).await.refused(404, "user_not_found");
    // Nobody begins where they do not belong: not in another's workspace, not in one that never was.
    let before = acme.service.head().await;
    for workspace in [acme.id.clone(), personal("ada"), tenure::ids::new_v7().to_string()] {
        let dave = acme.service.user("dave");
        let answer = dave.post("/v1/session", json!({"workspace_id": workspace})).await;
        assert_eq!(answer.refused(404, "not_found").body["detail"], "There is no such workspace.");
    }
    assert_eq!(acme.service.head().await, before);
    acme.stop().await;
}

#[tokio::test]
async fn the_authorization_header_is_the_only_credential_where_there_is_one() {
    let acme = Acme::found().await;
    let service = &acme.service;
    let (ada, _) = sign_in(&acme.ada(), None).await;
    let with = |authorization: &str| {
        let request = ada.with_cookie(Method::GET, "/v1/session");
        request.header("authorization", authorization.to_owned())
    };
    for bad in ["", "Bearer", "Bearer x", "Basic eDp5", &format!("Bearer {}x", ada.token)] {
        Answer::of(with(bad)).await.refused(401, "unauthenticated");
    }
    let bob = sign_in(&service.user("bob"), None).await.0;
    let seen = Answer::of(with(&format!("Bearer {}", bob.token))).await.expect(StatusCode::OK);
    assert_eq!(seen.body["user"]["user_id"], "bob");
    // A cookie is a session's or nothing: no operator key, no second one, none of another name.
    for cookies in [
        format!("{COOKIE}={OPERATOR_KEY}"),
        format!("{COOKIE}={0}; {COOKIE}={0}", ada.token),
        format!("tenure_session={}", ada.token),
        format!("{COOKIE}="),
    ] {
        let answer = service.bare(Method::GET, "/v1/session", &[("cookie", &cookies)]).await;
        answer.refused(401, "unauthenticated");
    }
    // Nobody acts for another in a session.
    for request in [ada.request(Method::GET, "/v1/users/bob"), ada.with_cookie(Method::GET, "/v1/users/bob")]
    {
        let answer =
            Answer::of(request.header("tenure-actor", "bob")).await.refused(403, "permission_denied");
        assert_eq!(answer.body["permission"], "operator");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_session_starts_no_other_and_a_cookie_brought_along_is_worthless() {
    let issuer = TestIssuer::start().await;
    let setting = issuer.setting();
    let service = TestService::start_with(|settings| settings.jwt_issuers = Some(setting)).await;
    let (ada, _) = (service.provision("ada").await, service.provision("eve").await);
    let (client, first) = sign_in(&ada, None).await;
    let before = service.head().await;
    for request in
        [client.request(Method::POST, "/v1/session"), client.with_cookie(Method::POST, "/v1/session")]
    {
        Answer::of(request.json(&json!({}))).await.refused(403, "permission_denied");
    }
    assert_eq!(service.head().await, before);
    // Attack 17: whatever cookie was planted before, signing in makes a session of its own.
    let eve = issuer.token("eve", now());
    let planted = client.with_cookie(Method::POST, "/v1/session").bearer_auth(&eve).json(&json!({}));
    let planted = Answer::of(planted).await.expect(StatusCode::CREATED);
    assert_eq!(planted.body["user"]["user_id"], "eve");
    assert_ne!(planted.body["session"]["id"], first.body["session"]["id"]);
    assert_eq!(client.shows().await.body["user"]["user_id"], "ada");
    // What is about a session needs one.
    for (method, path) in
        [(Method::GET, "/v1/session"), (Method::POST, "/v1/session/switch"), (Method::DELETE, "/v1/session")]
    {
        let body = json!({"workspace_id": personal("ada")});
        let body = (method == Method::POST).then_some(&body);
        for caller in [&ada, &service.operator()] {
            caller.send(method.clone(), path, body, &[]).await.refused(403, "session_required");
        }
    }
    service.stop().await;
}

// Attack 13.
#[tokio::test]
async fn a_body_chooses_neither_user_nor_role() {
    let acme = Acme::found().await;
    let carol = acme.service.user("carol");
    let (client, _) = sign_in(&carol, Some(&acme.id)).await;
    let before = acme.service.head().await;
    for (name, value) in [
        ("user_id", json!("ada")),
        ("sub", json!("ada")),
        ("role", json!("owner")),
        ("permissions", json!(["members:invite"])),
        ("expires_at", json!("2100-01-01T00:00:00Z")),
        ("session_id", json!(tenure::ids::new_v7())),
    ] {
        let mut body = json!({"workspace_id": acme.id});
        body[name] = value;
        carol.post("/v1/session", body.clone()).await.refused(400, "unknown_field");
        client.send(Method::POST, "/v1/session/switch", body).await.refused(400, "unknown_field");
    }
    for odd in [json!({}), json!({"workspace_id": null}), json!({"workspace_id": "acme"})] {
        client.send(Method::POST, "/v1/session/switch", odd).await.refused(400, "validation_failed");
    }
    assert_eq!(acme.service.head().await, before);
    let said = claims(&client.shows().await.text("token"));
    assert_eq!((&said["sub"], &said["role"]), (&json!("carol"), &json!("member")));
    acme.stop().await;
}

#[tokio::test]
async fn a_foreign_page_does_nothing_with_the_cookie() {
    let acme = Acme::found().await;
    let (ada, _) = sign_in(&acme.ada(), None).await;
    let host = acme.service.url.strip_prefix("http://").unwrap().to_owned();
    let own = format!("http://{host}");
    let public = "http://127.0.0.1:7373";
    let before = acme.service.head().await;
    for (fine, headers) in [
        (true, vec![]),
        (true, vec![("sec-fetch-site", "same-origin")]),
        (true, vec![("sec-fetch-site", "none")]),
        (false, vec![("sec-fetch-site", "cross-site")]),
        (false, vec![("sec-fetch-site", "same-site")]),
        (false, vec![("sec-fetch-site", "cross-site"), ("origin", public)]),
        (true, vec![("origin", own.as_str())]),
        (true, vec![("origin", public)]),
        (false, vec![("origin", "https://evil.example")]),
        (false, vec![("origin", "null")]),
    ] {
        let with = |mut request: reqwest::RequestBuilder| {
            for (name, value) in &headers {
                request = request.header(*name, *value);
            }
            Answer::of(request)
        };
        let stay = json!({"workspace_id": personal("ada")});
        let answer = with(ada.with_cookie(Method::POST, "/v1/session/switch").json(&stay)).await;
        let refused = [answer, with(ada.with_cookie(Method::POST, "/v1/workspaces").json(&json!({}))).await];
        for answer in refused {
            assert_eq!(answer.body["code"] == "cross_origin", !fine, "{headers:?}: {}", answer.body);
            assert_eq!(answer.status == StatusCode::FORBIDDEN, !fine, "{headers:?}");
        }
        // What changes nothing, and what no browser sends by itself, is nobody's trick.
        with(ada.with_cookie(Method::GET, "/v1/users/ada")).await.expect(StatusCode::OK);
        with(ada.request(Method::POST, "/v1/session/switch").json(&stay)).await.expect(StatusCode::OK);
    }
    assert_eq!(acme.service.head().await, before);
    acme.stop().await;
}

// S0.11, attacks 1 and 4.
#[tokio::test]
async fn a_session_of_one_workspace_finds_no_other_not_even_its_users_own() {
    let acme = Acme::found().await;
    let (client, _) = sign_in(&acme.ada(), None).await;
    let place = Place {
        user: "carol".into(),
        invitation: acme.pending("eve@example.com").await.0,
        other: "dave".into(),
        ..equip(&acme.ada(), &acme.id).await
    };
    let before = acme.service.head().await;
    let shape = |answer: &Answer| {
        let mut body = answer.body.clone();
        for member in ["request_id", "instance"] {
            body.as_object_mut().unwrap().remove(member);
        }
        (answer.status, body)
    };
    for route in workspace_routes() {
        let nowhere = Place { workspace: tenure::ids::new_v7().to_string(), ..place.clone() };
        let mut shapes = Vec::new();
        for place in [&place, &nowhere] {
            let request = client.request(route.method.clone(), &place.fill(route.template));
            let request = match route.body_at(place) {
                Some(body) => request.json(&body),
                None => request,
            };
            shapes.push(shape(&Answer::of(request).await));
        }
        assert_eq!(shapes[0].0, StatusCode::NOT_FOUND, "{route:?}: {}", shapes[0].1);
        assert_eq!(shapes[0], shapes[1], "{route:?}");
    }
    let slug = json!({"slug": "acme"});
    acme.ada().patch(&acme.at(""), slug).await.expect(StatusCode::OK);
    client.get("/v1/workspaces/by-slug/acme").await.refused(404, "not_found");
    assert_eq!(acme.service.head().await, before + 2, "the slug, and nothing else");
    // What is the user's own is not bound; nor is the workspace after the switch.
    client.get("/v1/users/ada").await.expect(StatusCode::OK);
    let there = client.switched(&acme.id).await;
    there.get(&acme.at("")).await.expect(StatusCode::OK);
    there.get("/v1/workspaces/by-slug/acme").await.expect(StatusCode::OK);
    acme.stop().await;
}

#[tokio::test]
async fn a_dead_session_commits_nothing_even_if_it_was_alive_at_the_door() {
    let acme = Acme::found().await;
    let app = acme.service.app();
    let (client, answer) = sign_in(&acme.ada(), None).await;
    let session = SessionRef {
        id: SessionId(answer.body["session"]["id"].as_str().unwrap().parse().unwrap()),
        workspace_id: WorkspaceId(personal("ada").parse().unwrap()),
        generation: 1,
    };
    let user = UserId::parse("ada").unwrap();
    let origin =
        Arc::new(Origin { actor: Some(Actor::User(user)), session: Some(session), ..Origin::default() });
    // Warms what this process keeps of the session.
    let to = WorkspaceId(acme.id.parse().unwrap());
    let stay = SwitchSession { to: session.workspace_id, precondition: Precondition::None };
    app.store.run(&stay, origin.clone(), None, clock::now).await.unwrap();
    let sibling = acme.service.sibling().await;
    client.at(&sibling).switched(&acme.id).await;
    let before = acme.service.head().await;
    for to in [to, session.workspace_id] {
        let late = SwitchSession { to, precondition: Precondition::None };
        match app.store.run(&late, origin.clone(), None, clock::now).await {
            Err(Failure::Refused(refusal)) => assert_eq!(refusal.code, "unauthenticated"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(acme.service.head().await, before);
    sibling.leave().await;
    model::replay(&acme.service).await;
    acme.stop().await;
}

#[tokio::test]
async fn signing_in_twice_with_one_key_is_one_session_and_no_token_is_kept() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let keyed = [("idempotency-key", "once")];
    let first = ada.send(Method::POST, "/v1/session", Some(&json!({})), &keyed).await;
    let first = first.expect(StatusCode::CREATED);
    let again = ada.send(Method::POST, "/v1/session", Some(&json!({})), &keyed).await;
    let again = again.expect(StatusCode::CREATED);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.body["session"], first.body["session"]);
    let (client, replayed) = (Client::of(&acme.service, &first), Client::of(&acme.service, &again));
    client.shows().await;
    replayed.shows().await;
    let admin = acme.service.admin().await;
    let kept: Vec<String> =
        sqlx::query_scalar("select i::text from idempotency i").fetch_all(&admin).await.unwrap();
    assert!(!kept.is_empty() && !kept.iter().any(|row| row.contains("eyJ")), "{kept:?}");
    admin.close().await;
    // After a switch, the repeated request shows where the session is by then, with a token that is good.
    let switch = client.request(Method::POST, "/v1/session/switch").json(&json!({"workspace_id": acme.id}));
    let switched = Answer::of(switch.header("idempotency-key", "there")).await.expect(StatusCode::OK);
    let switched = Client::of(&acme.service, &switched);
    let again = ada.send(Method::POST, "/v1/session", Some(&json!({})), &keyed).await;
    let again = again.expect(StatusCode::CREATED);
    assert_eq!(again.body["current"]["workspace_id"], json!(acme.id));
    assert_eq!(claims(&again.text("token"))["gen"], 2);
    let switch = switched.request(Method::POST, "/v1/session/switch").json(&json!({"workspace_id": acme.id}));
    let replayed = Answer::of(switch.header("idempotency-key", "there")).await.expect(StatusCode::OK);
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"));
    Client::of(&acme.service, &replayed).shows().await;
    // After its end it gives nothing.
    switched.send(Method::DELETE, "/v1/session", json!({})).await.expect(StatusCode::NO_CONTENT);
    let over = ada.send(Method::POST, "/v1/session", Some(&json!({})), &keyed).await;
    over.refused(401, "unauthenticated");
    acme.stop().await;
}

#[tokio::test]
async fn what_became_of_sessions_is_in_the_audit_log() {
    let acme = Acme::found().await;
    let (client, answer) = sign_in(&acme.ada(), None).await;
    let session = answer.body["session"]["id"].clone();
    let there = client.switched(&acme.id).await;
    there.send(Method::DELETE, "/v1/session", json!({})).await.expect(StatusCode::NO_CONTENT);
    let home = personal("ada");
    let path = format!("/v1/workspaces/{home}/audit-log?action=session.*");
    let entries = acme.ada().sees(&path).await;
    assert_eq!(entries.column("action"), ["session.ended", "session.switched", "session.started"]);
    for entry in entries.items() {
        assert_eq!(entry["target"], json!({"type": "session", "id": session}));
        assert_eq!(entry["actor"]["id"], "ada");
    }
    let [ended, switched, _] = entries.items() else { panic!("three entries") };
    assert_eq!(ended["reason"], "signed_out");
    assert_eq!(switched["changes"]["workspace_id"], json!({"from": home, "to": acme.id}));
    // What a user does across workspaces stands in none of them but their own.
    let path = acme.at("/audit-log?action=session.*");
    assert_eq!(acme.service.operator().sees(&path).await.items().len(), 0);
    log::events(&acme.service).await;
    acme.stop().await;
}
