//! The resources: their shapes, and what the routes make of them.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Acme, TestService};

#[track_caller]
fn has(value: &Value, fields: &str) {
    for field in fields.split(' ') {
        assert!(value.get(field).is_some(), "no {field} in {value:#}");
    }
}

const USER: &str = "user_id email email_verified name personal_workspace_id status created_at updated_at";
const WORKSPACE: &str = "id kind name slug description image_url website phone social owner_id status seats \
                         created_at updated_at";
const MEMBER: &str = "workspace_id user_id role status email name joined_at expires_at updated_at is_owner";
const INVITATION: &str = "id workspace_id email role status accepted invited_by expires_at created_at";
const SWITCHER: &str = "workspace_id kind name slug role status last_used_at current";

#[tokio::test]
async fn every_shape_has_the_fields_that_clients_rely_on() {
    let acme = Acme::found().await;
    let (invitation, _) = acme.pending("eve@example.com").await;
    let ada = acme.ada();
    has(&ada.sees("/v1/users/ada").await.body, USER);
    has(&ada.sees("/v1/users/ada/workspaces").await.items()[0], SWITCHER);
    let workspace = ada.sees(&acme.at("")).await.body;
    has(&workspace, WORKSPACE);
    has(&workspace["social"], "x facebook linkedin instagram github");
    has(&workspace["seats"], "used limit");
    has(&ada.sees(&acme.at("/members/carol")).await.body, MEMBER);
    has(&ada.sees(&acme.at("/members")).await.items()[0], MEMBER);
    has(&ada.sees(&acme.at(&format!("/invitations/{invitation}"))).await.body, INVITATION);
    has(&ada.sees(&acme.at("/invitations")).await.items()[0], INVITATION);
    for list in ["/members", "/invitations", "/audit-log", "/roles"] {
        has(&ada.sees(&acme.at(list)).await.body, "items next_cursor");
    }
    acme.stop().await;
}

// ---- Users

#[tokio::test]
async fn provisioning_makes_a_user_and_a_personal_workspace_once() {
    let service = TestService::start().await;
    let operator = service.operator();
    let body = json!({"email": " Ada@Example.COM ", "email_verified": true, "name": "Ada"});
    let made = operator.put("/v1/users/ada", body.clone()).await.expect(StatusCode::CREATED);
    assert_eq!((&made.body["email"], &made.body["status"]), (&json!("ada@example.com"), &json!("active")));
    let again = operator.put("/v1/users/ada", body).await.expect(StatusCode::OK);
    assert_eq!((&again.body, again.etag()), (&made.body, made.etag()));
    let home =
        service.user("ada").sees(&format!("/v1/workspaces/{}", made.text("personal_workspace_id"))).await;
    assert_eq!(
        (&home.body["kind"], &home.body["owner_id"], &home.body["name"]),
        (&json!("personal"), &json!("ada"), &json!("Ada"))
    );
    service.stop().await;
}

#[tokio::test]
async fn what_is_left_out_of_a_user_stays_and_null_empties_it() {
    let service = TestService::start().await;
    service.provision("ada").await;
    let operator = service.operator();
    let put = |body: Value| {
        let operator = operator.clone();
        async move { operator.put("/v1/users/ada", body).await.expect(StatusCode::OK).body }
    };
    let renamed = put(json!({"name": "Countess"})).await;
    assert_eq!((&renamed["name"], &renamed["email"]), (&json!("Countess"), &json!("ada@example.com")));
    assert_eq!(renamed["email_verified"], true);
    let nameless = put(json!({"name": null})).await;
    assert_eq!((&nameless["name"], &nameless["email"]), (&Value::Null, &json!("ada@example.com")));
    let moved = put(json!({"email": "new@example.com"})).await;
    assert_eq!(
        moved["email_verified"], false,
        "another address is not verified by what was said of the old one"
    );
    service.stop().await;
}

#[tokio::test]
async fn a_user_is_seen_by_the_service_and_by_nobody_else() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    for path in
        ["/v1/users/bob", "/v1/users/bob/workspaces", "/v1/users/nobody", "/v1/users/nobody/workspaces"]
    {
        ada.get(path).await.refused(404, "user_not_found");
    }
    ada.put("/v1/users/ada", json!({"email_verified": true})).await.refused(403, "permission_denied");
    ada.delete("/v1/users/bob").await.refused(404, "user_not_found");
    acme.stop().await;
}

