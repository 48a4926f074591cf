//! What does not arrive is tried again: as the schedule says, or as its receiver asks.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use tenure::clock;

use super::receiver::{Receiver, Reply, says};
use super::{Endpoint, at_home, is_over, something_happens};
use crate::support::{Acme, TestService};

#[tokio::test]
async fn what_fails_is_tried_again_until_it_arrives() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let tries = AtomicUsize::new(0);
    receiver.answers(move |_| match tries.fetch_add(1, Ordering::SeqCst) {
        0 => says(500),
        1 => says(404),
        2 => Reply::Says(503, vec![("retry-after", "0".to_owned())], "later".to_owned()),
        _ => says(200),
    });
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    let delivery = endpoint.comes_to("membership.role_changed", is_over).await;
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("delivered"), &json!(4)));
    let log = delivery["attempt_log"].as_array().unwrap();
    let told: Vec<_> = log.iter().map(|attempt| (&attempt["status"], &attempt["reason"])).collect();
    let reasons = [json!("http_500"), json!("http_404"), json!("http_503"), json!(null)];
    let statuses = [json!(500), json!(404), json!(503), json!(200)];
    assert_eq!(told, statuses.iter().zip(&reasons).collect::<Vec<_>>());
    assert!(log.iter().all(|attempt| attempt["reply"].is_null()), "a private address's replies are not kept");
    let heard = receiver.heard();
    assert_eq!((heard.len(), receiver.ids().len()), (4, 1), "one id, however often it is sent");
    assert!(heard.iter().all(|again| again.body == heard[0].body));
    acme.stop().await;
}

#[tokio::test]
async fn what_never_arrives_has_failed_when_the_schedule_ends_and_can_be_sent_again() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    receiver.answers(|_| says(500));
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    let delivery = endpoint.comes_to("membership.role_changed", is_over).await;
    assert_eq!((&delivery["status"], &delivery["attempts"]), (&json!("failed"), &json!(6)));
    assert_eq!(delivery["reason"], "http_500");
    receiver.answers(|_| says(200));
    let id = delivery["id"].as_str().unwrap();
    endpoint.ada().post(&endpoint.at(&format!("/deliveries/{id}/redeliver")), json!({})).await;
    let again = |d: &serde_json::Value| d["trigger"] == "redelivery" && is_over(d);
    let again = endpoint.comes_to("membership.role_changed", again).await;
    assert_eq!((&again["status"], &again["event_id"]), (&json!("delivered"), &delivery["event_id"]));
    assert_eq!((receiver.heard().len(), receiver.ids().len()), (7, 1));
    acme.stop().await;
}

#[tokio::test]
async fn a_receiver_may_ask_for_time_in_seconds_or_until_a_date() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let date = (clock::now() + TimeDelta::hours(2)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for (path, status, after, hours) in
        [("/a", 429, "3600".to_owned(), 1), ("/b", 503, date, 2), ("/c", 503, "999999999".to_owned(), 24)]
    {
        receiver.answers(move |_| Reply::Says(status, vec![("retry-after", after.clone())], String::new()));
        let endpoint = Endpoint::create(&acme, &receiver.url(path), &["webhook_endpoint.tested"]).await;
        endpoint.tests().await;
        let pending = endpoint.comes_to("webhook_endpoint.tested", |d| !d["reason"].is_null()).await;
        assert_eq!(pending["status"], "pending");
        let next: DateTime<Utc> = pending["next_attempt_at"].as_str().unwrap().parse().unwrap();
        let wait = next - clock::now();
        let (least, most) = (TimeDelta::hours(hours) - TimeDelta::minutes(5), TimeDelta::hours(hours));
        assert!(least < wait && wait <= most, "{path}: {wait}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_is_not_followed() {
    let acme = Acme::found_with(at_home).await;
    let (receiver, other) = (Receiver::start(), Receiver::start());
    let there = other.url("/");
    receiver.answers(move |_| Reply::Says(302, vec![("location", there.clone())], String::new()));
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    let delivery = endpoint.comes_to("membership.role_changed", is_over).await;
    assert_eq!((&delivery["status"], &delivery["reason"]), (&json!("failed"), &json!("http_302")));
    assert!(other.heard().is_empty());
    acme.stop().await;
}

#[tokio::test]
async fn a_receiver_that_hangs_has_timed_out_and_one_that_is_away_refused() {
    let hasty = |settings: &mut tenure::config::Settings| {
        at_home(settings);
        settings.delivery_times.patience = Duration::from_millis(100);
    };
    let (acme, receiver) = (Acme::found_with(hasty).await, Receiver::start());
    receiver.answers(|_| Reply::Hangs);
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    let delivery = endpoint.comes_to("membership.role_changed", is_over).await;
    assert_eq!((&delivery["reason"], &delivery["attempts"]), (&json!("timeout"), &json!(6)));
    receiver.killed().await;
    something_happens(&acme, "member").await;
    endpoint.comes_to("membership.role_changed", |d| is_over(d) && d["reason"] == "refused").await;
    acme.stop().await;
}

#[tokio::test]
async fn what_is_pending_when_the_service_stops_goes_out_when_it_starts() {
    let later = |settings: &mut tenure::config::Settings| {
        at_home(settings);
        settings.delivery_times.webhook_schedule = vec![Duration::ZERO, Duration::from_secs(1)];
    };
    let (acme, receiver) = (Acme::found_with(later).await, Receiver::start());
    receiver.answers(|_| says(500));
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    endpoint.comes_to("membership.role_changed", |d| !d["reason"].is_null()).await;
    receiver.answers(|_| says(200));
    let next: TestService = acme.service.sibling_with(later).await;
    acme.service.leave().await;
    let heard = receiver.hears_of("membership.role_changed", 2).await;
    assert_eq!((heard.len(), receiver.ids().len()), (2, 1));
    next.stop().await;
}
