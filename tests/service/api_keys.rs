//! API keys: made, used, rotated, revoked (S2.7; attacks 12, 19, 24, 32, 34).

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::clock;

use crate::support::Answer;
use crate::support::contract::Acme;
use crate::support::routes::{Place, workspace_routes};

/// Makes a key and returns its id and the key.
async fn makes(acme: &Acme, permissions: &[&str]) -> (String, String) {
    let body = json!({"name": "robot", "permissions": permissions});
    let made = acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED);
    (made.text("id"), made.text("key"))
}

/// What a member may, which whoever invites members must hold, and inviting.
fn inviting() -> [&'static str; 6] {
    let member = ["workspace:read", "members:read", "projects:read", "content:read", "content:participate"];
    [member[0], member[1], member[2], member[3], member[4], "members:invite"]
}

async fn with(acme: &Acme, key: &str, method: Method, path: &str, body: Option<&Value>) -> Answer {
    let request = acme.service.client.request(method, format!("{}{path}", acme.service.url)).bearer_auth(key);
    Answer::of(match body {
        Some(body) => request.json(body),
        None => request,
    })
    .await
}

async fn gets(acme: &Acme, key: &str, path: &str) -> Answer {
    with(acme, key, Method::GET, path, None).await
}

#[tokio::test]
async fn a_key_is_shown_once_and_opens_its_workspace() {
    let acme = Acme::found().await;
    let body = json!({"name": "robot", "permissions": inviting()});
    let made = acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED);
    let key = made.text("key");
    assert!(key.starts_with("tnk_") && key.len() == 53, "{key}");
    assert_eq!(made.text("hint"), key[..8]);
    assert_eq!((made.text("status").as_str(), made.text("created_by").as_str()), ("active", "ada"));
    let (shown, listed) = (
        acme.ada().sees(&acme.at(&format!("/api-keys/{}", made.text("id")))).await,
        acme.ada().sees(&acme.at("/api-keys")).await,
    );
    for answer in [&shown, &listed] {
        assert!(!answer.body.to_string().contains(&key), "never again");
    }
    assert_eq!(shown.header("etag"), made.header("etag"));
    let members = gets(&acme, &key, &acme.at("/members")).await.expect(StatusCode::OK);
    assert_eq!(members.items().len(), 3);
    let invite = json!({"email": "x@example.com"});
    let sent = with(&acme, &key, Method::POST, &acme.at("/invitations"), Some(&invite)).await;
    assert_eq!(sent.expect(StatusCode::CREATED).body["invited_by"], Value::Null);
    let entry = &acme.ada().sees(&acme.at("/audit-log?action=invitation.sent")).await.items()[0].clone();
    assert_eq!(entry["actor"], json!({"type": "api_key", "id": made.text("id")}));
    acme.stop().await;
}

#[tokio::test]
async fn the_key_itself_is_nowhere() {
    let acme = Acme::found().await;
    let (id, first) = makes(&acme, &["members:read"]).await;
    let path = acme.at(&format!("/api-keys/{id}/rotate"));
    let second = acme.ada().send(Method::POST, &path, Some(&json!({})), &[("idempotency-key", "r")]).await;
    let second = second.expect(StatusCode::OK).text("key");
    let mut connection = sqlx::ConnectOptions::connect(&acme.service.database).await.unwrap();
    for table in ["events", "api_keys", "audit_log", "idempotency"] {
        let rows: Vec<String> = sqlx::query_scalar(&format!("select t::text from {table} t"))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        for key in [&first, &second] {
            assert!(!rows.iter().any(|row| row.contains(&key[8..])), "a key in {table}");
        }
    }
    let log = acme.ada().sees(&acme.at("/audit-log")).await.body.to_string();
    assert!(!log.contains("hash") && !log.contains(&first[8..]));
    acme.stop().await;
}

