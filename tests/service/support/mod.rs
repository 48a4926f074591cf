//! Helpers that speak the domain.

pub mod cluster;
pub mod service;

pub use service::{TestService, User};
