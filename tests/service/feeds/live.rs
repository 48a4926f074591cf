//! Live streams: they go on as events come, whoever writes them, and are resumed without loss or repetition.

use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::{describe, end_of, live};
use crate::support::process::Place;
use crate::support::{Acme, Live, TestService};

#[tokio::test]
async fn a_live_stream_goes_on_with_what_is_committed() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let end = end_of(&acme).await;
    let mut stream = live(&ada, &acme.at("/events")).await;
    let retry = stream.block().await.unwrap();
    assert!(retry["retry"][0].parse::<u64>().unwrap() > 0, "{retry:?}");
    stream.up_to(end).await;
    for n in 1..=5 {
        describe(&ada, &acme.id, &format!("{n}")).await;
        let received = stream.next().await.unwrap();
        assert_eq!(received.id, end + n);
        assert_eq!(received.data["data"]["description"]["to"], format!("{n}"));
    }
    // Another workspace's events are none of this feed.
    let other = ada.creates("Other").await;
    describe(&ada, &other, "elsewhere").await;
    describe(&ada, &acme.id, "here").await;
    assert_eq!(stream.next().await.unwrap().data["data"]["description"]["to"], "here");
    acme.stop().await;
}

#[tokio::test]
async fn what_one_process_commits_arrives_in_the_stream_of_another() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let end = end_of(&acme).await;
    let mut of_acme = live(&sibling.user("ada"), &acme.at(&format!("/events?after={end}"))).await;
    let head = acme.service.head().await;
    let mut of_all = live(&sibling.operator(), &format!("/v1/events?after={head}")).await;
    for n in 1..=10 {
        describe(&acme.ada(), &acme.id, &format!("{n}")).await;
        assert_eq!(of_acme.next().await.unwrap().id, end + n);
        assert_eq!(of_all.next().await.unwrap().id, head + n);
    }
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_reader_beside_concurrent_writers_sees_every_position_in_order_once() {
    let service = TestService::start().await;
    let sibling = service.sibling().await;
    let mut workspaces = Vec::new();
    for name in ["ada", "bob", "carol", "dave"] {
        let user = service.provision(name).await;
        workspaces.push((name, user.creates("Team").await));
    }
    let mut streams = Vec::new();
    for at in [&service, &sibling] {
        streams.push(live(&at.operator(), "/v1/events").await);
    }
    let mut of_ada = live(&sibling.user("ada"), &format!("/v1/workspaces/{}/events", workspaces[0].1)).await;
    let writers = workspaces.iter().enumerate().map(|(index, (name, id))| {
        let at = if index % 2 == 0 { &service } else { &sibling };
        async move {
            for n in 0..25 {
                describe(&at.user(name), id, &format!("{n}")).await;
            }
        }
    });
    join_all(writers).await;
    let head = service.head().await;
    for stream in &mut streams {
        let ids: Vec<_> = stream.up_to(head).await.iter().map(|received| received.id).collect();
        assert_eq!(ids, (1..=head).collect::<Vec<_>>());
    }
    let ids: Vec<_> = of_ada.up_to(27).await.iter().map(|received| received.id).collect();
    assert_eq!(ids, (1..=27).collect::<Vec<_>>());
    sibling.leave().await;
    service.stop().await;
}

#[tokio::test]
async fn a_stream_is_resumed_by_the_last_id_without_loss_or_repetition() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let path = acme.at("/events?after=1");
    let mut seen = vec![1];
    for n in 0..15 {
        let last = seen.last().unwrap().to_string();
        // What was received last counts before what the address says.
        let request = ada.request(Method::GET, &path).header("last-event-id", &last);
        let mut stream = Live::open(request).await;
        describe(&ada, &acme.id, &format!("{n}")).await;
        for _ in 0..n % 3 {
            seen.push(stream.next().await.unwrap().id);
        }
        // The client goes away in the middle, with events on their way.
        drop(stream);
    }
    let end = end_of(&acme).await;
    let last = seen.last().unwrap().to_string();
    let request = ada.request(Method::GET, &path).header("last-event-id", &last);
    let mut stream = Live::open(request).await;
    seen.extend(stream.up_to(end).await.iter().map(|received| received.id));
    assert_eq!(seen, (1..=end).collect::<Vec<_>>());
    drop(stream);
    super::support::all_left(&acme.service).await;
    acme.stop().await;
}

