//! What happens to every request before a route sees it and to every response before the caller does.
//!
//! Outside in: identify (request id, trace, client's address), refuse secrets in the query, limit the time, catch panics,
//! then the routes; on the way back every error becomes a problem and every response gets its safety headers.
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{Instrument, Span};

use super::body::MAX_BODY;
use super::client_addr::TrustedProxies;
use super::correlation::{RequestId, TraceContext, X_REQUEST_ID};
use super::problem::{PROBLEM_JSON, Problem};
use super::server::Peer;

/// Query parameters that would put a credential into logs, histories and `Referer` headers.
const SECRET_PARAMETERS: [&str; 16] = [
    "access_token",
    "api_key",
    "apikey",
    "authorization",
    "bearer",
    "client_secret",
    "code",
    "id_token",
    "invite_code",
    "key",
    "operator_key",
    "password",
    "refresh_token",
    "secret",
    "session_token",
    "token",
];

#[derive(Debug, Clone)]
pub struct EnvelopeOptions {
    /// How long a route may take until its response begins; a stream that has begun is not cut.
    pub request_timeout: Duration,
    /// `Retry-After` of a request that ran into `request_timeout`, in seconds.
    pub retry_after: u64,
    /// Where ids come from (UUID v7); handed in, like all randomness and time.
    pub new_request_id: fn() -> uuid::Uuid,
    /// Who is believed when he says for whom he asks.
    pub trusted_proxies: TrustedProxies,
}

impl EnvelopeOptions {
    pub fn new(new_request_id: fn() -> uuid::Uuid) -> Self {
        Self {
            request_timeout: Duration::from_secs(30),
            retry_after: 1,
            new_request_id,
            trusted_proxies: TrustedProxies::default(),
        }
    }
}

/// Wraps the finished router; routes added afterwards would be outside. It must be the last thing done to it.
pub fn with_envelope(router: Router, options: EnvelopeOptions) -> Router {
    // In one, since the router boxes and clones what it is given layer by layer.
    let layers = ServiceBuilder::new()
        .layer(from_fn_with_state(Arc::new(options), envelope))
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| caught(&*panic)))
        .layer(DefaultBodyLimit::max(MAX_BODY));
    router.layer(layers)
}

async fn envelope(State(options): State<Arc<EnvelopeOptions>>, mut request: Request, next: Next) -> Response {
    let request_id = RequestId::of(request.headers(), options.new_request_id);
    let trace = TraceContext::of(request.headers());
    let path = request.uri().path().to_owned();
    let mut record = Record::begin(&request, &request_id, trace.as_ref());
    request.extensions_mut().insert(request_id.clone());
    if let Some(trace) = trace {
        request.extensions_mut().insert(trace);
    }
    if let Some(peer) = request.extensions().get::<Peer>() {
        let client = options.trusted_proxies.client(peer.addr.ip(), request.headers());
        request.extensions_mut().insert(client);
    }

    let span = record.span.clone();
    let mut response = async {
        if let Some(refusal) = secret_in_query(&request) {
            return refusal.into_response();
        }
        match tokio::time::timeout(options.request_timeout, next.run(request)).await {
            Ok(response) => response,
            Err(_elapsed) => out_of_time(options.retry_after).into_response(),
        }
    }
    .instrument(span)
    .await;

    if let Some(problem) = problem_of(&mut response) {
        problem.render_into(&mut response, Some(&path), Some(request_id.as_str()));
    }
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, request_id.header_value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    record.end(response.status());
    response
}

fn secret_in_query(request: &Request) -> Option<Problem> {
    let secret = form_urlencoded::parse(request.uri().query()?.as_bytes())
        .map(|(name, _)| name.to_ascii_lowercase().replace('-', "_"))
        .find(|name| SECRET_PARAMETERS.contains(&name.as_str()))?;
    let detail = "A secret must not travel in a query string, where logs keep it: send it in the \
                  Authorization header or in the body. Treat the one you sent as known to others.";
    Some(Problem::new(StatusCode::BAD_REQUEST, "secret_in_query", detail).with("parameter", secret.into()))
}

