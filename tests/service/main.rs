//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]
#![allow(

mod audit;
mod bad_input;
mod conditions;
mod conventions;
mod crashes;
mod cursors;
mod embedded_postgres;
mod event_fixtures;
mod history;
mod idempotency;
mod invitations;
mod isolation;
mod joining;
mod load;
mod log;
mod model;
mod people;
mod permissions;
mod projections;
mod projector;
mod races;
mod random_input;
mod readme;
mod resources;
mod secrets;
mod snapshots;
mod starting;
mod support;
mod tokens;
mod tour;
