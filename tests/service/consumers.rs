//! Consumers: readers of the feeds that keep their place with the service.

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tenure_projections::consumers::forget_deleted;

use crate::support::{Acme, Answer, Live, User};

async fn stores(user: &User<'_>, path: &str, body: Value, if_match: Option<&str>) -> Answer {
    let headers: Vec<_> = if_match.map(|tag| ("if-match", tag)).into_iter().collect();
    user.send(Method::PUT, path, Some(&body), &headers).await
}

#[tokio::test]
async fn a_consumer_stores_how_far_it_has_come_and_goes_on_there() {
    let acme = Acme::found().await;
    let (ada, path, head) = (acme.ada(), acme.at("/consumers/billing"), acme.service.head().await);
    ada.get(&path).await.refused(404, "not_found");
    let made = stores(&ada, &path, json!({"workspace_seq": 0}), None).await.expect(StatusCode::CREATED);
    assert_eq!((made.etag().as_str(), made.text("name").as_str()), ("\"1\"", "billing"));
    let moved = stores(&ada, &path, json!({"workspace_seq": 3}), None).await.expect(StatusCode::OK);
    assert_eq!((moved.etag().as_str(), &moved.body["workspace_seq"]), ("\"2\"", &json!(3)));
    let shown = ada.sees(&path).await;
    assert_eq!((shown.etag(), &shown.body), (moved.etag(), &moved.body));
    assert!(shown.body.get("position").is_none(), "{:#}", shown.body);
    let list = ada.sees(&acme.at("/consumers")).await;
    assert_eq!(list.items(), std::slice::from_ref(&shown.body));
    // In all three forms the feed goes on after the checkpoint.
    let lines = ada.sees(&acme.at("/events?consumer=billing&limit=1")).await;
    assert_eq!(lines.body["workspaceseq"], 4);
    let accept = [("accept", "application/json")];
    let page = ada.send(Method::GET, &acme.at("/events?consumer=billing"), None, &accept).await;
    assert_eq!(page.items()[0]["workspaceseq"], 4);
    assert_eq!(page.items().len() as i64, shown.body["lag"].as_i64().unwrap());
    let request = ada.request(Method::GET, &acme.at("/events?consumer=billing"));
    assert_eq!(Live::open(request).await.next().await.unwrap().id, 4);
    let request = ada.request(Method::GET, &acme.at("/events?consumer=billing")).header("last-event-id", "1");
    assert_eq!(Live::open(request).await.next().await.unwrap().id, 2);
    ada.get(&acme.at("/events?consumer=nobody")).await.refused(404, "not_found");
    ada.delete(&path).await.expect(StatusCode::NO_CONTENT);
    ada.delete(&path).await.refused(404, "not_found");
    ada.get(&path).await.refused(404, "not_found");
    assert_eq!(acme.service.head().await, head, "a checkpoint is no event");
    acme.stop().await;
}

#[tokio::test]
async fn a_checkpoint_moves_only_from_where_it_was_found() {
    let acme = Acme::found().await;
    let (ada, path) = (acme.ada(), acme.at("/consumers/billing"));
    let seq = |n: i64| json!({"workspace_seq": n});
    for tag in ["\"1\"", "*"] {
        stores(&ada, &path, seq(0), Some(tag)).await.refused(412, "precondition_failed");
    }
    stores(&ada, &path, seq(1), None).await.expect(StatusCode::CREATED);
    stores(&ada, &path, seq(2), Some("\"1\"")).await.expect(StatusCode::OK);
    stores(&ada, &path, seq(3), Some("\"1\"")).await.refused(412, "precondition_failed");
    // The answer to the first was lost: sent again it is already so.
    let again = stores(&ada, &path, seq(2), Some("\"1\"")).await.expect(StatusCode::OK);
    assert_eq!(again.etag(), "\"2\"");
    // Back it goes only when told to, and to what is not there yet never.
    let refused = stores(&ada, &path, seq(1), Some("\"2\"")).await;
    refused.refused(409, "checkpoint_behind").is_problem(409);
    let back = json!({"workspace_seq": 1, "backwards": true});
    stores(&ada, &path, back.clone(), Some("\"1\"")).await.refused(412, "precondition_failed");
    assert_eq!(stores(&ada, &path, back, None).await.expect(StatusCode::OK).etag(), "\"3\"");
    let end = ada.sees(&acme.at("/events")).await.body.as_str().unwrap().lines().count() as i64;
    for future in [end + 1, i64::MAX] {
        stores(&ada, &path, seq(future), None).await.refused(400, "position_in_future");
        let back = json!({"workspace_seq": future, "backwards": true});
        stores(&ada, &path, back, None).await.refused(400, "position_in_future");
    }
    stores(&ada, &path, seq(end), None).await.expect(StatusCode::OK);
    assert_eq!(ada.sees(&path).await.body["lag"], 0);
    // A position is none of a workspace's places, nor the other way round.
    stores(&ada, &path, json!({"position": 1}), None).await.refused(400, "validation_failed");
    for body in [json!({}), seq(-1), json!({"workspace_seq": "1"}), json!({"workspace_seq": 1.5})] {
        stores(&ada, &path, body, None).await.refused(400, "validation_failed");
    }
    let gone = ada.send(Method::DELETE, &path, None, &[("if-match", "\"1\"")]).await;
    gone.refused(412, "precondition_failed");
    acme.stop().await;
}

