//! Who may do what, in which state of the workspace: generated from the table of the contract (attacks 10, 13, 15,
//! 16, 19; S2.26, S2.27).

use std::time::Duration;

use futures::stream::{self, StreamExt};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::clock;

use crate::support::routes::{Even, Needs, Place, Route, equip, workspace_routes};
use crate::support::{Answer, TestService, User, log, model};

const ROLES: [&str; 9] =
    ["owner", "admin", "moderator", "member", "deactivated", "expired", "removed", "stranger", "operator"];
const STATES: [&str; 3] = ["active", "suspended", "archived"];

/// The table of the contract, written down a second time.
fn allows(role: &str, permission: &str) -> bool {
    match role {
        "owner" => true,
        "admin" => !matches!(permission, "workspace:delete" | "workspace:transfer"),
        "moderator" => {
            matches!(permission, "workspace:read" | "members:read" | "projects:read")
                || permission.starts_with("content:")
        }
        "member" => matches!(
            permission,
            "workspace:read" | "members:read" | "projects:read" | "content:read" | "content:participate"
        ),
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Refused(u16, &'static str, Option<&'static str>),
}

fn expected(role: &str, route: &Route, state: &str) -> Outcome {
    let denied = match (role, route.needs) {
        ("stranger" | "removed", _) => return Outcome::Refused(404, "not_found", None),
        ("operator", _) => None,
        // The profile and the settings share a route: whoever may not change the one is told so first.
        (role, Needs::Service) if route.method == Method::PATCH && !allows(role, "workspace:update") => {
            Some("workspace:update")
        }
        (_, Needs::Service) => Some("operator"),
        (role, Needs::Permission(permission)) => (!allows(role, permission)).then_some(permission),
    };
    if let Some(permission) = denied {
        return Outcome::Refused(403, "permission_denied", Some(permission));
    }
    match (state, route.even) {
        ("suspended", Even::Active | Even::Archived) => Outcome::Refused(423, "workspace_suspended", None),
        ("archived", Even::Active) => Outcome::Refused(409, "workspace_archived", None),
        _ => Outcome::Done,
    }
}

/// Provisions everybody; whoever is called like a role will hold it.
async fn people(service: &TestService) {
    for name in ROLES.iter().filter(|name| **name != "operator").chain(&["target", "dan"]) {
        service.provision(name).await;
    }
}

fn who<'a>(service: &'a TestService, role: &str) -> User<'a> {
    if role == "operator" { service.operator() } else { service.user(role) }
}

/// A workspace of "owner", with everybody in the role of their name.
async fn workspace(service: &TestService, roles: &[&str]) -> Place {
    let (owner, operator) = (service.user("owner"), service.operator());
    let id = owner.creates("Acme").await;
    let base = format!("/v1/workspaces/{id}");
    operator.patch(&base, json!({"seats": {"limit": 20}})).await.expect(StatusCode::OK);
    for name in roles.iter().filter(|name| !matches!(**name, "owner" | "stranger" | "operator")) {
        let path = format!("{base}/members/{name}");
        let body = match *name {
            "moderator" | "member" | "admin" => json!({"role": name}),
            "expired" => {
                json!({"role": "admin", "expires_at": clock::now() + Duration::from_millis(60)})
            }
            _ => json!({"role": "admin"}),
        };
        operator.put(&path, body).await.expect(StatusCode::CREATED);
        match *name {
            "deactivated" => drop(operator.post(&format!("{path}/deactivate"), json!({})).await),
            "removed" => drop(operator.delete(&path).await.expect(StatusCode::NO_CONTENT)),
            _ => {}
        }
    }
    if roles.contains(&"expired") {
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    operator.put(&format!("{base}/members/target"), json!({})).await.expect(StatusCode::CREATED);
    let body = json!({"email": "somebody@example.com", "role": "admin"});
    let invitation = owner.post(&format!("{base}/invitations"), body).await;
    let invitation = invitation.expect(StatusCode::CREATED).text("id");
    owner.put(&format!("{base}/invite-code"), json!({})).await.expect(StatusCode::OK);
    let equipped = equip(&owner, &id).await;
    Place { user: "target".to_owned(), invitation, other: "dan".to_owned(), ..equipped }
}

async fn bring_to(service: &TestService, place: &Place, state: &str) {
    let path = format!("/v1/workspaces/{}", place.workspace);
    match state {
        "suspended" => {
            let (operator, reason) = (service.operator(), json!({"reason": "unpaid"}));
            operator.post(&format!("{path}/suspend"), reason).await.expect(StatusCode::OK);
        }
        "archived" => {
            let owner = service.user("owner");
            owner.post(&format!("{path}/archive"), json!({})).await.expect(StatusCode::OK);
        }
        _ => {}
    }
}

fn check(role: &str, state: &str, route: &Route, answer: &Answer) {
    let outcome = match answer.status.as_u16() {
        200..=299 => Outcome::Done,
        status => {
            let known = |text: &Value| -> Option<&'static str> {
                let text = text.as_str()?.to_owned();
                Some(Box::leak(text.into_boxed_str()))
            };
            let code = known(&answer.body["code"]).unwrap_or("no code");
            Outcome::Refused(status, code, known(&answer.body["permission"]))
        }
    };
    let cell = format!("{role}, {state}: {} {} {:?}", route.method, route.template, route.body);
    assert_eq!(outcome, expected(role, route, state), "{cell}: {:#}", answer.body);
}

