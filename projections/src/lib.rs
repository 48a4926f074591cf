//! The read models of Tenure: events in, tables out, and the reads on them.
//!
//! # Layout
//! - one file per read model ([`workspaces`], [`members`], [`invitations`], [`users`], [`sessions`], [`permissions`],
//!   [`api_keys`], [`webhook_endpoints`], [`audit_log`], [`proofs`]): its rows, its reads, and its fold (in a file `fold` below it where both together would be long)
//! - [`states`]: what each of them was at every position of the log, for time travel
//! - [`attempts`]: what was refused; no projection, for no event tells of it
//! - [`deliveries`]: what went out to webhook endpoints; no projection either, for what was sent was sent
//! - [`history`]: a workspace's events themselves; [`consumers`]: how far readers of the feeds have come
//! - [`leaf`]: an event as the trees of [`proofs`] hold it
//! - [`recorded`]: an event of the log, decoded; [`projection`]: what a projection is, and all there are
//! - [`tenant_tx`]: the only way to a tenant's rows: a transaction that names its workspace
//!
//! A projection takes whole batches: it loads the rows a batch touches, folds the batch in memory in order, and
//! writes back one statement per table. Where an event reaches many rows (a changed profile, a renamed workspace),
//! the rows only copy what stands elsewhere, so that one statement after the batch brings the last copy.
//! The same log gives the same rows wherever the borders of the batches fall.
//!
//! Nothing in this crate polls, listens or keeps a checkpoint: that is the projector's.

pub mod api_keys;
pub mod attempts;
pub mod audit_log;
pub mod consumers;
mod copy;
pub mod deliveries;
pub mod history;
pub mod invitation_mail;
pub mod invitations;
mod keyset;
pub mod leaf;
pub mod members;
mod newborn;
pub mod permissions;
pub mod projection;
pub mod proofs;
pub mod recorded;
mod rows;
pub mod sessions;
pub mod states;
pub mod tenant_tx;
pub mod users;
pub mod webhook_endpoints;
pub mod workspaces;

pub use projection::{ALL, Projection, Registered};
pub use recorded::{Event, Logged, Metadata, Opened, Recorded, Undecodable};
pub use tenant_tx::TenantTx;
