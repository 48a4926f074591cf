//! Attempts that were refused stand in the audit log as entries of their own.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::{clock, ids};

use super::{refused, refused_in, rows, told};
use crate::support::issuer::TestIssuer;
use crate::support::service::{Answer, OPERATOR_KEY};
use crate::support::{Acme, TestService};

#[tokio::test]
async fn a_denied_command_is_an_entry_of_its_own() {
    let acme = Acme::found().await;
    let carol = acme.service.user("carol");
    let headers = [("x-request-id", "r-77"), ("user-agent", "tests/2.0")];
    let role = json!({"role": "admin"});
    let denied = carol.send(Method::PATCH, &acme.at("/members/bob"), Some(&role), &headers).await;
    denied.refused(403, "permission_denied");
    let entries = refused(&acme).await;
    assert_eq!(entries.len(), 1, "{entries:#?}");
    let entry = &entries[0];
    let newest = &acme.ada().sees(&acme.at("/audit-log?outcome=done&limit=1")).await.items()[0].clone();
    for field in ["position", "workspace_seq"] {
        assert_eq!(entry[field], newest[field], "where the log stood");
    }
    assert_eq!(entry["outcome"], "refused");
    assert_eq!(entry["action"], "command.denied");
    assert_eq!(entry["actor"], json!({"type": "user", "id": "carol", "via": "operator"}));
    assert_eq!(entry["target"], json!({"type": "workspace", "id": acme.id}));
    assert_eq!(entry["changes"], json!({}));
    let origin = &entry["origin"];
    assert_eq!((&origin["ip"], &origin["user_agent"]), (&json!("127.0.0.1"), &json!("tests/2.0")));
    assert_eq!(origin["request_id"], "r-77");
    let refusal = &entry["refusal"];
    assert_eq!((&refusal["code"], &refusal["count"]), (&json!("permission_denied"), &json!(1)));
    assert_eq!(refusal["permission"], "members:update");
    assert_eq!(refusal["command"], entry["command"]);
    assert!(entry["command"].is_string());
    acme.stop().await;
}

#[tokio::test]
async fn whatever_is_denied_for_want_of_a_right_is_noted_and_what_is_only_wrong_is_not() {
    let acme = Acme::found().await;
    let (ada, bob, carol, dave) =
        (acme.ada(), acme.service.user("bob"), acme.service.user("carol"), acme.service.user("dave"));
    bob.patch(&acme.at("/members/carol"), json!({"role": "owner"})).await.refused(409, "role_above_own");
    bob.delete(&acme.at("")).await.refused(403, "permission_denied");
    ada.post(&acme.at("/suspend"), json!({})).await.refused(403, "permission_denied");
    dave.patch(&acme.at(""), json!({"name": "Mine"})).await.refused(404, "not_found");
    dave.get(&acme.at("/audit-log")).await.refused(404, "not_found");
    dave.get(&acme.at("/audit-log/export")).await.refused(404, "not_found");
    carol.get(&acme.at("/events")).await.refused(403, "permission_denied");
    carol
        .post(&acme.at("/invitations"), json!({"email": "x@example.com"}))
        .await
        .refused(403, "permission_denied");
    let entries = refused(&acme).await;
    // The two reads of dave are one: equal attempts within a minute.
    let mut expected = vec![
        ("command.denied", "role_above_own", "bob"),
        ("command.denied", "permission_denied", "bob"),
        ("command.denied", "permission_denied", "ada"),
        ("command.denied", "not_found", "dave"),
        ("read.denied", "not_found", "dave"),
        ("read.denied", "permission_denied", "carol"),
        ("command.denied", "permission_denied", "carol"),
    ];
    let mut told = told(&entries);
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
    // What is only wrong, or not there, or an ordinary page that somebody may not see, is nobody's attempt.
    let before = rows(&acme.service).await.len();
    ada.patch(&acme.at(""), json!({"name": ""})).await.refused(400, "validation_failed");
    ada.patch(&acme.at("/members/nobody"), json!({"role": "admin"})).await.refused(404, "not_found");
    ada.delete(&acme.at("/members/ada")).await.refused(409, "owner_cannot_leave");
    ada.send(Method::PATCH, &acme.at(""), Some(&json!({"name": "X"})), &[("if-match", "\"99\"")])
        .await
        .refused(412, "precondition_failed");
    dave.get(&acme.at("/members")).await.refused(404, "not_found");
    acme.service.bare(Method::GET, &acme.at("/members"), &[]).await.refused(401, "unauthenticated");
    acme.service.app().attempts.settled().await;
    assert_eq!(rows(&acme.service).await.len(), before);
    acme.stop().await;
}