#[tokio::test]
async fn a_read_only_key_writes_by_no_route_and_sees_one_workspace() {
    let acme = Acme::found().await;
    let reading: Vec<String> = acme
        .ada()
        .sees("/v1/permissions")
        .await
        .items()
        .iter()
        .filter(|entry| entry["reads"] == true)
        .map(|entry| entry["name"].as_str().unwrap().to_owned())
        .collect();
    let reading: Vec<&str> = reading.iter().map(String::as_str).collect();
    let (id, key) = makes(&acme, &reading).await;
    let (invitation, token) = acme.pending("x@example.com").await;
    let code = acme.ada().put(&acme.at("/invite-code"), json!({})).await.text("code");
    let other = acme.ada().creates("Other").await;
    gets(&acme, &key, &acme.at("/members")).await.expect(StatusCode::OK);
    // Its first use from this network is recorded meanwhile.
    noted(&acme, &id).await;
    let head = acme.service.head().await;
    let nothing = tenure::ids::new_v7().to_string();
    let place = Place {
        workspace: acme.id.clone(),
        user: "bob".into(),
        invitation,
        key: id,
        endpoint: nothing.clone(),
        delivery: nothing,
        other: "dave".into(),
    };
    for route in workspace_routes() {
        let body = route.body_at(&place);
        let here = with(&acme, &key, route.method.clone(), &place.fill(route.template), body.as_ref()).await;
        if route.mutates() {
            assert_eq!(here.status, 403, "{route:?}: {:#}", here.body);
        }
        let there = Place { workspace: other.clone(), ..place.clone() };
        let foreign =
            with(&acme, &key, route.method.clone(), &there.fill(route.template), body.as_ref()).await;
        assert_eq!(foreign.status, 404, "{route:?}: {:#}", foreign.body);
    }
    for (method, path, body) in [
        (Method::PUT, "/v1/users/zed", json!({})),
        (Method::DELETE, "/v1/users/ada", json!({})),
        (Method::POST, "/v1/users/ada/erase", json!({})),
        (Method::POST, "/v1/workspaces", json!({"name": "X", "owner_id": "ada"})),
        (Method::POST, "/v1/workspaces", json!({"name": "X"})),
        (Method::POST, "/v1/invitations/preview", json!({"token": token})),
        (Method::POST, "/v1/invitations/accept", json!({"token": token})),
        (Method::POST, "/v1/invitations/decline", json!({"token": token})),
        (Method::POST, "/v1/join", json!({"code": code})),
        (Method::PUT, "/v1/permissions/a:b", json!({})),
        (Method::DELETE, "/v1/permissions/a:b", json!({})),
    ] {
        let answer = with(&acme, &key, method.clone(), path, Some(&body)).await;
        assert!(answer.status.is_client_error(), "{method} {path}: {:#}", answer.body);
    }
    for path in ["/v1/users/ada", "/v1/users/ada/workspaces"] {
        gets(&acme, &key, path).await.refused(404, "user_not_found");
    }
    let request = acme.service.client.get(format!("{}{}", acme.service.url, acme.at("/members")));
    let acted = Answer::of(request.bearer_auth(&key).header("Tenure-Actor", "ada")).await;
    acted.refused(403, "permission_denied");
    assert_eq!(acme.service.head().await, head, "something was written");
    acme.stop().await;
}