fn out_of_time(retry_after: u64) -> Problem {
    let detail = "The time limit passed before the answer was there. Whether the request took effect is not \
                  known. Sent again with the same Idempotency-Key, it takes effect at most once.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).with_retry_after(retry_after)
}

fn caught(panic: &(dyn Any + Send)) -> Response {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("(not text)");
    tracing::error!(panic = text, "a request handler panicked");
    Problem::internal().into_response()
}

/// The problem this response carries, or the one that stands for its bare status (axum's own refusals).
fn problem_of(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let rendered = response.headers().get(CONTENT_TYPE).is_some_and(|t| t == PROBLEM_JSON);
    if !is_error || rendered {
        return None;
    }
    response.headers_mut().remove(CONTENT_ENCODING);
    // axum answers 422 to JSON of the wrong shape; here 422 means a reused idempotency key and nothing else.
    let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
    let (code, detail) = for_bare_status(status);
    Some(Problem::new(status, code, detail))
}

fn for_bare_status(status: StatusCode) -> (&'static str, &'static str) {
    match status.as_u16() {
        401 => ("unauthenticated", "A valid credential is required."),
        403 => ("permission_denied", "This is not permitted."),
        404 => ("not_found", "There is nothing at this address."),
        405 => ("method_not_allowed", "This address does not know this method; see `Allow`."),
        406 => ("not_acceptable", "None of the media types in `Accept` can be produced here."),
        408 | 504 => ("request_timeout", "The request took too long."),
        409 => ("conflict", "The request conflicts with the present state."),
        411 => ("length_required", "The request needs a Content-Length."),
        412 => ("precondition_failed", "The resource is no longer what `If-Match` says."),
        413 => ("payload_too_large", "The body is larger than this service reads."),
        414 => ("uri_too_long", "The address is too long."),
        415 => ("unsupported_media_type", "The body must be JSON, and Content-Type must say so."),
        429 => ("rate_limited", "Too many requests."),
        431 => ("headers_too_large", "The headers are larger than this service reads."),
        501 => ("not_implemented", "This service does not do that."),
        502 | 503 => ("unavailable", "The service cannot answer now; try again."),
        400..=499 => ("malformed_request", "The request could not be understood."),
        _ => ("internal", "Something went wrong here. Quote the request id when you report it."),
    }
}

/// The trace of one request: what was asked in general terms, never a header, a body or the query.
struct Record {
    span: Span,
    started: Instant,
    answered: bool,
}

impl Record {
    fn begin(request: &Request, id: &RequestId, trace: Option<&TraceContext>) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or("(none)", MatchedPath::as_str);
        let span = tracing::debug_span!(
            "request",
            method = known_method(request.method()),
            route,
            request_id = id.as_str(),
            trace_id = trace.map(|t| t.trace_id.as_str()),
            status = tracing::field::Empty,
            latency_ms = tracing::field::Empty,
        );
        Self { span, started: Instant::now(), answered: false }
    }

    fn end(&mut self, status: StatusCode) {
        self.answered = true;
        let latency_ms = self.latency_ms();
        self.span.record("status", status.as_u16());
        self.span.record("latency_ms", latency_ms);
        let _entered = self.span.enter();
        if status.is_server_error() {
            tracing::warn!(status = status.as_u16(), latency_ms, "answered");
        } else {
            tracing::debug!(status = status.as_u16(), latency_ms, "answered");
        }
    }

    fn latency_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A caller who hangs up makes the server drop the request in the middle; that leaves a line, too.
impl Drop for Record {
    fn drop(&mut self) {
        if !self.answered {
            let _entered = self.span.enter();
            tracing::debug!(latency_ms = self.latency_ms(), "not answered: the caller went away");
        }
    }
}

/// A caller may invent methods; a log or a metric keyed by them must not grow with his imagination.
fn known_method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}
