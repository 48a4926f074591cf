//! What went out to a webhook endpoint; a test, and once more.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{Permission, Time, WebhookEndpointId, WorkspaceId};
use tenure_projections::{TenantTx, deliveries, history};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::endpoints::existing;
use crate::commands::webhooks::{Again, RedeliverWebhook, TestWebhook};
use crate::feeds::CloudEvent;
use crate::http::App;
use crate::http::act::Act;
use crate::http::base::body::Body;
use crate::http::base::path::Path;
use crate::http::base::problem::{Problem, ProblemBody};
use crate::http::base::query::{NoQuery, Query};
use crate::http::checks;
use crate::http::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use crate::http::look::{Look, not_found};
use crate::http::workspaces::EmptyRequest;
use crate::ids;
use crate::resources::{
    Delivery, DeliveryAttempt, DeliveryDetails, DeliveryHeaders, DeliveryRequest, DeliveryRequested,
    RedeliveryRequested,
};
use crate::store::StoreError;
use crate::webhooks::{reply, signature};

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(test))
        .routes(routes!(redeliver))
        .routes(routes!(list))
        .routes(routes!(find))
        .routes(routes!(redeliver_one))
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// `pending`, `delivered`, `failed` or `cancelled`.
    #[garde(inner(custom(checks::delivery_status)))]
    status: Option<String>,
    /// What the event is called, or a family: `membership.*`.
    #[serde(rename = "type")]
    #[garde(inner(custom(checks::delivery_type)))]
    #[param(rename = "type")]
    kind: Option<String>,
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// What went out to a webhook endpoint, and what is to go out, newest first.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/deliveries", tag = "webhooks", operation_id = "list_deliveries",
    params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<Delivery>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(
    look: Look,
    Path((id, endpoint)): Path<(Uuid, Uuid)>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::WebhooksManage).await?;
    existing(&mut tx, endpoint).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let terms = [("status", query.status.clone()), ("type", query.kind.clone())];
    let scope = Scope::new(format!("/v1/workspaces/{id}/webhooks/{endpoint}/deliveries"), terms);
    let before: Option<(Time, Uuid)> = scope.open(&look.app, query.cursor.as_deref())?;
    let filter = deliveries::Filter { status: query.status.as_deref(), kind: query.kind.as_deref() };
    let rows = deliveries::list(&mut tx, endpoint, filter, before, limit + 1).await;
    let key = |row: &deliveries::Delivery| (row.created_at, row.delivery_id);
    let rows = rows.map_err(StoreError::from)?;
    Ok(look.fresh(scope.page(&look.app, rows, limit, key, Delivery::from)?))
}

/// A delivery: what is sent, and what came of each attempt.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/deliveries/{delivery_id}", tag = "webhooks",
    operation_id = "find_delivery",
    params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 200, body = DeliveryDetails), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(
    look: Look,
    _: NoQuery,
    Path((id, endpoint, delivery)): Path<(Uuid, Uuid, Uuid)>,
) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::WebhooksManage).await?;
    let url = existing(&mut tx, endpoint).await?.url;
    let row = deliveries::find(&mut tx, endpoint, delivery).await.map_err(StoreError::from)?;
    let row = row.ok_or_else(|| not_found("delivery"))?;
    let attempts = deliveries::attempts(&mut tx, delivery).await.map_err(StoreError::from)?;
    let headers = DeliveryHeaders {
        content_type: signature::CONTENT,
        user_agent: signature::AGENT,
        webhook_id: row.event_id,
    };
    let body = event(&look, tx, row.workspace_seq).await?;
    let details = DeliveryDetails {
        delivery: row.into(),
        request: DeliveryRequest { method: "POST", url, headers, body },
        attempt_log: attempt_log(&look, (id, delivery), attempts).await?,
    };
    Ok(look.fresh(axum::Json(details).into_response()))
}

