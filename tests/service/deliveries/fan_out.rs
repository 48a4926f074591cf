//! What is written down to be delivered: what was listened to when it happened, once, and of one workspace only.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::{PgPool, Row};
use tenure::clock;
use tenure::config::Settings;
use tenure::deliveries::target::forget_closed;
use tenure::projector::rebuild;
use tenure_projections::ALL;
use uuid::Uuid;

use crate::support::{Acme, TestService, User};

/// A place where nobody answers.
const NOWHERE: &str = "http://127.0.0.1:1/hook";

fn on_loopback(settings: &mut Settings) {
    settings.webhook_allow_networks = Some("127.0.0.0/8".to_owned());
}

/// Creates an endpoint; its id.
async fn listens(user: &User<'_>, workspace: &str, events: &[&str]) -> Uuid {
    let body = json!({"url": NOWHERE, "events": events});
    let created = user.post(&format!("/v1/workspaces/{workspace}/webhooks"), body).await;
    created.expect(StatusCode::CREATED).text("id").parse().unwrap()
}

/// What is written down for each endpoint once the channel has come to the end of the log: event types, in order.
async fn written(service: &TestService) -> BTreeMap<Uuid, Vec<String>> {
    let admin = service.admin().await;
    arrives(&admin, "webhook", service.head().await).await;
    let rows =
        sqlx::query("select lane, kind from deliveries where channel = 'webhook' order by position, lane")
            .fetch_all(&admin)
            .await
            .unwrap();
    let mut written = BTreeMap::<Uuid, Vec<String>>::new();
    for row in rows {
        written.entry(row.get(0)).or_default().push(row.get(1));
    }
    written
}

