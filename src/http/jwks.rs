//! `/.well-known/jwks.json`: the keys that vouch for session tokens, for everybody.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::base::problem::ProblemBody;
use super::base::query::NoQuery;
use crate::clock;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(published))
}

/// The public keys of session tokens: the previous one, the current one and the next one.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "session", security(()),
    responses((status = 200, body = serde_json::Value, description = "A JSON Web Key Set (RFC 7517)"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn published(State(app): State<Arc<App>>, _: NoQuery) -> Response {
    let keys = &app.sessions.keys;
    let caching = format!("public, max-age={}", keys.max_age());
    ([(CACHE_CONTROL, caching)], axum::Json(keys.published(clock::now()))).into_response()
}
