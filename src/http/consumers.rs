//! `/v1/consumers` and `/v1/workspaces/{id}/consumers`: readers of the feeds that keep their place with the service.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenure_aggregates::{Permission, WorkspaceId, workspace};
use tenure_projections::consumers::{self, Move};
use tenure_projections::{TenantTx, workspaces};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::base::body::Body;
use super::base::conditional::IfMatch;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::{NoQuery, Query};
use super::events::reading::{Door, end};
use super::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use super::look::{Look, not_found};
use super::{App, checks};
use crate::feeds::Feed;
use crate::store::{Failure, StoreError};

/// How many consumers one feed may have.
const MOST: i64 = 100;
/// How often a checkpoint is looked at again because somebody else moved it.
const ATTEMPTS: usize = 5;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list_all))
        .routes(routes!(find_of_all, put_of_all, delete_of_all))
        .routes(routes!(list_of_workspace))
        .routes(routes!(find_of_workspace, put_of_workspace, delete_of_workspace))
}

/// A reader that keeps its place with the service; it has a `position` if it reads all, else a `workspace_seq`.
#[derive(Debug, Serialize, ToSchema)]
pub struct Consumer {
    name: String,
    /// The last event it is done with.
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<i64>,
    /// The last event it is done with.
    #[serde(skip_serializing_if = "Option::is_none")]
    workspace_seq: Option<i64>,
    /// How many events there are behind that one.
    lag: i64,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Consumer {
    fn of(feed: Feed, row: consumers::Consumer, end: i64) -> Self {
        let whole = feed == Feed::Whole;
        Self {
            name: row.name,
            position: whole.then_some(row.checkpoint),
            workspace_seq: (!whole).then_some(row.checkpoint),
            lag: (end - row.checkpoint).max(0),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
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

/// How far a consumer of all events has come.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct PositionRequest {
    /// The last event it is done with; 0 for none.
    #[garde(required, inner(range(min = 0)))]
    #[schema(required = true, value_type = i64)]
    position: Option<i64>,
    /// Lets the checkpoint go back.
    #[serde(default)]
    #[garde(skip)]
    backwards: bool,
}

/// How far a consumer of a workspace's events has come.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SeqRequest {
    /// The last event it is done with; 0 for none.
    #[garde(required, inner(range(min = 0)))]
    #[schema(required = true, value_type = i64)]
    workspace_seq: Option<i64>,
    /// Lets the checkpoint go back.
    #[serde(default)]
    #[garde(skip)]
    backwards: bool,
}

/// The consumers of all events, by name. By the operator only.
#[utoipa::path(
    get, path = "/v1/consumers", tag = "audit", params(ListQuery),
    responses((status = 200, body = Page<Consumer>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list_all(look: Look, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    list(&look, Feed::Whole, query).await
}

/// A consumer of all events. By the operator only.
#[utoipa::path(
    get, path = "/v1/consumers/{consumer}", tag = "audit", params(("consumer" = String, Path)),
    responses((status = 200, body = Consumer), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find_of_all(look: Look, _: NoQuery, Path(name): Path<String>) -> Result<Response, Problem> {
    find(&look, Feed::Whole, &name).await
}

/// Register a consumer of all events, or store how far it has come. By the operator only.
#[utoipa::path(
    put, path = "/v1/consumers/{consumer}", tag = "audit", request_body = PositionRequest, params(("consumer" = String, Path)),
    responses((status = 200, body = Consumer), (status = 201, body = Consumer), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn put_of_all(
    look: Look,
    _: NoQuery,
    condition: IfMatch,
    Path(name): Path<String>,
    body: Body<PositionRequest>,
) -> Result<Response, Problem> {
    let to = Checkpoint { place: body.value.position.unwrap_or_default(), backwards: body.value.backwards };
    put(&look, Feed::Whole, &name, to, &condition).await
}

/// Forget a consumer of all events. By the operator only.
#[utoipa::path(
    delete, path = "/v1/consumers/{consumer}", tag = "audit", params(("consumer" = String, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn delete_of_all(
    look: Look,
    _: NoQuery,
    condition: IfMatch,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    delete(&look, Feed::Whole, &name, &condition).await
}

/// The consumers of a workspace's events, by name.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/consumers", tag = "audit", params(("workspace_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<Consumer>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list_of_workspace(
    look: Look,
    Path(id): Path<Uuid>,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    list(&look, Feed::Of(WorkspaceId(id)), query).await
}

/// A consumer of a workspace's events.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/consumers/{consumer}", tag = "audit",
    params(("workspace_id" = Uuid, Path), ("consumer" = String, Path)),
    responses((status = 200, body = Consumer), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find_of_workspace(
    look: Look,
    _: NoQuery,
    Path((id, name)): Path<(Uuid, String)>,
) -> Result<Response, Problem> {
    find(&look, Feed::Of(WorkspaceId(id)), &name).await
}

/// Register a consumer of a workspace's events, or store how far it has come.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace_id}/consumers/{consumer}", tag = "audit", request_body = SeqRequest,
    params(("workspace_id" = Uuid, Path), ("consumer" = String, Path)),
    responses((status = 200, body = Consumer), (status = 201, body = Consumer), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn put_of_workspace(
    look: Look,
    _: NoQuery,
    condition: IfMatch,
    Path((id, name)): Path<(Uuid, String)>,
    body: Body<SeqRequest>,
) -> Result<Response, Problem> {
    let place = body.value.workspace_seq.unwrap_or_default();
    let to = Checkpoint { place, backwards: body.value.backwards };
    put(&look, Feed::Of(WorkspaceId(id)), &name, to, &condition).await
}

/// Forget a consumer of a workspace's events.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace_id}/consumers/{consumer}", tag = "audit",
    params(("workspace_id" = Uuid, Path), ("consumer" = String, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn delete_of_workspace(
    look: Look,
    _: NoQuery,
    condition: IfMatch,
    Path((id, name)): Path<(Uuid, String)>,
) -> Result<Response, Problem> {
    delete(&look, Feed::Of(WorkspaceId(id)), &name, &condition).await
}

/// What a checkpoint is to become.
#[derive(Debug, Clone, Copy)]
struct Checkpoint {
    place: i64,
    backwards: bool,
}

/// Where a consumer's feed goes on, for whoever may read that feed.
pub(super) async fn checkpoint(door: &Door, feed: Feed, name: &str) -> Result<i64, Problem> {
    let look = door.look().await?;
    let mut tx = to_read(&look, feed).await?;
    let found = consumers::find(&mut tx, name).await.map_err(StoreError::from)?;
    Ok(found.ok_or_else(|| not_found("consumer"))?.checkpoint)
}

async fn to_read(look: &Look, feed: Feed) -> Result<TenantTx, Problem> {
    match feed {
        Feed::Of(workspace) => look.workspace(workspace, Permission::AuditRead).await,
        Feed::Whole => of_operator(look).await,
    }
}

/// A checkpoint is no event, but it is a write: a read-only credential stores none, and a workspace that is suspended
/// or archived takes none.
async fn to_write(look: &Look, feed: Feed) -> Result<TenantTx, Problem> {
    let Feed::Of(id) = feed else { return of_operator(look).await };
    let mut tx = look.workspace(id, Permission::IntegrationsManage).await?;
    let row = workspaces::find(&mut tx).await.map_err(StoreError::from)?;
    let refusal = match row.map(|row| row.status()) {
        Some("active") => return Ok(tx),
        Some("suspended") => workspace::Refusal::Suspended,
        Some(_) => workspace::Refusal::Archived,
        None => workspace::Refusal::NotFound,
    };
    Err(Failure::from(refusal).into())
}

async fn of_operator(look: &Look) -> Result<TenantTx, Problem> {
    look.caller.require_service()?;
    look.await_position().await?;
    Ok(look.app.reads.log_of(Feed::Whole.home()).await?)
}

async fn list(look: &Look, feed: Feed, query: ListQuery) -> Result<Response, Problem> {
    let mut tx = to_read(look, feed).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let path = match feed {
        Feed::Of(workspace) => format!("/v1/workspaces/{workspace}/consumers"),
        Feed::Whole => "/v1/consumers".to_owned(),
    };
    let scope = Scope::new(path, []);
    let after: Option<String> = scope.open(&look.app, query.cursor.as_deref())?;
    let rows = consumers::list(&mut tx, after.as_deref(), limit + 1).await.map_err(StoreError::from)?;
    drop(tx);
    let end = end(&look.app, feed).await?;
    let item = |row| Consumer::of(feed, row, end);
    let response = scope.page(&look.app, rows, limit, |row| row.name.clone(), item)?;
    Ok(look.fresh(response))
}

async fn find(look: &Look, feed: Feed, name: &str) -> Result<Response, Problem> {
    let mut tx = to_read(look, feed).await?;
    let row = consumers::find(&mut tx, name).await.map_err(StoreError::from)?;
    drop(tx);
    let row = row.ok_or_else(|| not_found("consumer"))?;
    let end = end(&look.app, feed).await?;
    Ok(look.resource(row.sequence, &Consumer::of(feed, row, end)))
}

/// Moves a checkpoint from where it was found, never from anywhere else.
async fn put(
    look: &Look,
    feed: Feed,
    name: &str,
    to: Checkpoint,
    condition: &IfMatch,
) -> Result<Response, Problem> {
    checks::consumer(name, &())
        .map_err(|_| Problem::invalid_field("consumer", "invalid", checks::CONSUMER))?;
    for _ in 0..ATTEMPTS {
        let mut tx = to_write(look, feed).await?;
        let found = consumers::find(&mut tx, name).await.map_err(StoreError::from)?;
        drop(tx);
        let end = end(&look.app, feed).await?;
        // Already so: the answer to an earlier request may have been lost.
        if let Some(found) = found.as_ref().filter(|found| found.checkpoint == to.place) {
            return Ok(look.resource(found.sequence, &Consumer::of(feed, found.clone(), end)));
        }
        condition.check(found.as_ref().and_then(|found| u64::try_from(found.sequence).ok()))?;
        may_move(found.as_ref(), to, end)?;
        let step = Move {
            workspace: feed.home(),
            name,
            found: found.as_ref().map(|found| found.sequence),
            checkpoint: to.place,
            at: look.now,
        };
        if consumers::put(&look.app.projector_pool, &step, MOST).await.map_err(StoreError::from)? {
            return Ok(moved(look, feed, found, &step, end));
        }
        if found.is_none() && is_full(look, feed).await? {
            let detail = format!("A feed has at most {MOST} consumers; forget one first.");
            return Err(Problem::new(StatusCode::CONFLICT, "too_many_consumers", detail));
        }
    }
    Err(StoreError::Conflict.into())
}

fn may_move(found: Option<&consumers::Consumer>, to: Checkpoint, end: i64) -> Result<(), Problem> {
    if to.place > end {
        let detail = format!("The feed ends at {end}: nobody can be done with {} yet.", to.place);
        return Err(Problem::new(StatusCode::BAD_REQUEST, "position_in_future", detail));
    }
    match found {
        Some(found) if to.place < found.checkpoint && !to.backwards => {
            let detail = format!(
                "This consumer is done with {} already. To go back, say `\"backwards\": true`.",
                found.checkpoint
            );
            Err(Problem::new(StatusCode::CONFLICT, "checkpoint_behind", detail))
        }
        _ => Ok(()),
    }
}

fn moved(look: &Look, feed: Feed, found: Option<consumers::Consumer>, to: &Move<'_>, end: i64) -> Response {
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let row = consumers::Consumer {
        name: to.name.to_owned(),
        checkpoint: to.checkpoint,
        sequence: to.found.unwrap_or(0) + 1,
        created_at: found.map_or(to.at, |found| found.created_at),
        updated_at: to.at,
    };
    let mut response = look.resource(row.sequence, &Consumer::of(feed, row, end));
    *response.status_mut() = status;
    response
}

async fn is_full(look: &Look, feed: Feed) -> Result<bool, Problem> {
    let mut tx = to_write(look, feed).await?;
    let rows = consumers::list(&mut tx, None, MOST).await.map_err(StoreError::from)?;
    Ok(i64::try_from(rows.len()).is_ok_and(|count| count >= MOST))
}

async fn delete(look: &Look, feed: Feed, name: &str, condition: &IfMatch) -> Result<Response, Problem> {
    for _ in 0..ATTEMPTS {
        let mut tx = to_write(look, feed).await?;
        let found = consumers::find(&mut tx, name).await.map_err(StoreError::from)?;
        drop(tx);
        let found = found.ok_or_else(|| not_found("consumer"))?;
        condition.check(u64::try_from(found.sequence).ok())?;
        let gone = consumers::delete(&look.app.projector_pool, feed.home(), name, found.sequence);
        if gone.await.map_err(StoreError::from)? {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
    }
    Err(StoreError::Conflict.into())
}
