//! Exporting the large workspace's audit log: how fast, and how much memory the serving process takes for it.

use std::time::Instant;

use reqwest::{Method, StatusCode};

use crate::companies::Companies;
use crate::load::median;
use crate::plan::{Part, Plan};
use crate::report::{Figure, Report, TENURE};

const FORMATS: [&str; 3] = ["ndjson", "csv", "parquet"];

/// One export.
struct Export {
    entries_per_second: f64,
    megabytes_per_second: f64,
    /// Above what the process used before it was asked, in megabytes.
    peak: f64,
}

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let companies = Companies::start(plan).await;
    for format in FORMATS {
        let mut rounds = Vec::new();
        for _ in 0..plan.rounds {
            rounds.push(once(&companies, format).await);
        }
        let middle = |figure: fn(&Export) -> f64| median(rounds.iter().map(figure).collect());
        let figure = |case: String| Figure::new(Part::Export.name(), case, TENURE);
        report.add(
            figure(format!("an audit log as {format}"))
                .rate(middle(|one| one.entries_per_second))
                .amount(middle(|one| one.megabytes_per_second), "MB/s"),
        );
        report.add(figure(format!("memory for {format}, at its peak")).amount(middle(|one| one.peak), "MB"));
    }
    companies.stop();
}

async fn once(companies: &Companies, format: &str) -> Export {
    let path = format!("/v1/workspaces/{}/audit-log/export?format={format}", companies.large.id);
    let before = companies.server.forget_peak();
    let begun = Instant::now();
    let mut answer = companies.server.request(Method::GET, &path, None).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{format}");
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await.expect("the whole of it") {
        bytes += chunk.len() as u64;
    }
    let seconds = begun.elapsed().as_secs_f64();
    Export {
        entries_per_second: companies.large.positions.len() as f64 / seconds,
        megabytes_per_second: megabytes(bytes) / seconds,
        peak: megabytes(companies.server.peak().saturating_sub(before)),
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}