#[tokio::test]
async fn the_switcher_shows_every_workspace_the_personal_one_first() {
    let acme = Acme::found().await;
    let bob = acme.service.user("bob");
    let (zebra, alpha) = (bob.creates("zebra").await, bob.creates("Alpha").await);
    acme.service
        .operator()
        .post(&format!("/v1/workspaces/{zebra}/suspend"), json!({}))
        .await
        .expect(StatusCode::OK);
    let answer = bob.sees("/v1/users/bob/workspaces").await;
    assert_eq!(answer.column("name"), ["bob", "Acme", "Alpha", "zebra"]);
    assert_eq!(answer.column("kind"), ["personal", "team", "team", "team"]);
    assert_eq!(answer.column("role"), ["owner", "admin", "owner", "owner"]);
    assert_eq!(answer.column("status"), ["active", "active", "active", "suspended"]);
    bob.delete(&format!("/v1/workspaces/{alpha}")).await.expect(StatusCode::NO_CONTENT);
    bob.delete(&acme.at("/members/bob")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(bob.sees("/v1/users/bob/workspaces").await.column("name"), ["bob", "zebra"]);
    acme.stop().await;
}

#[tokio::test]
async fn an_owner_of_shared_workspaces_is_not_erased_without_a_word_on_them() {
    let acme = Acme::found().await;
    let other = acme.ada().creates("Other").await;
    let head = acme.service.head().await;
    let answer = acme.ada().delete("/v1/users/ada").await.refused(409, "owns_workspaces");
    let mut named: Vec<_> = answer.body["workspaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w["workspace_id"].as_str().unwrap())
        .collect();
    let mut owned = vec![acme.id.as_str(), &other];
    named.sort_unstable();
    owned.sort_unstable();
    assert_eq!(named, owned);
    assert_eq!(acme.service.head().await, head);
    let owned = json!({"owned": {&acme.id: {"transfer_to": "bob"}, &other: "delete"}});
    acme.ada().post("/v1/users/ada/erase", owned).await.expect(StatusCode::NO_CONTENT);
    let operator = acme.service.operator();
    operator.get("/v1/users/ada").await.refused(404, "user_not_found");
    operator.get(&format!("/v1/workspaces/{other}")).await.refused(404, "not_found");
    assert_eq!(operator.sees(&acme.at("")).await.body["owner_id"], "bob");
    operator.get(&acme.at("/members/ada")).await.refused(404, "not_found");
    operator.put("/v1/users/ada", json!({})).await.refused(409, "user_erased");
    acme.stop().await;
}

#[tokio::test]
async fn an_erasure_that_is_refused_leaves_nothing() {
    // Invariant 1.
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    ada.post(&acme.at("/members/carol/deactivate"), json!({})).await.expect(StatusCode::OK);
    let erase = |heir: &str| {
        let (ada, owned) = (ada.clone(), json!({"owned": {&acme.id: {"transfer_to": heir}}}));
        async move { ada.post("/v1/users/ada/erase", owned).await }
    };
    let head = acme.service.head().await;
    for heir in ["ada", "dave", "nobody", "carol"] {
        let answer = erase(heir).await;
        assert_eq!(answer.status, StatusCode::CONFLICT, "{heir}: {:#}", answer.body);
        answer.refused(409, "not_an_active_member");
        assert_eq!(acme.service.head().await, head, "{heir}");
    }
    operator.post(&acme.at("/suspend"), json!({})).await.expect(StatusCode::OK);
    erase("bob").await.refused(423, "workspace_suspended");
    assert_eq!(acme.service.head().await, head + 1);
    ada.sees("/v1/users/ada").await;
    acme.stop().await;
}

// ---- Workspaces

#[tokio::test]
async fn a_workspace_is_made_as_it_was_described() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let described = json!({
        "name": "Acme", "slug": "acme", "description": "Anvils\nand more", "image_url": "https://acme.example/i.png",
        "website": "https://acme.example", "phone": "+1 555 0100",
        "social": {"x": "@acme", "facebook": "acme", "linkedin": "acme", "instagram": "acme", "github": "https://github.com/acme"}
    });
    let made = ada.post("/v1/workspaces", described.clone()).await.expect(StatusCode::CREATED);
    for (field, value) in described.as_object().unwrap() {
        assert_eq!(made.body[field], *value, "{field}");
    }
    assert_eq!(
        (&made.body["kind"], &made.body["owner_id"], &made.body["status"]),
        (&json!("team"), &json!("ada"), &json!("active"))
    );
    assert_eq!(made.body["seats"], json!({"used": 1, "limit": 5}));
    let path = format!("/v1/workspaces/{}", made.text("id"));
    assert_eq!(made.header("location"), Some(&*path));
    let read = ada.sees(&path).await;
    assert_eq!((&read.body, read.etag()), (&made.body, made.etag()));
    assert_eq!(ada.sees("/v1/workspaces/by-slug/acme").await.body, made.body);
    service.stop().await;
}

#[tokio::test]
async fn a_user_creates_for_nobody_else_and_the_service_for_anybody() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    service.provision("bob").await;
    let head = service.head().await;
    ada.post("/v1/workspaces", json!({"name": "X", "owner_id": "bob"}))
        .await
        .refused(403, "permission_denied");
    service.operator().post("/v1/workspaces", json!({"name": "X"})).await.refused(400, "validation_failed");
    let nobody = json!({"name": "X", "owner_id": "nobody"});
    service.operator().post("/v1/workspaces", nobody).await.refused(404, "user_not_found");
    assert_eq!(service.head().await, head);
    let made = service.operator().post("/v1/workspaces", json!({"name": "X", "owner_id": "bob"})).await;
    assert_eq!(made.expect(StatusCode::CREATED).body["owner_id"], "bob");
    service.stop().await;
}