#[tokio::test]
async fn a_stream_is_resumed_after_the_service_was_killed() {
    let place = Place::new();
    let mut serving = place.serves().await;
    let (key, address) = (place.key(), serving.address());
    let mut seen: Vec<(i64, Value)> = Vec::new();
    for round in 0..3 {
        let last = seen.last().map_or(0, |(id, _)| *id).to_string();
        let request = serving.request(&key, Method::GET, "/v1/events").header("last-event-id", &last);
        let mut stream = Live::open(request).await;
        for n in 0..4 {
            let path = format!("/v1/users/u{round}-{n}");
            let put = serving.request(&key, Method::PUT, &path).json(&json!({"name": "U"})).send().await;
            assert_eq!(put.unwrap().status(), StatusCode::CREATED);
            // Of three events each, one or two are still on their way when it ends.
            for _ in 0..2 {
                let received = stream.next().await.unwrap();
                seen.push((received.id, received.data["id"].clone()));
            }
        }
        serving.kill();
        serving = place.serves_at(&address).await;
    }
    let admin = place.database().await;
    let head: i64 = sqlx::query_scalar("select position from log_head").fetch_one(&admin).await.unwrap();
    admin.close().await;
    let last = seen.last().unwrap().0.to_string();
    let request = serving.request(&key, Method::GET, "/v1/events").header("last-event-id", &last);
    let mut stream = Live::open(request).await;
    seen.extend(stream.up_to(head).await.into_iter().map(|r| (r.id, r.data["id"].clone())));
    assert_eq!(seen.iter().map(|(id, _)| *id).collect::<Vec<_>>(), (1..=head).collect::<Vec<_>>());
    let ids: std::collections::BTreeSet<_> = seen.iter().map(|(_, id)| id.to_string()).collect();
    assert_eq!(ids.len(), seen.len(), "an event's id twice");
    drop(stream);
    serving.interrupt().await;
}

#[tokio::test]
async fn a_quiet_stream_says_that_it_lives() {
    let acme = Acme::found_with(|settings| settings.feed_times.heartbeat = Duration::from_millis(50)).await;
    let end = end_of(&acme).await;
    let mut stream = live(&acme.ada(), &acme.at(&format!("/events?after={end}"))).await;
    let mut beats = 0;
    while beats < 3 {
        let block = stream.block().await.unwrap();
        assert!(!block.contains_key("data"), "{block:?}");
        beats += usize::from(block.get("").is_some_and(|comments| comments == &["heartbeat"]));
    }
    acme.stop().await;
}

#[tokio::test]
async fn streams_end_in_order_when_the_service_stops() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let end = end_of(&acme).await;
    let mut streams = vec![
        live(&sibling.user("ada"), &acme.at("/events")).await,
        live(&sibling.operator(), "/v1/events").await,
    ];
    streams[0].up_to(end).await;
    streams[1].up_to(acme.service.head().await).await;
    sibling.leave().await;
    for stream in streams {
        assert_eq!(stream.ends().await, Vec::<String>::new());
    }
    acme.stop().await;
}

#[tokio::test]
async fn an_outage_of_the_database_is_waited_out() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    let provision = async |user: &str| {
        let path = format!("/v1/users/{user}");
        let request = serving.request(&key, Method::PUT, &path).json(&json!({"name": "U"}));
        request.send().await.unwrap().status()
    };
    assert_eq!(provision("one").await, StatusCode::CREATED);
    let mut stream = Live::open(serving.request(&key, Method::GET, "/v1/events")).await;
    stream.up_to(3).await;
    let admin = place.database().await;
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity
                     where application_name like 'tenure%' and pid <> pg_backend_pid()";
    for n in 0..3 {
        sqlx::query(terminate).execute(&admin).await.unwrap();
        while provision(&format!("two{n}")).await == StatusCode::SERVICE_UNAVAILABLE {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let head: i64 = sqlx::query_scalar("select position from log_head").fetch_one(&admin).await.unwrap();
    admin.close().await;
    let ids: Vec<_> = stream.up_to(head).await.iter().map(|received| received.id).collect();
    assert_eq!(ids, (4..=head).collect::<Vec<_>>());
    drop(stream);
    serving.interrupt().await;
}
