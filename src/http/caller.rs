//! Who calls: the operator key, for the service itself or for a user it acts for, an issuer's JWT, an API
//! key, or a session, by its token or its cookie.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, USER_AGENT};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use tenure_aggregates::{Time, UserId};

use super::App;
use super::base::client_addr::ClientAddr;
use super::base::conditional::TENURE_POSITION;
use super::base::cookie;
use super::base::correlation::{RequestId, TraceContext};
use super::base::cross_origin;
use super::base::problem::Problem;
use super::witness::{Rejected, Witness};
use crate::attempts::Action;
use crate::clock;
use crate::issuers::{self, TokenRefusal};
use crate::key_ring::{KeyRefusal, OpenedKey};
use crate::secrets::api_key;
use crate::sessions::SessionRefusal;
use crate::sessions::token::InvalidToken;
use crate::store::Origin;
use crate::store::origin::{Actor, OPERATOR, SessionRef};

pub const TENURE_ACTOR: HeaderName = HeaderName::from_static("tenure-actor");
/// The cookie that carries a session token: of this host alone, over TLS alone.
pub const SESSION_COOKIE: &str = "__Host-tenure_session";
/// Longest user agent that is recorded, in bytes.
const USER_AGENT_MAX: usize = 255;

/// An authenticated request's origin. Every handler asks for it, so that none answers without.
#[derive(Debug, Clone)]
pub struct Caller(pub Arc<Origin>);

impl Caller {
    pub fn user(&self) -> Option<&UserId> {
        self.0.user()
    }

    /// The session the caller acts in, where only a session makes sense.
    pub fn require_session(&self) -> Result<SessionRef, Problem> {
        self.0.session.ok_or_else(|| {
            let detail = "This is about a session: show its token or its cookie.";
            Problem::new(StatusCode::FORBIDDEN, "session_required", detail)
        })
    }

    /// Neither a session nor an API key opens anything but itself: not even another session.
    pub fn require_issuer(&self) -> Result<(), Problem> {
        if self.0.session.is_none() && self.0.api_key().is_none() {
            return Ok(());
        }
        let detail = "Only an issuer's token starts a session, or the operator key for a user.";
        Err(Problem::new(StatusCode::FORBIDDEN, "permission_denied", detail))
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
        let witness = Witness::of(parts);
        let credential = match authenticate(parts, address, app).await {
            Ok(credential) => credential,
            Err(Unauthenticated { problem, shown }) => {
                if let Some((rejected, user)) = shown {
                    let actor = user.map(Actor::User);
                    witness.rejects(rejected, Arc::new(Origin { actor, ..asked_from(parts) }));
                }
                return Err(problem);
            }
        };
        let is_operator = matches!(credential, Credential::Operator(_));
        let (mut via, mut session, mut key) = (None, None, None);
        let actor = match credential {
            Credential::Operator(None) => Actor::Service,
            Credential::Operator(Some(user)) => {
                via = Some(OPERATOR.to_owned());
                Actor::User(user)
            }
            Credential::Token(user) => Actor::User(user),
            Credential::Session(user, shown) => {
                session = Some(shown);
                Actor::User(user)
            }
            Credential::ApiKey(opened) => key.insert(opened).actor(),
        };
        let origin = Arc::new(Origin { actor: Some(actor), via, session, ..asked_from(parts) });
        witness.calls(origin.clone());
        if !is_operator {
            refuse_acting(acted_for(&parts.headers)?.as_ref())?;
        }
        if let Some(key) = key {
            app.key_ring.note_network(&key, origin.clone());
        }
        Ok(Self(origin))
    }
}

/// From where a request came, whoever sent it.
pub(super) fn asked_from(parts: &Parts) -> Origin {
    let address = parts.extensions.get::<ClientAddr>().map(|client| client.0);
    let user_agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    Origin {
        request_id: parts.extensions.get::<RequestId>().map(|id| id.as_str().to_owned()),
        // The request id is the correlation id unless a trace spans more than this request.
        correlation_id: parts.extensions.get::<TraceContext>().map(|trace| trace.trace_id.clone()),
        ip: address.map(|address| address.to_string()),
        user_agent: user_agent.map(|agent| agent.chars().take(USER_AGENT_MAX).collect()),
        ..Origin::default()
    }
}

/// What a request has shown, and it was good.
enum Credential {
    /// The operator key, and whom its holder acts for.
    Operator(Option<UserId>),
    /// A JWT of a configured issuer.
    Token(UserId),
    Session(UserId, SessionRef),
    ApiKey(OpenedKey),
}

