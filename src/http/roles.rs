//! `/v1/workspaces/{id}/roles`: what a role allows, and the workspace's own roles.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{Permission, PermissionName, Role, RoleName, WorkspaceId};
use tenure_projections::workspaces::{self, Workspace};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::{Act, QueriedAct};
use super::base::body::Body;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::NoQuery;
use super::checks;
use super::list::Page;
use super::look::{Look, not_found};
use super::members::role as parsed;
use crate::commands::roles::{DefineRole, DeleteRole};
use crate::resources;
use crate::store::StoreError;

/// How many permissions a role may list.
const MAX_PERMISSIONS: usize = 200;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find, define, delete))
}

/// The roles of a workspace: the built-in ones, highest first, then its own.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/roles", tag = "roles", params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Page<resources::Role>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, _: NoQuery, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let workspace = workspace(&look, WorkspaceId(id)).await?;
    let catalogue = look.catalogue().await?;
    let built_in = Role::BUILT_IN.iter().rev().map(|role| resources::Role::built_in(role, &catalogue));
    let custom = workspace.roles.0.iter().map(|(name, role)| resources::Role::custom(name, role));
    let page = Page { items: built_in.chain(custom).collect(), next_cursor: None };
    Ok(look.fresh(axum::Json(page).into_response()))
}

/// A role of a workspace.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/roles/{role}", tag = "roles",
    params(("workspace_id" = Uuid, Path), ("role" = String, Path)),
    responses((status = 200, body = resources::Role), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(look: Look, _: NoQuery, Path((id, role)): Path<(Uuid, String)>) -> Result<Response, Problem> {
    let workspace = workspace(&look, WorkspaceId(id)).await?;
    let built_in = Role::BUILT_IN.iter().find(|built_in| built_in.as_str() == role);
    let body = match (built_in, workspace.roles.0.get(&role)) {
        (Some(role), _) => resources::Role::built_in(role, &look.catalogue().await?),
        (None, Some(custom)) => resources::Role::custom(&role, custom),
        (None, None) => return Err(not_found("role")),
    };
    Ok(look.resource(workspace.sequence, &body))
}

async fn workspace(look: &Look, id: WorkspaceId) -> Result<Workspace, Problem> {
    let mut tx = look.workspace(id, Permission::MembersRead).await?;
    let row = workspaces::find(&mut tx).await.map_err(StoreError::from)?;
    row.ok_or_else(|| not_found("workspace"))
}

/// What a role of the workspace's own is to be.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct DefineRequest {
    #[garde(inner(custom(checks::description)))]
    description: Option<String>,
    /// Built-in or registered permissions, none beyond the editor's own.
    #[garde(required, inner(length(max = MAX_PERMISSIONS), inner(custom(checks::permission))))]
    #[schema(required = true, value_type = Vec<String>)]
    permissions: Option<Vec<String>>,
}

/// Define a role of the workspace's own, or change what it allows.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace_id}/roles/{role}", tag = "roles", request_body = DefineRequest,
    params(("workspace_id" = Uuid, Path), ("role" = String, Path)),
    responses((status = 200, body = resources::Role), (status = 201, body = resources::Role), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn define(
    act: Act,
    Path((id, role)): Path<(Uuid, String)>,
    body: Body<DefineRequest>,
) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let command = DefineRole {
        workspace,
        role: name(&role)?,
        description: body.value.description,
        permissions: permissions(&body.value.permissions.unwrap_or_default()),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DeleteQuery {
    /// The role that whoever holds this one gets; needed if anybody does.
    #[garde(inner(custom(checks::role)))]
    replacement: Option<String>,
}

/// Delete a role of the workspace's own.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace_id}/roles/{role}", tag = "roles",
    params(("workspace_id" = Uuid, Path), ("role" = String, Path), DeleteQuery),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn delete(
    QueriedAct(act, query): QueriedAct<DeleteQuery>,
    Path((id, role)): Path<(Uuid, String)>,
) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let command = DeleteRole {
        workspace,
        role: name(&role)?,
        replacement: parsed(query.replacement.as_deref()),
        reads: act.app.reads.clone(),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &[], command).await?.into_response())
}

fn name(text: &str) -> Result<RoleName, Problem> {
    RoleName::parse(text).map_err(|invalid| Problem::invalid_field("role", invalid.code, invalid.detail))
}

/// Names that [`checks::permission`] has let through.
pub(super) fn permissions(names: &[String]) -> BTreeSet<PermissionName> {
    names.iter().filter_map(|name| PermissionName::parse(name).ok()).collect()
}
