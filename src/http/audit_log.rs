//! `/v1/workspaces/{id}/audit-log`: what was done, to what, by whom, from where.

use std::sync::Arc;

use axum::response::Response;
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenure_aggregates::{Permission, WorkspaceId};
use tenure_projections::audit_log::{self, Entry, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::Query;
use super::checks;
use super::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use super::look::Look;
use crate::data_keys::RequestOrigin;
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

/// One thing that was done.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditEntry {
    position: i64,
    workspace_seq: i64,
    time: DateTime<Utc>,
    actor: AuditActor,
    /// `<aggregate>.<past tense>`, as in `membership.role_changed`.
    action: String,
    target: AuditTarget,
    /// `{field: {from, to}}`
    changes: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    origin: AuditOrigin,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditActor {
    /// `user`, `service`, `api_key` or `system`.
    #[serde(rename = "type")]
    kind: String,
    id: Option<String>,
    /// The service that acted for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditTarget {
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct AuditOrigin {
    ip: Option<String>,
    user_agent: Option<String>,
    request_id: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
}

impl AuditEntry {
    fn of(entry: Entry, origin: RequestOrigin) -> Self {
        Self {
            position: entry.position,
            workspace_seq: entry.workspace_seq,
            time: entry.time,
            actor: AuditActor { kind: entry.actor_type, id: entry.actor_id, via: entry.via },
            action: entry.action,
            target: AuditTarget { kind: entry.target_type, id: entry.target_id },
            changes: entry.changes,
            reason: entry.reason,
            origin: AuditOrigin {
                ip: origin.ip,
                user_agent: origin.user_agent,
                correlation_id: entry.correlation_id.or_else(|| entry.request_id.clone()),
                request_id: entry.request_id,
                causation_id: entry.causation_id,
            },
        }
    }
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// The actor's id.
    #[garde(inner(length(chars, min = 1, max = 255)))]
    actor: Option<String>,
    /// An action, or a family of them: `membership.*`.
    #[garde(inner(length(chars, min = 1, max = 100)))]
    action: Option<String>,
    /// The target's id.
    #[garde(inner(length(chars, min = 1, max = 255)))]
    target: Option<String>,
    /// At or after this time.
    #[garde(inner(custom(checks::instant)))]
    from: Option<DateTime<Utc>>,
    /// Before this time.
    #[garde(inner(custom(checks::instant)))]
    to: Option<DateTime<Utc>>,
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// The audit log of a workspace, newest first.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/audit-log", tag = "audit", params(("workspace_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<AuditEntry>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, Path(id): Path<Uuid>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::AuditRead).await?;
    let filter = Filter {
        actor: query.actor.as_deref(),
        action: query.action.as_deref(),
        target: query.target.as_deref(),
        from: query.from,
        to: query.to,
    };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let bound = [
        ("actor", query.actor.clone()),
        ("action", query.action.clone()),
        ("target", query.target.clone()),
        ("from", query.from.map(|time| time.to_rfc3339())),
        ("to", query.to.map(|time| time.to_rfc3339())),
    ];
    let scope = Scope::new(format!("/v1/workspaces/{id}/audit-log"), bound);
    let before: Option<i64> = scope.open(&look.app, query.cursor.as_deref())?;
    let mut rows = audit_log::list(&mut tx, &filter, before, limit + 1).await.map_err(StoreError::from)?;
    let origins = look.app.vault.open_entries(&mut rows).await?;
    let rows: Vec<_> = rows.into_iter().zip(origins).collect();
    let item = |(entry, origin)| AuditEntry::of(entry, origin);
    let response = scope.page(&look.app, rows, limit, |(entry, _)| entry.workspace_seq, item)?;
    Ok(look.fresh(response))
}
