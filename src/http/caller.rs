//! Who calls: the operator key, for the service itself or for a user it acts for, or an issuer's JWT.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, USER_AGENT, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tenure_aggregates::UserId;

use super::App;
use super::base::client_addr::ClientAddr;
use super::base::correlation::{RequestId, TraceContext};
use super::base::problem::Problem;
use crate::clock;
use crate::issuers::TokenRefusal;
use crate::store::Origin;
use crate::store::origin::{Actor, OPERATOR};

pub const TENURE_ACTOR: HeaderName = HeaderName::from_static("tenure-actor");
/// Longest user agent that is recorded, in bytes.
const USER_AGENT_MAX: usize = 255;

/// An authenticated request's origin. Every handler asks for it, so that none answers without.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Origin>);

impl Caller {
    pub fn user(&self) -> Option<&UserId> {
        self.0.user()
    }

    /// Only the operator's service itself.
    pub fn require_service(&self) -> Result<(), Problem> {
        match self.0.actor {
            Some(Actor::Service) => Ok(()),
            _ => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "permission_denied",
                "Only the operator's service may do this.",
            )
            .with("permission", "operator".into())),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let (actor, via) = authenticate(&parts.headers, app).await?;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.as_str().to_owned());
        let trace = parts.extensions.get::<TraceContext>().map(|trace| trace.trace_id.clone());
        let user_agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        Ok(Self(Arc::new(Origin {
            actor: Some(actor),
            via,
            // The request id is the correlation id unless a trace spans more than this request.
            correlation_id: trace,
            request_id,
            causation_id: None,
            ip: parts.extensions.get::<ClientAddr>().map(|client| client.0.to_string()),
            user_agent: user_agent.map(|agent| agent.chars().take(USER_AGENT_MAX).collect()),
        })))
    }
}

async fn authenticate(headers: &HeaderMap, app: &App) -> Result<(Actor, Option<String>), Problem> {
    let token = bearer(headers).ok_or_else(unauthenticated)?;
    let now = clock::now();
    let acted_for = acted_for(headers)?;
    if app.operator.matches(token, now) {
        return Ok(match acted_for {
            Some(user) => (Actor::User(user), Some(OPERATOR.to_owned())),
            None => (Actor::Service, None),
        });
    }
    let verified = app.issuers.verify(token, now).await.map_err(|refusal| match refusal {
        TokenRefusal::Invalid(reason) => {
            tracing::info!(%reason, "a bearer token was refused");
            unauthenticated()
        }
        TokenRefusal::Unavailable => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The issuer's keys cannot be fetched, so the token cannot be checked. Nothing happened; try again.",
        )
        .with_retry_after(5),
    })?;
    if acted_for.is_some() {
        let detail = "Only the operator key may act for a user.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "permission_denied", detail)
            .with("permission", "operator".into()));
    }
    let user = UserId::parse(&verified.subject).map_err(|_| unauthenticated())?;
    Ok((Actor::User(user), None))
}

/// The one bearer token; two credentials are none.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whom the operator's service acts for.
pub(super) fn acted_for(headers: &HeaderMap) -> Result<Option<UserId>, Problem> {
    let mut values = headers.get_all(TENURE_ACTOR).iter();
    let invalid = || Problem::invalid_field("Tenure-Actor", "invalid", "expected one user id");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => {
            // A user id may hold any letter; in a header it comes as UTF-8.
            let text = str::from_utf8(value.as_bytes()).map_err(|_| invalid())?;
            UserId::parse(text).map(Some).map_err(|_| invalid())
        }
        (Some(_), Some(_)) => Err(invalid()),
    }
}

fn unauthenticated() -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", "A valid credential is required.")
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
}
