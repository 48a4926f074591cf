//! Commands: each loads what it depends on, asks the aggregates, and commits once.
//!
//! # Layout
//! - [`authorize`]: who acts, and what that one may do here, at the commit
//! - [`users`], [`erasure`], [`workspaces`], [`members`], [`invitations`], [`invite_code`], [`roles`],
//!   [`permissions`], [`api_keys`], [`webhooks`], [`sessions`]: one struct per command
//! - [`precondition`]: what `If-Match` asks for
//! - [`upkeep`]: what Tenure does by itself: recording expiries, forgetting old idempotency keys

pub mod api_keys;
pub mod authorize;
pub mod erasure;
pub mod invitations;
pub mod invite_code;
pub mod members;
pub mod permissions;
pub mod precondition;
pub mod roles;
pub mod sessions;
pub mod upkeep;
pub mod users;
pub mod webhooks;
pub mod workspaces;

pub use precondition::Precondition;
