//! How fast Tenure is, beside its peers and its ceilings, in one program.
//!
//! `cargo bench` runs everything; `cargo bench -- append checks` only these parts, `--quick` in minutes and roughly. It
//! starts what it needs on loopback, interleaves Tenure and its peers, repeats, and takes medians. The report goes to
//! `target/bench/` as Markdown, JSON and curves.

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

mod history;
mod postgres;
mod report;

/// Until the suite's own: `history <memberships> <events> <url> <keys>`.
#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let number = |at: usize| args[at].parse::<u64>().expect("a number");
    let database = tenure::database::options_of(&args[4]).expect("a URL");
    let shape = history::Shape::of(number(2), number(3));
    eprintln!("{shape:?}");
    history::fill(&database, std::path::Path::new(&args[5]), shape).await;
}
