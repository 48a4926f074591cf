//! An endpoint that hangs delays nobody else: no other workspace, and no other endpoint of its own.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use super::receiver::{Receiver, Reply};
use super::{Endpoint, at_home, something_happens};
use crate::support::Acme;

const QUEUED: i64 = 10_000;
/// How many a process has under way to one endpoint.
const UNDER_WAY: usize = 4;

/// Writes down that many deliveries of one event to an endpoint.
async fn queues(admin: &PgPool, endpoint: &Endpoint<'_>) {
    let insert =
        "insert into deliveries (workspace_id, delivery_id, channel, lane, kind, trigger, event_id, position,
                                          workspace_seq, next_attempt_at, created_at)
                  select workspace_id, gen_random_uuid(), 'webhook', $2, 'workspace.created', 'redelivery',
                         gen_random_uuid(), position, workspace_seq, now(), now()
                  from events, generate_series(1, $3)
                  where workspace_id = $1 and workspace_seq = 1";
    let (workspace, lane): (Uuid, Uuid) = (endpoint.acme.id.parse().unwrap(), endpoint.id.parse().unwrap());
    let done = sqlx::query(insert).bind(workspace).bind(lane).bind(QUEUED).execute(admin).await.unwrap();
    assert_eq!(done.rows_affected(), QUEUED as u64);
}

#[tokio::test]
async fn ten_thousand_deliveries_to_an_endpoint_that_hangs_hold_up_nobody_else() {
    let waiting = |settings: &mut tenure::config::Settings| {
        at_home(settings);
        // None of them ends while this test runs.
        settings.delivery_times.patience = Duration::from_mins(30);
    };
    let acme = Acme::found_with(waiting).await;
    let (hanging, healthy) = (Receiver::start(), Receiver::start());
    hanging.answers(|_| Reply::Hangs);
    let stuck = Endpoint::create(&acme, &hanging.url("/"), &["webhook_endpoint.tested"]).await;
    Endpoint::create(&acme, &healthy.url("/beside"), &["membership.role_changed"]).await;
    let dave = acme.service.user("dave");
    let other = dave.creates("Globex").await;
    let body = json!({"url": healthy.url("/elsewhere"), "events": ["workspace.profile_changed"]});
    dave.post(&format!("/v1/workspaces/{other}/webhooks"), body).await.expect(StatusCode::CREATED);
    let admin = acme.service.admin().await;
    queues(&admin, &stuck).await;
    stuck.tests().await;
    hanging.hears(|heard| heard.len() == UNDER_WAY).await;

    for n in 0..10 {
        something_happens(&acme, if n % 2 == 0 { "admin" } else { "member" }).await;
        let name = json!({"name": format!("Globex {n}")});
        dave.patch(&format!("/v1/workspaces/{other}"), name).await.expect(StatusCode::OK);
    }
    healthy
        .hears(|heard| {
            ["/beside", "/elsewhere"]
                .iter()
                .all(|path| heard.iter().filter(|h| h.path == *path).count() == 10)
        })
        .await;
    assert_eq!(hanging.heard().len(), UNDER_WAY, "no more of its connections are taken up than that");
    let waiting: i64 = sqlx::query_scalar(
        "select count(*) from deliveries where lane = $1 and status = 'pending' and attempts = 0",
    )
    .bind(stuck.id.parse::<Uuid>().unwrap())
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(waiting, QUEUED + 1 - UNDER_WAY as i64);
    // Cleared, so that the service need not wait for them when it stops.
    stuck.ada().delete(&stuck.at("")).await.expect(StatusCode::NO_CONTENT);
    hanging.killed().await;
    admin.close().await;
    acme.stop().await;
}