#[tokio::test]
async fn a_merge_patch_sets_what_it_names_clears_what_is_null_and_keeps_the_rest() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let full = json!({
        "slug": "acme", "description": "d", "image_url": "https://a.example/i", "website": "https://a.example", "phone": "1",
        "social": {"x": "x", "facebook": "f", "linkedin": "l", "instagram": "i", "github": "g"}
    });
    let mut expected = ada.patch(&acme.at(""), full).await.expect(StatusCode::OK).body;
    for field in [
        "/description",
        "/image_url",
        "/website",
        "/phone",
        "/social/x",
        "/social/facebook",
        "/social/linkedin",
        "/social/instagram",
        "/social/github",
        "/slug",
    ] {
        for value in [json!("https://b.example"), Value::Null] {
            let value = if field == "/slug" && value.is_string() { json!("acme-2") } else { value };
            let patch = match field[1..].split_once('/') {
                Some((outer, inner)) => json!({outer: {inner: value}}),
                None => json!({&field[1..]: value}),
            };
            let answer = ada.patch(&acme.at(""), patch.clone()).await.expect(StatusCode::OK);
            *expected.pointer_mut(field).unwrap() = value;
            expected["updated_at"] = answer.body["updated_at"].clone();
            assert_eq!(answer.body, expected, "{patch}");
            assert_eq!(ada.sees(&acme.at("")).await.body, expected, "{patch}");
        }
    }
    ada.patch(&acme.at(""), json!({"social": {"x": "x", "github": "g"}})).await.expect(StatusCode::OK);
    let cleared = ada.patch(&acme.at(""), json!({"social": null})).await.expect(StatusCode::OK);
    assert_eq!(
        cleared.body["social"],
        json!({"x": null, "facebook": null, "linkedin": null, "instagram": null, "github": null})
    );
    ada.patch(&acme.at(""), json!({"name": null})).await.refused(400, "validation_failed");
    acme.stop().await;
}

