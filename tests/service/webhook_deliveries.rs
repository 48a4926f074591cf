//! Deliveries as their workspace sees them: listed, looked into, asked for (attacks 1, 16, 49).

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure::data_keys::Owner;
use tenure::feeds::cloud_event::event_id;
use tenure::webhooks::reply;
use tenure::{deliveries, ids};
use tenure_aggregates::WorkspaceId;
use uuid::Uuid;

use crate::support::Answer;
use crate::support::contract::Acme;
use crate::support::routes::delivered;

/// An endpoint that nothing happens to reach.
async fn endpoint(acme: &Acme) -> String {
    let body = json!({"url": "http://127.0.0.1:9/hook", "events": ["user.erased"]});
    acme.ada().post(&acme.at("/webhooks"), body).await.expect(StatusCode::CREATED).text("id")
}

fn at(acme: &Acme, endpoint: &str, rest: &str) -> String {
    acme.at(&format!("/webhooks/{endpoint}{rest}"))
}

/// Writes down a delivery of the workspace's event of that number, as whoever delivers would.
async fn writes(acme: &Acme, endpoint: &str, seq: i64, kind: &str, status: &str, second: i64) -> String {
    let (admin, id) = (acme.service.admin().await, ids::new_v7());
    sqlx::query(
        "insert into deliveries (workspace_id, delivery_id, channel, lane, kind, trigger, event_id, position,
             workspace_seq, status, attempts, reason, created_at, finished_at)
         select workspace_id, $1, 'webhook', $2, $3, 'event', $8, position, workspace_seq, $4, 2, 'http_503',
                recorded_at + $5 * interval '1 second', recorded_at
         from events where workspace_id = $6 and workspace_seq = $7",
    )
    .bind(id)
    .bind(endpoint.parse::<Uuid>().unwrap())
    .bind(kind)
    .bind(status)
    .bind(second as f64)
    .bind(acme.id.parse::<Uuid>().unwrap())
    .bind(seq)
    .bind(event_id(acme.id.parse().unwrap(), seq))
    .execute(&admin)
    .await
    .unwrap();
    admin.close().await;
    id.to_string()
}

/// Writes down two attempts, the second with a reply.
async fn attempts(acme: &Acme, delivery: &str) {
    let (workspace, delivery): (Uuid, Uuid) = (acme.id.parse().unwrap(), delivery.parse().unwrap());
    let owner = Owner::Workspace(WorkspaceId(workspace));
    let reply = reply::seal(&acme.service.app().vault, owner, delivery, 2, b"<b>thanks</b>").await.unwrap();
    let admin = acme.service.admin().await;
    sqlx::query(
        "insert into delivery_attempts (workspace_id, delivery_id, attempt, at, delivered, status, reason, latency_ms,
             reply)
         values ($1, $2, 2, '2026-01-01T00:00:05Z', true, 200, null, 7, $3),
                ($1, $2, 1, '2026-01-01T00:00:00Z', false, 503, 'http_503', 12, null)",
    )
    .bind(workspace)
    .bind(delivery)
    .bind(reply.unwrap())
    .execute(&admin)
    .await
    .unwrap();
    admin.close().await;
}

