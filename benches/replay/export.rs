//! Exporting the large workspace's audit log: how fast, and how much memory the serving process takes for it.

use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};

use crate::Plan;
use crate::history::History;
use crate::server::Server;

const FORMATS: [&str; 3] = ["ndjson", "csv", "parquet"];

pub struct Export {
    format: &'static str,
    bytes: u64,
    took: Duration,
    /// Above what the process used before it was asked.
    peak: u64,
    before: u64,
}

pub async fn measure(server: &Server, history: &History, plan: Plan) -> Vec<Export> {
    let mut exports = Vec::new();
    for format in FORMATS {
        let mut runs = Vec::new();
        for _ in 0..plan.rounds.max(1) {
            runs.push(once(server, history, format).await);
        }
        runs.sort_by_key(|run| run.took);
        let median = runs.swap_remove(runs.len() / 2);
        eprintln!("{format}: {:.1} MB/s", median.rate());
        exports.push(median);
    }
    exports
}

async fn once(server: &Server, history: &History, format: &'static str) -> Export {
    let path = format!("/v1/workspaces/{}/audit-log/export?format={format}", history.large.id);
    let before = server.forget_peak();
    let begun = Instant::now();
    let mut answer = server.request(Method::GET, &path, None).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{format}");
    let mut bytes = 0;
    while let Some(chunk) = answer.chunk().await.expect("the whole of it") {
        bytes += chunk.len() as u64;
    }
    let took = begun.elapsed();
    Export { format, bytes, took, peak: server.peak().saturating_sub(before), before }
}

impl Export {
    fn rate(&self) -> f64 {
        megabytes(self.bytes) / self.took.as_secs_f64()
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1_000_000.0
}

pub fn print(exports: &[Export]) {
    println!("| export | MB | MB/s | memory before, MB | peak above that, MB |");
    println!("|---|---|---|---|---|");
    for export in exports {
        println!(
            "| {} | {:.1} | {:.1} | {:.1} | {:.1} |",
            export.format,
            megabytes(export.bytes),
            export.rate(),
            megabytes(export.before),
            megabytes(export.peak)
        );
    }
}
