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

mod postgres;
mod report;

fn main() {}
