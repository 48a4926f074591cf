//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]

mod bad_input;
mod conditions;
mod conventions;
mod cursors;
mod embedded_postgres;
mod idempotency;
mod invitations;
mod isolation;
mod joining;
mod model;
mod permissions;
mod projector;
mod races;
mod support;
mod tokens;
mod tour;
