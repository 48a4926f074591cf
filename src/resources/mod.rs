//! The shapes clients rely on: what a command answers and a read returns, the same for both.
//!
//! A command makes its answer from the states it leads to, before it is written, so that the answer can be kept with
//! its idempotency key; a read makes it from a read model's row.

mod answer;
mod api_key;
mod audit_entry;
mod delivery;
mod history;
mod invitation;
mod invite_code;
mod member;
mod role;
mod session;
mod user;
mod webhook_endpoint;
mod workspace;

pub use answer::{Answer, Secret};
pub use api_key::ApiKey;
pub use audit_entry::{AuditEntry, Outcome};
pub use delivery::{Delivery, DeliveryAttempt, DeliveryDetails, DeliveryHeaders, DeliveryRequest};
pub use history::{HistoryActor, HistoryEntry, HistoryTarget};
pub use invitation::{Invitation, InvitationDelivery, InvitationPreview, PreviewedWorkspace};
pub use invite_code::InviteCode;
pub use member::{Member, MemberStatus};
pub use role::{PermissionEntry, Role};
pub use session::{CurrentWorkspace, Entered, Fallback, Place, SessionAnswer, SessionSummary};
pub use user::{SwitcherItem, User};
pub use webhook_endpoint::{DeliveryRequested, RedeliveryRequested, WebhookEndpoint};
pub use workspace::{Seats, Social, Suspension, Workspace, status};
