//! Helpers that speak the domain.

pub mod cluster;
pub mod invariants;
pub mod process;
pub mod service;

pub use service::{TestService, User};