#[tokio::test]
async fn deliveries_are_listed_newest_first_by_status_and_type() {
    let acme = Acme::found().await;
    let (here, there) = (endpoint(&acme).await, endpoint(&acme).await);
    let one = writes(&acme, &here, 1, "workspace.created", "delivered", 1).await;
    let two = writes(&acme, &here, 2, "membership.started", "failed", 2).await;
    let three = writes(&acme, &here, 3, "membership.ended", "delivered", 3).await;
    writes(&acme, &there, 1, "workspace.created", "delivered", 4).await;
    let list = async |query: &str| -> Vec<String> {
        let answer = acme.ada().sees(&at(&acme, &here, &format!("/deliveries{query}"))).await;
        answer.column("id").into_iter().map(str::to_owned).collect()
    };
    assert_eq!(list("").await, [three.clone(), two.clone(), one.clone()]);
    assert_eq!(list("?status=delivered").await, [three.clone(), one.clone()]);
    assert_eq!(list("?type=membership.*").await, [three.clone(), two.clone()]);
    assert_eq!(list("?type=membership.*&status=failed").await, std::slice::from_ref(&two));
    assert_eq!(list("?type=workspace.created").await, std::slice::from_ref(&one));
    assert_eq!(list("?type=workspace").await, [] as [String; 0]);
    let (mut seen, mut path) = (Vec::new(), at(&acme, &here, "/deliveries?limit=1"));
    loop {
        let page = acme.ada().sees(&path).await;
        seen.push(page.column("id")[0].to_owned());
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        acme.ada()
            .get(&at(&acme, &there, &format!("/deliveries?limit=1&cursor={cursor}")))
            .await
            .refused(400, "cursor_invalid");
        path = at(&acme, &here, &format!("/deliveries?limit=1&cursor={cursor}"));
    }
    assert_eq!(seen, [three, two, one]);
    for query in ["?status=lost", "?type=A", "?type=", "?kind=a"] {
        let answer = acme.ada().get(&at(&acme, &here, &format!("/deliveries{query}"))).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_delivery_says_what_is_sent_and_what_came_of_each_attempt() {
    let acme = Acme::found().await;
    let endpoint = endpoint(&acme).await;
    let id = writes(&acme, &endpoint, 1, "workspace.created", "delivered", 0).await;
    attempts(&acme, &id).await;
    let shown = acme.ada().sees(&at(&acme, &endpoint, &format!("/deliveries/{id}"))).await.body;
    let listed = acme.ada().sees(&at(&acme, &endpoint, "/deliveries")).await.items()[0].clone();
    for (field, value) in listed.as_object().unwrap() {
        assert_eq!(&shown[field], value, "{field}");
    }
    assert_eq!((&shown["endpoint_id"], &shown["workspace_seq"]), (&json!(endpoint), &json!(1)));
    let request = &shown["request"];
    assert_eq!((&request["method"], &request["url"]), (&json!("POST"), &json!("http://127.0.0.1:9/hook")));
    assert_eq!(request["headers"]["webhook-id"], shown["event_id"]);
    assert!(request["headers"]["content-type"].as_str().unwrap().starts_with("application/cloudevents+json"));
    assert!(request["headers"].get("webhook-signature").is_none(), "each attempt has its own");
    assert_eq!(request["body"]["type"], "tenure.workspace.created.v1");
    assert_eq!(
        (&request["body"]["workspaceseq"], &request["body"]["data"]["name"]),
        (&json!(1), &json!("Acme"))
    );
    let expected = json!([
        {"attempt": 1, "at": "2026-01-01T00:00:00Z", "delivered": false, "status": 503, "reason": "http_503",
         "latency_ms": 12, "reply": null},
        {"attempt": 2, "at": "2026-01-01T00:00:05Z", "delivered": true, "status": 200, "reason": null,
         "latency_ms": 7, "reply": "<b>thanks</b>"},
    ]);
    assert_eq!(shown["attempt_log"], expected);
    acme.stop().await;
}

#[tokio::test]
async fn what_was_erased_since_reads_so_in_what_is_sent() {
    let acme = Acme::found().await;
    let (token, operator) =
        (acme.ada().invites(&acme.id, "dave@example.com", "member").await, acme.service.operator());
    acme.service.user("dave").accepts(&token).await.expect(StatusCode::OK);
    let seq = end(&acme).await;
    let endpoint = endpoint(&acme).await;
    // The invitation, of which the acceptance and the membership followed.
    let id = writes(&acme, &endpoint, seq - 2, "invitation.sent", "delivered", 0).await;
    let path = at(&acme, &endpoint, &format!("/deliveries/{id}"));
    assert_eq!(acme.ada().sees(&path).await.body["request"]["body"]["data"]["email"], "dave@example.com");
    operator.delete("/v1/users/dave").await.expect(StatusCode::NO_CONTENT);
    let shown = acme.ada().sees(&path).await.body;
    assert_eq!(shown["request"]["body"]["data"]["email"], "[erased]");
    assert!(!shown.to_string().contains("dave@example.com"));
    acme.stop().await;
}

// Attack 1.
#[tokio::test]
async fn a_delivery_of_another_endpoint_is_none() {
    let acme = Acme::found().await;
    let (here, there) = (endpoint(&acme).await, endpoint(&acme).await);
    let (foreign, absent) = (delivered(&acme.service, &acme.id, &there).await, ids::new_v7().to_string());
    let bodies = async |delivery: &str| -> Vec<Value> {
        let found = acme.ada().get(&at(&acme, &here, &format!("/deliveries/{delivery}"))).await;
        let again = at(&acme, &here, &format!("/deliveries/{delivery}/redeliver"));
        let again = acme.ada().post(&again, json!({})).await;
        let strip = |answer: Answer| {
            let mut body = answer.refused(404, "not_found").body;
            for member in ["request_id", "instance"] {
                body.as_object_mut().unwrap().remove(member);
            }
            body
        };
        vec![strip(found), strip(again)]
    };
    let head = acme.service.head().await;
    assert_eq!(bodies(&foreign).await, bodies(&absent).await);
    assert_eq!(acme.service.head().await, head);
    acme.ada().sees(&at(&acme, &there, &format!("/deliveries/{foreign}"))).await;
    acme.stop().await;
}

/// Waits until a delivery is written down, and returns it.
async fn comes(acme: &Acme, endpoint: &str, delivery: &str) -> Value {
    for _ in 0..400 {
        let answer = acme.ada().get(&at(acme, endpoint, &format!("/deliveries/{delivery}"))).await;
        if answer.status == StatusCode::OK {
            return answer.body;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("nothing is to be delivered");
}

/// Where the workspace's history ends.
async fn end(acme: &Acme) -> i64 {
    acme.service.app().reads.end_of(WorkspaceId(acme.id.parse().unwrap())).await.unwrap().0
}

#[tokio::test]
async fn a_test_is_an_event_of_the_workspace() {
    let acme = Acme::found().await;
    let endpoint = endpoint(&acme).await;
    let path = at(&acme, &endpoint, "/test");
    let headers = [("idempotency-key", "one")];
    let ask =
        async || acme.ada().send(Method::POST, &path, None, &headers).await.expect(StatusCode::ACCEPTED);
    let (first, again) = (ask().await, ask().await);
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let entries = acme.ada().sees(&acme.at("/audit-log?action=webhook_endpoint.tested")).await;
    assert_eq!(entries.items().len(), 1);
    assert_eq!(entries.items()[0]["changes"]["delivery_id"]["to"], first.body["delivery_id"]);
    let made = comes(&acme, &endpoint, &first.text("delivery_id")).await;
    assert_eq!((&made["trigger"], &made["type"]), (&json!("test"), &json!("webhook_endpoint.tested")));
    assert_eq!(made["request"]["body"]["id"], made["event_id"], "the event that says that it was asked for");
    assert_eq!(made["position"], first.position());
    acme.stop().await;
}

#[tokio::test]
async fn a_stretch_of_the_history_is_asked_for_again() {
    let acme = Acme::found().await;
    let endpoint = endpoint(&acme).await;
    let path = at(&acme, &endpoint, "/redeliver");
    let head = end(&acme).await;
    let asked =
        acme.ada().post(&path, json!({"from_seq": 2, "to_seq": head})).await.expect(StatusCode::ACCEPTED);
    assert_eq!((&asked.body["from_seq"], &asked.body["to_seq"]), (&json!(2), &json!(head)));
    assert!(asked.body.get("delivery_id").is_none() && asked.body["redelivery_id"].is_string());
    let entry = acme.ada().sees(&acme.at("/audit-log?action=webhook_endpoint.redelivery_requested")).await;
    assert_eq!(entry.items()[0]["changes"]["to_seq"]["to"], head);
    for (body, pointer, code) in [
        (json!({"from_seq": 0, "to_seq": 1}), "/from_seq", "invalid"),
        (json!({"from_seq": 2, "to_seq": 1}), "/to_seq", "invalid"),
        // The request itself was an event.
        (json!({"from_seq": 1, "to_seq": head + 2}), "/to_seq", "invalid"),
        (json!({"to_seq": 1}), "/from_seq", "required"),
        (json!({"from_seq": 1}), "/to_seq", "required"),
        (json!({"from_seq": "1", "to_seq": 1}), "/from_seq", "wrong_type"),
    ] {
        let refused = acme.ada().post(&path, body).await.refused(400, "validation_failed");
        assert_eq!(refused.errors(), [(pointer, code)]);
    }
    acme.stop().await;
}

#[tokio::test]
async fn one_delivery_is_asked_for_again() {
    let acme = Acme::found().await;
    let endpoint = endpoint(&acme).await;
    let id = writes(&acme, &endpoint, 2, "membership.started", "failed", 0).await;
    let path = at(&acme, &endpoint, &format!("/deliveries/{id}/redeliver"));
    let asked = acme.ada().post(&path, json!({})).await.expect(StatusCode::ACCEPTED);
    assert_eq!((&asked.body["from_seq"], &asked.body["to_seq"]), (&json!(2), &json!(2)));
    let made = comes(&acme, &endpoint, &asked.text("delivery_id")).await;
    assert_eq!((&made["trigger"], &made["type"]), (&json!("redelivery"), &json!("membership.started")));
    let first = acme.ada().sees(&at(&acme, &endpoint, &format!("/deliveries/{id}"))).await.body;
    assert_eq!(made["event_id"], first["event_id"], "receivers know it again");
    assert_eq!(made["request"]["body"], first["request"]["body"]);
    acme.stop().await;
}

#[tokio::test]
async fn a_stretch_brings_what_the_endpoint_asks_for_also_from_before_it_was_there() {
    let acme = Acme::found().await;
    let body = json!({"url": "http://127.0.0.1:9/hook", "events": ["membership.*"]});
    let made = acme.ada().post(&acme.at("/webhooks"), body).await.expect(StatusCode::CREATED);
    let (endpoint, before) = (made.text("id"), end(&acme).await - 1);
    let stretch = json!({"from_seq": 1, "to_seq": before});
    let path = at(&acme, &endpoint, "/redeliver");
    let asked = acme.ada().post(&path, stretch).await.expect(StatusCode::ACCEPTED);
    let history = acme.ada().sees(&acme.at("/audit-log?action=membership.*")).await;
    for entry in history.items() {
        let event = event_id(acme.id.parse().unwrap(), entry["workspace_seq"].as_i64().unwrap());
        let id = deliveries::repeated(asked.text("redelivery_id").parse().unwrap(), event);
        let delivery = comes(&acme, &endpoint, &id.to_string()).await;
        assert_eq!((&delivery["event_id"], &delivery["type"]), (&json!(event), &entry["action"]));
    }
    let listed = acme.ada().sees(&at(&acme, &endpoint, "/deliveries")).await;
    assert_eq!(listed.items().len(), history.items().len(), "and nothing else");
    acme.stop().await;
}
