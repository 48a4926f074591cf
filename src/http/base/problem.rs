//! Every refusal as an RFC 9457 problem: one stable `code`, one shape, all field errors at once.
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};

pub const PROBLEM_JSON: &str = "application/problem+json";

/// One thing wrong with one field; `pointer` is RFC 6901 for bodies, `?name` for query parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FieldError {
    pub pointer: String,
    pub code: String,
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

/// The body of a problem, as clients read it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct ProblemBody {
    /// `urn:tenure:problem:<code>`
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    pub detail: String,
    /// The path of the request, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Stable; what a client branches on.
    pub code: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub errors: Vec<FieldError>,
    /// Members that only some codes have, such as `permission`.
    #[serde(flatten)]
    pub extensions: Map<String, Value>,
}

/// A refusal on its way out. It rides in the response's extensions so that the envelope can add
/// `instance` and `request_id`, which no handler knows.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    headers: HeaderMap,
    extensions: Map<String, Value>,
    mark: Option<&'static str>,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            headers: HeaderMap::new(),
            extensions: Map::new(),
            mark: None,
        }))
    }

    /// 400 `validation_failed`, or `unknown_field` when nothing else is wrong.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let (code, detail) = if !errors.is_empty() && errors.iter().all(|e| e.code == "unknown_field") {
            ("unknown_field", "The request has a field that does not exist here.")
        } else {
            ("validation_failed", "The request is not valid; `errors` lists what to correct.")
        };
        Self::new(StatusCode::BAD_REQUEST, code, detail).with_errors(errors)
    }

    /// 400 `validation_failed` about one thing.
    pub fn invalid_field(pointer: &str, code: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// 401: there is no credential, or none that counts.
    pub fn unauthenticated(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail)
            .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 500 that says nothing about its cause; the cause belongs in the log.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "Something went wrong here. Quote the request id when you report it.",
        )
    }

    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.0.errors = errors;
        self
    }

    #[must_use]
    pub fn with_retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.0.headers.insert(name, value);
        self
    }

    /// Adds an extension member. A standard member cannot be overwritten: the name is then ignored.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        const STANDARD: [&str; 8] =
            ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"];
        if !STANDARD.contains(&key) {
            self.0.extensions.insert(key.to_owned(), value);
        }
        self
    }

    /// Marks it for whoever looks at it on its way out; no client sees the mark.
    #[must_use]
    pub fn with_mark(mut self, mark: &'static str) -> Self {
        self.0.mark = Some(mark);
        self
    }

    pub fn mark(&self) -> Option<&'static str> {
        self.0.mark
    }

    /// An extension member.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.0.extensions.get(name)
    }

    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub fn code(&self) -> &'static str {
        self.0.code
    }

    pub fn errors(&self) -> &[FieldError] {
        &self.0.errors
    }

    pub fn body(&self, instance: Option<&str>, request_id: Option<&str>) -> ProblemBody {
        let parts = &self.0;
        ProblemBody {
            kind: format!("urn:tenure:problem:{}", parts.code),
            title: title(parts.code),
            status: parts.status.as_u16(),
            detail: parts.detail.clone(),
            instance: instance.map(str::to_owned),
            code: parts.code.to_owned(),
            request_id: request_id.map(str::to_owned),
            errors: parts.errors.clone(),
            extensions: parts.extensions.clone(),
        }
    }

    /// Turns `response` into this problem, keeping the headers that do not describe its old body.
    pub(crate) fn render_into(
        &self,
        response: &mut Response,
        instance: Option<&str>,
        request_id: Option<&str>,
    ) {
        let json = serde_json::to_vec(&self.body(instance, request_id)).unwrap_or_default();
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.remove(CONTENT_LENGTH);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        for (name, value) in &self.0.headers {
            headers.insert(name.clone(), value.clone());
        }
        *response.body_mut() = Body::from(json);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        self.render_into(&mut response, None, None);
        response.extensions_mut().insert(self);
        response
    }
}

/// `slug_taken` → "Slug taken", `malformed_json` → "Malformed JSON".
fn title(code: &str) -> String {
    let mut title = String::with_capacity(code.len());
    for (index, word) in code.split('_').enumerate() {
        if index > 0 {
            title.push(' ');
        }
        match (word, index) {
            ("json" | "url" | "id", _) => title.push_str(&word.to_ascii_uppercase()),
            (_, 0) => {
                let mut letters = word.chars();
                title.extend(letters.next().map(|first| first.to_ascii_uppercase()));
                title.push_str(letters.as_str());
            }
            _ => title.push_str(word),
        }
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_the_code_for_people() {
        assert_eq!(title("slug_taken"), "Slug taken");
        assert_eq!(title("malformed_json"), "Malformed JSON");
    }

    #[test]
    fn a_problem_holds_exactly_these_members() {
        let problem = Problem::new(StatusCode::FORBIDDEN, "permission_denied", "No.")
            .with("permission", "members:invite".into())
            .with("status", 200.into());
        let body = serde_json::to_value(problem.body(Some("/v1/x"), Some("r-1"))).unwrap();
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:tenure:problem:permission_denied", "title": "Permission denied", "status": 403,
                "detail": "No.", "instance": "/v1/x", "code": "permission_denied", "request_id": "r-1",
                "permission": "members:invite",
            })
        );
    }
}
