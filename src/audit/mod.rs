//! The audit log as a whole: what was done, from the log, and what was refused, in one order.
//!
//! # Layout
//! - [`timeline`]: both in one order, newest or oldest first, from any place
//! - [`names`]: whom and what a piece of a name leads to
//! - [`export`]: all of it, as NDJSON, CSV or Parquet

pub mod export;
pub mod names;
pub mod timeline;