#[tokio::test]
async fn of_many_who_move_it_from_one_place_one_does() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let (operator, other) = (acme.service.operator(), sibling.operator());
    let path = "/v1/consumers/warehouse";
    stores(&operator, path, json!({"position": 0}), None).await.expect(StatusCode::CREATED);
    let writers = (1..=20).map(|n| {
        let user = if n % 2 == 0 { &operator } else { &other };
        stores(user, path, json!({"position": n}), Some("\"1\""))
    });
    let answers = join_all(writers).await;
    let won: Vec<_> = answers.iter().filter(|answer| answer.status == StatusCode::OK).collect();
    assert_eq!(won.len(), 1);
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::OK) {
        answer.clone().refused(412, "precondition_failed");
    }
    assert_eq!(operator.sees(path).await.body["position"], won[0].body["position"]);
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn the_consumers_of_all_events_are_the_operators_alone() {
    let acme = Acme::found().await;
    let (operator, path, head) =
        (acme.service.operator(), "/v1/consumers/warehouse", acme.service.head().await);
    let made = stores(&operator, path, json!({"position": head}), None).await.expect(StatusCode::CREATED);
    assert_eq!((&made.body["position"], &made.body["lag"]), (&json!(head), &json!(0)));
    assert!(made.body.get("workspace_seq").is_none());
    stores(&operator, path, json!({"position": head + 1}), None).await.refused(400, "position_in_future");
    assert_eq!(operator.sees("/v1/consumers").await.column("name"), ["warehouse"]);
    let events = operator.sees("/v1/events?consumer=warehouse").await;
    assert_eq!(events.body, "");
    for (method, path, body) in [
        (Method::GET, "/v1/consumers", None),
        (Method::GET, path, None),
        (Method::PUT, path, Some(json!({"position": 1}))),
        (Method::DELETE, path, None),
    ] {
        let answer = acme.ada().send(method, path, body.as_ref(), &[]).await;
        assert_eq!(answer.refused(403, "permission_denied").body["permission"], "operator");
    }
    // They lie in the installation's workspace, which nobody opens by its id.
    let home = tenure_aggregates::Catalogue::home();
    for user in [&operator, &acme.ada()] {
        user.get(&format!("/v1/workspaces/{home}/consumers")).await.refused(404, "not_found");
        user.get(&format!("/v1/workspaces/{home}/events")).await.refused(404, "not_found");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_key_that_reads_follows_and_only_one_that_integrates_keeps_its_place_here() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let path = acme.at("/consumers/billing");
    stores(&ada, &path, json!({"workspace_seq": 2}), None).await.expect(StatusCode::CREATED);
    let make = async |permissions: Value| {
        let body = json!({"name": "robot", "permissions": permissions});
        ada.post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED).text("key")
    };
    let (reads, integrates) =
        (make(json!(["audit:read"])).await, make(json!(["audit:read", "integrations:manage"])).await);
    let ask = async |key: &str, method: Method, path: &str, body: Option<Value>| {
        let request = acme.service.client.request(method, format!("{}{path}", acme.service.url));
        let request = request.bearer_auth(key);
        Answer::of(if let Some(body) = body { request.json(&body) } else { request }).await
    };
    let seq = Some(json!({"workspace_seq": 3}));
    ask(&reads, Method::GET, &path, None).await.expect(StatusCode::OK);
    ask(&reads, Method::GET, &acme.at("/events?consumer=billing"), None).await.expect(StatusCode::OK);
    let refused = ask(&reads, Method::PUT, &path, seq.clone()).await.refused(403, "permission_denied");
    assert_eq!(refused.body["permission"], "integrations:manage");
    ask(&reads, Method::DELETE, &path, None).await.refused(403, "permission_denied");
    ask(&integrates, Method::PUT, &path, seq).await.expect(StatusCode::OK);
    ask(&integrates, Method::DELETE, &path, None).await.expect(StatusCode::NO_CONTENT);
    let read_only = json!(["integrations:manage"]);
    let writes_only = make(read_only).await;
    ask(&writes_only, Method::GET, &path, None).await.refused(403, "permission_denied");
    acme.stop().await;
}

