//! What happens arrives: where it should, as often as it should, with its place in the history.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use reqwest::StatusCode;
use serde_json::json;
use tenure::clock;
use uuid::Uuid;

use super::receiver::{Receiver, says};
use super::{Endpoint, at_home, is_over, something_happens};
use crate::support::Acme;

#[tokio::test]
async fn what_happens_arrives_as_a_cloud_event_with_its_place_in_the_history() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/hook?key=1"), &["membership.*"]).await;
    something_happens(&acme, "admin").await;
    let heard = receiver.hears_of("membership.role_changed", 1).await.remove(0);
    assert_eq!(heard.path, "/hook");
    assert_eq!(heard.header("content-type"), "application/cloudevents+json; charset=utf-8");
    assert!(heard.header("user-agent").starts_with("Tenure-Webhooks/"));
    let sent = heard.header("webhook-timestamp").parse().unwrap();
    let age = clock::now() - DateTime::<Utc>::from_timestamp(sent, 0).unwrap();
    assert!(age < TimeDelta::minutes(2), "{age}");

    let event = heard.event();
    assert_eq!(event["id"], heard.id());
    assert_eq!((&event["specversion"], &event["workspaceid"]), (&json!("1.0"), &json!(acme.id)));
    assert_eq!(event["data"]["role"], json!({"from": "member", "to": "admin"}));
    let delivery = endpoint.comes_to("membership.role_changed", is_over).await;
    for (field, of_event) in [("event_id", "id"), ("workspace_seq", "workspaceseq"), ("position", "position")]
    {
        assert_eq!(delivery[field], event[of_event], "{field}");
    }
    assert_eq!(delivery["request"]["body"], event);
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("delivered"), &json!(1)));
    assert_eq!(delivery["attempt_log"][0]["status"], 204);
    acme.stop().await;
}

#[tokio::test]
async fn each_delivery_is_of_one_workspace_and_of_what_its_endpoint_asks_for() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let members = Endpoint::create(&acme, &receiver.url("/members"), &["membership.*"]).await;
    let all = Endpoint::create(&acme, &receiver.url("/all"), &["*"]).await;
    let dave = acme.service.user("dave");
    let other = dave.creates("Globex").await;
    let body = json!({"url": receiver.url("/other"), "events": ["*"]});
    dave.post(&format!("/v1/workspaces/{other}/webhooks"), body).await.expect(StatusCode::CREATED);
    dave.patch(&format!("/v1/workspaces/{other}"), json!({"name": "Globex 2"})).await.expect(StatusCode::OK);
    acme.pending("eve@example.com").await;
    something_happens(&acme, "admin").await;
    let heard = receiver.hears(|heard| {
        let at = |path: &str, kind: &str| heard.iter().any(|h| h.path == path && h.kind() == kind);
        at("/other", "workspace.profile_changed")
            && at("/all", "membership.role_changed")
            && at("/all", "invitation.sent")
            && at("/members", "membership.role_changed")
    });
    for heard in heard.await {
        let workspace = if heard.path == "/other" { &other } else { &acme.id };
        assert_eq!(heard.event()["workspaceid"], json!(workspace), "{}", heard.path);
        assert!(heard.path != "/members" || heard.kind().starts_with("membership."), "{}", heard.kind());
    }
    let invitations = receiver.heard().iter().filter(|heard| heard.kind() == "invitation.sent").count();
    assert_eq!(invitations, 1, "only where everything is asked for");
    for endpoint in [members, all] {
        endpoint.comes_to("membership.role_changed", is_over).await;
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_test_goes_out_whatever_is_asked_for_and_even_while_disabled() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["invitation.sent"]).await;
    let all = Endpoint::create(&acme, &receiver.url("/all"), &["webhook_endpoint.*"]).await;
    let test = endpoint.tests().await;
    receiver.hears_of("webhook_endpoint.tested", 2).await;
    endpoint.comes_to("webhook_endpoint.tested", is_over).await;
    assert_eq!(endpoint.delivery(&test).await["status"], "delivered");
    all.comes_to("webhook_endpoint.tested", is_over).await;
    let before = receiver.heard().len();
    let test = all.tests().await;
    all.comes_to("webhook_endpoint.tested", |d| d["id"] == json!(test) && is_over(d)).await;
    assert_eq!(all.deliveries().await.iter().filter(|d| d["type"] == "webhook_endpoint.tested").count(), 2);
    assert_eq!(
        receiver.heard().len() - before,
        1,
        "its own test is told once, though it asks for such events"
    );
    all.ada().delete(&all.at("")).await.expect(StatusCode::NO_CONTENT);
    endpoint.ada().patch(&endpoint.at(""), json!({"enabled": false})).await.expect(StatusCode::OK);
    receiver.answers(|_| says(410));
    let test = endpoint.tests().await;
    endpoint.comes_to("webhook_endpoint.tested", |d| d["id"] == json!(test) && is_over(d)).await;
    assert_eq!(endpoint.delivery(&test).await["reason"], "http_410");
    assert_eq!(endpoint.shown().await["disabled_because"], "requested", "trying it out changes nothing");
    acme.stop().await;
}

#[tokio::test]
async fn the_end_of_a_workspace_is_told() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["workspace.deleted"]).await;
    endpoint.tests().await;
    receiver.hears_of("webhook_endpoint.tested", 1).await;
    acme.ada().delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    let heard = receiver.hears_of("workspace.deleted", 1).await.remove(0);
    assert_eq!(heard.event()["workspaceid"], json!(acme.id));
    acme.stop().await;
}

#[tokio::test]
async fn of_two_processes_one_carries_each_event() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let sibling = acme.service.sibling_with(at_home).await;
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["invitation.sent"]).await;
    join_all((0..40).map(async |n| {
        let body = json!({"email": format!("guest{n}@example.com"), "notify": false});
        let service = if n % 2 == 0 { &acme.service } else { &sibling };
        let path = acme.at("/invitations");
        service.user("ada").post(&path, body).await.expect(StatusCode::CREATED);
    }))
    .await;
    receiver.hears_of("invitation.sent", 40).await;
    endpoint.ends(40).await;
    assert_eq!((receiver.ids().len(), receiver.heard().len()), (40, 40), "each once");
    for heard in receiver.heard() {
        let (workspace, seq) =
            (acme.id.parse::<Uuid>().unwrap(), heard.event()["workspaceseq"].as_i64().unwrap());
        assert_eq!(heard.id(), Uuid::new_v5(&workspace, &seq.to_be_bytes()).to_string());
    }
    sibling.leave().await;
    acme.stop().await;
}
