//! Who calls: the operator key, for the service itself or for a user it acts for, an issuer's JWT, or an API key.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, USER_AGENT, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tenure_aggregates::{Time, UserId};

use super::App;
use super::base::client_addr::ClientAddr;
use super::base::correlation::{RequestId, TraceContext};
use super::base::problem::Problem;
use crate::clock;
use crate::issuers::TokenRefusal;
use crate::key_ring::OpenedKey;
use crate::secrets::api_key;
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
        let address = parts.extensions.get::<ClientAddr>().map(|client| client.0);
        let credential = authenticate(&parts.headers, address, app).await?;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.as_str().to_owned());
        let trace = parts.extensions.get::<TraceContext>().map(|trace| trace.trace_id.clone());
        let user_agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let (actor, via, key) = match credential {
            Credential::Operator(Some(user)) => (Actor::User(user), Some(OPERATOR.to_owned()), None),
            Credential::Operator(None) => (Actor::Service, None, None),
            Credential::Token(user) => (Actor::User(user), None, None),
            Credential::ApiKey(key) => (key.actor(), None, Some(key)),
        };
        let origin = Arc::new(Origin {
            actor: Some(actor),
            via,
            // The request id is the correlation id unless a trace spans more than this request.
            correlation_id: trace,
            request_id,
            causation_id: None,
            ip: address.map(|address| address.to_string()),
            user_agent: user_agent.map(|agent| agent.chars().take(USER_AGENT_MAX).collect()),
        });
        if let Some(key) = key {
            app.key_ring.note_network(&key, origin.clone());
        }
        Ok(Self(origin))
    }
}

/// What a request has shown, and it was good.
enum Credential {
    /// The operator key, and whom its holder acts for.
    Operator(Option<UserId>),
    /// A JWT of a configured issuer.
    Token(UserId),
    ApiKey(OpenedKey),
}

async fn authenticate(
    headers: &HeaderMap,
    address: Option<IpAddr>,
    app: &App,
) -> Result<Credential, Problem> {
    let token = bearer(headers).ok_or_else(unauthenticated)?;
    let now = clock::now();
    let acted_for = acted_for(headers)?;
    if app.operator.matches(token, now) {
        return Ok(Credential::Operator(acted_for));
    }
    let credential = if token.starts_with(api_key::PREFIX) {
        Credential::ApiKey(app.key_ring.open(token, address, now).await?.ok_or_else(unauthenticated)?)
    } else {
        Credential::Token(issued_to(token, now, app).await?)
    };
    if acted_for.is_some() {
        let detail = "Only the operator key may act for a user.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "permission_denied", detail)
            .with("permission", "operator".into()));
    }
    Ok(credential)
}

/// Whom a configured issuer's JWT speaks of.
async fn issued_to(token: &str, now: Time, app: &App) -> Result<UserId, Problem> {
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
    UserId::parse(&verified.subject).map_err(|_| unauthenticated())
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
