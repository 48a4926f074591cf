//! Compares Tenure's access check over HTTP with a PostgreSQL look-up per check and with a server that has no store.
//!
//! `cargo bench --bench access` (options: `-- --memberships 1000000 --workspaces 100000 --connections 64 --seconds 3
//! --rounds 3`). It starts a PostgreSQL of its own with durable settings and seeds the read models (see `seed.rs`). Three
//! servers then listen on loopback in this process, on one runtime of two threads: Tenure whole, as `tenure serve` runs
//! it; axum with `Json` in and out and nothing behind it; and the same with one prepared look-up per check on a pool of
//! 16. The load comes from a process of its own (`drive.rs`), 64 connections on one thread, half of the questions about
//! members. Rounds are interleaved, every second one in reverse; the table shows medians and ratios. Then: how much
//! memory a membership takes, how long loading took, and how long a removal takes to count in another process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people who measure: it stops at the first thing that is wrong"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
#![allow(unreachable_pub, reason = "one program: nothing is reachable from outside")]

mod drive;
mod freshness;
mod memory;
mod seed;
mod servers;

use std::collections::BTreeMap;
use std::time::Instant;

use drive::Figures;
use servers::Kind;
use sqlx::{ConnectOptions, Connection, Executor};
use tenure::database::{migrate, options_of};
use tenure::embedded_postgres::{EmbeddedPostgres, Options};

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    pub memberships: u64,
    pub workspaces: u64,
    pub connections: usize,
    pub seconds: f64,
    pub rounds: usize,
}

impl Plan {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
        let number =
            |name: &str, default: f64| value(name).and_then(|text| text.parse().ok()).unwrap_or(default);
        let memberships = number("--memberships", 1_000_000.0) as u64;
        Self {
            memberships,
            workspaces: number("--workspaces", (memberships / 10).max(1) as f64) as u64,
            connections: number("--connections", 64.0) as usize,
            seconds: number("--seconds", 3.0),
            rounds: number("--rounds", 3.0) as usize,
        }
    }
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let plan = Plan::from_args();
    match args.get(1).map(String::as_str) {
        Some("--drive") => drive::child(&args[2], &args[3], &plan),
        Some("--memory") => memory::child(&plan),
        _ => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(run(plan));
        }
    }
}

async fn run(plan: Plan) {
    let data_dir = tempfile::tempdir().expect("a directory").keep();
    let settings = [("shared_buffers", "1GB"), ("max_wal_size", "8GB")];
    let options = Options {
        data_dir,
        durable: true,
        remove_on_exit: true,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        max_connections: 200,
    };
    let mut server = EmbeddedPostgres::start(options).expect("a PostgreSQL");
    let admin = options_of(&server.url("postgres")).expect("a URL");
    let mut connection = admin.connect().await.expect("a connection");
    connection.execute("create database bench").await.expect("created");
    connection.close().await.expect("closed");
    let database = admin.database("bench");
    migrate(&database).await.expect("migrated");
    seed::fill(&database, &plan).await;

    let started = Instant::now();
    let tenure = servers::tenure(&database).await;
    let loaded = started.elapsed();
    let bare = servers::bare().await;
    let look_up = servers::look_up(&database).await;
    let urls =
        BTreeMap::from([(Kind::Tenure, tenure.address.clone()), (Kind::Bare, bare), (Kind::LookUp, look_up)]);
    let mut figures: BTreeMap<Kind, Vec<Figures>> = BTreeMap::new();
    for round in 0..plan.rounds {
        let mut kinds = vec![Kind::Bare, Kind::Tenure, Kind::LookUp];
        if round % 2 == 1 {
            kinds.reverse();
        }
        for kind in kinds {
            let measured = drive::run(&urls[&kind], kind, &plan).await;
            eprintln!("{kind:?} {measured}");
            figures.entry(kind).or_default().push(measured);
        }
    }
    print_table(&figures);
    println!();
    println!("| what | measured |");
    println!("|---|---|");
    println!(
        "| loading {} memberships, to the first fresh answer | {:.2} s |",
        plan.memberships,
        loaded.as_secs_f64()
    );
    println!("| bytes per membership, all told | {} |", memory::run(&plan).await);
    for line in freshness::measure(&server.url("bench"), &tenure).await {
        println!("{line}");
    }
    tenure.stop().await;
    server.stop();
}

fn print_table(figures: &BTreeMap<Kind, Vec<Figures>>) {
    println!("| server | checks/s | p50 ms | p99 ms | vs no store | vs a look-up |");
    println!("|---|---|---|---|---|---|");
    let medians: BTreeMap<Kind, Figures> =
        figures.iter().map(|(kind, runs)| (*kind, Figures::median(runs))).collect();
    for (kind, this) in &medians {
        println!(
            "| {} | {:.0} | {:.2} | {:.2} | {:.2}× | {:.2}× |",
            kind.name(),
            this.per_second,
            this.p50_ms,
            this.p99_ms,
            this.per_second / medians[&Kind::Bare].per_second,
            this.per_second / medians[&Kind::LookUp].per_second,
        );
    }
}
