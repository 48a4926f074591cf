//! What readers may cost: slow ones are cut off, many are turned away, and nobody else notices.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::support::{all_left, describe, end_of, grow, lines, live, not_live};
use crate::support::service::OPERATOR_KEY;
use crate::support::{Acme, TestService};

/// What waits for one reader at most: two frames of 64 KiB, each with one event above it.
const MOST_IN_FLIGHT: usize = 2 * (80 << 10);

/// A reader that asks, and reads nothing.
async fn asks(service: &TestService, path: &str, accept: &str) -> TcpStream {
    let address = service.url.trim_start_matches("http://").to_owned();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut stream = socket.connect(address.parse().unwrap()).await.unwrap();
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {OPERATOR_KEY}\r\nAccept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// A workspace whose history is longer than what lies in sockets.
async fn big(change: impl FnOnce(&mut tenure::config::Settings)) -> (Acme, usize) {
    let acme = Acme::found_with(change).await;
    grow(&acme.ada(), &acme.id, 8).await;
    let all = lines(&acme.ada(), &acme.at("/events")).await;
    let size = all.iter().map(|event| event.to_string().len()).sum();
    (acme, size)
}

#[tokio::test]
async fn a_reader_that_does_not_keep_up_is_cut_off_and_never_buffered_for() {
    let (acme, size) = big(|settings| settings.feed_times.patience = Duration::from_millis(500)).await;
    let app = acme.service.app();
    for accept in ["text/event-stream", "application/x-ndjson"] {
        let mut slow = Vec::new();
        for _ in 0..5 {
            slow.push(asks(&acme.service, &acme.at("/events"), accept).await);
        }
        // From the first byte on, whenever that is.
        let (mut most, mut looks) = (0, 0);
        for _ in 0..4_000 {
            most = most.max(app.feeds.in_flight());
            looks += usize::from(most > 0);
            if looks == 100 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(most > 0 && most <= 5 * MOST_IN_FLIGHT, "{accept}: {most} bytes wait");
        for _ in 0..400 {
            if (app.feeds.in_flight(), app.feeds.seats.taken()) == (0, 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert_eq!((app.feeds.in_flight(), app.feeds.seats.taken()), (0, 0), "nothing is kept for them");
        for mut stream in slow {
            let mut rest = Vec::new();
            // Reset, or closed in the middle.
            let _ = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.expect("cut off");
            assert!(rest.len() < size, "{accept}: {} of {size} bytes", rest.len());
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{accept}: it looks whole");
        }
    }
    drop(app);
    acme.stop().await;
}

#[tokio::test]
async fn a_long_history_flows_through_little_memory() {
    let (acme, size) = big(|_| {}).await;
    let app = acme.service.app();
    let mut response = acme.ada().request(Method::GET, &acme.at("/events")).send().await.unwrap();
    let (mut read, mut most, mut count) = (0, 0, 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        read += chunk.len();
        count += str::from_utf8(&chunk).unwrap().matches('\n').count();
        most = most.max(app.feeds.in_flight());
    }
    assert!(read >= size && size > 1 << 20, "{read} of {size}");
    assert_eq!(count as i64, end_of(&acme).await);
    assert!(most <= MOST_IN_FLIGHT, "{most} bytes at once");
    drop(app);
    acme.stop().await;
}

#[tokio::test]
async fn live_streams_have_seats_and_no_workspace_takes_them_all() {
    let acme = Acme::found_with(|settings| settings.feed_streams = 20).await;
    let (ada, path) = (acme.ada(), acme.at("/events"));
    let first = live(&ada, &path).await;
    let second = live(&ada, &path).await;
    let refused = not_live(&ada, &path, &[]).await.refused(429, "rate_limited");
    assert!(refused.header("retry-after").is_some());
    let mut others = Vec::new();
    for n in 0..9 {
        let id = ada.creates(&format!("W{n}")).await;
        let path = format!("/v1/workspaces/{id}/events");
        others.push(live(&ada, &path).await);
        others.push(live(&ada, &path).await);
    }
    let refused = not_live(&acme.service.operator(), "/v1/events", &[]).await.refused(503, "overloaded");
    assert!(refused.header("retry-after").is_some());
    // Other reads, pages and lines among them, go on.
    lines(&ada, &path).await;
    ada.sees(&acme.at("/members")).await;
    drop((first, second));
    for _ in 0..200 {
        if acme.service.app().feeds.seats.taken() == 18 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    live(&acme.service.operator(), "/v1/events").await.next().await.unwrap();
    drop(others);
    all_left(&acme.service).await;
    acme.stop().await;
}

#[tokio::test]
async fn whoever_waits_holds_no_connection_to_the_database() {
    let acme = Acme::found_with(|settings| {
        settings.pool_size = 1;
        settings.feed_times.heartbeat = Duration::from_millis(100);
    })
    .await;
    let (ada, end) = (acme.ada(), end_of(&acme).await);
    let mut streams = Vec::new();
    for _ in 0..30 {
        let mut stream = live(&ada, &acme.at("/events")).await;
        stream.up_to(end).await;
        streams.push(stream);
    }
    for n in 0..20 {
        describe(&ada, &acme.id, &format!("{n}")).await;
        ada.sees(&acme.at("/members")).await;
    }
    let admin = acme.service.admin().await;
    let open = "select count(*) from pg_stat_activity where datname = current_database()
                and state like 'idle in transaction%' and state_change < clock_timestamp() - interval '2 seconds'";
    assert_eq!(sqlx::query_scalar::<_, i64>(open).fetch_one(&admin).await.unwrap(), 0);
    for mut stream in streams {
        let ids: Vec<_> = stream.up_to(end + 20).await.iter().map(|received| received.id).collect();
        assert_eq!(ids, (end + 1..=end + 20).collect::<Vec<_>>());
    }
    admin.close().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_head_request_leaves_no_stream_behind() {
    let acme = Acme::found().await;
    let headers = [("accept", "text/event-stream")];
    let answer = acme.ada().send(Method::HEAD, &acme.at("/events"), None, &headers).await;
    assert_eq!((answer.status, answer.body), (StatusCode::OK, Value::String(String::new())));
    all_left(&acme.service).await;
    acme.stop().await;
}
