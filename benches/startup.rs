//! Starting: how long until a process is ready, and how much memory it takes, as the memberships grow.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;

use crate::history::filled::Filled;
use crate::load::median;
use crate::plan::{Part, Plan, order};
use crate::report::{Figure, Goal, Report, TENURE};
use crate::server::Server;

const PART: &str = "startup";
/// Bytes a membership may take in memory, all told.
const BYTES: f64 = 40.0;

/// One start.
#[derive(Debug, Clone, Copy)]
struct Start {
    seconds: f64,
    resident: u64,
}

pub async fn run(plan: &Plan, report: &mut Report) {
    // Where reads are measured too, that part measures this on the same databases.
    if plan.parts.contains(&Part::Reads) {
        return;
    }
    let filled = Filled::of(plan).await;
    measure(&filled, plan, report).await;
    filled.stop();
}

pub async fn measure(filled: &Filled, plan: &Plan, report: &mut Report) {
    let mut starts: Vec<Vec<Start>> = filled.sizes.iter().map(|_| Vec::new()).collect();
    let all: Vec<usize> = (0..filled.sizes.len()).collect();
    for round in 0..plan.rounds {
        for at in order(&all, round) {
            let begun = Instant::now();
            let server = filled.sizes[at].serve();
            starts[at].push(ready(&server, begun).await);
            server.stop();
        }
    }
    let figures: Vec<(u64, Start)> =
        filled.sizes.iter().zip(starts).map(|(size, starts)| (size.memberships, middle(&starts))).collect();
    for (memberships, start) in &figures {
        let case = |what: &str| Figure::new(PART, what, TENURE).at_size(*memberships);
        report.add(case("until ready, on a database").amount(start.seconds, "s"));
        report.add(case("resident when ready").amount(start.resident as f64 / 1e6, "MB"));
    }
    if let (Some((few, small)), Some((many, large))) = (figures.first(), figures.last())
        && many > few
    {
        let bytes = large.resident.saturating_sub(small.resident) as f64 / (many - few) as f64;
        let figure = Figure::new(PART, "for each membership more, all told", TENURE).at_size(*many);
        report.add(figure.amount(bytes, "bytes").goal(Goal::AtMost(BYTES)));
    }
    embedded(report).await;
}

fn middle(starts: &[Start]) -> Start {
    let of = |what: fn(&Start) -> f64| median(starts.iter().map(what).collect());
    Start { seconds: of(|start| start.seconds), resident: of(|start| start.resident as f64) as u64 }
}

/// Waits until it says that it is ready.
async fn ready(server: &Server, begun: Instant) -> Start {
    while !is_ready(&server.address).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Start { seconds: begun.elapsed().as_secs_f64(), resident: server.forget_peak() }
}

/// With the PostgreSQL it brings along: on an empty directory, and on the one it then left.
async fn embedded(report: &mut Report) {
    let directory = tempfile::tempdir().expect("a directory");
    for what in ["until ready, embedded, the first start", "until ready, embedded, again"] {
        let seconds = embedded_once(directory.path()).await;
        report.add(Figure::new(PART, what, TENURE).amount(seconds, "s"));
    }
}

async fn embedded_once(directory: &Path) -> f64 {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_tenure"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(directory)
        .env_remove("DATABASE_URL")
        .env("TENURE_LOG", "warn")
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
    let told = lines.by_ref().map(|line| line.expect("readable")).find(|line| line.contains("http://"));
    let address =
        told.as_deref().and_then(|line| line.rsplit("http://").next()).expect("an address").to_owned();
    std::thread::spawn(move || lines.for_each(drop));
    while !is_ready(&address).await {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let took = begun.elapsed().as_secs_f64();
    let process = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    kill(process, Signal::SIGTERM).expect("told to stop");
    tokio::task::spawn_blocking(move || child.wait()).await.expect("waited").expect("stopped");
    took
}

async fn is_ready(address: &str) -> bool {
    let answer = reqwest::get(format!("http://{address}/readyz")).await;
    answer.is_ok_and(|answer| answer.status() == StatusCode::OK)
}
