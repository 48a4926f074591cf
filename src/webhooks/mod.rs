//! Webhooks: how an event is carried to an endpoint, signed, and where it may never go.
//!
//! # Layout
//! - [`networks`]: which addresses may be reached; [`resolver`]: where names lead; [`connector`]: connections to
//!   nowhere else
//! - [`client`]: one POST; [`unanswered`]: why it got no answer; [`retry_after`]: when it may come again
//! - [`signature`]: what Standard Webhooks says goes with it

pub mod client;
pub mod connector;
pub mod networks;
pub mod resolver;
pub mod retry_after;
pub mod signature;
pub mod unanswered;

pub use client::{Answer, Client};
pub use networks::{Networks, NetworksError};
pub use resolver::{Resolve, SystemResolver};
pub use unanswered::Unanswered;