/// Waits until a channel has come to a position.
async fn arrives(admin: &PgPool, channel: &str, position: i64) {
    for _ in 0..1_000 {
        let at: i64 = sqlx::query_scalar("select position from delivery_checkpoints where channel = $1")
            .bind(channel)
            .fetch_one(admin)
            .await
            .unwrap();
        if at >= position {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the channel {channel} does not come to {position}");
}

async fn adds(acme: &Acme, user: &str) {
    acme.ada().put(&acme.at(&format!("/members/{user}")), json!({})).await.expect(StatusCode::CREATED);
}

async fn removes(acme: &Acme, user: &str) {
    acme.ada().delete(&acme.at(&format!("/members/{user}"))).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn an_endpoint_is_told_what_it_asked_for_from_its_creation_on() {
    let acme = Acme::found_with(on_loopback).await;
    let members = listens(&acme.ada(), &acme.id, &["membership.*"]).await;
    let all = listens(&acme.ada(), &acme.id, &["*"]).await;
    let none = listens(&acme.ada(), &acme.id, &["workspace.suspended"]).await;
    adds(&acme, "dave").await;
    let written = written(&acme.service).await;
    assert_eq!(written[&members], ["membership.started"]);
    assert_eq!(
        written[&all],
        ["webhook_endpoint.created", "membership.started"],
        "not of itself, but of the next"
    );
    assert!(!written.contains_key(&none));
    acme.stop().await;
}

// S2.11: each delivery belongs to one workspace.
#[tokio::test]
async fn what_happens_elsewhere_is_nobodys_business() {
    let acme = Acme::found_with(on_loopback).await;
    let other = acme.service.user("dave").creates("Umbrella").await;
    let (here, there) = (
        listens(&acme.ada(), &acme.id, &["*"]).await,
        listens(&acme.service.user("dave"), &other, &["*"]).await,
    );
    adds(&acme, "dave").await;
    acme.service
        .user("dave")
        .patch(&format!("/v1/workspaces/{other}"), json!({"name": "U"}))
        .await
        .expect(StatusCode::OK);
    let written = written(&acme.service).await;
    assert_eq!(written[&here], ["membership.started"]);
    assert_eq!(written[&there], ["workspace.profile_changed"]);
    acme.stop().await;
}

// However far behind the channel is, an event goes to those that were listening when it happened.
#[tokio::test]
async fn a_stretch_that_is_read_at_once_is_told_as_it_happened() {
    let acme = Acme::found_with(on_loopback).await;
    let admin = acme.service.admin().await;
    arrives(&admin, "webhook", acme.service.head().await).await;
    let mut held = admin.begin().await.unwrap();
    sqlx::query("select position from delivery_checkpoints where channel = 'webhook' for update")
        .execute(&mut *held)
        .await
        .unwrap();
    adds(&acme, "dave").await;
    let endpoint = listens(&acme.ada(), &acme.id, &["membership.*"]).await;
    removes(&acme, "dave").await;
    let at = acme.at(&format!("/webhooks/{endpoint}"));
    acme.ada().patch(&at, json!({"enabled": false})).await.expect(StatusCode::OK);
    adds(&acme, "dave").await;
    acme.ada()
        .patch(&at, json!({"enabled": true, "events": ["membership.ended"]}))
        .await
        .expect(StatusCode::OK);
    removes(&acme, "dave").await;
    adds(&acme, "dave").await;
    // All of it is one stretch.
    acme.service.app().reads.wait_for(acme.service.head().await).await.unwrap();
    held.rollback().await.unwrap();
    assert_eq!(written(&acme.service).await[&endpoint], ["membership.ended", "membership.ended"]);
    let cancelled: i64 = sqlx::query_scalar(
        "select count(*) from deliveries where status = 'cancelled' and reason = 'endpoint_disabled'",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(
        cancelled, 0,
        "what was cancelled was not written down yet, and goes out after all is enabled again"
    );
    acme.stop().await;
}

#[tokio::test]
async fn what_waits_for_an_endpoint_is_called_off_with_it() {
    let acme = Acme::found_with(on_loopback).await;
    let paused = listens(&acme.ada(), &acme.id, &["membership.*"]).await;
    let deleted = listens(&acme.ada(), &acme.id, &["membership.*"]).await;
    adds(&acme, "dave").await;
    written(&acme.service).await;
    let at = |endpoint: Uuid| acme.at(&format!("/webhooks/{endpoint}"));
    acme.ada().patch(&at(paused), json!({"enabled": false})).await.expect(StatusCode::OK);
    acme.ada().delete(&at(deleted)).await.expect(StatusCode::NO_CONTENT);
    written(&acme.service).await;
    let admin = acme.service.admin().await;
    let states: Vec<(String, String)> =
        sqlx::query_as("select status, reason from deliveries").fetch_all(&admin).await.unwrap();
    let off = ("cancelled".to_owned(), "endpoint_disabled".to_owned());
    assert_eq!(states, [off.clone(), off]);
    let targets: Vec<Uuid> =
        sqlx::query_scalar("select endpoint_id from webhook_targets").fetch_all(&admin).await.unwrap();
    assert_eq!(targets, [paused]);
    acme.stop().await;
}

#[tokio::test]
async fn two_processes_write_it_down_once() {
    let acme = Acme::found_with(on_loopback).await;
    let sibling = acme.service.sibling().await;
    let endpoint = listens(&acme.ada(), &acme.id, &["membership.*"]).await;
    for _ in 0..10 {
        adds(&acme, "dave").await;
        removes(&acme, "dave").await;
    }
    assert_eq!(written(&acme.service).await[&endpoint].len(), 20);
    sibling.leave().await;
    acme.stop().await;
}

// The end of a workspace is still told to whoever listened, and then nothing is left of where that was.
#[tokio::test]
async fn the_end_of_a_workspace_is_told_and_then_forgotten() {
    let acme = Acme::found_with(|settings| {
        on_loopback(settings);
        settings.delivery_times.webhook_schedule = vec![Duration::ZERO];
    })
    .await;
    let endpoint = listens(&acme.ada(), &acme.id, &["workspace.deleted"]).await;
    // What was never heard of before its keys were gone has nowhere to go.
    assert!(written(&acme.service).await.is_empty());
    acme.ada().delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(written(&acme.service).await[&endpoint], ["workspace.deleted"]);
    let admin = acme.service.admin().await;
    for _ in 0..500 {
        let status: String =
            sqlx::query_scalar("select status from deliveries").fetch_one(&admin).await.unwrap();
        if status == "failed" {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    forget_closed(&admin).await.unwrap();
    let left: i64 =
        sqlx::query_scalar("select count(*) from webhook_targets").fetch_one(&admin).await.unwrap();
    assert_eq!(left, 0);
    let why: String = sqlx::query_scalar("select reason from deliveries").fetch_one(&admin).await.unwrap();
    assert_eq!(why, "refused", "it was tried where the endpoint was");
    acme.stop().await;
}

#[tokio::test]
async fn a_rebuild_sends_nothing_again() {
    let acme = Acme::found_with(on_loopback).await;
    let endpoint = listens(&acme.ada(), &acme.id, &["membership.*"]).await;
    adds(&acme, "dave").await;
    assert_eq!(written(&acme.service).await[&endpoint].len(), 1);
    let app = acme.service.app();
    let names: Vec<&str> = ALL.iter().map(|projection| projection.name).collect();
    let owner = acme.service.admin().await;
    rebuild(&owner, &app.projector_pool, &app.vault, clock::now, &names, |_| {}).await.unwrap();
    removes(&acme, "dave").await;
    assert_eq!(written(&acme.service).await[&endpoint], ["membership.started", "membership.ended"]);
    acme.stop().await;
}
