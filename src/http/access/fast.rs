//! One question in its plainest form, answered before everything else in this service.
//!
//! Services ask on every request of theirs, so an answer should cost what reading and writing it costs. What every
//! other request passes (the router, the envelope with its span, the strict reading of JSON into a tree) costs more
//! than the decision. So this stands before it all and takes only what it can answer in full: a `POST` to
//! `/access/v1/evaluation` with the operator's key, no header or field that asks for more, and an index that is fresh.
//! Whatever else comes is handed on as it was, and no answer differs in status, body or headers from the one it would
//! get there.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, COOKIE, EXPECT, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;
use http_body_util::BodyExt;
use metrics::{Histogram, histogram};
use serde::Deserialize;
use tenure_aggregates::{Time, WorkspaceId};
use uuid::Uuid;

use super::entities::{USER, WORKSPACE};
use crate::access::{Question, Reason};
use crate::clock;
use crate::http::App;
use crate::http::base::conditional::TENURE_POSITION;
use crate::http::base::correlation::{RequestId, X_REQUEST_ID};
use crate::http::caller::TENURE_ACTOR;
use crate::ids;

const PATH: &str = "/access/v1/evaluation";
/// Far more than a plain question needs.
const LONGEST: u64 = 4096;
const YES: &[u8] = br#"{"decision":true}"#;
const NO: &[u8] = br#"{"decision":false}"#;

/// A plain question; one with anything more in it is not read here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Plain<'a> {
    #[serde(borrow)]
    subject: Entity<'a>,
    #[serde(borrow)]
    action: Action<'a>,
    #[serde(borrow)]
    resource: Entity<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entity<'a> {
    #[serde(rename = "type", borrow)]
    kind: &'a str,
    #[serde(borrow)]
    id: &'a str,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action<'a> {
    #[serde(borrow)]
    name: &'a str,
}

/// Answers such questions.
pub struct Fast {
    app: Arc<App>,
    seconds: Histogram,
}

impl Fast {
    pub fn new(app: Arc<App>) -> Self {
        let seconds = histogram!("tenure_http_request_seconds", "route" => PATH, "status" => "200");
        Self { app, seconds }
    }

    /// Breaks off with the answer, or goes on with the request as it was.
    pub async fn answer(&self, request: Request) -> ControlFlow<Response, Request> {
        let (started, now) = (Instant::now(), clock::now());
        if !self.may_take(&request, now) {
            return ControlFlow::Continue(request);
        }
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            // What is wrong with a body that breaks off is the router's to say.
            Err(error) => return ControlFlow::Continue(Request::from_parts(parts, broken(error))),
        };
        let Some(decision) = self.decide(&body, now) else {
            return ControlFlow::Continue(Request::from_parts(parts, Body::from(body)));
        };
        let response = respond(decision, &RequestId::of(&parts.headers, ids::new_request_id));
        self.seconds.record(started.elapsed());
        ControlFlow::Break(response)
    }

    fn may_take(&self, request: &Request, now: Time) -> bool {
        let headers = request.headers();
        request.method() == Method::POST
            && request.uri().path() == PATH
            && request.uri().query().is_none()
            && request.body().size_hint().exact().is_some_and(|length| length <= LONGEST)
            && self.app.access.is_fresh()
            && is_plain(headers)
            && operator_key(headers).is_some_and(|key| self.app.operator.matches(key, now))
    }

    /// The answer, if this is a plain question that the index can answer.
    fn decide(&self, body: &[u8], now: Time) -> Option<bool> {
        let plain: Plain<'_> = serde_json::from_slice(body).ok()?;
        if plain.subject.kind != USER || plain.resource.kind != WORKSPACE {
            return None;
        }
        let workspace = WorkspaceId(Uuid::try_parse(plain.resource.id).ok()?);
        let question = Question { workspace, user: plain.subject.id, permission: plain.action.name };
        self.app.access.decide(&question, now).map(Reason::allows)
    }
}

/// Nothing in the headers asks for more than a plain answer.
fn is_plain(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    types.next().is_some_and(|only| only == "application/json")
        && types.next().is_none()
        && ![CONTENT_ENCODING, COOKIE, EXPECT, TENURE_ACTOR, TENURE_POSITION]
            .iter()
            .any(|name| headers.contains_key(name))
}

fn operator_key(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()?.strip_prefix("Bearer ")
}

fn respond(decision: bool, request_id: &RequestId) -> Response {
    let mut response = Response::new(Body::from(Bytes::from_static(if decision { YES } else { NO })));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(X_REQUEST_ID, request_id.header_value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// A body that breaks off as this one did.
fn broken(error: axum::Error) -> Body {
    Body::from_stream(futures::stream::once(std::future::ready(Err::<Bytes, _>(error))))
}

impl std::fmt::Debug for Fast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fast").finish_non_exhaustive()
    }
}
