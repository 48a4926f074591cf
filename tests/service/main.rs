//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on fails")]

mod audit;
mod bad_input;
mod conditions;
mod conventions;
mod cursors;
mod history;
mod idempotency;
mod people;
mod random_input;
mod resources;
mod secrets;
mod snapshots;
mod support;
mod tour;
