//! Webhook endpoints: create, list, change, delete, a new secret.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::webhook_endpoint::DEFAULT_OVERLAP;
use tenure_aggregates::{Permission, Time, WebhookEndpointId, WorkspaceId};
use tenure_projections::{TenantTx, webhook_endpoints};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::url;
use crate::commands::webhooks::{ChangeWebhook, CreateWebhook, DeleteWebhook, RotateWebhookSecret};
use crate::feeds::types;
use crate::http::App;
use crate::http::act::Act;
use crate::http::base::body::{Body, double_option};
use crate::http::base::path::Path;
use crate::http::base::problem::{Problem, ProblemBody};
use crate::http::base::query::{NoQuery, Query};
use crate::http::checks::{self, Lifetime};
use crate::http::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use crate::http::look::{Look, not_found};
use crate::ids;
use crate::resources::WebhookEndpoint;
use crate::store::StoreError;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(find, change, delete))
        .routes(routes!(rotate_secret))
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only enabled ones, or only disabled ones.
    #[garde(skip)]
    enabled: Option<bool>,
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// The webhook endpoints of a workspace, newest first.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/webhooks", tag = "webhooks", operation_id = "list_webhooks",
    params(("workspace_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<WebhookEndpoint>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, Path(id): Path<Uuid>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::WebhooksManage).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let filter = [("enabled", query.enabled.map(|enabled| enabled.to_string()))];
    let scope = Scope::new(format!("/v1/workspaces/{id}/webhooks"), filter);
    let before: Option<(Time, Uuid)> = scope.open(&look.app, query.cursor.as_deref())?;
    let rows = webhook_endpoints::list(&mut tx, query.enabled, before, limit + 1).await;
    let key = |row: &webhook_endpoints::WebhookEndpoint| (row.created_at, row.endpoint_id);
    let rows = rows.map_err(StoreError::from)?;
    Ok(look.fresh(scope.page(&look.app, rows, limit, key, WebhookEndpoint::from)?))
}

/// A webhook endpoint of a workspace.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}", tag = "webhooks", operation_id = "find_webhook",
    params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path)),
    responses((status = 200, body = WebhookEndpoint), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(look: Look, _: NoQuery, Path((id, endpoint)): Path<(Uuid, Uuid)>) -> Result<Response, Problem> {
    let (sequence, body) = read(&look, id, endpoint).await?;
    Ok(look.resource(sequence, &body))
}

async fn read(look: &Look, id: Uuid, endpoint: Uuid) -> Result<(i64, WebhookEndpoint), Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::WebhooksManage).await?;
    let row = existing(&mut tx, endpoint).await?;
    Ok((row.sequence, row.into()))
}

/// The endpoint, as it is now.
pub(super) async fn existing(
    tx: &mut TenantTx,
    endpoint: Uuid,
) -> Result<webhook_endpoints::WebhookEndpoint, Problem> {
    let row = webhook_endpoints::find(tx, endpoint).await.map_err(StoreError::from)?;
    row.ok_or_else(|| not_found("webhook endpoint"))
}

/// Where events go, and which ones.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    /// An https address on the public internet; the operator may allow others.
    #[garde(required, inner(custom(checks::webhook_url)))]
    #[schema(required = true, value_type = String, example = "https://hooks.example.com/tenure")]
    url: Option<String>,
    /// Names of events (`invitation.accepted`), families of them (`membership.*`), or `*` for everything.
    #[garde(required, inner(length(min = 1, max = types::MOST), inner(custom(checks::event_pattern))))]
    #[schema(required = true, value_type = Vec<String>, example = json!(["membership.*"]))]
    events: Option<Vec<String>>,
    #[garde(inner(custom(checks::description)))]
    description: Option<String>,
    /// Whether anything is delivered from the start.
    #[garde(skip)]
    #[schema(default = true)]
    enabled: Option<bool>,
}

