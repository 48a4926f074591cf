//! Tenure: an event-sourced tenancy service.

pub mod clock;
pub mod ids;
pub mod store;
