//! Helpers that speak the domain.

pub mod cluster;
pub mod issuer;
pub mod log;
pub mod model;
pub mod routes;
pub mod service;

pub use service::{Answer, TestService, User};