/// Why nobody was made out: the answer, and what was shown, if anything was; with the user it is of, where it was
/// genuine once.
struct Unauthenticated {
    problem: Problem,
    shown: Option<(Rejected, Option<UserId>)>,
}

impl Unauthenticated {
    fn shown(rejected: Rejected) -> Self {
        Self { problem: unauthenticated(), shown: Some((rejected, None)) }
    }
}

impl From<Problem> for Unauthenticated {
    /// Nothing is wrong with a credential.
    fn from(problem: Problem) -> Self {
        Self { problem, shown: None }
    }
}

async fn authenticate(
    parts: &Parts,
    address: Option<IpAddr>,
    app: &App,
) -> Result<Credential, Unauthenticated> {
    let now = clock::now();
    // Where there is an `Authorization` header, nothing else is looked at.
    if !parts.headers.contains_key(AUTHORIZATION) {
        let token =
            cookie::find(&parts.headers, SESSION_COOKIE).ok().flatten().ok_or_else(unauthenticated)?;
        cross_origin::check(parts, app.own_origin.as_deref()).map_err(|problem| {
            let shown = Some((Rejected::token(problem.code()), None));
            Unauthenticated { problem, shown }
        })?;
        return in_session(token, now, app).await;
    }
    let malformed = || Unauthenticated::shown(Rejected::token("token_invalid"));
    let token = bearer(&parts.headers).ok_or_else(malformed)?;
    let acted_for = acted_for(&parts.headers)?;
    if app.operator.matches(token, now) {
        return Ok(Credential::Operator(acted_for));
    }
    if token.starts_with(api_key::PREFIX) {
        let exactly = parts.headers.contains_key(TENURE_POSITION);
        let opened = app.key_ring.open(token, address, exactly, now).await.map_err(Problem::from)?;
        opened.map(Credential::ApiKey).map_err(|KeyRefusal { code, key }| {
            Unauthenticated::shown(Rejected { action: Action::ApiKeyRejected, code, key })
        })
    } else if app.sessions.claims(token) {
        in_session(token, now, app).await
    } else {
        Ok(Credential::Token(issued_to(token, now, app).await?))
    }
}

fn refuse_acting(acted_for: Option<&UserId>) -> Result<(), Problem> {
    if acted_for.is_none() {
        return Ok(());
    }
    let detail = "Only the operator key may act for a user.";
    Err(Problem::new(StatusCode::FORBIDDEN, "permission_denied", detail)
        .with("permission", "operator".into()))
}

/// Whom a session token speaks for, in a session that still stands.
async fn in_session(token: &str, now: Time, app: &App) -> Result<Credential, Unauthenticated> {
    let refusal = match app.sessions.verify(token, now).await {
        Ok((user, session)) => return Ok(Credential::Session(user, session)),
        Err(SessionRefusal::Store(error)) => return Err(Problem::from(error).into()),
        Err(refusal) => refusal,
    };
    tracing::info!(reason = %refusal, "a session token was refused");
    let (code, user) = match refusal {
        SessionRefusal::Over(user) => ("session_over", Some(user)),
        SessionRefusal::Token(InvalidToken::Expired) => ("token_expired", None),
        SessionRefusal::Token(_) | SessionRefusal::Store(_) => ("token_invalid", None),
    };
    Err(Unauthenticated { problem: unauthenticated(), shown: Some((Rejected::token(code), user)) })
}

/// Whom a configured issuer's JWT speaks of.
async fn issued_to(token: &str, now: Time, app: &App) -> Result<UserId, Unauthenticated> {
    let verified = app.issuers.verify(token, now).await.map_err(|refusal| match refusal {
        TokenRefusal::Invalid(reason) => {
            tracing::info!(%reason, "a bearer token was refused");
            let expired = reason == issuers::InvalidToken::Expired;
            Unauthenticated::shown(Rejected::token(if expired { "token_expired" } else { "token_invalid" }))
        }
        TokenRefusal::Unavailable => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "The issuer's keys cannot be fetched, so the token cannot be checked. Nothing happened; try again.",
        )
        .with_retry_after(5)
        .into(),
    })?;
    let invalid = |_| Unauthenticated::shown(Rejected::token("token_invalid"));
    UserId::parse(&verified.subject).map_err(invalid)
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
    Problem::unauthenticated("A valid credential is required.")
}
