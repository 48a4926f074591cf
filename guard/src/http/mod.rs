//! The guard in front of an axum router.
//!
//! # Layout
//! - [`Guard`]: how a request becomes a session (`guard`); `credential` and `cross_origin` are its parts
//! - [`layer`]: the same before a handler runs
//! - `extract`: the session in a handler, and only behind the layer
//! - `answer`: a refusal as a response

mod answer;
mod credential;
mod cross_origin;
mod extract;
mod guard;
pub mod layer;

#[cfg(test)]
mod tests;

pub use credential::SESSION_COOKIE;
pub use guard::{Guard, NotAnOrigin, OnlineCheck, TokenVerifier};