#[tokio::test]
async fn names_are_plain_and_a_feed_has_not_more_than_a_hundred() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let long = "a".repeat(65);
    for bad in ["A", "-a", ".a", "a%20b", "a%00", "%C3%BC", long.as_str()] {
        let path = acme.at(&format!("/consumers/{bad}"));
        let answer = stores(&operator, &path, json!({"workspace_seq": 0}), None).await;
        assert_eq!(answer.refused(400, "validation_failed").errors()[0].0, "consumer", "{bad}");
        let answer = operator.get(&path).await;
        assert!(answer.status.is_client_error(), "{bad}");
    }
    for n in 0..100 {
        let path = acme.at(&format!("/consumers/c{n}"));
        stores(&operator, &path, json!({"workspace_seq": 0}), None).await.expect(StatusCode::CREATED);
    }
    let one_more = stores(&operator, &acme.at("/consumers/x"), json!({"workspace_seq": 0}), None).await;
    one_more.refused(409, "too_many_consumers").is_problem(409);
    stores(&operator, &acme.at("/consumers/c7"), json!({"workspace_seq": 1}), None)
        .await
        .expect(StatusCode::OK);
    let (mut names, mut path) = (Vec::new(), acme.at("/consumers?limit=30"));
    loop {
        let page = operator.sees(&path).await;
        names.extend(page.column("name").iter().map(|name| (*name).to_owned()));
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        path = acme.at(&format!("/consumers?limit=30&cursor={next}"));
    }
    assert!(names.len() == 100 && names.is_sorted(), "{names:?}");
    acme.stop().await;
}

#[tokio::test]
async fn a_deleted_workspaces_consumers_go_with_it_and_no_others() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    let other = ada.creates("Other").await;
    let others = format!("/v1/workspaces/{other}/consumers/billing");
    stores(&ada, &acme.at("/consumers/billing"), json!({"workspace_seq": 1}), None)
        .await
        .expect(StatusCode::CREATED);
    stores(&ada, &others, json!({"workspace_seq": 1}), None).await.expect(StatusCode::CREATED);
    stores(&operator, "/v1/consumers/warehouse", json!({"position": 1}), None)
        .await
        .expect(StatusCode::CREATED);
    let app = acme.service.app();
    assert_eq!(forget_deleted(&app.projector_pool).await.unwrap(), 0);
    ada.delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    ada.get(&acme.at("/consumers/billing")).await.refused(404, "not_found");
    app.reads.wait_for(acme.service.head().await).await.unwrap();
    assert_eq!(forget_deleted(&app.projector_pool).await.unwrap(), 1);
    ada.sees(&others).await;
    operator.sees("/v1/consumers/warehouse").await;
    drop(app);
    acme.stop().await;
}

#[tokio::test]
async fn a_consumer_that_does_it_right_handles_every_event_once_in_order() {
    let acme = Acme::found().await;
    let (operator, path) = (acme.service.operator(), "/v1/consumers/warehouse");
    stores(&operator, path, json!({"position": 0}), None).await.expect(StatusCode::CREATED);
    let mut handled = Vec::new();
    while (handled.len() as i64) < acme.service.head().await {
        // It is cut off at every turn, and begins anew where its checkpoint is.
        let mut stream = Live::open(operator.request(Method::GET, "/v1/events?consumer=warehouse")).await;
        for _ in 0..5.min(acme.service.head().await as usize - handled.len()) {
            let received = stream.next().await.unwrap();
            handled.push(received.id);
            stores(&operator, path, json!({"position": received.id}), None).await.expect(StatusCode::OK);
        }
    }
    assert_eq!(handled, (1..=acme.service.head().await).collect::<Vec<_>>());
    acme.stop().await;
}
