//! Helpers that speak the domain.

pub mod cluster;
pub mod contract;
pub mod invariants;
pub mod issuer;
pub mod live;
pub mod log;
pub mod model;
pub mod process;
pub mod product;
pub mod routes;
pub mod service;
pub mod tools;

pub use contract::Acme;
pub use live::Live;
pub use service::{Answer, TestService, User};