#[tokio::test]
async fn denied_items_of_a_batch_and_of_a_session_are_noted_where_they_were_aimed() {
    let acme = Acme::found().await;
    let dave = acme.service.user("dave");
    let items = json!({"invitations": [
        {"email": "x@example.com"}, {"email": "y@example.com", "role": "owner"}, {"email": "z@example.com", "role": "owner"}
    ]});
    acme.service.user("bob").post(&acme.at("/invitations/batch"), items).await.expect(StatusCode::OK);
    let entries = refused(&acme).await;
    assert_eq!(told(&entries), [("command.denied", "role_above_own", "bob")]);
    assert_eq!(
        (&entries[0]["refusal"]["count"], &entries[0]["command"]),
        (&json!(2), &json!("SendInvitations"))
    );
    let wanted = json!({"workspace_id": acme.id});
    dave.post("/v1/session", wanted.clone()).await.refused(404, "not_found");
    let session = dave.post("/v1/session", json!({})).await.expect(StatusCode::CREATED).text("token");
    let bearer = format!("Bearer {session}");
    let request = acme.service.client.post(format!("{}/v1/session/switch", acme.service.url));
    Answer::of(request.header("authorization", &bearer).json(&wanted)).await.refused(404, "not_found");
    let commands: Vec<Value> =
        refused(&acme).await.into_iter().map(|entry| entry["command"].clone()).collect();
    assert_eq!(commands[..2], [json!("SwitchSession"), json!("StartSession")]);
    acme.stop().await;
}

#[tokio::test]
async fn a_bad_token_on_a_workspaces_path_is_noted_there() {
    let issuer = TestIssuer::start().await;
    let service = TestService::start_with(|settings| settings.jwt_issuers = Some(issuer.setting())).await;
    let ada = service.provision("ada").await;
    let id = ada.creates("Acme").await;
    let path = format!("/v1/workspaces/{id}/members");
    let now = clock::now().timestamp();
    let session = ada.post("/v1/session", json!({"workspace_id": id})).await.text("token");
    let ended = ada.post("/v1/session", json!({"workspace_id": id})).await.text("token");
    let bearer = |token: &str| format!("Bearer {token}");
    service.bare(Method::DELETE, "/v1/session", &[("authorization", &bearer(&ended))]).await;
    let forged = format!("{}AAAA", &session[..session.len() - 4]);
    let expired = issuer.token("ada", now - 4000);
    for (token, code, actor) in [
        ("operator-key-that-is-not-one-0123456789abcd", "token_invalid", "-"),
        (&expired, "token_expired", "-"),
        (&issuer.key.token(&json!({"iss": issuer.url, "sub": "ada"})), "token_invalid", "-"),
        (&forged, "token_invalid", "-"),
        // A genuine token, of a session that is over.
        (&ended, "session_over", "ada"),
    ] {
        let agent = format!("agent of {code} {}", ids::new_v7());
        let headers = [("authorization", bearer(token)), ("user-agent", agent.clone())];
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        service.bare(Method::GET, &path, &headers).await.refused(401, "unauthenticated");
        let entries = refused_in(&ada, &id).await;
        let found = entries.iter().find(|entry| entry["refusal"]["code"] == code).unwrap();
        let kind = if actor == "-" { json!("unknown") } else { json!("user") };
        assert_eq!(told(std::slice::from_ref(found)), [("token.rejected", code, actor)]);
        assert_eq!(found["actor"]["type"], kind);
    }
    // By cookie, from a page of another origin.
    let cookie = format!("__Host-tenure_session={session}");
    let headers = [("cookie", cookie.as_str()), ("sec-fetch-site", "cross-site")];
    let path = format!("/v1/workspaces/{id}");
    service.bare(Method::DELETE, &path, &headers).await.refused(403, "cross_origin");
    let entries = refused_in(&ada, &id).await;
    assert_eq!(told(&entries)[0], ("token.rejected", "cross_origin", "-"));
    // Somebody acts for another without the operator's key.
    let headers = [("authorization", bearer(&session)), ("tenure-actor", "bob".to_owned())];
    let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
    service.bare(Method::DELETE, &path, &headers).await.refused(403, "permission_denied");
    let entries = refused_in(&ada, &id).await;
    assert_eq!(told(&entries)[0], ("command.denied", "permission_denied", "ada"));
    service.stop().await;
}

