//! What the tests of the feeds share.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{Acme, Answer, Live, TestService, User};

/// The lines of a feed.
pub async fn lines(user: &User<'_>, path: &str) -> Vec<Value> {
    let answer = user.sees(path).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let text = match &answer.body {
        Value::String(text) => text.clone(),
        // A single line is read as one JSON value.
        one => one.to_string(),
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A page of a feed.
pub async fn page(user: &User<'_>, path: &str) -> Answer {
    user.send(Method::GET, path, None, &[("accept", "application/json")]).await
}

pub async fn live(user: &User<'_>, path: &str) -> Live {
    Live::open(user.request(Method::GET, path)).await
}

/// A live stream's request that is refused.
pub async fn not_live(user: &User<'_>, path: &str, headers: &[(&str, &str)]) -> Answer {
    let headers: Vec<_> = headers.iter().copied().chain([("accept", "text/event-stream")]).collect();
    user.send(Method::GET, path, None, &headers).await
}

/// Changes the workspace's description, which is one event.
pub async fn describe(user: &User<'_>, workspace: &str, text: &str) {
    let path = format!("/v1/workspaces/{workspace}");
    user.patch(&path, json!({"description": text})).await.expect(StatusCode::OK);
}

/// Sends invitations, 500 at a time.
pub async fn grow(user: &User<'_>, workspace: &str, batches: usize) {
    for batch in 0..batches {
        let items: Vec<_> = (0..500).map(|n| json!({"email": format!("g{batch}-{n}@example.com")})).collect();
        let path = format!("/v1/workspaces/{workspace}/invitations/batch");
        user.post(&path, json!({"invitations": items})).await.expect(StatusCode::OK);
    }
}

/// Where a workspace's history ends.
pub async fn end_of(acme: &Acme) -> i64 {
    lines(&acme.service.operator(), &acme.at("/events")).await.len() as i64
}

/// Waits until no live stream has a seat.
pub async fn all_left(service: &TestService) {
    for _ in 0..400 {
        if service.app().feeds.seats.taken() == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("{} live streams stay", service.app().feeds.seats.taken());
}
