//! Webhooks: how an event is carried to an endpoint, signed, and where it may never go.
//!
//! # Layout
//! - [`carrier`]: carries what is due, and says what came of it
//! - [`client`]: one POST; [`unanswered`]: why it got no answer; [`retry_after`]: when it may come again
//! - [`connector`]: connections to where they may lead; [`networks`]: where that is; [`resolver`]: where names lead
//! - [`signature`]: what Standard Webhooks says goes with it; [`reply`]: what is kept of what comes back
//! - [`give_up`]: disabling an endpoint that is gone
//!
//! A webhook never reaches what only this machine can reach: each address is judged where the connection is made,
//! whoever named it, and redirects and proxies are not followed.

pub mod carrier;
pub mod client;
pub mod connector;
pub mod give_up;
pub mod networks;
pub mod reply;
pub mod resolver;
pub mod retry_after;
pub mod signature;
#[cfg(test)]
mod tls_tests;
pub mod unanswered;

pub use carrier::WebhookCarrier;
pub use client::{Answer, Client};
pub use networks::{Networks, NetworksError};
pub use resolver::{Resolve, SystemResolver};
pub use unanswered::Unanswered;
