//! The one mapping from what can keep a command from happening to an HTTP problem.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::base::problem::{FieldError, Problem};
use crate::store::{Failure, Refusal, StoreError};

/// The mark of a problem that says that there is no such workspace, as strangers are told of every workspace.
pub(super) const HIDES_WORKSPACE: &str = "hides_workspace";
/// The code of what rests on a history that cannot be read.
pub const HISTORY_UNREADABLE: &str = "history_unreadable";

/// The status of a refusal, by its code; a rule's refusal is 409 unless the contract says otherwise.
fn status(code: &str) -> StatusCode {
    match code {
        "validation_failed" | "actor_required" | "position_in_future" | "cursor_invalid" => {
            StatusCode::BAD_REQUEST
        }
        "unauthenticated" => StatusCode::UNAUTHORIZED,
        "permission_denied" => StatusCode::FORBIDDEN,
        "not_found" | "user_not_found" | "token_invalid" => StatusCode::NOT_FOUND,
        "precondition_failed" => StatusCode::PRECONDITION_FAILED,
        "idempotency_key_reused" => StatusCode::UNPROCESSABLE_ENTITY,
        "workspace_suspended" => StatusCode::LOCKED,
        _ => StatusCode::CONFLICT,
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let Refusal { code, detail, permission, pointer, fault, members, hides_workspace, .. } = refusal;
        if code == "unauthenticated" {
            return Self::unauthenticated(detail);
        }
        let mut problem = match pointer {
            // What is wrong is no matter of form.
            Some(pointer) if code == "position_in_future" => {
                let error = FieldError::new(pointer, code, detail.clone());
                Self::new(status(code), code, detail).with_errors(vec![error])
            }
            Some(pointer) => Self::invalid_field(pointer, fault.into(), detail),
            None => Self::new(status(code), code, detail),
        };
        if let Some(permission) = permission {
            problem = problem.with("permission", permission.into());
        }
        for (name, value) in members {
            problem = problem.with(name, value);
        }
        if hides_workspace { problem.with_mark(HIDES_WORKSPACE) } else { problem }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let nothing = "Nothing happened; try again.";
        match error {
            StoreError::Conflict => Self::new(
                StatusCode::CONFLICT,
                "conflict",
                "Others keep changing the same thing. Nothing happened; try again.",
            )
            .with_retry_after(1),
            StoreError::Overloaded => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "overloaded",
                "More is waiting to be written than can be taken on. Nothing happened; try again.",
            )
            .with_retry_after(1),
            StoreError::Behind => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The read models have not come to that position yet; try again.",
            )
            .with_retry_after(1),
            StoreError::Unavailable(cause) => {
                tracing::warn!(%cause, "the database could not be reached");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", format!("The database cannot be reached. {nothing}"))
                    .with_retry_after(2)
            }
            StoreError::OutcomeUnknown => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "The connection broke while this was being written; whether it happened is not known. With the same \
                 Idempotency-Key it is safe to try again: it happens at most once.",
            )
            .with("outcome", "unknown".into())
            .with_retry_after(2),
            StoreError::Internal(cause) => {
                tracing::error!(%cause, "a command failed");
                Self::internal()
            }
            StoreError::Corrupt(cause) => {
                tracing::error!(%cause, "a history cannot be read");
                history_unreadable("Part of the history cannot be read by this program. Nothing happened")
            }
            StoreError::Unreadable { workspace, reason } => {
                tracing::error!(%workspace, reason, "a history cannot be read");
                history_unreadable(
                    "An event of this workspace cannot be read by this program, so nothing can be decided on it. \
                     Nothing happened",
                )
                .with("workspace_id", workspace.to_string().into())
            }
            StoreError::Parked { workspace, position } => history_unreadable(
                "An event of this workspace could not be applied, so what would be shown is out of date. Nothing is \
                 shown",
            )
            .with("workspace_id", workspace.to_string().into())
            .with("position", position.into()),
        }
    }
}

/// Of a workspace with an event that cannot be read, until somebody mends that: its own problem, and nobody else's.
fn history_unreadable(what: &str) -> Problem {
    let detail = format!(
        "{what}; trying again helps once the operator has mended it: `tenure projections` says which event it is, \
         `tenure projections --retry-parked` goes on from there. Other workspaces are not affected."
    );
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, HISTORY_UNREADABLE, detail).with_retry_after(60)
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Store(error) => error.into(),
            Failure::Moved(_) | Failure::Unconfirmed | Failure::KeyTaken => StoreError::Conflict.into(),
        }
    }
}

/// A refusal as the outcome of one item of a batch: its status, and its problem.
pub fn of_item(refusal: &Refusal) -> (u16, Value) {
    let problem = Problem::from(refusal.clone());
    (problem.status().as_u16(), of_problem(&problem))
}

/// A problem as a value, without the members that only a whole answer has.
pub fn of_problem(problem: &Problem) -> Value {
    serde_json::to_value(problem.body(None, None)).unwrap_or_else(|_| json!({"code": problem.code()}))
}
