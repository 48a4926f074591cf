//! How long after a removal's answer another process on the same database still says yes; and how long it takes to say
//! no to whoever brings the position along.

use std::time::{Duration, Instant};

use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::servers::Tenure;
use crate::load::{Measured, histogram, micros};
use crate::plan::Part;
use crate::report::{Figure, TENURE};
use crate::server::{OPERATOR_KEY, Server};

const REMOVALS: usize = 100;

pub(super) async fn measure(database_url: &str, here: &Tenure) -> Vec<Figure> {
    let there = Server::start(database_url, here.data_dir.path());
    let client = Client::new();
    let workspace = prepare(&client, here).await;
    let (mut plainly, mut with_position) = (Vec::new(), Vec::new());
    for n in 0..REMOVALS {
        put(&client, here, &workspace).await;
        while !asks(&client, &there, &workspace, None).await {}
        let removed =
            client.delete(member(here, &workspace)).bearer_auth(OPERATOR_KEY).send().await.expect("removed");
        let position = removed.headers()["tenure-position"].to_str().expect("a number").to_owned();
        let since = Instant::now();
        if n % 2 == 0 {
            while asks(&client, &there, &workspace, None).await {}
            plainly.push(since.elapsed());
        } else {
            assert!(!asks(&client, &there, &workspace, Some(&position)).await, "it was removed");
            with_position.push(since.elapsed());
        }
    }
    there.stop();
    vec![
        figure("a removal counts in another process", &plainly),
        figure("with its position, the first answer is no", &with_position),
    ]
}

fn figure(case: &str, times: &[Duration]) -> Figure {
    let mut latencies = histogram();
    for took in times {
        latencies.saturating_record(micros(*took));
    }
    let Measured { p50_ms, p99_ms, .. } = Measured::of(&latencies, Duration::from_secs(1));
    Figure::new(Part::Checks.name(), case, TENURE).latency(p50_ms, p99_ms)
}

async fn prepare(client: &Client, here: &Tenure) -> String {
    for user in ["ada", "carol"] {
        let url = format!("http://{}/v1/users/{user}", here.address);
        good(client.put(url).json(&json!({"name": user}))).await;
    }
    let url = format!("http://{}/v1/workspaces", here.address);
    let created =
        good(client.post(url).header("Tenure-Actor", "ada").json(&json!({"name": "Freshness"}))).await;
    created["id"].as_str().expect("an id").to_owned()
}

async fn put(client: &Client, here: &Tenure, workspace: &str) {
    good(client.put(member(here, workspace)).json(&json!({"role": "member"}))).await;
}

fn member(here: &Tenure, workspace: &str) -> String {
    format!("http://{}/v1/workspaces/{workspace}/members/carol", here.address)
}

async fn asks(client: &Client, there: &Server, workspace: &str, seen: Option<&str>) -> bool {
    let question = json!({
        "subject": {"type": "user", "id": "carol"},
        "action": {"name": "workspace:read"},
        "resource": {"type": "workspace", "id": workspace},
    });
    let request = client.post(format!("http://{}/access/v1/evaluation", there.address)).json(&question);
    let request = match seen {
        Some(position) => request.header("Tenure-Position", position),
        None => request,
    };
    good(request).await["decision"] == true
}

async fn good(request: RequestBuilder) -> Value {
    let answer = request.bearer_auth(OPERATOR_KEY).send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("text"));
    assert!(status.is_success(), "{status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}
