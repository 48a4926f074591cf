//! Which routes are limited: the one table, by method and matched path.

use axum::http::Method;

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumCount, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// Tokens of invitations are tried here.
    Token,
    /// Invite codes are made and tried here.
    Code,
    /// Mail goes out here.
    Invitation,
    /// Sessions begin, change and end here.
    Session,
}

impl Class {
    /// The class of a route as it was registered, or none for the many that have no limit.
    pub(super) fn of(method: &Method, route: &str) -> Option<Self> {
        Some(match (method.as_str(), route) {
            (
                "POST",
                "/v1/invitations/preview"
                | "/v1/invitations/accept"
                | "/v1/invitations/decline"
                | "/accept/preview",
            ) => Self::Token,
            ("POST", "/v1/join") | ("PUT" | "DELETE", "/v1/workspaces/{workspace_id}/invite-code") => {
                Self::Code
            }
            (
                "POST",
                "/v1/workspaces/{workspace_id}/invitations"
                | "/v1/workspaces/{workspace_id}/invitations/batch"
                | "/v1/workspaces/{workspace_id}/invitations/{invitation_id}/resend"
                | "/v1/workspaces/{workspace_id}/invitations/{invitation_id}/revoke",
            ) => Self::Invitation,
            ("GET" | "HEAD" | "POST" | "DELETE", "/v1/session") | ("POST", "/v1/session/switch") => {
                Self::Session
            }
            _ => return None,
        })
    }

    pub fn name(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::openapi;

    const SESSION_ROUTES: usize = 4;

    /// A renamed path parameter must not take a limit away in silence.
    #[test]
    fn every_route_of_the_table_is_a_route_of_the_contract() {
        let document = serde_json::to_value(openapi::routes().into_openapi()).unwrap();
        let mut limited = Vec::new();
        for (path, operations) in document["paths"].as_object().unwrap() {
            for method in operations.as_object().unwrap().keys() {
                let method = method.to_uppercase().parse().unwrap();
                limited.extend(Class::of(&method, path).map(Class::name));
            }
        }
        let count = |class: Class| limited.iter().filter(|name| **name == class.name()).count();
        assert_eq!((count(Class::Token), count(Class::Code), count(Class::Invitation)), (3, 3, 4));
        let has_sessions = document["paths"].get("/v1/session").is_some();
        assert_eq!(count(Class::Session), if has_sessions { SESSION_ROUTES } else { 0 });
    }

    #[test]
    fn reads_and_other_writes_are_not_limited() {
        for (method, route) in [
            (Method::GET, "/v1/workspaces/{workspace_id}/invitations"),
            (Method::POST, "/v1/workspaces"),
            (Method::POST, "/v1/invitations/preview/"),
            (Method::GET, ""),
        ] {
            assert_eq!(Class::of(&method, route), None, "{method} {route}");
        }
        assert_eq!(Class::of(&Method::HEAD, "/v1/session"), Some(Class::Session), "HEAD is a GET");
    }
}