#[tokio::test]
async fn whoever_may_not_is_refused_and_nothing_is_written() {
    let service = TestService::start().await;
    people(&service).await;
    for state in STATES {
        let place = workspace(&service, &ROLES).await;
        bring_to(&service, &place, state).await;
        let before = log::head(&service).await;
        for role in ROLES {
            let caller = who(&service, role);
            for route in workspace_routes() {
                let done = expected(role, &route, state) == Outcome::Done;
                if !done || !route.mutates() {
                    check(role, state, &route, &route.ask(&caller, &place).await);
                }
            }
        }
        assert_eq!(log::head(&service).await, before, "something was written");
    }
    service.stop().await;
}

#[tokio::test]
async fn whoever_may_may_in_every_state_that_allows_it() {
    let service = TestService::start().await;
    people(&service).await;
    let mut cells = Vec::new();
    for state in STATES {
        for role in ROLES {
            for route in workspace_routes() {
                if route.mutates() && expected(role, &route, state) == Outcome::Done {
                    cells.push((state, role, route));
                }
            }
        }
    }
    assert!(cells.len() > 50, "{}", cells.len());
    stream::iter(cells)
        .for_each_concurrent(8, async |(state, role, route)| {
            let place = workspace(&service, &[role]).await;
            bring_to(&service, &place, state).await;
            check(role, state, &route, &route.ask(&who(&service, role), &place).await);
        })
        .await;
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn everybody_but_the_owner_may_leave() {
    let service = TestService::start().await;
    people(&service).await;
    for state in STATES {
        let place = workspace(&service, &ROLES).await;
        bring_to(&service, &place, state).await;
        for role in ROLES.iter().filter(|role| **role != "operator") {
            let path = format!("/v1/workspaces/{}/members/{role}", place.workspace);
            let answer = service.user(role).delete(&path).await;
            match (state, *role) {
                (_, "stranger" | "removed") => drop(answer.refused(404, "not_found")),
                ("suspended", _) => drop(answer.refused(423, "workspace_suspended")),
                ("archived", _) => drop(answer.refused(409, "workspace_archived")),
                (_, "owner") => drop(answer.refused(409, "owner_cannot_leave")),
                (_, "expired") => drop(answer.refused(404, "not_found")),
                _ => drop(answer.expect(StatusCode::NO_CONTENT)),
            }
        }
    }
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn no_path_grants_a_role_above_ones_own() {
    let service = TestService::start().await;
    people(&service).await;
    let place = workspace(&service, &ROLES).await;
    let base = format!("/v1/workspaces/{}", place.workspace);
    let before = log::head(&service).await;
    let paths = [
        (Method::POST, "/invitations", json!({"email": "new@example.com", "role": "owner"})),
        (Method::PUT, "/members/dan", json!({"role": "owner"})),
        (Method::PUT, "/members/target", json!({"role": "owner"})),
        (Method::PATCH, "/members/target", json!({"role": "owner"})),
        (Method::PATCH, "/members/admin", json!({"role": "owner"})),
        (Method::PUT, "/members/admin", json!({"role": "owner"})),
        (Method::PUT, "/invite-code", json!({"role": "owner"})),
    ];
    for (method, path, body) in &paths {
        let ask = async |role: &str| {
            let request = who(&service, role).request(method.clone(), &format!("{base}{path}"));
            Answer::of(request.json(body)).await
        };
        ask("admin").await.refused(409, "role_above_own");
        for role in ["owner", "operator"] {
            ask(role).await.refused(409, "owner_required");
        }
        for role in ["moderator", "member", "deactivated", "expired"] {
            ask(role).await.refused(403, "permission_denied");
        }
    }
    // A former admin's rights are gone at once: neither send, nor send again, nor raise oneself.
    for path in ["/members/admin", "/members/moderator"] {
        let raise = service.user("moderator").patch(&format!("{base}{path}"), json!({"role": "admin"})).await;
        raise.refused(403, "permission_denied");
    }
    let resend = format!("{base}/invitations/{}/resend", place.invitation);
    service.user("moderator").post(&resend, json!({"notify": false})).await.refused(403, "permission_denied");
    assert_eq!(log::head(&service).await, before, "something was written");
    let batch = json!({"invitations": [
        {"email": "one@example.com", "role": "owner", "notify": false},
        {"email": "two@example.com", "role": "admin"},
    ]});
    let batch = service.user("admin").post(&format!("{base}/invitations/batch"), batch).await;
    let items = &batch.expect(StatusCode::OK).body["items"];
    assert_eq!((&items[0]["status"], &items[0]["problem"]["code"]), (&json!(409), &json!("role_above_own")));
    assert_eq!(items[1]["status"], 201);
    assert_eq!(log::head(&service).await, before + 1);
    // The owner is nobody's to edit.
    for (method, path, body) in [
        (Method::PATCH, "/members/owner", json!({"role": "member"})),
        (Method::PUT, "/members/owner", json!({"role": "member"})),
        (Method::POST, "/members/owner/deactivate", json!({})),
        (Method::DELETE, "/members/owner", json!({})),
        (Method::PATCH, "/members/owner", json!({"expires_at": "2999-01-01T00:00:00Z"})),
    ] {
        for role in ["admin", "operator"] {
            let request = who(&service, role).request(method.clone(), &format!("{base}{path}"));
            Answer::of(request.json(&body)).await.refused(409, "owner_required");
        }
    }
    assert_eq!(log::head(&service).await, before + 1);
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn what_a_body_says_of_the_caller_is_not_believed() {
    let service = TestService::start().await;
    people(&service).await;
    let place = workspace(&service, &ROLES).await;
    let before = log::head(&service).await;
    let claims = [
        "user_id",
        "actor",
        "actor_id",
        "owner",
        "is_owner",
        "verified",
        "email_verified",
        "invited_by",
        "permission",
        "permissions",
        "tenure_actor",
        "operator",
    ];
    for route in workspace_routes().into_iter().filter(Route::mutates) {
        for field in claims.iter().filter(|_| route.method != Method::DELETE) {
            let mut body = route.body_at(&place).unwrap_or(json!({}));
            if body.get(*field).is_some() {
                continue;
            }
            body[field] = json!("owner");
            let request = service.user("member").request(route.method.clone(), &place.fill(route.template));
            let answer = Answer::of(request.json(&body)).await;
            answer.refused(400, "unknown_field");
        }
    }
    let member = service.user("member");
    for (path, body) in [
        ("/v1/invitations/accept", json!({"token": "x", "user_id": "owner"})),
        (
            "/v1/invitations/accept",
            json!({"token": "x", "email": "owner@example.com", "email_verified": true}),
        ),
        ("/v1/invitations/decline", json!({"token": "x", "user_id": "owner"})),
        ("/v1/join", json!({"code": "x", "user_id": "owner"})),
        ("/v1/join", json!({"code": "x", "role": "admin"})),
        ("/v1/workspaces", json!({"name": "X", "user_id": "owner"})),
        ("/v1/workspaces", json!({"name": "X", "owner": "owner"})),
    ] {
        member.post(path, body).await.refused(400, "unknown_field");
    }
    let gift = member.post("/v1/workspaces", json!({"name": "X", "owner_id": "owner"})).await;
    assert_eq!(gift.refused(403, "permission_denied").body["permission"], "operator");
    // A user is nobody to say that their own address is verified.
    let verified = json!({"email": "owner@example.com", "email_verified": true});
    let claim = member.put("/v1/users/member", verified).await;
    assert_eq!(claim.refused(403, "permission_denied").body["permission"], "operator");
    assert_eq!(log::head(&service).await, before, "something was written");
    let owned = member.post("/v1/workspaces", json!({"name": "Mine", "owner_id": "member"})).await;
    assert_eq!(owned.expect(StatusCode::CREATED).text("owner_id"), "member");
    service.stop().await;
}

#[tokio::test]
async fn a_member_removed_in_flight_writes_nothing_after_the_removal() {
    let service = TestService::start().await;
    let (owner, bob) = (service.provision("owner").await, service.provision("bob").await);
    let id = owner.creates("Acme").await;
    let (base, member) = (format!("/v1/workspaces/{id}"), format!("/v1/workspaces/{id}/members/bob"));
    for round in 0..6 {
        owner.put(&member, json!({"role": "admin"})).await.expect(StatusCode::CREATED);
        let writes = stream::iter(0..20)
            .map(|n| {
                let (bob, base) = (bob.clone(), base.clone());
                async move { bob.patch(&base, json!({"description": format!("{round}.{n}")})).await }
            })
            .buffer_unordered(20)
            .collect::<Vec<_>>();
        let removal = async {
            tokio::time::sleep(Duration::from_millis(round * 2)).await;
            owner.delete(&member).await.expect(StatusCode::NO_CONTENT)
        };
        let (writes, removal) = tokio::join!(writes, removal);
        let at: i64 = removal.header("tenure-position").unwrap().parse().unwrap();
        for write in writes {
            match write.status.as_u16() {
                200 => assert!(write.header("tenure-position").unwrap().parse::<i64>().unwrap() < at),
                404 => drop(write.refused(404, "not_found")),
                _ => drop(write.refused(409, "conflict")),
            }
        }
        // Reads are refused at once with the position, and without it too where the removal was made.
        let read = bob.request(Method::GET, &base).header("Tenure-Position", at);
        Answer::of(read).await.refused(404, "not_found");
        bob.get(&base).await.refused(404, "not_found");
        bob.get(&format!("{base}/members")).await.refused(404, "not_found");
    }
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_suspended_workspace_is_read_only_and_nothing_else_is() {
    let service = TestService::start().await;
    people(&service).await;
    let (owner, operator) = (service.user("owner"), service.operator());
    let place = workspace(&service, &["admin"]).await;
    let base = format!("/v1/workspaces/{}", place.workspace);
    let other = service.user("admin").creates("Elsewhere").await;
    let token = owner.invites(&place.workspace, "dan@example.com", "member").await;
    let code = owner.put(&format!("{base}/invite-code"), json!({})).await.text("code");
    bring_to(&service, &place, "suspended").await;
    let suspended = owner.get(&base).await.expect(StatusCode::OK).body;
    assert_eq!(
        (&suspended["status"], &suspended["suspension"]["reason"]),
        (&json!("suspended"), &json!("unpaid"))
    );
    let before = log::head(&service).await;
    let dan = service.user("dan");
    dan.accepts(&token).await.refused(423, "workspace_suspended");
    dan.post("/v1/invitations/decline", json!({"token": token})).await.refused(423, "workspace_suspended");
    dan.post("/v1/join", json!({"code": code})).await.refused(423, "workspace_suspended");
    dan.post("/v1/invitations/preview", json!({"token": token})).await.expect(StatusCode::OK);
    assert_eq!(log::head(&service).await, before);
    // Other workspaces of the same people are untouched, and so are their personal ones.
    service
        .user("admin")
        .patch(&format!("/v1/workspaces/{other}"), json!({"name": "Still"}))
        .await
        .expect(StatusCode::OK);
    let switcher = owner.get("/v1/users/owner/workspaces").await.expect(StatusCode::OK).body;
    let statuses: Vec<_> =
        switcher["items"].as_array().unwrap().iter().map(|i| i["status"].clone()).collect();
    assert_eq!(statuses, ["active", "suspended"]);
    owner.creates("Another").await;
    // Suspending twice, resuming twice: said once.
    operator.post(&format!("{base}/suspend"), json!({"reason": "again"})).await.expect(StatusCode::OK);
    operator.post(&format!("{base}/resume"), json!({"reason": "paid"})).await.expect(StatusCode::OK);
    operator.post(&format!("{base}/resume"), json!({})).await.expect(StatusCode::OK);
    let resumed = owner.patch(&base, json!({"name": "Back"})).await.expect(StatusCode::OK).body;
    assert_eq!((&resumed["status"], &resumed["suspension"]), (&json!("active"), &Value::Null));
    dan.accepts(&token).await.expect(StatusCode::OK);
    let log = owner.get(&format!("{base}/audit-log?action=workspace.*")).await.expect(StatusCode::OK).body;
    let suspensions = log["items"].as_array().unwrap();
    let of = |action: &str| suspensions.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((of("workspace.suspended"), of("workspace.resumed")), (1, 1));
    model::replay(&service).await;
    service.stop().await;
}
