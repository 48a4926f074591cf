//! Why does somebody have this: the events behind a membership, and the commands behind those.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Acme;

fn told(entry: &Value) -> (&str, &str, &str) {
    (
        entry["action"].as_str().unwrap(),
        entry["actor"]["id"].as_str().unwrap_or("-"),
        entry["command"].as_str().unwrap_or("-"),
    )
}

#[tokio::test]
async fn a_membership_tells_how_it_came_to_be() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    ada.put(&acme.at("/roles/scribe"), json!({"permissions": ["content:write"]}))
        .await
        .expect(StatusCode::CREATED);
    ada.put(&acme.at("/roles/other"), json!({"permissions": ["content:read"]}))
        .await
        .expect(StatusCode::CREATED);
    ada.patch(&acme.at("/members/bob"), json!({"role": "scribe"})).await.expect(StatusCode::OK);
    ada.patch(&acme.at("/members/carol"), json!({"role": "moderator"})).await.expect(StatusCode::OK);
    acme.pending("eve@example.com").await;
    acme.service
        .operator()
        .post(&acme.at("/suspend"), json!({"reason": "late"}))
        .await
        .expect(StatusCode::OK);
    let history = ada.sees(&acme.at("/members/bob/history")).await;
    let chain: Vec<_> = history.items().iter().map(told).collect();
    assert_eq!(
        chain,
        [
            ("workspace.created", "ada", "CreateWorkspace"),
            ("invitation.sent", "ada", "SendInvitation"),
            ("invitation.accepted", "bob", "AcceptInvitation"),
            ("membership.started", "bob", "AcceptInvitation"),
            ("workspace.role_defined", "ada", "DefineRole"),
            ("membership.role_changed", "ada", "EditMember"),
            ("workspace.suspended", "operator", "ChangeLifecycle"),
        ]
    );
    let last = history.items().last().unwrap();
    assert_eq!((&last["actor"]["type"], &last["reason"]), (&json!("service"), &json!("late")));
    let changed = &history.items()[5];
    assert_eq!(changed["changes"]["role"], json!({"from": "admin", "to": "scribe"}));
    assert_eq!(changed["target"], json!({"type": "membership", "id": "bob"}));
    assert!(changed["request_id"].is_string() && changed["position"].is_i64());
    // As of then, and page by page.
    let then = changed["position"].as_i64().unwrap() - 1;
    let earlier = ada.sees(&acme.at(&format!("/members/bob/history?as_of={then}"))).await;
    assert_eq!(earlier.items(), &history.items()[..4], "of a role he did not have, nothing");
    let (mut path, mut paged) = (acme.at("/members/bob/history?limit=2"), Vec::new());
    loop {
        let page = ada.sees(&path).await;
        paged.extend(page.items().to_vec());
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        path = acme.at(&format!("/members/bob/history?limit=2&cursor={cursor}"));
    }
    assert_eq!(paged, history.items());
    drop(ada);
    acme.stop().await;
}

#[tokio::test]
async fn who_joined_by_code_or_owns_it_is_told_so() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    ada.put(&acme.at("/invite-code"), json!({})).await.expect(StatusCode::OK);
    let code = ada.put(&acme.at("/invite-code"), json!({})).await.expect(StatusCode::OK).text("code");
    acme.service.user("dave").post("/v1/join", json!({"code": code})).await.expect(StatusCode::OK);
    ada.post(&acme.at("/transfer-ownership"), json!({"to": "bob"})).await.expect(StatusCode::OK);
    let actions = async |user: &str| {
        let history = acme.service.operator().sees(&acme.at(&format!("/members/{user}/history"))).await;
        history.items().iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        actions("dave").await,
        ["workspace.created", "workspace.invite_code_issued", "membership.started"],
        "only the code that let dave in"
    );
    let bob = actions("bob").await;
    assert!(bob.contains(&"workspace.ownership_transferred".to_owned()), "{bob:?}");
    assert!(!actions("carol").await.contains(&"workspace.ownership_transferred".to_owned()));
    drop(ada);
    acme.stop().await;
}

#[tokio::test]
async fn the_why_is_for_those_who_may_read_the_audit_log() {
    let acme = Acme::found().await;
    let path = acme.at("/members/bob/history");
    acme.service.user("carol").get(&path).await.refused(403, "permission_denied");
    acme.service.user("dave").get(&path).await.refused(404, "not_found");
    // Never a member, or not yet.
    acme.ada().get(&acme.at("/members/dave/history")).await.refused(404, "not_found");
    acme.ada().get(&acme.at("/members/bob/history?as_of=1")).await.refused(404, "not_found");
    // Once a member, and still explained.
    acme.ada().delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
    let history = acme.ada().sees(&acme.at("/members/carol/history")).await;
    assert_eq!(history.items().last().unwrap()["action"], "membership.ended");
    acme.stop().await;
}
