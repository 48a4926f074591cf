//! Endpoints that are given up on: gone, or failing for too long.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use super::receiver::{Receiver, says};
use super::{Endpoint, at_home, is_over, something_happens};
use crate::support::Acme;

#[tokio::test]
async fn who_says_that_it_is_gone_is_disabled_and_told_nothing_more() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    receiver.answers(|_| says(410));
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    endpoint.is_disabled("gone").await;
    let delivery = endpoint.comes_to("membership.role_changed", is_over).await;
    assert_eq!((&delivery["status"], &delivery["reason"]), (&json!("failed"), &json!("http_410")));
    assert_eq!(delivery["attempts"], 1);
    let trail = acme.ada().sees(&acme.at("/audit-log?action=webhook_endpoint.disabled")).await;
    let entry = &trail.items()[0];
    assert_eq!(
        (&entry["actor"]["type"], &entry["origin"]["causation_id"]),
        (&json!("system"), &delivery["event_id"])
    );

    something_happens(&acme, "member").await;
    receiver.answers(|_| says(200));
    endpoint.ada().patch(&endpoint.at(""), json!({"enabled": true})).await.expect(StatusCode::OK);
    something_happens(&acme, "admin").await;
    receiver.hears_of("membership.role_changed", 2).await;
    endpoint.comes_to("membership.role_changed", |d| d["status"] == "delivered").await;
    assert_eq!(receiver.heard().len(), 2, "what happened in between is not told by itself");
    acme.stop().await;
}

#[tokio::test]
async fn an_endpoint_that_fails_for_too_long_is_disabled_and_what_is_pending_called_off() {
    let impatient = |settings: &mut tenure::config::Settings| {
        at_home(settings);
        settings.delivery_times.webhook_schedule = vec![Duration::from_millis(20); 1_000];
        settings.delivery_times.failing = Duration::from_millis(200);
    };
    let (acme, receiver) = (Acme::found_with(impatient).await, Receiver::start());
    receiver.answers(|_| says(500));
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    for role in ["admin", "member", "admin"] {
        something_happens(&acme, role).await;
    }
    endpoint.is_disabled("failing").await;
    endpoint.ends(3).await;
    for delivery in endpoint.deliveries().await {
        let (status, reason) = (&delivery["status"], &delivery["reason"]);
        let called_off = (status, reason) == (&json!("cancelled"), &json!("endpoint_disabled"));
        assert!(called_off || (status, reason) == (&json!("failed"), &json!("http_500")), "{delivery:#}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_success_in_between_begins_the_days_anew() {
    let patient = |settings: &mut tenure::config::Settings| {
        at_home(settings);
        settings.delivery_times.failing = Duration::from_hours(1);
    };
    let (acme, receiver) = (Acme::found_with(patient).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    let admin = acme.service.admin().await;
    let failing = "update webhook_targets set failing_since = $1";
    let fails_since = |hours| tenure::clock::now() - chrono::TimeDelta::hours(hours);
    something_happens(&acme, "admin").await;
    endpoint.comes_to("membership.role_changed", is_over).await;
    sqlx::query(failing).bind(fails_since(2)).execute(&admin).await.unwrap();
    something_happens(&acme, "member").await;
    endpoint.ends(2).await;
    let since: Option<chrono::DateTime<chrono::Utc>> =
        sqlx::query_scalar("select failing_since from webhook_targets").fetch_one(&admin).await.unwrap();
    assert_eq!(since, None);
    receiver.answers(|_| says(500));
    something_happens(&acme, "admin").await;
    endpoint.ends(3).await;
    assert_eq!(endpoint.shown().await["enabled"], true);
    sqlx::query(failing).bind(fails_since(2)).execute(&admin).await.unwrap();
    something_happens(&acme, "member").await;
    endpoint.is_disabled("failing").await;
    admin.close().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_suspended_workspace_is_told_so_and_its_endpoint_can_be_given_up_on() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    receiver.answers(|_| says(410));
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["workspace.suspended"]).await;
    let suspend = json!({"reason": "unpaid"});
    acme.service.operator().post(&acme.at("/suspend"), suspend).await.expect(StatusCode::OK);
    receiver.hears_of("workspace.suspended", 1).await;
    endpoint.is_disabled("gone").await;
    acme.stop().await;
}
