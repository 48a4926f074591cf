//! How far the read models are behind acknowledged commands at a steady load: from a command's answer to the moment at
//! which every checkpoint has reached the position it told.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

use super::{Requests, Tenure, load};
use crate::load::closed::Load;
use crate::load::{Measured, histogram, micros};
use crate::plan::{Part, Plan};
use crate::quiet::{applied, caught_up};
use crate::report::{Figure, Goal, Report, TENURE};

/// Between two looks at the checkpoints, and between two commands that are followed.
const PAUSE: Duration = Duration::from_micros(500);
const BETWEEN: Duration = Duration::from_millis(5);

pub(super) async fn measure(
    plan: &Plan,
    tenure: &Tenure,
    per_second: f64,
    connections: usize,
    report: &mut Report,
) {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(tenure.database.clone());
    caught_up(&pool).await;
    let requests = Requests { requests: tenure.creations(), again: true };
    let seconds = plan.seconds.max(2.0);
    let steady = Load {
        per_second: Some(per_second),
        seconds,
        ..load(plan, &tenure.server.address, requests, connections)
    };
    let background = tokio::spawn(async move { steady.run().await });
    let (mut latencies, begun) = (histogram(), Instant::now());
    while begun.elapsed().as_secs_f64() < seconds {
        let position = command(tenure).await;
        let answered = Instant::now();
        while applied(&pool).await < position {
            tokio::time::sleep(PAUSE).await;
        }
        latencies.saturating_record(micros(answered.elapsed()));
        tokio::time::sleep(BETWEEN).await;
    }
    let reached = background.await.expect("a load").per_second;
    pool.close().await;
    let Measured { p50_ms, p99_ms, .. } = Measured::of(&latencies, Duration::from_secs(1));
    report.add(
        Figure::new(Part::Commands.name(), "lag of the read models at half of the full load", TENURE)
            .rate(reached)
            .latency(p50_ms, p99_ms)
            .goal(Goal::P99Ms(25.0)),
    );
}

/// One more command; the position its answer told.
async fn command(tenure: &Tenure) -> i64 {
    let owner = tenure.owner();
    let request = tenure.server.request(Method::POST, "/v1/workspaces", Some(owner));
    let answer = request.json(&json!({"name": "Followed"})).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    let position = answer.headers().get("tenure-position").and_then(|value| value.to_str().ok());
    position.and_then(|text| text.parse().ok()).expect("a position")
}
