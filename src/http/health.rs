//! `/livez`, `/readyz` (says why not) and `/metrics`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::time::timeout;

use super::App;
use crate::projector::Snapshot;

/// How far the read models may be behind before the service says it is not ready, in events.
const TOLERABLE_LAG: i64 = 10_000;

pub fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_page))
}

/// The process answers; nothing else is asked.
async fn livez() -> &'static str {
    "ok\n"
}

/// Whether requests can be served, and what is in the way. A parked workspace makes the service degraded, not unready.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    let database =
        sqlx::query_scalar!("select position from log_head where id = 1").fetch_one(&app.projector_pool);
    let database = matches!(timeout(Duration::from_secs(2), database).await, Ok(Ok(_)));
    let snapshot = app.projector.borrow().clone();
    let stopping = app.stopping.is_cancelled();
    let mut reasons = Vec::new();
    if !database {
        reasons.push("the database cannot be reached".to_owned());
    }
    if stopping {
        reasons.push("the service is shutting down".to_owned());
    }
    if app.access.is_loading() {
        reasons.push("the access index is not loaded yet".to_owned());
    }
    if snapshot.lag > TOLERABLE_LAG {
        reasons.push(format!("the read models are {} events behind", snapshot.lag));
    }
    if let Some(hole) = &snapshot.hole {
        reasons.push(format!("positions after {} are missing from the log", hole.after));
    }
    if let (Some(error), true) = (&snapshot.last_error, database) {
        reasons.push(format!("the read models cannot be moved on: {error}"));
    }
    let degraded_by = degraded_by(&app, &snapshot);
    let status = match (reasons.is_empty(), degraded_by.is_empty()) {
        (false, _) => "unavailable",
        (true, false) => "degraded",
        (true, true) => "ready",
    };
    let body = json!({
        "status": status,
        "reasons": reasons,
        "degraded_by": degraded_by,
        "read_models": {
            "position": snapshot.position,
            "lag": snapshot.lag,
            "parked": snapshot.parked,
            "parked_workspaces": snapshot.waiting.workspaces.len(),
            "outdated": snapshot.outdated,
        },
        "access": {
            "position": app.access.position(),
            "age_seconds": app.access.age().map(|age| age.as_secs_f64()),
        },
        "append_queue": app.store.queue_depth(),
        "mail": app.mail.way_out().as_str(),
    });
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, axum::Json(body)).into_response()
}

/// What does not go well, and keeps nobody from being served but those whom it concerns.
fn degraded_by(app: &App, snapshot: &Snapshot) -> Vec<String> {
    let mut flaws = Vec::new();
    let parked = snapshot.waiting.workspaces.len();
    if parked > 0 {
        let wait = if parked == 1 { "workspace waits" } else { "workspaces wait" };
        flaws.push(format!("{parked} {wait} at an event that cannot be applied: see `tenure projections`"));
    }
    if !snapshot.outdated.is_empty() {
        let names = snapshot.outdated.join(", ");
        flaws.push(format!("read models of an older version: `tenure rebuild` {names}"));
    }
    if !app.access.is_fresh() {
        flaws.push("access checks ask the log, since what is in memory is not known to be fresh".to_owned());
    }
    flaws
}

async fn metrics_page(State(app): State<Arc<App>>) -> Response {
    let Some(handle) = &app.metrics else { return StatusCode::NOT_FOUND.into_response() };
    let mut response = handle.render().into_response();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, text);
    response
}

/// Counts and times every request by its route, never by its path.
pub async fn measure(request: Request, next: Next) -> Response {
    let started = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let response = next.run(request).await;
    let labels = [("route", route), ("status", response.status().as_str().to_owned())];
    metrics::histogram!("tenure_http_request_seconds", &labels).record(started.elapsed());
    response
}
