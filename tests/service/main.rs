//! The service's tests, over HTTP, on real PostgreSQL: one binary, one cluster, a fresh database per test.

#![allow(unreachable_pub, reason = "one binary: nothing is reachable from outside")]

mod crashes;
mod embedded_postgres;
mod history;
mod load;
mod log;
mod projections;
mod starting;
mod support;
mod tour;
