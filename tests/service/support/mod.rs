//! Helpers that speak the domain.

pub mod cluster;
pub mod contract;
pub mod invariants;
pub mod process;
pub mod service;

pub use contract::Acme;
pub use service::{TestService, User};
