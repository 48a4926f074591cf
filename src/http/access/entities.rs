//! What AuthZEN requests are made of. Receivers of this protocol ignore what they do not know, and so do we here;
//! `properties` are read and decide nothing: what counts is what is recorded.

use axum::extract::{FromRequest, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use garde::Validate;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::http::base::body::Body;
use crate::http::base::problem::Problem;
use crate::past::Moment;

pub(super) const USER: &str = "user";
pub(super) const WORKSPACE: &str = "workspace";

/// A subject or a resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub(super) struct Entity {
    /// `user` for a subject, `workspace` for a resource.
    #[serde(rename = "type")]
    pub kind: String,
    pub id: String,
    #[serde(default, skip_serializing)]
    properties: Option<Map<String, Value>>,
}

/// A subject or a resource that is searched for: an id is ignored.
#[derive(Debug, Clone, PartialEq, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub(super) struct Sought {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    properties: Option<Map<String, Value>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub(super) struct Action {
    /// The name of a permission.
    #[schema(example = "members:invite")]
    pub name: String,
    #[serde(default, skip_serializing)]
    properties: Option<Map<String, Value>>,
}

/// The circumstances of a question; what is not listed here is ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Validate, ToSchema)]
#[garde(allow_unvalidated)]
pub(super) struct Context {
    /// As it was then: a position of the log, or an instant.
    #[serde(default)]
    #[garde(inner(custom(known_moment)))]
    pub as_of: Option<AsOf>,
    /// Say why.
    #[serde(default)]
    pub explain: Option<bool>,
}

/// A position (a number, or one as text) or an instant (RFC 3339).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub(super) enum AsOf {
    Position(u64),
    Text(String),
}

impl AsOf {
    pub(super) fn moment(&self) -> Option<Moment> {
        match self {
            Self::Position(position) => i64::try_from(*position).ok().map(Moment::Position),
            Self::Text(text) => Moment::parse(text),
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as garde calls it")]
fn known_moment(as_of: &AsOf, (): &()) -> garde::Result {
    let expected = || garde::Error::new("invalid: expected a position of the log or an instant (RFC 3339)");
    as_of.moment().map(drop).ok_or_else(expected)
}

impl Entity {
    pub(super) fn workspace(id: Uuid) -> Self {
        Self { kind: WORKSPACE.to_owned(), id: id.to_string(), properties: None }
    }

    pub(super) fn user(id: String) -> Self {
        Self { kind: USER.to_owned(), id, properties: None }
    }

    /// The workspace this resource is, if it can be one.
    pub(super) fn as_workspace(&self) -> Option<Uuid> {
        if self.kind == WORKSPACE { self.id.parse().ok() } else { None }
    }
}

impl Action {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned(), properties: None }
    }
}

/// A request's body. As AuthZEN wants it, one that is not JSON is a bad request like any other.
#[derive(Debug, Clone)]
pub(super) struct Asked<T> {
    pub(super) value: T,
    /// How long the body was, in bytes.
    pub(super) length: usize,
}

impl<S, T> FromRequest<S> for Asked<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !says_json(request.headers()) {
            return Err(not_json());
        }
        let body = Body::<T>::from_request(request, state).await.map_err(|problem| {
            if problem.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE { not_json() } else { problem }
        })?;
        Ok(Self { value: body.value, length: body.raw.len() })
    }
}

/// Absent is for a body that is absent, too.
fn says_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_none_or(|value| {
        let media = value.to_str().ok().and_then(|text| text.split(';').next());
        media.is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
    })
}

fn not_json() -> Problem {
    let detail = "A body must be plain JSON, with the Content-Type application/json.";
    Problem::new(StatusCode::BAD_REQUEST, "unsupported_media_type", detail)
}
