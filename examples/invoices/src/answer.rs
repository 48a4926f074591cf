//! What goes wrong, as a problem of the same shape as the guard's and Tenure's own.

use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::response::{IntoResponse, Response};
use tenure_guard::{Problem, Refusal};

/// Why a handler has nothing to show.
#[derive(Debug)]
pub enum Failure {
    Refused(Refusal),
    /// Absent, or another workspace's: nobody can tell which.
    NotFound,
    Invalid,
    Database(sqlx::Error),
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = match self {
            Self::Refused(refusal) => Problem::from(&refusal),
            Self::NotFound => Problem::new(404, "not_found", "Not found", "There is no such invoice."),
            Self::Invalid => {
                let detail = "Expected exactly a customer (1 to 255 characters) and a positive amount_cents.";
                Problem::new(400, "validation_failed", "Validation failed", detail)
            }
            Self::Database(error) => {
                tracing::error!(%error, "the database refused or failed");
                Problem::new(500, "internal", "Internal", "Something went wrong here.")
            }
        };
        problem.into_response()
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error() {
            // A text PostgreSQL cannot hold, such as one with U+0000, or a check of the table.
            Some(database)
                if database.is_check_violation()
                    || database.code().is_some_and(|code| code.starts_with("22")) =>
            {
                Self::Invalid
            }
            _ => Self::Database(error),
        }
    }
}

impl From<JsonRejection> for Failure {
    fn from(_: JsonRejection) -> Self {
        Self::Invalid
    }
}

/// An id that is no UUID is no invoice's.
impl From<PathRejection> for Failure {
    fn from(_: PathRejection) -> Self {
        Self::NotFound
    }
}
