//! The tenancy rules of Tenure.
//!
//! # Layout
//! - one file per aggregate ([`user`], [`workspace`], [`membership`], [`invitation`], [`session`], [`api_key`],
//!   [`webhook_endpoint`], [`catalogue`], [`claim`]), each read top to bottom: Event, State, evolve, Command, decide, Refusal
//! - [`permission`], [`role`], [`rights`]: what can be allowed, which role allows it, and sets of it
//! - [`authority`]: what the one who acts may do in a workspace
//! - [`values`]: checked texts (names, e-mails, slugs, links)
//! - [`ids`]: identifiers and how the derived ones are derived
//! - [`personal`]: what in an event speaks of a person, and is sealed in the log
//! - [`upcast`]: events of older versions, in the current shape
//! - [`event`]: the traits every event shares; [`adapter`]: the four lines that make a state a cqrs-es aggregate
//!
//! Nothing in this crate does I/O, reads a clock or draws a random number.

pub mod adapter;
pub mod api_key;
pub mod authority;
pub mod catalogue;
pub mod claim;
pub mod event;
pub mod ids;
pub mod invitation;
pub mod membership;
pub mod permission;
pub mod personal;
pub mod rights;
pub mod role;
pub mod session;
pub mod upcast;
pub mod user;
pub mod values;
pub mod webhook_endpoint;
pub mod workspace;

pub use api_key::ApiKey;
pub use authority::Authority;
pub use catalogue::Catalogue;
pub use claim::Claim;
pub use event::{Changed, Refused};
pub use ids::{ApiKeyId, InvitationId, MembershipId, SessionId, UserId, WebhookEndpointId, WorkspaceId};
pub use invitation::Invitation;
pub use membership::Membership;
pub use permission::{Permission, PermissionName};
pub use rights::Rights;
pub use role::{Role, RoleName};
pub use session::Session;
pub use user::User;
pub use webhook_endpoint::WebhookEndpoint;
pub use workspace::Workspace;

/// The instant of a command, as handed in by the caller.
pub type Time = chrono::DateTime<chrono::Utc>;