#[tokio::test]
async fn the_time_of_change_moves_on_every_change_and_only_then() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    let (post, patch) = (Method::POST, Method::PATCH);
    let changes = [
        (&ada, &patch, "", json!({"name": "Other"})),
        (&operator, &patch, "", json!({"seats": {"limit": 9}})),
        (&operator, &post, "/suspend", json!({"reason": "unpaid"})),
        (&operator, &post, "/resume", json!({})),
        (&ada, &post, "/archive", json!({})),
        (&ada, &post, "/restore", json!({})),
        (&ada, &post, "/transfer-ownership", json!({"to": "bob"})),
    ];
    for (user, method, rest, body) in changes {
        let before = operator.sees(&acme.at("")).await;
        let answer = user.send(method.clone(), &acme.at(rest), Some(&body), &[]).await.expect(StatusCode::OK);
        assert!(answer.text("updated_at") > before.text("updated_at"), "{rest} {body}");
        assert_ne!(answer.etag(), before.etag());
        let read = operator.sees(&acme.at("")).await;
        assert_eq!((&read.body, read.etag()), (&answer.body, answer.etag()), "{rest} {body}");
        if rest != "/transfer-ownership" {
            let again =
                user.send(method.clone(), &acme.at(rest), Some(&body), &[]).await.expect(StatusCode::OK);
            assert_eq!((&again.body, again.etag()), (&answer.body, answer.etag()), "{rest} {body}, again");
        }
    }
    let before = operator.sees(&acme.at("")).await;
    acme.service.user("bob").delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
    let after = operator.sees(&acme.at("")).await;
    assert_eq!(
        after.body["updated_at"], before.body["updated_at"],
        "a member is no part of the workspace itself"
    );
    assert_eq!(after.body["seats"]["used"], 2);
    acme.stop().await;
}

#[tokio::test]
async fn a_slug_belongs_to_one_living_workspace_and_is_free_when_it_lets_go() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let other = ada.creates("Other").await;
    let other = format!("/v1/workspaces/{other}");
    ada.patch(&acme.at(""), json!({"slug": "first"})).await.expect(StatusCode::OK);
    ada.patch(&other, json!({"slug": "first"})).await.refused(409, "slug_taken");
    ada.post("/v1/workspaces", json!({"name": "Third", "slug": "first"})).await.refused(409, "slug_taken");
    ada.patch(&acme.at(""), json!({"slug": "second"})).await.expect(StatusCode::OK);
    ada.get("/v1/workspaces/by-slug/first").await.refused(404, "not_found");
    assert_eq!(ada.sees("/v1/workspaces/by-slug/second").await.body["id"], *acme.id);
    acme.service.user("dave").get("/v1/workspaces/by-slug/second").await.refused(404, "not_found");
    ada.patch(&other, json!({"slug": "first"})).await.expect(StatusCode::OK);
    ada.delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    ada.get("/v1/workspaces/by-slug/second").await.refused(404, "not_found");
    ada.patch(&other, json!({"slug": "second"})).await.expect(StatusCode::OK);
    for odd in ["NOPE", "a", "no%20slug", "api"] {
        ada.get(&format!("/v1/workspaces/by-slug/{odd}")).await.refused(404, "not_found");
    }
    acme.stop().await;
}

#[tokio::test]
async fn seats_are_the_operators_to_give() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    ada.patch(&acme.at(""), json!({"seats": {"limit": 50}})).await.refused(403, "permission_denied");
    operator.patch(&acme.at(""), json!({"seats": {"limit": 2}})).await.refused(409, "seats_exhausted");
    let answer = operator.patch(&acme.at(""), json!({"seats": {"limit": 3}})).await.expect(StatusCode::OK);
    assert_eq!(answer.body["seats"], json!({"used": 3, "limit": 3}));
    ada.put(&acme.at("/members/dave"), json!({})).await.refused(409, "seats_exhausted");
    acme.stop().await;
}

#[tokio::test]
async fn a_personal_workspace_is_not_deleted_given_away_or_joined() {
    let acme = Acme::found().await;
    let home = acme.ada().sees("/v1/users/ada").await.text("personal_workspace_id");
    let at = |rest: &str| format!("/v1/workspaces/{home}{rest}");
    let head = acme.service.head().await;
    let (ada, put, post) = (acme.ada(), Method::PUT, Method::POST);
    for (method, rest, body) in [
        (&Method::DELETE, "", json!({})),
        (&post, "/transfer-ownership", json!({"to": "bob"})),
        (&post, "/archive", json!({})),
        (&post, "/invitations", json!({"email": "eve@example.com"})),
        (&put, "/invite-code", json!({})),
        (&put, "/members/bob", json!({})),
    ] {
        let answer = ada.send(method.clone(), &at(rest), Some(&body), &[]).await;
        assert_eq!(answer.refused(409, "personal_workspace").body["status"], 409, "{method} {rest}");
    }
    assert_eq!(acme.service.head().await, head);
    ada.patch(&at(""), json!({"name": "Study", "slug": "study"})).await.expect(StatusCode::OK);
    assert_eq!(ada.sees(&at("/members")).await.column("user_id"), ["ada"]);
    acme.stop().await;
}

