//! A workspace's own roles, and the permissions that products define (S0.21, S4.13–17, S4.41; attacks 10, 19, 23).

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::contract::Acme;
use crate::support::{Answer, User, model};

async fn defines(user: &User<'_>, acme: &Acme, role: &str, permissions: &[&str]) -> Answer {
    user.put(&acme.at(&format!("/roles/{role}")), json!({"permissions": permissions})).await
}

/// Puts a member into a role.
async fn puts(acme: &Acme, user: &str, role: &str) {
    let body = json!({"role": role});
    acme.ada().patch(&acme.at(&format!("/members/{user}")), body).await.expect(StatusCode::OK);
}

fn names(answer: &Answer) -> Vec<String> {
    answer.body["permissions"].as_array().unwrap().iter().map(|p| p.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_workspace_defines_changes_and_deletes_roles_of_its_own() {
    let acme = Acme::found().await;
    let (ada, path) = (acme.ada(), acme.at("/roles/clerk"));
    let body = json!({"description": "Keeps the books", "permissions": ["billing:read", "workspace:read"]});
    let made = ada.put(&path, body.clone()).await.expect(StatusCode::CREATED);
    assert_eq!(made.body["built_in"], false);
    assert_eq!(made.body["description"], "Keeps the books");
    assert_eq!(names(&made), ["billing:read", "workspace:read"]);
    assert!(made.header("etag").is_some());
    // The same again changes nothing.
    let head = acme.service.head().await;
    ada.put(&path, body).await.expect(StatusCode::OK);
    assert_eq!(acme.service.head().await, head);
    let changed = ada.put(&path, json!({"permissions": ["billing:read"]})).await.expect(StatusCode::OK);
    assert_eq!(
        (names(&changed), changed.body["description"].clone()),
        (vec!["billing:read".into()], Value::Null)
    );
    let list = ada.sees(&acme.at("/roles")).await;
    assert_eq!(list.column("name"), ["owner", "admin", "moderator", "member", "clerk"]);
    assert_eq!(ada.sees(&path).await.body, changed.body);
    let log = ada.sees(&acme.at("/audit-log?action=workspace.role_*")).await;
    assert_eq!(log.column("action"), ["workspace.role_changed", "workspace.role_defined"]);
    assert_eq!(log.items()[0]["target"], json!({"type": "role", "id": "clerk"}));
    ada.delete(&path).await.expect(StatusCode::NO_CONTENT);
    ada.get(&path).await.refused(404, "not_found");
    ada.delete(&path).await.refused(404, "not_found");
    acme.stop().await;
}

#[tokio::test]
async fn a_members_own_role_is_all_that_counts() {
    let acme = Acme::found().await;
    defines(&acme.ada(), &acme, "recruiter", &["workspace:read", "members:read", "members:invite"]).await;
    puts(&acme, "carol", "recruiter").await;
    let carol = acme.service.user("carol");
    carol.sees(&acme.at("/members")).await;
    carol.sees(&acme.at("/invitations")).await;
    let refused = carol.get(&acme.at("/audit-log")).await.refused(403, "permission_denied");
    assert_eq!(refused.body["permission"], "audit:read");
    carol.patch(&acme.at(""), json!({"name": "X"})).await.refused(403, "permission_denied");
    let shown = carol.sees("/v1/users/carol/workspaces").await;
    assert_eq!(shown.items()[1]["role"], "recruiter");
    // What the role allows changes for everybody who holds it, at once.
    defines(&acme.ada(), &acme, "recruiter", &["workspace:read", "audit:read"]).await;
    carol.sees(&acme.at("/audit-log")).await;
    carol.get(&acme.at("/invitations")).await.refused(403, "permission_denied");
    acme.stop().await;
}

#[tokio::test]
async fn nobody_defines_grants_or_edits_beyond_their_own_rights() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let manager = [
        "workspace:read",
        "members:read",
        "members:invite",
        "members:update",
        "members:remove",
        "roles:manage",
        "content:read",
        "content:participate",
        "projects:read",
    ];
    defines(&ada, &acme, "manager", &manager).await.expect(StatusCode::CREATED);
    defines(&ada, &acme, "closer", &["workspace:delete"]).await.expect(StatusCode::CREATED);
    defines(&ada, &acme, "auditor", &["audit:read"]).await.expect(StatusCode::CREATED);
    puts(&acme, "carol", "manager").await;
    ada.put(&acme.at("/members/dave"), json!({"role": "auditor"})).await.expect(StatusCode::CREATED);
    let (bob, carol) = (acme.service.user("bob"), acme.service.user("carol"));
    let head = acme.service.head().await;
    // An admin has nothing to do with what only the owner may give.
    defines(&bob, &acme, "closer", &[]).await.refused(409, "role_above_own");
    defines(&bob, &acme, "heir", &["workspace:transfer"]).await.refused(409, "role_above_own");
    bob.delete(&acme.at("/roles/closer")).await.refused(409, "role_above_own");
    bob.patch(&acme.at("/members/carol"), json!({"role": "closer"})).await.refused(409, "role_above_own");
    let body = json!({"email": "x@example.com", "role": "closer"});
    bob.post(&acme.at("/invitations"), body).await.refused(409, "role_above_own");
    bob.put(&acme.at("/invite-code"), json!({"role": "closer"})).await.refused(409, "role_above_own");
    // Nor the holder of a lesser role with what goes beyond it, be it less in other ways.
    for role in ["admin", "moderator", "auditor"] {
        carol.patch(&acme.at("/members/carol"), json!({"role": role})).await.refused(409, "role_above_own");
        let body = json!({"email": "x@example.com", "role": role});
        carol.post(&acme.at("/invitations"), body).await.refused(409, "role_above_own");
    }
    defines(&carol, &acme, "manager", &["audit:read"]).await.refused(409, "role_above_own");
    defines(&carol, &acme, "auditor", &[]).await.refused(409, "role_above_own");
    for (method, path, body) in [
        (Method::PATCH, "/members/bob", Some(json!({"role": "member"}))),
        (Method::PATCH, "/members/dave", Some(json!({"role": "member"}))),
        (Method::POST, "/members/bob/deactivate", Some(json!({}))),
        (Method::DELETE, "/members/bob", None),
        (Method::DELETE, "/members/dave", None),
    ] {
        carol.send(method, &acme.at(path), body.as_ref(), &[]).await.refused(409, "role_above_own");
    }
    assert_eq!(acme.service.head().await, head, "something was written");
    // Within one's own rights everything goes.
    carol.post(&acme.at("/invitations"), json!({"email": "x@example.com"})).await.expect(StatusCode::CREATED);
    defines(&carol, &acme, "greeter", &["members:invite", "members:read"]).await.expect(StatusCode::CREATED);
    acme.stop().await;
}

#[tokio::test]
async fn a_role_in_use_is_deleted_only_with_a_replacement() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    defines(&ada, &acme, "clerk", &["workspace:read"]).await.expect(StatusCode::CREATED);
    puts(&acme, "carol", "clerk").await;
    let body = json!({"email": "dave@example.com", "role": "clerk", "notify": false});
    let token = ada.post(&acme.at("/invitations"), body).await.expect(StatusCode::CREATED).text("token");
    let code = ada.put(&acme.at("/invite-code"), json!({"role": "clerk"})).await.text("code");
    let path = acme.at("/roles/clerk");
    ada.delete(&path).await.refused(409, "role_in_use");
    for replacement in ["clerk", "owner", "nobody", "No Role"] {
        let refused = ada.delete(&format!("{path}?replacement={}", replacement.replace(' ', "%20"))).await;
        assert!(matches!(refused.status.as_u16(), 400 | 409), "{replacement}: {:#}", refused.body);
    }
    let head = acme.service.head().await;
    let gone = ada.delete(&format!("{path}?replacement=moderator")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(gone.position(), head + 3, "the role, the member and the invitation, together");
    assert_eq!(ada.sees(&acme.at("/members/carol")).await.text("role"), "moderator");
    let dave = acme.service.user("dave");
    assert_eq!(dave.accepts(&token).await.expect(StatusCode::OK).text("role"), "moderator");
    let eve = acme.service.provision("eve").await;
    let joined = eve.post("/v1/join", json!({"code": code})).await.expect(StatusCode::OK);
    assert_eq!(joined.text("role"), "moderator");
    // A role of the same name is another role.
    defines(&ada, &acme, "clerk", &["audit:read"]).await.expect(StatusCode::CREATED);
    assert_eq!(ada.sees(&acme.at("/members/carol")).await.text("role"), "moderator");
    acme.stop().await;
}

#[tokio::test]
async fn nobody_is_given_a_role_while_it_is_deleted() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    for round in 0..6 {
        let role = format!("role{round}");
        defines(&ada, &acme, &role, &["workspace:read"]).await.expect(StatusCode::CREATED);
        let (path, body) = (acme.at(&format!("/roles/{role}")), json!({"role": role}));
        let member = acme.at("/members/carol");
        let (deleted, given) = tokio::join!(ada.delete(&path), ada.patch(&member, body));
        match (deleted.status.as_u16(), given.status.as_u16()) {
            (204, 400) | (409, 200) => {}
            other => panic!("{other:?}: {:#} {:#}", deleted.body, given.body),
        }
        let held = ada.sees(&member).await.text("role");
        let roles = ada.sees(&acme.at("/roles")).await;
        assert!(roles.column("name").contains(&held.as_str()), "carol holds {held}, which there is not");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_role_that_is_malformed_unknown_or_one_too_many_is_refused() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    for name in ["admin", "Owner", "1st", "with%20space", &"x".repeat(64), "%F0%9F%91%91"] {
        defines(&ada, &acme, name, &[]).await.refused(400, "validation_failed");
    }
    for permissions in [json!(["nonsense"]), json!(["a:b:c"]), json!([1]), json!("all"), Value::Null] {
        let body = json!({"permissions": permissions});
        ada.put(&acme.at("/roles/clerk"), body).await.refused(400, "validation_failed");
    }
    let unknown = defines(&ada, &acme, "clerk", &["invoices:read"]).await.refused(400, "validation_failed");
    assert_eq!(unknown.errors()[0].0, "/permissions");
    let unknown = ada.patch(&acme.at("/members/carol"), json!({"role": "ghost"})).await;
    assert_eq!(unknown.refused(400, "validation_failed").errors()[0].0, "/role");
    for n in 0..100 {
        defines(&ada, &acme, &format!("r{n}"), &["content:read"]).await.expect(StatusCode::CREATED);
    }
    defines(&ada, &acme, "r100", &["content:read"]).await.refused(409, "too_many_roles");
    acme.stop().await;
}

#[tokio::test]
async fn a_role_of_another_workspace_is_none() {
    let acme = Acme::found().await;
    defines(&acme.ada(), &acme, "clerk", &["workspace:read"]).await.expect(StatusCode::CREATED);
    let dave = acme.service.user("dave");
    let other = dave.creates("Other").await;
    let body = json!({"email": "x@example.com", "role": "clerk"});
    dave.post(&format!("/v1/workspaces/{other}/invitations"), body).await.refused(400, "validation_failed");
    dave.get(&format!("/v1/workspaces/{other}/roles/clerk")).await.refused(404, "not_found");
    acme.stop().await;
}

#[tokio::test]
async fn the_operator_registers_the_permissions_of_products() {
    let acme = Acme::found().await;
    let (operator, ada) = (acme.service.operator(), acme.ada());
    let path = "/v1/permissions/invoices:approve";
    ada.put(path, json!({})).await.refused(403, "permission_denied");
    operator.put("/v1/permissions/members:promote", json!({})).await.refused(409, "permission_reserved");
    operator.put("/v1/permissions/Invoices", json!({})).await.refused(400, "validation_failed");
    operator.put(path, json!({"granted_to": ["clerk"]})).await.refused(400, "validation_failed");
    let body = json!({"description": "Approve invoices", "granted_to": ["moderator"]});
    let made = operator.put(path, body).await.expect(StatusCode::CREATED);
    assert_eq!(made.body["granted_to"], json!(["owner", "admin", "moderator"]));
    assert_eq!((&made.body["built_in"], &made.body["reads"]), (&json!(false), &json!(false)));
    operator.put("/v1/permissions/invoices:read", json!({"granted_to": ["member", "moderator"]})).await;
    let catalogue = ada.sees("/v1/permissions").await;
    assert_eq!(catalogue.items().len(), 23);
    assert_eq!(catalogue.items()[22]["name"], "invoices:read");
    assert_eq!(catalogue.items()[22]["reads"], true);
    assert_eq!(ada.sees(path).await.body, made.body);
    let holds = async |role: &str| {
        let role = ada.sees(&acme.at(&format!("/roles/{role}"))).await;
        names(&role).into_iter().filter(|name| name.starts_with("invoices:")).collect::<Vec<_>>()
    };
    assert_eq!(holds("owner").await, ["invoices:approve", "invoices:read"]);
    assert_eq!(holds("moderator").await, ["invoices:approve", "invoices:read"]);
    assert_eq!(holds("member").await, ["invoices:read"]);
    defines(&ada, &acme, "clerk", &["invoices:approve"]).await.expect(StatusCode::CREATED);
    operator.delete(path).await.expect(StatusCode::NO_CONTENT);
    operator.delete(path).await.refused(404, "not_found");
    assert_eq!(holds("owner").await, ["invoices:read"]);
    acme.stop().await;
}

// Attack 19: a product's permission is a right like any other.
#[tokio::test]
async fn a_products_permission_is_not_given_by_who_lacks_it() {
    let acme = Acme::found().await;
    let (operator, ada, carol) = (acme.service.operator(), acme.ada(), acme.service.user("carol"));
    let granted = json!({"granted_to": ["member"]});
    operator.put("/v1/permissions/invoices:approve", granted).await.expect(StatusCode::CREATED);
    let member = ["workspace:read", "members:read", "projects:read", "content:read", "content:participate"];
    let recruiter: Vec<&str> = member.iter().copied().chain(["members:invite"]).collect();
    defines(&ada, &acme, "recruiter", &recruiter).await.expect(StatusCode::CREATED);
    puts(&acme, "carol", "recruiter").await;
    let invite = json!({"email": "x@example.com", "role": "member"});
    carol.post(&acme.at("/invitations"), invite.clone()).await.refused(409, "role_above_own");
    let fuller: Vec<&str> = recruiter.iter().copied().chain(["invoices:approve"]).collect();
    defines(&ada, &acme, "recruiter", &fuller).await.expect(StatusCode::OK);
    carol.post(&acme.at("/invitations"), invite).await.expect(StatusCode::CREATED);
    model::replay(&acme.service).await;
    acme.stop().await;
}
