//! How a client is told: a refusal as an RFC 9457 problem, with the codes Tenure itself answers with.

use serde::Serialize;

use crate::refusal::Refusal;

/// The body of an `application/problem+json` answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// `urn:tenure:problem:<code>`
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    pub detail: &'static str,
    /// The path of the request, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Stable; what a client branches on.
    pub code: &'static str,
    /// Which permission is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
}

impl Problem {
    /// A problem of your own in the same shape; `code` is what clients will branch on.
    pub fn new(status: u16, code: &'static str, title: &'static str, detail: &'static str) -> Self {
        let kind = format!("urn:tenure:problem:{code}");
        Self { kind, title, status, detail, instance: None, code, permission: None }
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            // What is wrong with a token is for the log: who forges one learns nothing.
            Refusal::Unauthenticated(_) => {
                Self::new(401, "unauthenticated", "Unauthenticated", "A valid session is required.")
            }
            Refusal::CrossOrigin => Self::new(
                403,
                "cross_origin",
                "Cross origin",
                "A browser sent this from another site; with a cookie, only this site may change anything.",
            ),
            Refusal::AnotherWorkspace => {
                Self::new(404, "not_found", "Not found", "There is nothing here, or nothing for you.")
            }
            Refusal::PermissionMissing { permission } => Self {
                permission: Some(permission.clone()),
                ..Self::new(
                    403,
                    "permission_denied",
                    "Permission denied",
                    "Your role in this workspace does not allow this; `permission` names what it takes.",
                )
            },
            Refusal::WorkspaceSuspended => Self::new(
                423,
                "workspace_suspended",
                "Workspace suspended",
                "The workspace is suspended: it can be read, and its billing settled, but not changed.",
            ),
            Refusal::WorkspaceArchived => Self::new(
                409,
                "workspace_archived",
                "Workspace archived",
                "The workspace is archived: it can be read, but not changed.",
            ),
            Refusal::AskOnline { .. } | Refusal::Unavailable => Self::new(
                503,
                "unavailable",
                "Unavailable",
                "Whether this is allowed cannot be told at the moment. Nothing happened; try again.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::refusal::InvalidToken;

    #[test]
    fn every_refusal_has_a_problem_of_its_own() {
        let permission = "invoices:write".to_owned();
        for (refusal, status, code) in [
            (InvalidToken::Expired.into(), 401, "unauthenticated"),
            (Refusal::CrossOrigin, 403, "cross_origin"),
            (Refusal::AnotherWorkspace, 404, "not_found"),
            (Refusal::PermissionMissing { permission: permission.clone() }, 403, "permission_denied"),
            (Refusal::WorkspaceSuspended, 423, "workspace_suspended"),
            (Refusal::WorkspaceArchived, 409, "workspace_archived"),
            (Refusal::AskOnline { permission }, 503, "unavailable"),
            (Refusal::Unavailable, 503, "unavailable"),
        ] {
            let problem = Problem::from(&refusal);
            assert_eq!((problem.status, problem.code), (status, code), "{refusal}");
            assert_eq!(problem.kind, format!("urn:tenure:problem:{code}"));
        }
    }

    #[test]
    fn a_problem_holds_exactly_these_members() {
        let refusal = Refusal::PermissionMissing { permission: "invoices:write".into() };
        let problem = Problem { instance: Some("/invoices".into()), ..Problem::from(&refusal) };
        let detail = problem.detail;
        assert_eq!(
            serde_json::to_value(problem).unwrap(),
            serde_json::json!({
                "type": "urn:tenure:problem:permission_denied", "title": "Permission denied", "status": 403,
                "detail": detail, "instance": "/invoices", "code": "permission_denied",
                "permission": "invoices:write",
            })
        );
    }
}
