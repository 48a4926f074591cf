//! The HTTP foundation: what every route shares and no route has to know about.
pub mod body;
pub mod client_addr;
pub mod conditional;
mod connection;
pub mod correlation;
pub mod docs;
pub mod envelope;
mod fields;
mod flaw;
mod lenient_param;
pub mod path;
pub mod problem;
pub mod query;
pub mod server;
mod slow_body;
mod strict_json;
mod strict_value;
