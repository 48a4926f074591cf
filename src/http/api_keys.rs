//! `/v1/workspaces/{id}/api-keys`: create, list, rotate, revoke.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SubsecRound, Utc};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::api_key::{DEFAULT_OVERLAP, Secret as KeptSecret};
use tenure_aggregates::{ApiKeyId, Permission, Time, WorkspaceId};
use tenure_projections::api_keys;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::Act;
use super::base::body::Body;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::{NoQuery, Query};
use super::checks::{self, Lifetime};
use super::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use super::look::{Look, not_found};
use super::roles::permissions;
use crate::commands::api_keys::{CreateApiKey, NewSecret, RevokeApiKey, RotateApiKey};
use crate::ids;
use crate::resources::ApiKey;
use crate::secrets::{api_key, random};
use crate::store::StoreError;

/// How many permissions a key may list.
const MAX_PERMISSIONS: usize = 200;
/// How many networks a key may be bound to.
const MAX_NETWORKS: usize = 50;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(find, revoke)).routes(routes!(rotate))
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// The API keys of a workspace, newest first, revoked ones among them.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/api-keys", tag = "api keys", params(("workspace_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<ApiKey>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, Path(id): Path<Uuid>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::ApiKeysManage).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let scope = Scope::new(format!("/v1/workspaces/{id}/api-keys"), []);
    let before: Option<(Time, Uuid)> = scope.open(&look.app, query.cursor.as_deref())?;
    let rows = api_keys::list(&mut tx, before, limit + 1).await.map_err(StoreError::from)?;
    let key = |row: &api_keys::ApiKey| (row.created_at, row.key_id);
    let response = scope.page(&look.app, rows, limit, key, |row| ApiKey::from_row(row, look.now))?;
    Ok(look.fresh(response))
}

/// An API key of a workspace.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/api-keys/{key_id}", tag = "api keys",
    params(("workspace_id" = Uuid, Path), ("key_id" = Uuid, Path)),
    responses((status = 200, body = ApiKey), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(look: Look, _: NoQuery, Path((id, key)): Path<(Uuid, Uuid)>) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::ApiKeysManage).await?;
    let row = api_keys::find(&mut tx, key).await.map_err(StoreError::from)?;
    let row = row.ok_or_else(|| not_found("API key"))?;
    Ok(look.resource(row.sequence, &ApiKey::from_row(row, look.now)))
}

/// What a new key may do, until when and from where.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    #[garde(required, inner(custom(checks::name)))]
    #[schema(required = true, value_type = String)]
    name: Option<String>,
    /// Built-in or registered permissions, none beyond the creator's own.
    #[garde(required, inner(length(min = 1, max = MAX_PERMISSIONS), inner(custom(checks::permission))))]
    #[schema(required = true, value_type = Vec<String>)]
    permissions: Option<Vec<String>>,
    /// Never by default.
    #[garde(inner(custom(checks::instant)))]
    expires_at: Option<DateTime<Utc>>,
    /// Networks (CIDR) or addresses it may be used from; from everywhere by default.
    #[serde(default)]
    #[garde(length(max = MAX_NETWORKS), inner(custom(checks::network)))]
    networks: Vec<String>,
}

/// Create an API key.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/api-keys", tag = "api keys", request_body = CreateRequest,
    params(("workspace_id" = Uuid, Path)),
    responses((status = 201, body = ApiKey, description = "With `key`, once"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn create(act: Act, Path(id): Path<Uuid>, body: Body<CreateRequest>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let request = body.value;
    let command = CreateApiKey {
        workspace,
        id: ApiKeyId(ids::new_v7()),
        name: request.name.unwrap_or_default(),
        secret: new_secret(&act, id),
        permissions: permissions(&request.permissions.unwrap_or_default()),
        expires_at: request.expires_at.map(|end| end.trunc_subsecs(6)),
        networks: request.networks.iter().filter_map(|text| checks::parse_network(text)).collect(),
        reads: act.app.reads.clone(),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

fn new_secret(act: &Act, workspace: Uuid) -> NewSecret {
    let nonce = Uuid::from_bytes(random::random_bytes());
    let key = api_key::issue(&act.app.keys.api_key, workspace, nonce);
    NewSecret { nonce, kept: KeptSecret { hash: api_key::hash(&key), hint: api_key::hint(&key) } }
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateRequest {
    /// How long the old key stays good: seconds, or a duration such as `45m`, `24h`, `7d`; a day by default, `0` for
    /// not at all, at most 30 days.
    #[garde(inner(custom(checks::overlap)))]
    overlap: Option<Lifetime>,
}

/// Give an API key a new secret; the old one stays good for a while.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/api-keys/{key_id}/rotate", tag = "api keys", request_body = RotateRequest,
    params(("workspace_id" = Uuid, Path), ("key_id" = Uuid, Path)),
    responses((status = 200, body = ApiKey, description = "With the new `key`, once"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn rotate(
    act: Act,
    Path((id, key)): Path<(Uuid, Uuid)>,
    body: Body<RotateRequest>,
) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let overlap = body.value.overlap.and_then(|given| checks::parse_lifetime(&given.0));
    let command = RotateApiKey {
        workspace,
        id: ApiKeyId(key),
        secret: new_secret(&act, id),
        overlap: overlap.unwrap_or(DEFAULT_OVERLAP),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

/// Revoke an API key.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace_id}/api-keys/{key_id}", tag = "api keys",
    params(("workspace_id" = Uuid, Path), ("key_id" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn revoke(act: Act, Path((id, key)): Path<(Uuid, Uuid)>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let command = RevokeApiKey { workspace, id: ApiKeyId(key), precondition: act.precondition.clone() };
    Ok(act.run(Some(workspace), &[], command).await?.into_response())
}
