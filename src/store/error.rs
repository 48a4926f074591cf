//! What can keep a command from happening.
//!
//! Three kinds of error, one mapping: a rule's [`Refusal`] and a [`StoreError`] meet here as a [`Failure`]; only
//! `http::problem` turns one into a status code.

use serde_json::Value;
use tenure_aggregates::event::Fault;
use tenure_aggregates::{Refused, WorkspaceId};
use tenure_projections::Undecodable;

/// A rule said no; nothing was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    pub code: &'static str,
    pub detail: String,
    /// The missing permission, for `permission_denied`.
    pub permission: Option<&'static str>,
    /// The field at fault, for `validation_failed`.
    pub pointer: Option<&'static str>,
    /// What is wrong with it.
    pub fault: Fault,
    /// Whether it says that there is no such workspace; not told to the client.
    pub hides_workspace: bool,
    /// The workspace whose limit was met, where that is the reason; not told to the client.
    pub workspace: Option<WorkspaceId>,
    /// More for the client to go on, as problem members.
    pub members: Vec<(&'static str, Value)>,
}

impl Refusal {
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            permission: None,
            pointer: None,
            fault: Fault::Invalid,
            hides_workspace: false,
            workspace: None,
            members: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &'static str, value: Value) -> Self {
        self.members.push((name, value));
        self
    }
}

/// The log could not be read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Others were faster, over and over.
    #[error("others kept changing the same thing")]
    Conflict,
    #[error("the read models are behind")]
    Behind,
    #[error("too much is waiting to be written")]
    Overloaded,
    #[error("the event log cannot be reached: {0}")]
    Unavailable(String),
    /// The connection broke while the write was under way and could not be restored to find out.
    #[error("the connection to the event log broke; whether the command happened is not known")]
    OutcomeUnknown,
    #[error("the event log refused the write: {0}")]
    Internal(String),
    /// A stream that cannot be decoded, or that holds another workspace's events.
    #[error("the stream cannot be read: {0}")]
    Corrupt(String),
    /// An event of this workspace cannot be decoded.
    #[error("the history of workspace {workspace} cannot be read: {reason}")]
    Unreadable { workspace: WorkspaceId, reason: String },
    /// The read models do not show this workspace's events from that position on: one could not be applied.
    #[error("workspace {workspace} waits at position {position}")]
    Parked { workspace: WorkspaceId, position: i64 },
}

impl From<Undecodable> for StoreError {
    fn from(event: Undecodable) -> Self {
        Self::Unreadable { workspace: event.workspace_id, reason: event.to_string() }
    }
}

impl From<sqlx::Error> for StoreError {
    /// What the database says of the data or the statement is a fault of ours; everything else is an outage.
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        let faulty = match &error {
            E::Database(refused) => refused
                .code()
                .is_some_and(|code| ["21", "22", "23", "42"].iter().any(|class| code.starts_with(class))),
            E::ColumnDecode { .. }
            | E::Decode(_)
            | E::Encode(_)
            | E::ColumnNotFound(_)
            | E::TypeNotFound { .. } => true,
            _ => false,
        };
        if faulty { Self::Internal(error.to_string()) } else { Self::Unavailable(error.to_string()) }
    }
}

/// Why a command did not happen.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    Refused(Refusal),
    Store(StoreError),
    /// The expected sequence of a stream moved: decide again on fresh state.
    Moved(super::stream::StreamKey),
    /// Nothing had to change, as far as states kept in this process tell: look again at the log itself.
    Unconfirmed,
    /// This idempotency key has been used; its answer is kept.
    KeyTaken,
}

impl Failure {
    /// Whether the log itself is at fault, until somebody mends it.
    pub fn is_unreadable(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unreadable { .. } | StoreError::Corrupt(_)))
    }
}

impl<R: Refused> From<R> for Failure {
    fn from(refused: R) -> Self {
        Self::Refused(Refusal {
            code: refused.code(),
            detail: refused.to_string(),
            permission: refused.permission(),
            pointer: refused.pointer(),
            fault: refused.fault(),
            hides_workspace: refused.hides_workspace(),
            workspace: None,
            members: Vec::new(),
        })
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