#[tokio::test]
async fn a_key_holds_no_more_than_its_creator() {
    let acme = Acme::found().await;
    let (ada, bob) = (acme.ada(), acme.service.user("bob"));
    let ask = |permissions: &[&str]| json!({"name": "robot", "permissions": permissions});
    bob.post(&acme.at("/api-keys"), ask(&["workspace:delete"])).await.refused(409, "role_above_own");
    ada.post(&acme.at("/api-keys"), ask(&["invoices:read"])).await.refused(400, "validation_failed");
    let (id, strong) = makes(&acme, &["workspace:delete", "api-keys:manage", "members:invite"]).await;
    // Whoever could not have made it does not learn its secret, either.
    bob.post(&acme.at(&format!("/api-keys/{id}/rotate")), json!({})).await.refused(409, "role_above_own");
    // A key makes lesser keys, and invites to no role above itself.
    let lesser =
        with(&acme, &strong, Method::POST, &acme.at("/api-keys"), Some(&ask(&["members:invite"]))).await;
    lesser.expect(StatusCode::CREATED);
    let greater =
        with(&acme, &strong, Method::POST, &acme.at("/api-keys"), Some(&ask(&["audit:read"]))).await;
    greater.refused(409, "role_above_own");
    let invite = json!({"email": "x@example.com", "role": "member"});
    let above = with(&acme, &strong, Method::POST, &acme.at("/invitations"), Some(&invite)).await;
    above.refused(409, "role_above_own");
    for body in [
        json!({"name": "robot", "permissions": []}),
        json!({"name": "robot"}),
        json!({"name": " ", "permissions": ["members:read"]}),
        json!({"name": "robot", "permissions": ["members:read"], "networks": ["nowhere"]}),
        json!({"name": "robot", "permissions": ["members:read"], "expires_at": "2001-01-01T00:00:00Z"}),
    ] {
        ada.post(&acme.at("/api-keys"), body).await.refused(400, "validation_failed");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_revoked_key_opens_nothing_any_more() {
    let acme = Acme::found().await;
    let (id, key) = makes(&acme, &["members:read", "members:invite"]).await;
    gets(&acme, &key, &acme.at("/members")).await.expect(StatusCode::OK);
    acme.ada().delete(&acme.at(&format!("/api-keys/{id}"))).await.expect(StatusCode::NO_CONTENT);
    gets(&acme, &key, &acme.at("/members")).await.refused(401, "unauthenticated");
    let shown = acme.ada().sees(&acme.at(&format!("/api-keys/{id}"))).await;
    assert_eq!(shown.text("status"), "revoked");
    acme.ada().post(&acme.at(&format!("/api-keys/{id}/rotate")), json!({})).await.refused(404, "not_found");
    let log = acme.ada().sees(&acme.at("/audit-log?action=api_key.*")).await;
    let actions = log.column("action");
    assert!(actions.contains(&"api_key.created") && actions.contains(&"api_key.revoked"), "{actions:?}");
    acme.stop().await;
}

#[tokio::test]
async fn what_a_leaked_key_has_sent_opens_nothing_once_it_is_revoked() {
    let acme = Acme::found().await;
    let (id, key) = makes(&acme, &inviting()).await;
    let invite = json!({"email": "dave@example.com", "notify": false});
    let sent = with(&acme, &key, Method::POST, &acme.at("/invitations"), Some(&invite)).await;
    let token = sent.expect(StatusCode::CREATED).text("token");
    acme.ada().delete(&acme.at(&format!("/api-keys/{id}"))).await.expect(StatusCode::NO_CONTENT);
    acme.service.user("dave").accepts(&token).await.refused(409, "inviter_not_permitted");
    acme.stop().await;
}

#[tokio::test]
async fn a_rotated_key_is_good_until_the_overlap_ends() {
    let acme = Acme::found().await;
    let (id, first) = makes(&acme, &["members:read"]).await;
    let rotate = acme.at(&format!("/api-keys/{id}/rotate"));
    let rotated = acme.ada().post(&rotate, json!({"overlap": "1h"})).await.expect(StatusCode::OK);
    let second = rotated.text("key");
    assert_ne!(first, second);
    for key in [&first, &second] {
        gets(&acme, key, &acme.at("/members")).await.expect(StatusCode::OK);
    }
    // Another rotation leaves the second for its overlap; the first dies at once.
    let third = acme.ada().post(&rotate, json!({"overlap": 0})).await.expect(StatusCode::OK).text("key");
    for (key, status) in [(&first, 401), (&second, 401), (&third, 200)] {
        assert_eq!(gets(&acme, key, &acme.at("/members")).await.status, status);
    }
    acme.ada().post(&rotate, json!({"overlap": "31d"})).await.refused(400, "validation_failed");
    acme.stop().await;
}

#[tokio::test]
async fn a_key_runs_out_at_its_instant() {
    let acme = Acme::found().await;
    let end = clock::now() + Duration::from_millis(400);
    let body = json!({"name": "robot", "permissions": ["members:read"], "expires_at": end});
    let made = acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED);
    let key = made.text("key");
    while clock::now() <= end {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gets(&acme, &key, &acme.at("/members")).await.refused(401, "unauthenticated");
    let path = acme.at(&format!("/api-keys/{}", made.text("id")));
    assert_eq!(acme.ada().sees(&path).await.text("status"), "expired");
    acme.ada().post(&format!("{path}/rotate"), json!({})).await.refused(409, "api_key_expired");
    acme.stop().await;
}

#[tokio::test]
async fn a_key_opens_only_from_its_networks() {
    let acme = Acme::found().await;
    for (networks, status) in [
        (json!(["127.0.0.0/8"]), 200),
        (json!(["127.0.0.1"]), 200),
        (json!(["192.0.2.0/24", "2001:db8::/32"]), 401),
    ] {
        let body = json!({"name": "robot", "permissions": ["members:read"], "networks": networks});
        let key = acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED).text("key");
        assert_eq!(gets(&acme, &key, &acme.at("/members")).await.status, status, "{networks}");
    }
    acme.stop().await;
}

/// Waits until the use of a key from a network is in its history, and returns the entry.
async fn noted(acme: &Acme, id: &str) -> Value {
    for _ in 0..200 {
        let log = acme.ada().sees(&acme.at("/audit-log?action=api_key.used_from_new_network")).await;
        if let Some(entry) = log.items().iter().find(|entry| entry["target"]["id"] == id) {
            return entry.clone();
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the use was not recorded");
}

#[tokio::test]
async fn use_from_a_new_network_is_recorded_once() {
    let acme = Acme::found().await;
    let (id, key) = makes(&acme, &["members:read"]).await;
    let path = acme.at("/members");
    futures::future::join_all((0..10).map(|_| gets(&acme, &key, &path))).await;
    let entry = noted(&acme, &id).await;
    assert_eq!(entry["changes"]["network"]["to"], "127.0.0.0/24");
    assert_eq!(entry["actor"]["type"], "api_key");
    assert_eq!(entry["origin"]["ip"], "127.0.0.1");
    gets(&acme, &key, &acme.at("/members")).await.expect(StatusCode::OK);
    let log = acme.ada().sees(&acme.at("/audit-log?action=api_key.used_from_new_network")).await;
    assert_eq!(log.items().len(), 1);
    acme.service.app().key_ring.write_uses().await.unwrap();
    let shown = acme.ada().sees(&acme.at(&format!("/api-keys/{id}"))).await;
    assert!(shown.text("last_used_at").ends_with(":00:00Z"), "to the hour: {}", shown.text("last_used_at"));
    acme.stop().await;
}

#[tokio::test]
async fn a_text_that_is_no_key_opens_nothing() {
    let acme = Acme::found().await;
    let (_, key) = makes(&acme, &["members:read"]).await;
    let mut flipped = key.clone().into_bytes();
    flipped[20] = if flipped[20] == b'a' { b'b' } else { b'a' };
    let flipped = String::from_utf8(flipped).unwrap();
    let unissued = tenure::secrets::api_key::issue(
        &tenure::secrets::ApiKeyKey::new([1; 32]),
        uuid::Uuid::from_u128(1),
        uuid::Uuid::from_u128(2),
    );
    for text in [flipped.as_str(), "tnk_", &key[..52], &format!("{key}x"), &unissued] {
        gets(&acme, text, &acme.at("/members")).await.refused(401, "unauthenticated");
    }
    acme.stop().await;
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_key() {
    let acme = Acme::found().await;
    let body = json!({"name": "robot", "permissions": ["members:read"]});
    let headers = [("idempotency-key", "one")];
    let ask = async || acme.ada().send(Method::POST, &acme.at("/api-keys"), Some(&body), &headers).await;
    let first = ask().await.expect(StatusCode::CREATED);
    let again = ask().await.expect(StatusCode::CREATED);
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(acme.ada().sees(&acme.at("/api-keys")).await.items().len(), 1);
    acme.stop().await;
}

// Attack 34.
#[tokio::test]
async fn nothing_of_a_deleted_workspace_opens() {
    let acme = Acme::found().await;
    let (_, key) = makes(&acme, &["members:read"]).await;
    gets(&acme, &key, &acme.at("/members")).await.expect(StatusCode::OK);
    acme.ada().delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    let answer = gets(&acme, &key, &acme.at("/members")).await;
    assert!(matches!(answer.status.as_u16(), 401 | 404), "{:#}", answer.body);
    acme.stop().await;
}

#[tokio::test]
async fn in_a_suspended_workspace_a_key_reads_and_none_is_made() {
    let acme = Acme::found().await;
    let (id, key) = makes(&acme, &["members:read", "members:invite"]).await;
    gets(&acme, &key, &acme.at("/members")).await.expect(StatusCode::OK);
    noted(&acme, &id).await;
    let suspend = acme.service.operator().post(&acme.at("/suspend"), json!({"reason": "unpaid"})).await;
    suspend.expect(StatusCode::OK);
    gets(&acme, &key, &acme.at("/members")).await.expect(StatusCode::OK);
    let invite = json!({"email": "x@example.com"});
    let sent = with(&acme, &key, Method::POST, &acme.at("/invitations"), Some(&invite)).await;
    sent.refused(423, "workspace_suspended");
    let body = json!({"name": "robot", "permissions": ["members:read"]});
    acme.ada().post(&acme.at("/api-keys"), body).await.refused(423, "workspace_suspended");
    acme.stop().await;
}

#[tokio::test]
async fn the_list_of_keys_is_paged_newest_first() {
    let acme = Acme::found().await;
    for n in 0..5 {
        let body = json!({"name": format!("k{n}"), "permissions": ["members:read"]});
        acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED);
    }
    let mut seen = Vec::new();
    let mut path = acme.at("/api-keys?limit=2");
    loop {
        let page = acme.ada().sees(&path).await;
        seen.extend(page.column("name").into_iter().map(str::to_owned));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = acme.at(&format!("/api-keys?limit=2&cursor={cursor}"));
    }
    assert_eq!(seen, ["k4", "k3", "k2", "k1", "k0"]);
    acme.stop().await;
}

// Attack 15, two processes on one database: within the bound, and at once with the position.
#[tokio::test]
async fn a_key_revoked_elsewhere_opens_nothing_here() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let (id, key) = makes(&acme, &["members:read"]).await;
    let question = json!({
        "subject": {"type": "user", "id": "ada"}, "action": {"name": "members:read"},
        "resource": {"type": "workspace", "id": acme.id},
    });
    let asks = async |position: Option<i64>| {
        let request = sibling.client.post(format!("{}/access/v1/evaluation", sibling.url)).json(&question);
        let request = request.bearer_auth(&key);
        Answer::of(match position {
            Some(position) => request.header("Tenure-Position", position),
            None => request,
        })
        .await
    };
    assert_eq!(asks(None).await.expect(StatusCode::OK).body["decision"], true);
    let revoked = acme.ada().delete(&acme.at(&format!("/api-keys/{id}"))).await;
    let position = revoked.expect(StatusCode::NO_CONTENT).position();
    asks(Some(position)).await.refused(401, "unauthenticated");
    let mut patience = 200;
    while asks(None).await.status != StatusCode::UNAUTHORIZED {
        patience -= 1;
        assert!(patience > 0, "it still opens");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    sibling.leave().await;
    acme.stop().await;
}
