//! `/v1/workspaces/{id}/invite-code` and `/v1/join`.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{WorkspaceId, workspace};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::Act;
use super::base::body::Body;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::checks;
use super::members::role;
use crate::attempts::Place;
use crate::commands::invite_code::{DisableCode, IssueCode, JoinByCode};
use crate::resources::{InviteCode, Member};
use crate::secrets::{invite_code, random};
use crate::store::Failure;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(issue, disable)).routes(routes!(join))
}

/// The terms of a new invite code.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct IssueRequest {
    /// The role joiners get; `member` by default, never above the issuer's own.
    #[garde(inner(custom(checks::role)))]
    role: Option<String>,
    /// As many as there are seats by default.
    #[garde(inner(range(min = 1, max = 1_000_000_000)))]
    max_uses: Option<u32>,
    /// Never by default.
    #[garde(inner(custom(checks::instant)))]
    expires_at: Option<DateTime<Utc>>,
}

/// Create the workspace's invite code, or replace it: the old one is dead.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace_id}/invite-code", tag = "invite code", request_body = IssueRequest,
    params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = InviteCode, description = "With `code`, once"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn issue(act: Act, Path(id): Path<Uuid>, body: Body<IssueRequest>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let nonce = Uuid::from_bytes(random::random_bytes());
    let code = invite_code::issue(&act.app.keys.invite_code, id, nonce);
    let hash =
        invite_code::normalise(&code).map(|code| invite_code::hash(&code)).ok_or_else(Problem::internal)?;
    let command = IssueCode {
        workspace,
        nonce,
        hash,
        role: role(body.value.role.as_deref()).unwrap_or_default(),
        max_uses: body.value.max_uses,
        expires_at: body.value.expires_at.map(|end| end.trunc_subsecs(6)),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

/// Disable the workspace's invite code.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace_id}/invite-code", tag = "invite code", params(("workspace_id" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn disable(act: Act, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let command = DisableCode { workspace, precondition: act.precondition.clone() };
    Ok(act.run(Some(workspace), &[], command).await?.into_response())
}

/// An invite code, in any case, with or without its hyphens.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct JoinRequest {
    #[garde(required, inner(length(bytes, min = 1, max = 255)))]
    #[schema(required = true, value_type = String)]
    code: Option<String>,
}

/// Join a workspace by its invite code, as the acting user.
#[utoipa::path(
    post, path = "/v1/join", tag = "invite code", request_body = JoinRequest,
    responses((status = 200, body = Member), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn join(act: Act, body: Body<JoinRequest>) -> Result<Response, Problem> {
    let code = invite_code::normalise(body.value.code.as_deref().unwrap_or_default());
    let code = code.ok_or_else(|| Problem::from(Failure::from(workspace::Refusal::CodeInvalid)))?;
    let hash = invite_code::hash(&code);
    act.witness.is_about(Place::InviteCode(hash.clone()));
    let command = JoinByCode { hash, precondition: act.precondition.clone() };
    Ok(act.run(None, &body.raw, command).await?.into_response())
}
