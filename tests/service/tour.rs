//! The main job from end to end: provision, create, invite, accept, list, look back.

use reqwest::StatusCode;

use crate::support::TestService;

#[tokio::test]
async fn two_people_share_a_workspace() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    ada.brings(&acme, &bob, "admin").await;
    let members = bob.get(&format!("/v1/workspaces/{acme}/members")).await.expect(StatusCode::OK);
    let roles: Vec<_> =
        members.body["items"].as_array().unwrap().iter().map(|m| m["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["owner", "admin"]);
    let log = ada.get(&format!("/v1/workspaces/{acme}/audit-log")).await.expect(StatusCode::OK);
    let actions: Vec<_> =
        log.body["items"].as_array().unwrap().iter().map(|e| e["action"].as_str().unwrap()).collect();
    assert_eq!(
        actions,
        [
            "membership.started",
            "invitation.accepted",
            "invitation.sent",
            "membership.started",
            "workspace.created"
        ]
    );
    service.stop().await;
}
