//! What another service needs to trust a Tenure session: who is it, in which workspace, and may they do this here?
//!
//! Answered offline, from the session's own signed claims and Tenure's published keys; no request to Tenure per request.
//!
//! # Layout
//! - [`Verifier`]: a token in, a [`Session`] or a [`Refusal`] out; `token`, `claims` and [`keys`] are its parts
//! - [`session`]: what a session allows: a workspace, a permission
//! - [`refusal`]: why not, and [`problem`] how a client is told
//! - [`remote`] (feature `fetch`): the same with Tenure's keys fetched and held (`fetch`, `key_cache`)
//! - [`http`] (feature `axum`): a layer, a route's permission, an extractor
//! - [`tenant_tx`] (feature `sqlx`): a transaction in which row level security shows one workspace,
//!   and [`isolation`]: whether it does
//! - [`ROW_LEVEL_SECURITY`]: the SQL that puts that security on a table of yours
//!
//! # Must never
//! Take a claim of the wrong type for an absent one, let a token say where its key is, or answer "allowed" when it
//! cannot tell.

mod claims;
#[cfg(feature = "axum")]
mod clock;
#[cfg(feature = "fetch")]
mod fetch;
#[cfg(feature = "axum")]
pub mod http;
#[cfg(feature = "sqlx")]
pub mod isolation;
#[cfg(feature = "fetch")]
mod key_cache;
pub mod keys;
pub mod problem;
pub mod refusal;
#[cfg(feature = "fetch")]
pub mod remote;
pub mod session;
#[cfg(feature = "sqlx")]
pub mod tenant_tx;
mod token;
mod verifier;

#[cfg(test)]
mod attack_tests;
#[cfg(test)]
#[cfg(feature = "fetch")]
mod remote_tests;
#[cfg(test)]
mod testing;

#[cfg(feature = "axum")]
pub use http::Guard;
#[cfg(feature = "sqlx")]
pub use isolation::check_isolation;
pub use keys::KeySet;
pub use problem::Problem;
pub use refusal::{InvalidToken, Refusal};
#[cfg(feature = "fetch")]
pub use remote::RemoteVerifier;
pub use session::{Session, WorkspaceKind, WorkspaceStatus};
#[cfg(feature = "sqlx")]
pub use tenant_tx::TenantTx;
pub use verifier::Verifier;

/// The audience of every Tenure session.
pub const AUDIENCE: &str = "tenure";

/// `sql/row_level_security.sql`, for a service that brings its schema along: the function `tenure_protect`. It may be
/// run again at any time.
pub const ROW_LEVEL_SECURITY: &str = include_str!("../sql/row_level_security.sql");
