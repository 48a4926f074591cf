//! The database: one pool per role, guarded, and what prepares a database for Tenure.

pub mod migrator;
pub mod pool;
mod rights;

pub use migrator::{MigrationError, migrate};
pub use pool::{Role, by_keys, options_of, pool, twin};
