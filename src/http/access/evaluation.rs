//! `/access/v1/evaluation`: one question.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ask::{Ask, Decision};
use super::entities::{Action, Asked, Context, Entity};
use crate::http::App;
use crate::http::base::problem::{Problem, ProblemBody};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(evaluate))
}

/// One question.
#[derive(Debug, Deserialize, Validate, ToSchema)]
pub(super) struct Evaluation {
    #[garde(dive)]
    subject: Entity,
    #[garde(dive)]
    action: Action,
    #[garde(dive)]
    resource: Entity,
    #[serde(default)]
    #[garde(dive)]
    context: Option<Context>,
}

/// May this user do this here? (AuthZEN 1.0, Access Evaluation)
#[utoipa::path(
    post, path = "/access/v1/evaluation", tag = "access", request_body = Evaluation,
    params(("explain" = Option<bool>, Query, description = "Say why, in the answer's context")),
    responses((status = 200, body = Decision), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn evaluate(ask: Ask, asked: Asked<Evaluation>) -> Result<Response, Problem> {
    let Evaluation { subject, action, resource, context } = asked.value;
    let decision = ask.decide(&subject, &action, &resource, context.as_ref()).await?;
    Ok(Json(decision).into_response())
}
