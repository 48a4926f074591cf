//! `Body<T>`: a JSON request body, read strictly and validated, or a problem that lists all that is wrong.
use std::error::Error;

use axum::body::HttpBody as _;
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use garde::Validate;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

use super::problem::{FieldError, Problem};
use super::slow_body::BodyTooSlow;
use super::{fields, strict_json};

pub const MAX_BODY: usize = 1 << 20;

/// A validated body, with the bytes as they came for the fingerprint of an idempotency key.
#[derive(Debug, Clone)]
pub struct Body<T> {
    pub value: T,
    pub raw: Bytes,
}

impl<S, T> FromRequest<S> for Body<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let media = require_json(&head.headers);
        let announced = body.size_hint().lower();
        if announced > MAX_BODY as u64 {
            return Err(too_large());
        }
        if announced > 0 {
            media.clone()?;
        }
        let raw = Limited::new(body, MAX_BODY).collect().await.map_err(|e| unread(&*e))?.to_bytes();
        if !raw.is_empty() {
            media?;
        }
        Ok(Self { value: read(&raw)?, raw })
    }
}

/// For the fields of a merge patch: absent is `None`, `null` is `Some(None)`, a value is `Some(Some(_))`.
/// Use as `#[serde(default, deserialize_with = "double_option")]`.
pub fn double_option<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Some)
}

/// Reads what is left of a request once its bytes are here. No body at all counts as `{}`.
pub fn read<T>(raw: &[u8]) -> Result<T, Problem>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    let raw = if raw.is_empty() { b"{}" } else { raw };
    let (document, nuls) = strict_json::parse(raw).map_err(|malformed| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            "The body is not JSON as this service reads it.",
        )
        .with_errors(vec![FieldError::new(malformed.pointer, "malformed_json", malformed.detail)])
    })?;
    if !document.is_object() {
        return Err(Problem::invalid_field("", "wrong_type", "the body must be a JSON object"));
    }
    fields::read(document, raw.len(), nuls).map_err(Problem::invalid)
}

/// Reads a part of a document by itself, as strictly as a whole one. `size` is how long that part was, about.
pub fn read_value<T>(part: serde_json::Value, size: usize) -> Result<T, Vec<FieldError>>
where
    T: DeserializeOwned + Validate<Context = ()>,
{
    fields::read(part, size, Vec::new())
}

fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported =
        |detail: &str| Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail);
    if headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        return Err(unsupported("A compressed body is not accepted."));
    }
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    match (types.next(), types.next()) {
        (Some(only), None) if only.to_str().is_ok_and(is_json) => Ok(()),
        _ => Err(unsupported("A body must have the Content-Type application/json.")),
    }
}

/// `application/json`, `application/merge-patch+json` and other `+json`; a charset may only be UTF-8.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let media = parts.next().unwrap_or_default();
    let json = media == "application/json" || media.strip_suffix("+json").is_some_and(|m| m.contains('/'));
    json && parts
        .filter_map(|p| p.strip_prefix("charset=").map(|c| c.trim_matches('"') == "utf-8"))
        .all(|ok| ok)
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", "A body may have at most 1 MiB.")
}

fn unread(error: &(dyn Error + 'static)) -> Problem {
    let mut causes = std::iter::successors(Some(error), |&e| e.source());
    let cause = causes.find_map(|e| {
        let too_large_here = e.is::<LengthLimitError>().then(too_large);
        too_large_here.or_else(|| e.is::<BodyTooSlow>().then(too_slow))
    });
    cause.unwrap_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "malformed_request", "The body broke off before its end.")
    })
}

fn too_slow() -> Problem {
    let detail = "The body came too slowly. Nothing was done.";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}
