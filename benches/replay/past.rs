//! How long a look at the past takes, in a workspace of few events and in one of many, asked in turns over HTTP, one
//! question at a time, each as of a random position of the workspace's own history.

use std::time::Instant;

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::Plan;
use crate::history::{History, Workspace};
use crate::server::Server;

#[derive(Debug, Clone, Copy)]
enum Question {
    Member,
    Members,
    Evaluation,
}

const QUESTIONS: [(Question, &str); 3] = [
    (Question::Member, "a member"),
    (Question::Members, "a page of members"),
    (Question::Evaluation, "an access check"),
];

pub struct Past(Vec<(&'static str, Histogram<u64>, Histogram<u64>)>);

pub async fn measure(server: &Server, history: &History, plan: Plan) -> Past {
    let mut random = SmallRng::seed_from_u64(7);
    let mut lines = Vec::new();
    for (question, name) in QUESTIONS {
        let (mut small, mut large) = (histogram(), histogram());
        // The first few only warm up.
        for n in 0..plan.questions + plan.questions / 10 {
            for (workspace, latencies) in [(&history.small, &mut small), (&history.large, &mut large)] {
                // From the second event on the owner is a member.
                let at = random.random_range(1..workspace.positions.len());
                let took = asked(server.ask(question, workspace, workspace.positions[at])).await;
                if n >= plan.questions / 10 {
                    latencies.saturating_record(took);
                }
            }
        }
        eprintln!("{name}: {:.2} ms, {:.2} ms", ms(&small, 0.5), ms(&large, 0.5));
        lines.push((name, small, large));
    }
    Past(lines)
}

impl Server {
    fn ask(&self, question: Question, workspace: &Workspace, position: i64) -> RequestBuilder {
        let (id, owner) = (workspace.id, &workspace.owner);
        match question {
            Question::Member => {
                let path = format!("/v1/workspaces/{id}/members/{owner}?as_of={position}");
                self.request(Method::GET, &path, None)
            }
            Question::Members => {
                let path = format!("/v1/workspaces/{id}/members?limit=50&as_of={position}");
                self.request(Method::GET, &path, None)
            }
            Question::Evaluation => self.request(Method::POST, "/access/v1/evaluation", None).json(&json!({
                "subject": {"type": "user", "id": owner}, "action": {"name": "members:read"},
                "resource": {"type": "workspace", "id": id}, "context": {"as_of": position},
            })),
        }
    }
}

/// Microseconds to the whole answer.
async fn asked(request: RequestBuilder) -> u64 {
    let begun = Instant::now();
    let answer = request.send().await.expect("an answer");
    let status = answer.status();
    let text = answer.text().await.expect("a body");
    let took = begun.elapsed();
    assert_eq!(status, StatusCode::OK, "{text}");
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("sane bounds")
}

fn ms(latencies: &Histogram<u64>, quantile: f64) -> f64 {
    latencies.value_at_quantile(quantile) as f64 / 1000.0
}

impl Past {
    pub fn print(&self) {
        println!(
            "| as of a past position | small: p50, p99 ms | large: p50, p99 ms | p50 large vs small | p99 |"
        );
        println!("|---|---|---|---|---|");
        for (name, small, large) in &self.0 {
            let [(s50, s99), (l50, l99)] = [small, large].map(|one| (ms(one, 0.5), ms(one, 0.99)));
            println!(
                "| {name} | {s50:.2}, {s99:.2} | {l50:.2}, {l99:.2} | {:.2}× | {:.2}× |",
                l50 / s50,
                l99 / s99
            );
        }
        println!();
    }
}
