//! Invoices: an example product that keeps its own records per workspace and leaves tenancy to Tenure.
//!
//! # Layout
//! - [`schema`]: its table, protected, and the pool that requests are served from
//! - [`invoice`]: the record and its queries, one of them deliberately sloppy
//! - [`routes`]: who may do what
//! - [`answer`]: what goes wrong, as a problem

pub mod answer;
pub mod invoice;
pub mod routes;
pub mod schema;

pub use routes::router;
