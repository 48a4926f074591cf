//! What was forgotten is told no more, and what receivers replied is forgotten with it.

use reqwest::StatusCode;
use serde_json::json;
use tenure::data_keys::Owner;
use tenure::webhooks::reply;
use tenure_aggregates::{InvitationId, WorkspaceId};
use uuid::Uuid;

use super::receiver::Receiver;
use super::{Endpoint, at_home, is_over};
use crate::support::Acme;

#[tokio::test]
async fn what_was_erased_in_the_meantime_is_not_told_any_more() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["invitation.sent"]).await;
    acme.pending("dave@example.com").await;
    let first = receiver.hears_of("invitation.sent", 1).await.remove(0);
    assert_eq!(first.event()["data"]["email"], "dave@example.com");
    let delivery = endpoint.comes_to("invitation.sent", is_over).await;
    acme.service.operator().delete("/v1/users/dave").await.expect(StatusCode::NO_CONTENT);
    let id = delivery["id"].as_str().unwrap();
    let again = endpoint.at(&format!("/deliveries/{id}/redeliver"));
    endpoint.ada().post(&again, json!({})).await.expect(StatusCode::ACCEPTED);
    let second = receiver.hears_of("invitation.sent", 2).await.remove(1);
    assert_eq!((second.id(), &second.event()["data"]["email"]), (first.id(), &json!("[erased]")));
    acme.stop().await;
}

#[tokio::test]
async fn replies_are_sealed_for_their_place_and_forgotten_with_whom_the_event_speaks_of() {
    let acme = Acme::found_with(at_home).await;
    let (vault, workspace) = (acme.service.app().vault.clone(), acme.id.parse::<Uuid>().unwrap());
    let (invitation, _) = acme.pending("dave@example.com").await;
    let of_invitation = Owner::Invitation(WorkspaceId(workspace), InvitationId(invitation.parse().unwrap()));
    let of_workspace = Owner::Workspace(WorkspaceId(workspace));
    let (delivery, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let seal = async |owner, attempt, text: &[u8]| {
        reply::seal(&vault, owner, delivery, attempt, text).await.unwrap()
    };
    assert_eq!(seal(of_workspace, 1, b"").await, None);
    let hello = seal(of_workspace, 1, "thanks, d\u{e4}ve".as_bytes()).await;
    let odd = seal(of_invitation, 2, b"dave \xff\xfe").await;
    let sealed = vec![hello.clone(), None, odd.clone()];
    assert!(sealed.iter().flatten().all(|text| text.starts_with("sealed:") && !text.contains("dave")));
    let open = async |delivery, replies| reply::open(&vault, workspace, delivery, replies).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        open(delivery, sealed.clone()).await,
        [text("thanks, däve"), None, text("dave \u{fffd}\u{fffd}")]
    );
    assert_eq!(open(other, sealed.clone()).await, [None, None, None], "moved, they are not shown");

    acme.service.operator().delete("/v1/users/dave").await.expect(StatusCode::NO_CONTENT);
    assert_eq!(open(delivery, sealed.clone()).await, [text("thanks, däve"), None, text("[erased]")]);
    assert_eq!(seal(of_invitation, 3, b"dave").await, None, "there is no key any more");
    acme.ada().delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(open(delivery, sealed).await, [text("[erased]"), None, text("[erased]")]);
    acme.stop().await;
}
