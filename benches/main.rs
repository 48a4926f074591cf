//! How fast Tenure is, beside its peers and its ceilings, in one program.
//!
//! `cargo bench` runs everything; `cargo bench -- append checks` only these parts, `--quick` in minutes and roughly. It
//! starts what it needs on loopback, interleaves Tenure and its peers, repeats, and takes medians. The report goes to
//! `target/bench/` as Markdown, JSON and curves.
//!
//! # Layout
//! - [`plan`]: what a run does; [`report`]: what comes of it
//! - [`postgres`], [`load`], [`child`]: a database, clients, and processes of their own; [`quiet`]: what went before is over
//! - a module per part, which is its `run`

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
#![allow(clippy::format_push_string, reason = "nobody waits for the report")]
#![allow(unreachable_pub, reason = "one program: nothing is reachable from outside")]

mod append;
mod checks;
mod child;
mod commands;
mod companies;
mod export;
mod history;
mod load;
mod overload;
mod past;
mod plan;
mod postgres;
mod prefill;
mod quiet;
mod reads;
mod rebuild;
mod report;
mod server;
mod startup;
mod storage;

use plan::{Part, Plan};
use report::Report;
use tikv_jemallocator::Jemalloc;

/// As in the service: what is measured within this process has what Tenure has, Tenure and its peers alike.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() {
    match child::name().as_deref() {
        None => measure(&Plan::from_args()),
        Some("closed") => child::answer(load::closed::work),
        Some("memory") => child::answer(checks::memory::work),
        Some("open") => child::answer(load::open::work),
        Some(other) => panic!("no process does {other}"),
    }
}

fn measure(plan: &Plan) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let mut report = Report::default();
    runtime.expect("a runtime").block_on(async {
        for part in &plan.parts {
            run(*part, plan, &mut report).await;
            report.measured(part.name());
        }
    });
    report.write(plan);
}

/// A part runs its own servers, and leaves none behind.
async fn run(part: Part, plan: &Plan, report: &mut Report) {
    eprintln!("# {}", part.name());
    match part {
        Part::Append => append::run(plan, report).await,
        Part::Commands => commands::run(plan, report).await,
        Part::Checks => checks::run(plan, report).await,
        Part::Reads => reads::run(plan, report).await,
        Part::Rebuild => rebuild::run(plan, report).await,
        Part::Startup => startup::run(plan, report).await,
        Part::Past => past::run(plan, report).await,
        Part::Overload => overload::run(plan, report).await,
        Part::Export => export::run(plan, report).await,
        Part::Storage => storage::run(plan, report).await,
    }
}
