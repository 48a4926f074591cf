//! Connections that never finish what they began (attack 45): they hold no place that others need.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::TestService;
use crate::support::service::OPERATOR_KEY;

const EACH: usize = 100;

#[tokio::test]
async fn slow_and_silent_connections_keep_nobody_from_being_served() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let address = service.url.trim_start_matches("http://").to_owned();
    let head = format!(
        "POST /v1/workspaces HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {OPERATOR_KEY}\r\nTenure-Actor: ada\r\n\
         Content-Type: application/json\r\nContent-Length: 60\r\n\r\n{{\"name\": \"Slo"
    );
    // Silent, in the middle of the headers, in the middle of the body.
    let mut clinging = Vec::new();
    for beginning in ["", "GET /v1/permissions HTTP/1.1\r\nHost: x\r\nX-Slow: ", head.as_str()] {
        for _ in 0..EACH {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            stream.write_all(beginning.as_bytes()).await.unwrap();
            clinging.push(stream);
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let admin = service.admin().await;
    for round in 0..20 {
        let others = async {
            ada.creates(&format!("Prompt {round}")).await;
            ada.get("/v1/users/ada/workspaces").await.expect(StatusCode::OK);
            service.operator().get("/readyz").await.expect(StatusCode::OK);
        };
        timeout(Duration::from_secs(5), others).await.expect("others are served");
    }
    // Nobody who waits for a client holds a transaction, or a connection beyond the pools' few.
    let (all, busy): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where state like 'idle in transaction%'
                                               and now() - xact_start > interval '200 ms')
         from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(busy, 0);
    // However many cling, there are the pools (service, appender, projector, keeper, deliveries) and those who keep
    // connections to themselves: the writer one, the projector two, two who listen one each.
    let (pools, kept) = (4 + 4 + 8 + 4 + 8, 1 + 2 + 2);
    assert!(all <= pools + kept, "{all} connections");
    // The slow ones are cut off in the end, the silent and half-headed within 10 s, and nothing came of them.
    for stream in &mut clinging[..2 * EACH] {
        let mut rest = Vec::new();
        let closed = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "it is cut off");
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&rest));
    }
    drop(clinging);
    let created =
        "select count(*) from events where event_type = 'WorkspaceCreated' and payload->>'kind' = 'team'";
    assert_eq!(
        sqlx::query_scalar::<_, i64>(created).fetch_one(&admin).await.unwrap(),
        20,
        "none of the slow"
    );
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_body_that_comes_late_is_still_good() {
    let service = TestService::start().await;
    service.provision("ada").await;
    let address = service.url.trim_start_matches("http://").to_owned();
    let body = json!({"name": "Patient"}).to_string();
    let head = format!(
        "POST /v1/workspaces HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {OPERATOR_KEY}\r\nTenure-Actor: ada\r\n\
         Content-Type: application/json\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(&address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    for piece in body.as_bytes().chunks(5) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream.write_all(piece).await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    service.stop().await;
}
