//! Checkpoints and proofs over HTTP, held against other implementations; what is tampered with, and who finds it.

mod http;
mod keeping;
pub mod support;
mod tampering;
