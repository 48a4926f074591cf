//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests, and what only tests call"
)]

mod crashes;
mod embedded_postgres;
mod history;
mod load;
mod log;
mod projections;
mod starting;
mod support;
mod tour;
