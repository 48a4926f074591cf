//! Webhooks: how an event is carried to an endpoint, signed, and where it may never go.
//!
//! # Layout
//! - [`networks`]: which addresses may be reached

pub mod networks;

pub use networks::{Networks, NetworksError};
