//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]

mod audit;
mod bad_input;
mod conditions;
mod conventions;
mod cursors;
mod embedded_postgres;
mod history;
mod idempotency;
mod invitations;
mod isolation;
mod joining;
mod model;
mod people;
mod permissions;
mod projector;
mod races;
mod random_input;
mod readme;
mod resources;
mod secrets;
mod snapshots;
mod support;
mod tokens;
mod tour;
