//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap,
    reason = "small numbers"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::wrong_self_convention,
    clippy::items_after_statements,
    reason = "helpers of tests are tests"
)]

mod accept_page;
mod access;
mod announcing;
mod api_keys;
mod appending;
mod audit;
mod auditing;
mod bad_input;
mod conditions;
mod consumers;
mod conventions;
mod crashes;
mod cursors;
mod deliveries;
mod embedded_postgres;
mod event_fixtures;
mod feeds;
mod foreseen;
mod forgetting;
mod guard;
mod history;
mod idempotency;
mod invitations;
mod isolation;
mod joining;
mod load;
mod loading;
mod log;
mod mail;
mod master_keys;
mod model;
mod overload;
mod past;
mod people;
mod permissions;
mod poison;
mod projections;
mod projector;
mod proofs;
mod races;
mod random_input;
mod rate_limits;
mod readme;
mod resources;
mod roles;
mod secrets;
mod sessions;
mod snapshots;
mod starting;
mod support;
mod tokens;
mod tour;
mod webhook_deliveries;
mod webhook_door;
mod webhook_endpoints;
mod webhooks;
mod webhooks_page;
