//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]

mod bad_input;
mod conditions;
mod conventions;
mod cursors;
mod idempotency;
mod people;
mod resources;
mod support;
mod tour;
