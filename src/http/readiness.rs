//! `/v1/workspaces/{id}/readiness`: is a workspace ready to serve, and what is missing (S0.22).

use std::sync::Arc;

use axum::response::Response;
use serde::Serialize;
use tenure_aggregates::{Permission, WorkspaceId};
use tenure_projections::{members, webhook_endpoints, workspaces};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::NoQuery;
use super::look::{Look, not_found};
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(readiness))
}

/// Whether a workspace can serve its members, and what is set up.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Every required check passes.
    ready: bool,
    checks: Vec<ReadinessCheck>,
    /// The names of the checks that do not pass, required or not.
    missing: Vec<&'static str>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ReadinessCheck {
    name: &'static str,
    required: bool,
    ok: bool,
    detail: &'static str,
}

/// What is set up in a workspace, and what is missing.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/readiness", tag = "workspaces", params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Readiness), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn readiness(look: Look, _: NoQuery, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::WorkspaceRead).await?;
    let row = workspaces::find(&mut tx).await.map_err(StoreError::from)?;
    let row = row.ok_or_else(|| not_found("workspace"))?;
    let owner = members::find(&mut tx, &row.owner_id, look.now).await.map_err(StoreError::from)?;
    let given_up = webhook_endpoints::any_given_up(&mut tx).await.map_err(StoreError::from)?;
    let personal = row.kind == "personal";
    let check = |name, required, ok, detail| ReadinessCheck { name, required, ok, detail };
    let checks = vec![
        check("active", true, row.status() == "active", "The workspace is neither suspended nor archived."),
        check(
            "owner",
            true,
            owner.as_ref().is_some_and(|owner| owner.is_owner),
            "The workspace has its owner.",
        ),
        check("seats", true, row.seats_used <= row.seats_limit, "Nobody sits without a seat."),
        check(
            "owner_email",
            false,
            owner.is_some_and(|owner| owner.email.is_some()),
            "The owner can be reached by e-mail.",
        ),
        check("slug", false, personal || row.slug.is_some(), "The workspace has a short address."),
        check("image", false, personal || row.image_url.is_some(), "The workspace has an image."),
        check("members", false, personal || row.seats_used > 1, "Somebody besides the owner has joined."),
        check("webhooks", false, !given_up, "No webhook endpoint had to be disabled because it failed."),
    ];
    let body = Readiness {
        ready: checks.iter().all(|check| check.ok || !check.required),
        missing: checks.iter().filter(|check| !check.ok).map(|check| check.name).collect(),
        checks,
    };
    Ok(look.resource(row.sequence, &body))
}
