//! How long a look at the past takes, in a workspace of few events and in one of many, asked in turns over HTTP, one
//! question at a time, each as of a random position of the workspace's own history.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;

use crate::companies::{Companies, Workspace};
use crate::load::{Measured, histogram, micros};
use crate::plan::{Part, Plan};
use crate::report::{Figure, Report, TENURE};
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

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let companies = Companies::start(plan).await;
    let mut random = SmallRng::seed_from_u64(7);
    let times = if plan.quick { 50 } else { 500 };
    for (question, name) in QUESTIONS {
        let workspaces = [&companies.small, &companies.large];
        let mut latencies = [histogram(), histogram()];
        // The first few only warm up.
        for n in 0..times + times / 10 {
            for (workspace, latencies) in workspaces.into_iter().zip(&mut latencies) {
                let at = random.random_range(0..workspace.positions.len());
                let took = asked(companies.server.ask(question, workspace, workspace.positions[at])).await;
                if n >= times / 10 {
                    latencies.saturating_record(took);
                }
            }
        }
        for (workspace, latencies) in workspaces.into_iter().zip(&latencies) {
            report.add(figure(name, workspace, latencies));
        }
    }
    companies.stop();
}

fn figure(name: &str, workspace: &Workspace, latencies: &Histogram<u64>) -> Figure {
    let Measured { p50_ms, p99_ms, .. } = Measured::of(latencies, Duration::from_secs(1));
    Figure::new(Part::Past.name(), name, TENURE)
        .at_size(workspace.positions.len() as u64)
        .latency(p50_ms, p99_ms)
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
    micros(took)
}
