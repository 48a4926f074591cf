//! The projector and the read models by themselves, on histories written straight into the log.

mod database;
mod folding;
mod history;
mod isolation;
mod projecting;
mod random;
mod rebuilding;
