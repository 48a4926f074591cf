//! `/v1/permissions`: the catalogue: Tenure's own permissions, and those that products define.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{Catalogue, Permission, PermissionName, Role};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::act::Act;
use super::base::body::Body;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::NoQuery;
use super::checks;
use super::list::Page;
use super::look::{Look, not_found};
use crate::commands::permissions::{RegisterPermission, WithdrawPermission};
use crate::resources::PermissionEntry;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(find, register, withdraw))
}

/// The catalogue of permissions: the built-in ones first.
#[utoipa::path(
    get, path = "/v1/permissions", tag = "roles",
    responses((status = 200, body = Page<PermissionEntry>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, _: NoQuery) -> Result<Response, Problem> {
    let catalogue = look.catalogue().await?;
    let built_in = Permission::catalogue().map(PermissionEntry::built_in);
    let products = catalogue.names().filter_map(|name| entry(&catalogue, name));
    let page = Page { items: built_in.chain(products).collect(), next_cursor: None };
    Ok(look.fresh(axum::Json(page).into_response()))
}

fn entry(catalogue: &Catalogue, name: &PermissionName) -> Option<PermissionEntry> {
    match name.built_in() {
        Some(permission) => Some(PermissionEntry::built_in(permission)),
        None => catalogue.entry(name).map(|entry| PermissionEntry::product(name, entry)),
    }
}

/// A permission of the catalogue.
#[utoipa::path(
    get, path = "/v1/permissions/{permission}", tag = "roles", params(("permission" = String, Path)),
    responses((status = 200, body = PermissionEntry), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(look: Look, _: NoQuery, Path(name): Path<String>) -> Result<Response, Problem> {
    let catalogue = look.catalogue().await?;
    let name = PermissionName::parse(&name).ok();
    let entry = name.and_then(|name| entry(&catalogue, &name)).ok_or_else(|| not_found("permission"))?;
    Ok(look.fresh(axum::Json(entry).into_response()))
}

/// What a product's permission is.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RegisterRequest {
    #[garde(inner(custom(checks::description)))]
    description: Option<String>,
    /// The built-in roles that hold it: `moderator`, `member` or both. Owner and admin always do.
    #[serde(default)]
    #[garde(length(max = 4), inner(custom(checks::built_in_role)))]
    granted_to: Vec<String>,
}

/// Register a product's permission, or change it. By the operator only.
#[utoipa::path(
    put, path = "/v1/permissions/{permission}", tag = "roles", request_body = RegisterRequest,
    params(("permission" = String, Path, description = "`<module>:<verb>`; one whose verb is `read` lets one look only")),
    responses((status = 200, body = PermissionEntry), (status = 201, body = PermissionEntry), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn register(
    act: Act,
    Path(name): Path<String>,
    body: Body<RegisterRequest>,
) -> Result<Response, Problem> {
    let below_admin = |role: &Role| matches!(role, Role::Moderator | Role::Member);
    let granted_to: BTreeSet<Role> =
        body.value.granted_to.iter().filter_map(|role| role.parse().ok()).filter(below_admin).collect();
    let command = RegisterPermission {
        permission: permission(&name)?,
        description: body.value.description,
        granted_to,
        precondition: act.precondition.clone(),
    };
    Ok(act.run(None, &body.raw, command).await?.into_response())
}

/// Withdraw a product's permission: nobody holds it any more. By the operator only.
#[utoipa::path(
    delete, path = "/v1/permissions/{permission}", tag = "roles", params(("permission" = String, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn withdraw(act: Act, Path(name): Path<String>) -> Result<Response, Problem> {
    let permission = permission(&name)?;
    let command = WithdrawPermission { permission, precondition: act.precondition.clone() };
    Ok(act.run(None, &[], command).await?.into_response())
}

fn permission(text: &str) -> Result<PermissionName, Problem> {
    PermissionName::parse(text)
        .map_err(|invalid| Problem::invalid_field("permission", invalid.code, invalid.detail))
}
