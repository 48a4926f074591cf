//! `/v1/permissions` and `/v1/workspaces/{id}/roles`: what there is to be allowed, and which role allows it.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tenure_aggregates::{Permission, Role, WorkspaceId};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::NoQuery;
use super::caller::Caller;
use super::list::Page;
use super::look::{Look, not_found};

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(permissions)).routes(routes!(list)).routes(routes!(find))
}

/// A role and what it allows.
#[derive(Debug, Serialize, ToSchema)]
pub struct RoleDescription {
    #[schema(example = "admin")]
    name: &'static str,
    /// Built-in roles are fixed.
    built_in: bool,
    permissions: Vec<&'static str>,
}

impl RoleDescription {
    fn of(role: Role) -> Self {
        let permissions = role.permissions().map(Permission::as_str).collect();
        Self { name: role.as_str(), built_in: true, permissions }
    }
}

/// One entry of the catalogue.
#[derive(Debug, Serialize, ToSchema)]
pub struct PermissionDescription {
    #[schema(example = "members:invite")]
    name: &'static str,
}

/// The catalogue of permissions.
#[utoipa::path(
    get, path = "/v1/permissions", tag = "roles",
    responses((status = 200, body = Page<PermissionDescription>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn permissions(_: Caller, _: NoQuery) -> Response {
    let items = Permission::catalogue().map(|permission| PermissionDescription { name: permission.as_str() });
    axum::Json(Page { items: items.collect(), next_cursor: None }).into_response()
}

/// The roles of a workspace, highest first.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/roles", tag = "roles", params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Page<RoleDescription>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, _: NoQuery, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    look.workspace(WorkspaceId(id), Permission::MembersRead).await?;
    let roles = [Role::Owner, Role::Admin, Role::Moderator, Role::Member];
    let page = Page { items: roles.into_iter().map(RoleDescription::of).collect(), next_cursor: None };
    Ok(look.fresh(axum::Json(page).into_response()))
}

/// A role of a workspace.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/roles/{role}", tag = "roles",
    params(("workspace_id" = Uuid, Path), ("role" = String, Path)),
    responses((status = 200, body = RoleDescription), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(look: Look, _: NoQuery, Path((id, role)): Path<(Uuid, String)>) -> Result<Response, Problem> {
    look.workspace(WorkspaceId(id), Permission::MembersRead).await?;
    let role = role.parse::<Role>().map_err(|_| not_found("role"))?;
    Ok(look.fresh(axum::Json(RoleDescription::of(role)).into_response()))
}
