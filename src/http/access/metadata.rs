//! `/.well-known/authzen-configuration`: where the endpoints are. Public.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HOST, VARY};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::http::App;
use crate::http::base::problem::{Problem, ProblemBody};
use crate::http::base::query::NoQuery;

/// Endpoints do not move often.
const CACHED: &str = "public, max-age=300";

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(configuration))
}

/// Where the policy decision point and its endpoints are.
#[derive(Debug, Serialize, ToSchema)]
struct Configuration {
    policy_decision_point: String,
    access_evaluation_endpoint: String,
    access_evaluations_endpoint: String,
    search_subject_endpoint: String,
    search_resource_endpoint: String,
    search_action_endpoint: String,
}

/// The endpoints of AuthZEN 1.0.
#[utoipa::path(
    get, path = "/.well-known/authzen-configuration", tag = "access", security(()),
    responses((status = 200, body = Configuration), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn configuration(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    _: NoQuery,
) -> Result<Response, Problem> {
    let base = match &app.public_url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => format!("http://{}", host(&headers)?),
    };
    let endpoint = |path: &str| format!("{base}/access/v1/{path}");
    let configuration = Configuration {
        access_evaluation_endpoint: endpoint("evaluation"),
        access_evaluations_endpoint: endpoint("evaluations"),
        search_subject_endpoint: endpoint("search/subject"),
        search_resource_endpoint: endpoint("search/resource"),
        search_action_endpoint: endpoint("search/action"),
        policy_decision_point: base,
    };
    Ok(([(CACHE_CONTROL, CACHED), (VARY, "host")], Json(configuration)).into_response())
}

/// The host that was asked, if it is one.
fn host(headers: &HeaderMap) -> Result<&str, Problem> {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    let plain = |host: &&str| {
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
    };
    host.filter(plain).ok_or_else(|| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_request",
            "The request names no host to answer with.",
        )
    })
}
