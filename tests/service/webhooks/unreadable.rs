//! An event that cannot be read is not sent as something else, and not lost: it goes out once it can be read again.

use std::time::Duration;

use serde_json::json;
use sqlx::Executor;

use super::receiver::Receiver;
use super::{Endpoint, at_home};
use crate::support::Acme;

#[tokio::test]
async fn an_event_that_cannot_be_read_waits_until_it_can() {
    let patient = |settings: &mut tenure::config::Settings| {
        at_home(settings);
        settings.delivery_times.webhook_schedule = vec![Duration::from_millis(30); 10_000];
        settings.delivery_times.failing = Duration::ZERO;
    };
    let (acme, receiver) = (Acme::found_with(patient).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["invitation.sent"]).await;
    acme.pending("eve@example.com").await;
    receiver.hears_of("invitation.sent", 1).await;
    endpoint.ends(1).await;
    let mut surgeon = acme.service.admin().await.acquire().await.unwrap().detach();
    surgeon.execute("set session_replication_role = replica").await.unwrap();
    let swap = |from: &str, to: &str| {
        format!(
            "update events set payload = replace(payload::text, '{from}', '{to}')::json where event_type = 'InvitationSent'"
        )
    };
    surgeon.execute(swap("sealed:", "sealed:x").as_str()).await.unwrap();
    let id = endpoint.deliveries().await[0]["id"].as_str().unwrap().to_owned();
    endpoint.ada().post(&endpoint.at(&format!("/deliveries/{id}/redeliver")), json!({})).await;
    let unread = |d: &serde_json::Value| d["trigger"] == "redelivery" && d["reason"] == "event_unreadable";
    let waits = async {
        while !endpoint.deliveries().await.iter().any(unread) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), waits).await.unwrap();
    assert_eq!(receiver.heard().len(), 1);
    surgeon.execute(swap("sealed:x", "sealed:").as_str()).await.unwrap();
    let heard = receiver.hears_of("invitation.sent", 2).await;
    assert_eq!((heard[0].id(), &heard[0].body), (heard[1].id(), &heard[1].body));
    assert_eq!(endpoint.shown().await["enabled"], true, "it is not the receiver's fault");
    acme.stop().await;
}