#[tokio::test]
async fn a_stale_invitation_or_code_is_noted_where_it_leads() {
    let acme = Acme::found().await;
    let dave = acme.service.user("dave");
    let (revoked, token) = acme.pending("dave@example.com").await;
    acme.ada()
        .post(&acme.at(&format!("/invitations/{revoked}/revoke")), json!({}))
        .await
        .expect(StatusCode::OK);
    dave.accepts(&token).await;
    let (resent, old) = acme.pending("dave@example.com").await;
    let resend = acme.at(&format!("/invitations/{resent}/resend"));
    acme.ada().post(&resend, json!({"notify": false})).await.expect(StatusCode::OK);
    dave.accepts(&old).await.refused(404, "token_invalid");
    let (other, token) = acme.pending("erin@example.com").await;
    dave.accepts(&token).await.refused(409, "email_mismatch");
    let entries = refused(&acme).await;
    let targets: Vec<_> = entries.iter().map(|entry| entry["target"].clone()).collect();
    let invitation = |id: &str| json!({"type": "invitation", "id": id});
    assert_eq!(targets, [invitation(&other), invitation(&resent), invitation(&revoked)]);
    assert!(told(&entries).iter().all(|(action, _, actor)| (*action, *actor) == ("token.rejected", "dave")));
    let old = acme.ada().put(&acme.at("/invite-code"), json!({})).await.text("code");
    let new = acme.ada().put(&acme.at("/invite-code"), json!({})).await.text("code");
    dave.post("/v1/join", json!({"code": old})).await.refused(404, "token_invalid");
    let entry = refused(&acme).await[0].clone();
    assert_eq!(told(std::slice::from_ref(&entry)), [("token.rejected", "token_invalid", "dave")]);
    assert_eq!(entry["target"], json!({"type": "invite_code", "id": acme.id}));
    // One that nobody ever made leads nowhere.
    let before = rows(&acme.service).await;
    dave.post("/v1/join", json!({"code": "00000-00000-00000-00000"})).await.refused(404, "token_invalid");
    dave.accepts("tni_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
        .await
        .refused(404, "token_invalid");
    acme.service.app().attempts.settled().await;
    assert_eq!(rows(&acme.service).await, before);
    for secret in [&old, &new, &token] {
        assert!(!before.iter().any(|row| row.contains(secret.as_str())));
    }
    acme.stop().await;
}

#[tokio::test]
async fn the_use_of_a_key_that_does_not_open_is_noted_where_it_belongs() {
    let acme = Acme::found().await;
    let makes = async |more: Value| {
        let mut body = json!({"name": "robot", "permissions": ["members:read"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let made = acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED);
        (made.text("id"), made.text("key"))
    };
    let asks = async |key: &str, path: &str| {
        let bearer = format!("Bearer {key}");
        acme.service.bare(Method::GET, path, &[("authorization", &bearer)]).await
    };
    let (revoked, first) = makes(json!({})).await;
    acme.ada().delete(&acme.at(&format!("/api-keys/{revoked}"))).await.expect(StatusCode::NO_CONTENT);
    let (elsewhere, second) = makes(json!({"networks": ["192.0.2.0/24"]})).await;
    let soon = (clock::now() + chrono::TimeDelta::seconds(2)).to_rfc3339();
    let (expired, third) = makes(json!({"expires_at": soon})).await;
    while asks(&third, &acme.at("/members")).await.status == StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for key in [&first, &second] {
        asks(key, &acme.at("/members")).await.refused(401, "unauthenticated");
    }
    for (id, code) in [(&revoked, "key_revoked"), (&elsewhere, "key_network"), (&expired, "key_expired")] {
        let entries = refused(&acme).await;
        let found = entries.iter().find(|entry| entry["refusal"]["code"] == code).unwrap();
        assert_eq!(found["action"], "api_key.rejected");
        assert_eq!(found["actor"], json!({"type": "api_key", "id": id}));
        assert_eq!(found["target"], json!({"type": "api_key", "id": id}));
    }
    // A key nobody knows is noted where the path leads, and so is one of another workspace, of which nothing is told.
    let other = acme.ada().creates("Other").await;
    let there = format!("/v1/workspaces/{other}/members");
    let unknown = format!("{}{}", &first[..first.len() - 10], "0123456789");
    for key in [&unknown, &first] {
        asks(key, &there).await.refused(401, "unauthenticated");
    }
    let entries = refused_in(&acme.ada(), &other).await;
    assert_eq!(told(&entries), [("api_key.rejected", "key_unknown", "-")]);
    assert_eq!(
        (&entries[0]["actor"]["type"], &entries[0]["refusal"]["count"]),
        (&json!("unknown"), &json!(2))
    );
    assert!(!entries[0].to_string().contains(&revoked));
    // A key that opens, on another workspace: denied there.
    let (good, fourth) = makes(json!({})).await;
    let bearer = format!("Bearer {fourth}");
    acme.service.bare(Method::DELETE, &there, &[("authorization", &bearer)]).await;
    let path = format!("/v1/workspaces/{other}");
    acme.service.bare(Method::DELETE, &path, &[("authorization", &bearer)]).await.refused(404, "not_found");
    let entry = refused_in(&acme.ada(), &other).await[0].clone();
    assert_eq!(told(std::slice::from_ref(&entry)), [("command.denied", "not_found", good.as_str())]);
    // No key, and no hash of one, is in the table.
    let rows = rows(&acme.service).await;
    for key in [&first, &second, &third, &fourth, &unknown] {
        let hash = tenure::secrets::api_key::hash(key);
        assert!(!rows.iter().any(|row| row.contains(&key[8..]) || row.contains(&hash)), "a key in the table");
    }
    acme.stop().await;
}

#[tokio::test]
async fn nothing_is_noted_of_a_workspace_that_is_not_and_no_answer_tells() {
    let acme = Acme::found().await;
    let dave = acme.service.user("dave");
    let random = ids::new_v7().to_string();
    let raw = async |id: &str, method: Method, rest: &str, bearer: &str, actor: Option<&str>| {
        let url = format!("{}/v1/workspaces/{id}{rest}", acme.service.url);
        let mut request =
            acme.service.client.request(method, url).bearer_auth(bearer).header("x-request-id", "r-1");
        if let Some(actor) = actor {
            request = request.header("tenure-actor", actor);
        }
        let response = request.json(&json!({})).send().await.unwrap();
        let mut headers = response.headers().clone();
        // Neither do those count the workspace: each attempt is one more.
        for name in ["date", "ratelimit-remaining", "ratelimit-reset"] {
            headers.remove(name);
        }
        (response.status(), headers, response.text().await.unwrap().replace(id, "ID"))
    };
    let key = format!("tnk_{}", "0".repeat(49));
    for (method, rest) in [
        (Method::DELETE, ""),
        (Method::PATCH, ""),
        (Method::GET, "/audit-log"),
        (Method::GET, "/audit-log/export"),
        (Method::GET, "/events"),
        (Method::POST, "/suspend"),
        (Method::DELETE, "/invite-code"),
    ] {
        for (bearer, actor) in [(OPERATOR_KEY, Some("dave")), ("not-a-key", None), (key.as_str(), None)] {
            let foreign = raw(&acme.id, method.clone(), rest, bearer, actor).await;
            let absent = raw(&random, method.clone(), rest, bearer, actor).await;
            assert_eq!(foreign, absent, "{method} {rest}");
            assert!(foreign.0.is_client_error());
        }
    }
    let entries = refused(&acme).await;
    assert!(entries.len() >= 6, "{entries:#?}");
    let rows = rows(&acme.service).await;
    assert!(!rows.is_empty() && !rows.iter().any(|row| row.contains(&random)), "{rows:?}");
    // What was refused in a workspace goes with it, and nothing more is noted then.
    acme.ada().delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    dave.delete(&acme.at("")).await.refused(404, "not_found");
    acme.service.app().reads.wait_for(acme.service.head().await).await.unwrap();
    acme.service.app().attempts.settled().await;
    assert!(super::rows(&acme.service).await.is_empty());
    acme.stop().await;
}

#[tokio::test]
async fn an_id_in_other_letters_is_the_same_id() {
    let acme = Acme::found().await;
    let dave = acme.service.user("dave");
    let encoded = acme.id.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
    for spelling in [acme.id.to_uppercase(), acme.id.replace('-', ""), encoded] {
        dave.delete(&format!("/v1/workspaces/{spelling}")).await.refused(404, "not_found");
    }
    let entries = refused(&acme).await;
    assert_eq!(told(&entries), [("command.denied", "not_found", "dave")]);
    assert_eq!(entries[0]["refusal"]["count"], 3);
    acme.stop().await;
}

#[tokio::test]
async fn from_where_an_attempt_came_is_sealed_and_goes_with_whoever_it_was() {
    let acme = Acme::found().await;
    let agents = [("carol", "agent-of-carol/1.0"), ("dave", "agent-of-dave/1.0")];
    for (user, agent) in agents {
        let user = acme.service.user(user);
        user.send(Method::DELETE, &acme.at(""), None, &[("user-agent", agent)]).await;
    }
    let headers = [("authorization", "Bearer nonsense"), ("user-agent", "agent-of-nobody/1.0")];
    acme.service.bare(Method::DELETE, &acme.at(""), &headers).await.refused(401, "unauthenticated");
    let agent_of = |entries: &[Value], actor: &Value| -> Value {
        let found = entries.iter().find(|entry| entry["actor"]["id"] == *actor).unwrap();
        found["origin"]["user_agent"].clone()
    };
    let entries = refused(&acme).await;
    assert_eq!(agent_of(&entries, &json!("carol")), "agent-of-carol/1.0");
    assert_eq!(agent_of(&entries, &json!("dave")), "agent-of-dave/1.0");
    assert_eq!(agent_of(&entries, &Value::Null), "agent-of-nobody/1.0");
    for row in rows(&acme.service).await {
        assert!(!row.contains("agent-of") && !row.contains("127.0.0.1") && row.contains("sealed:"), "{row}");
    }
    // Whoever is erased takes it along, here and in every file.
    acme.service.operator().delete("/v1/users/dave").await.expect(StatusCode::NO_CONTENT);
    let entries = refused(&acme).await;
    assert_eq!(agent_of(&entries, &json!("dave")), "[erased]");
    assert_eq!(agent_of(&entries, &json!("carol")), "agent-of-carol/1.0");
    let exported = acme.ada().sees(&acme.at("/audit-log/export?outcome=refused")).await.body.to_string();
    assert!(exported.contains("[erased]") && exported.contains("agent-of-carol"), "{exported}");
    assert!(!exported.contains("agent-of-dave") && !exported.contains("sealed:"));
    acme.stop().await;
}
