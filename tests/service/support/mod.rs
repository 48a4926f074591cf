//! Helpers that speak the domain.

pub mod cluster;
<<<<<<< HEAD
pub mod contract;
=======
pub mod invariants;
pub mod process;
>>>>>>> t3
pub mod service;

pub use contract::Acme;
pub use service::{TestService, User};
