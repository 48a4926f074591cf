//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests are tests"
)]

mod bad_input;
mod conditions;
mod conventions;
mod cursors;
mod embedded_postgres;
mod idempotency;
mod projector;
mod readme;
mod support;
mod tour;