/// Create a webhook endpoint.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/webhooks", tag = "webhooks", operation_id = "create_webhook",
    request_body = CreateRequest, params(("workspace_id" = Uuid, Path)),
    responses((status = 201, body = WebhookEndpoint, description = "With `secret`, once"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn create(act: Act, Path(id): Path<Uuid>, body: Body<CreateRequest>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let request = body.value;
    let url = request.url.unwrap_or_default();
    require_reachable(&act.app, &url)?;
    let command = CreateWebhook {
        workspace,
        id: WebhookEndpointId(ids::new_v7()),
        url,
        events: request.events.unwrap_or_default(),
        description: request.description,
        enabled: request.enabled.unwrap_or(true),
        reads: act.app.reads.clone(),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

/// Where the operator lets webhooks go, only the settings tell.
fn require_reachable(app: &App, text: &str) -> Result<(), Problem> {
    let checked = url::parse(text).and_then(|url| url::check(&url, &app.webhook_networks));
    checked.map_err(|flaw| Problem::invalid_field("/url", flaw.code, flaw.detail))
}

/// What is to be different.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(required, inner(custom(checks::webhook_url))))]
    #[schema(value_type = Option<String>)]
    url: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(required, inner(length(min = 1, max = types::MOST), inner(custom(checks::event_pattern)))))]
    #[schema(value_type = Option<Vec<String>>)]
    events: Option<Option<Vec<String>>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::description))))]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// `true` also takes back that the service itself disabled it; what happened meanwhile is not sent by itself.
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(required))]
    #[schema(value_type = Option<bool>)]
    enabled: Option<Option<bool>>,
}

/// Change a webhook endpoint, enable or disable it.
#[utoipa::path(
    patch, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}", tag = "webhooks", operation_id = "change_webhook",
    request_body = ChangeRequest, params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path)),
    responses((status = 200, body = WebhookEndpoint), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn change(
    act: Act,
    Path((id, endpoint)): Path<(Uuid, Uuid)>,
    body: Body<ChangeRequest>,
) -> Result<Response, Problem> {
    let request = body.value;
    let url = request.url.flatten();
    if let Some(url) = &url {
        require_reachable(&act.app, url)?;
    }
    let command = ChangeWebhook {
        workspace: WorkspaceId(id),
        id: WebhookEndpointId(endpoint),
        url,
        events: request.events.flatten(),
        description: request.description,
        enabled: request.enabled.flatten(),
        precondition: act.precondition.clone(),
    };
    let outcome = act.run(Some(WorkspaceId(id)), &body.raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, id, endpoint)).await
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RotateSecretRequest {
    /// How long the old secret signs, too: seconds, or a duration such as `45m`, `24h`, `7d`; a day by default, `0` for
    /// not at all, at most 30 days.
    #[garde(inner(custom(checks::overlap)))]
    overlap: Option<Lifetime>,
}

/// Give a webhook endpoint a new secret; the old one signs, too, for a while.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/rotate-secret", tag = "webhooks",
    request_body = RotateSecretRequest, params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path)),
    responses((status = 200, body = WebhookEndpoint, description = "With the new `secret`, once"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn rotate_secret(
    act: Act,
    Path((id, endpoint)): Path<(Uuid, Uuid)>,
    body: Body<RotateSecretRequest>,
) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let overlap = body.value.overlap.and_then(|given| checks::parse_lifetime(&given.0));
    let command = RotateWebhookSecret {
        workspace,
        id: WebhookEndpointId(endpoint),
        overlap: overlap.unwrap_or(DEFAULT_OVERLAP),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

/// Delete a webhook endpoint.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}", tag = "webhooks", operation_id = "delete_webhook",
    params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn delete(act: Act, Path((id, endpoint)): Path<(Uuid, Uuid)>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let command =
        DeleteWebhook { workspace, id: WebhookEndpointId(endpoint), precondition: act.precondition.clone() };
    Ok(act.run(Some(workspace), &[], command).await?.into_response())
}