#[tokio::test]
async fn a_suspended_or_archived_workspace_says_so() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    ada.post(&acme.at("/suspend"), json!({})).await.refused(403, "permission_denied");
    let answer =
        operator.post(&acme.at("/suspend"), json!({"reason": "unpaid"})).await.expect(StatusCode::OK);
    assert_eq!(
        (&answer.body["status"], &answer.body["suspension"]["reason"]),
        (&json!("suspended"), &json!("unpaid"))
    );
    assert!(answer.body["suspension"]["since"].is_string());
    ada.patch(&acme.at(""), json!({"name": "X"})).await.refused(423, "workspace_suspended");
    ada.sees(&acme.at("/members")).await;
    operator.post(&acme.at("/resume"), json!({})).await.expect(StatusCode::OK);
    let answer = ada.post(&acme.at("/archive"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(answer.body["status"], "archived");
    assert!(answer.body.get("suspension").is_none());
    ada.patch(&acme.at(""), json!({"name": "X"})).await.refused(409, "workspace_archived");
    assert_eq!(
        ada.post(&acme.at("/restore"), json!({})).await.expect(StatusCode::OK).body["status"],
        "active"
    );
    acme.stop().await;
}

#[tokio::test]
async fn readiness_says_what_is_missing() {
    let acme = Acme::found().await;
    let (ada, path) = (acme.ada(), acme.at("/readiness"));
    let answer = ada.sees(&path).await;
    assert_eq!((&answer.body["ready"], &answer.body["missing"]), (&json!(true), &json!(["slug", "image"])));
    let filled = json!({"slug": "acme", "image_url": "https://a.example/i"});
    ada.patch(&acme.at(""), filled).await.expect(StatusCode::OK);
    assert_eq!(ada.sees(&path).await.body["missing"], json!([]));
    acme.service.operator().post(&acme.at("/suspend"), json!({})).await.expect(StatusCode::OK);
    let answer = ada.sees(&path).await;
    assert_eq!((&answer.body["ready"], &answer.body["missing"]), (&json!(false), &json!(["active"])));
    acme.stop().await;
}

#[tokio::test]
async fn roles_and_permissions_are_listed_as_the_contract_has_them() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let all = "workspace:read workspace:update workspace:delete workspace:transfer members:read members:invite \
               members:update members:remove roles:manage audit:read billing:read billing:manage api-keys:manage \
               webhooks:manage integrations:manage projects:read projects:manage content:read content:participate \
               content:write content:moderate";
    let all: Vec<&str> = all.split_whitespace().collect();
    assert_eq!(ada.sees("/v1/permissions").await.column("name"), all);
    assert_eq!(ada.sees(&acme.at("/roles")).await.column("name"), ["owner", "admin", "moderator", "member"]);
    let not_admin = ["workspace:delete", "workspace:transfer"];
    let moderator = [
        "workspace:read",
        "members:read",
        "projects:read",
        "content:read",
        "content:participate",
        "content:write",
        "content:moderate",
    ];
    for (role, permissions) in [
        ("owner", all.clone()),
        ("admin", all.iter().copied().filter(|p| !not_admin.contains(p)).collect()),
        ("moderator", moderator.to_vec()),
        ("member", moderator[..5].to_vec()),
    ] {
        let answer = ada.sees(&acme.at(&format!("/roles/{role}"))).await;
        let expected =
            json!({"name": role, "built_in": true, "description": null, "permissions": permissions});
        assert_eq!(answer.body, expected);
    }
    ada.get(&acme.at("/roles/king")).await.refused(404, "not_found");
    acme.stop().await;
}
