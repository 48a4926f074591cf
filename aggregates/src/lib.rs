//! The tenancy rules of Tenure.
//!
//! # Layout
//! - one file per aggregate ([`user`], [`workspace`], [`membership`], [`invitation`], [`session`], [`claim`]), each
//!   read top to bottom: Event, State, evolve, Command, decide, Refusal
//! - [`role`]: roles, permissions and which role holds which
//! - [`authority`]: what the one who acts may do in a workspace
//! - [`values`]: checked texts (names, e-mails, slugs, links)
//! - [`ids`]: identifiers and how the derived ones are derived
//! - [`event`]: the traits every event shares; [`adapter`]: the four lines that make a state a cqrs-es aggregate
//!
//! Nothing in this crate does I/O, reads a clock or draws a random number.

pub mod adapter;
pub mod authority;
pub mod claim;
pub mod event;
pub mod ids;
pub mod invitation;
pub mod membership;
pub mod role;
pub mod session;
pub mod user;
pub mod values;
pub mod workspace;

pub use authority::Authority;
pub use claim::Claim;
pub use event::{Changed, Refused};
pub use ids::{InvitationId, MembershipId, SessionId, UserId, WorkspaceId};
pub use invitation::Invitation;
pub use membership::Membership;
pub use role::{Permission, Role};
pub use session::Session;
pub use user::User;
pub use workspace::Workspace;

/// The instant of a command, as handed in by the caller.
pub type Time = chrono::DateTime<chrono::Utc>;
