//! `/v1/workspaces/{id}/events`: the history itself, one CloudEvents 1.0 object a line.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::stream;
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tenure_aggregates::{Permission, WorkspaceId};
use tenure_projections::recorded::{Metadata, Opened};
use tenure_projections::{audit_log, history};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::Query;
use super::look::Look;
use crate::store::StoreError;

/// How many events are read at a time.
const CHUNK: i64 = 500;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An event as a `CloudEvent`; the lower-case members without a break are extension attributes.
#[derive(Debug, Serialize, ToSchema)]
pub struct CloudEvent {
    specversion: &'static str,
    id: Uuid,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    time: DateTime<Utc>,
    subject: String,
    datacontenttype: &'static str,
    workspaceid: Uuid,
    workspaceseq: i64,
    position: i64,
    sequence: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlationid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causationid: Option<String>,
    /// `user:<id>`, `service:<id>` or `system`.
    actor: String,
    #[schema(value_type = Object)]
    data: Box<RawValue>,
}

impl CloudEvent {
    fn of(opened: Opened) -> Result<Self, serde_json::Error> {
        let (data, version) = (opened.data(), opened.version());
        let event = opened.logged;
        let metadata: Metadata = serde_json::from_str(&event.metadata)?;
        let actor = match &metadata.actor_id {
            Some(id) => format!("{}:{id}", metadata.actor_type.as_str()),
            None => metadata.actor_type.as_str().to_owned(),
        };
        let action = audit_log::action(&event.aggregate_type, &event.event_type);
        Ok(Self {
            specversion: "1.0",
            // An event's place in its workspace never changes, so its id need not be stored.
            id: Uuid::new_v5(&event.workspace_id, &event.workspace_seq.to_be_bytes()),
            source: format!("/workspaces/{}", event.workspace_id),
            kind: format!("tenure.{action}.v{version}"),
            time: event.recorded_at,
            subject: event.aggregate_id,
            datacontenttype: "application/json",
            workspaceid: event.workspace_id,
            workspaceseq: event.workspace_seq,
            position: event.position,
            sequence: event.sequence,
            correlationid: metadata.correlation_id.or(metadata.request_id),
            causationid: metadata.causation_id,
            actor,
            data: RawValue::from_string(data)?,
        })
    }

    fn line(event: Opened) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(&Self::of(event)?)?;
        line.push(b'\n');
        Ok(line)
    }
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Events after this `workspaceseq`; from the first by default.
    #[garde(inner(range(min = 0)))]
    after: Option<i64>,
    /// At most so many; all there are by default.
    #[garde(inner(range(min = 1)))]
    limit: Option<i64>,
}

/// The events of a workspace, oldest first, as NDJSON.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/events", tag = "audit", params(("workspace_id" = Uuid, Path), EventsQuery),
    responses((status = 200, body = CloudEvent, content_type = "application/x-ndjson"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(
    look: Look,
    Path(id): Path<Uuid>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let (after, left) = (query.after.unwrap_or(0), query.limit.unwrap_or(i64::MAX));
    let (first, after, left) = chunk(&look, id, after, left).await?;
    // The first chunk is read before the answer begins, so that a refusal is a refusal and not a broken stream.
    let rest = stream::try_unfold((look, after, left), move |(look, after, left)| async move {
        if left == 0 {
            return Ok(None);
        }
        let (lines, after, left) = chunk(&look, id, after, left).await.map_err(|problem| problem.code())?;
        Ok::<_, &'static str>((!lines.is_empty()).then_some((lines, (look, after, left))))
    });
    let lines = stream::StreamExt::chain(stream::iter([Ok(first)]), rest);
    let mut response = Body::from_stream(lines).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    Ok(response)
}

/// Some lines, where to go on, and how many may still follow. Every chunk is authorised anew: a reader who is removed
/// meanwhile reads no further.
async fn chunk(look: &Look, id: WorkspaceId, after: i64, left: i64) -> Result<(Vec<u8>, i64, i64), Problem> {
    let mut tx = look.workspace(id, Permission::AuditRead).await?;
    let events = history::page(&mut tx, after, left.min(CHUNK)).await.map_err(StoreError::from)?;
    let last = events.last().map_or(after, |event| event.workspace_seq);
    let read = i64::try_from(events.len()).unwrap_or(left);
    let left = if read < left.min(CHUNK) { 0 } else { left - read };
    let mut lines = Vec::new();
    for event in look.app.vault.open_events(events).await? {
        lines.extend(CloudEvent::line(event).map_err(|error| StoreError::Corrupt(error.to_string()))?);
    }
    Ok((lines, last, left))
}