/// The event as it would go out now: what was erased since reads so.
async fn event(look: &Look, mut tx: TenantTx, workspace_seq: i64) -> Result<CloudEvent, Problem> {
    let rows = history::page(&mut tx, workspace_seq - 1, 1).await.map_err(StoreError::from)?;
    drop(tx);
    let opened = look.app.vault.open_events(rows).await?.into_iter().next();
    let opened = opened.filter(|opened| opened.logged.workspace_seq == workspace_seq);
    let opened = opened.ok_or_else(|| StoreError::Internal("a delivery of no event".to_owned()))?;
    Ok(CloudEvent::of(opened)?)
}

/// Every attempt, with what is kept of its reply opened.
async fn attempt_log(
    look: &Look,
    (workspace, delivery): (Uuid, Uuid),
    mut attempts: Vec<deliveries::Attempt>,
) -> Result<Vec<DeliveryAttempt>, Problem> {
    let replies = attempts.iter_mut().map(|attempt| attempt.reply.take()).collect();
    let replies = reply::open(&look.app.vault, workspace, delivery, replies).await?;
    Ok(attempts
        .into_iter()
        .zip(replies)
        .map(|(attempt, reply)| DeliveryAttempt::of(attempt, reply))
        .collect())
}

/// Have a delivery made that says only that it was asked for, whatever the endpoint asks for, and also while it is
/// disabled.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/test", tag = "webhooks", operation_id = "test_webhook",
    params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path)),
    responses((status = 202, body = DeliveryRequested), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn test(
    act: Act,
    Path((id, endpoint)): Path<(Uuid, Uuid)>,
    body: Body<EmptyRequest>,
) -> Result<Response, Problem> {
    let command = TestWebhook {
        workspace: WorkspaceId(id),
        id: WebhookEndpointId(endpoint),
        delivery_id: ids::new_v7(),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(WorkspaceId(id)), &body.raw, command).await?.into_response())
}

/// A stretch of the workspace's history.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct RedeliverRequest {
    /// The first `workspace_seq`.
    #[garde(required)]
    #[schema(required = true, value_type = i64, minimum = 1)]
    from_seq: Option<i64>,
    /// The last one, and no more than 10,000 events from the first.
    #[garde(required)]
    #[schema(required = true, value_type = i64)]
    to_seq: Option<i64>,
}

/// Have what the endpoint asks for of a stretch of the history delivered once more, also what was never delivered to it.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/redeliver", tag = "webhooks",
    operation_id = "redeliver_stretch", request_body = RedeliverRequest,
    params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path)),
    responses((status = 202, body = RedeliveryRequested), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn redeliver(
    act: Act,
    Path((id, endpoint)): Path<(Uuid, Uuid)>,
    body: Body<RedeliverRequest>,
) -> Result<Response, Problem> {
    let (from_seq, to_seq) = (body.value.from_seq.unwrap_or_default(), body.value.to_seq.unwrap_or_default());
    once_more(act, id, endpoint, Again::Stretch { from_seq, to_seq }, &body.raw).await
}

/// Have one delivery made once more, whether or not it arrived.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/webhooks/{endpoint_id}/deliveries/{delivery_id}/redeliver", tag = "webhooks",
    operation_id = "redeliver_one",
    params(("workspace_id" = Uuid, Path), ("endpoint_id" = Uuid, Path), ("delivery_id" = Uuid, Path)),
    responses((status = 202, body = RedeliveryRequested), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn redeliver_one(
    act: Act,
    Path((id, endpoint, delivery)): Path<(Uuid, Uuid, Uuid)>,
    body: Body<EmptyRequest>,
) -> Result<Response, Problem> {
    once_more(act, id, endpoint, Again::Delivery(delivery), &body.raw).await
}

async fn once_more(
    act: Act,
    id: Uuid,
    endpoint: Uuid,
    again: Again,
    raw: &[u8],
) -> Result<Response, Problem> {
    let command = RedeliverWebhook {
        workspace: WorkspaceId(id),
        id: WebhookEndpointId(endpoint),
        redelivery_id: ids::new_v7(),
        again,
        reads: act.app.reads.clone(),
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(WorkspaceId(id)), raw, command).await?.into_response())
}
