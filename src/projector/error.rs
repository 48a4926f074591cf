//! What can go wrong between the log and the read models, and which of it is the event's own fault.

use crate::store::StoreError;
use tenure_projections::Undecodable;
use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Keys(#[from] StoreError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Undecodable(#[from] Undecodable),
    #[error("another process works on these checkpoints")]
    Busy,
    #[error("a checkpoint stood elsewhere than where it was read")]
    Moved,
    #[error(
        "the read model {name} is of version {stored}, written by a newer program; this one knows {known}"
    )]
    NewerVersion { name: &'static str, stored: i32, known: i32 },
    #[error("there is no read model {0}")]
    Unknown(String),
    #[error("workspace {workspace} is not parked in {name}")]
    NotParked { name: String, workspace: Uuid },
    #[error("the tables of {0} could not be locked for the swap: readers held them all the time")]
    SwapRefused(String),
}

/// `lock_not_available`: somebody else holds the row or the table.
const LOCKED: &str = "55P03";
const DEADLOCK: &str = "40P01";

impl Error {
    pub(super) fn lock_lost(&self) -> bool {
        matches!(self, Self::Busy) || matches!(self, Self::Database(error) if locked(error))
    }
}

pub(super) fn locked(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == LOCKED || code == DEADLOCK)
}

/// Whether the event is to blame and would be again: its data, and neither the connection nor the schema.
pub(super) fn poison(error: &sqlx::Error) -> bool {
    match error {
        // data exception, integrity violation, program limit exceeded
        sqlx::Error::Database(error) => {
            let code = error.code();
            code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
        }
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. } | sqlx::Error::Encode(_) => true,
        _ => false,
    }
}
