//! `/v1/workspaces/{id}/members/{user_id}/history`: why somebody has what they have.

use std::sync::Arc;

use axum::response::Response;
use garde::Validate;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use tenure_aggregates::{Permission, WorkspaceId};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::Query;
use super::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use super::look::{Look, not_found};
use super::{checks, users};
use crate::past::why;
use crate::resources::HistoryEntry;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list))
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HistoryQuery {
    /// As it was then: a position of the log, or an instant (RFC 3339).
    #[garde(inner(custom(checks::as_of)))]
    as_of: Option<String>,
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// Why a member has what they have, oldest first: the events of the membership and the commands behind them, the
/// invitation or code it came by, the definitions of the roles it was of, and the workspace's beginning, status and
/// ownership.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/members/{user_id}/history", tag = "audit",
    params(("workspace_id" = Uuid, Path), ("user_id" = String, Path), HistoryQuery),
    responses((status = 200, body = Page<HistoryEntry>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(
    look: Look,
    Path((id, user_id)): Path<(Uuid, String)>,
    Query(query): Query<HistoryQuery>,
) -> Result<Response, Problem> {
    let user = users::user(&user_id)?;
    let past = look.past(query.as_of.as_deref()).await?;
    let mut tx = look.workspace(WorkspaceId(id), Permission::AuditRead).await?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let name = utf8_percent_encode(user.as_str(), NON_ALPHANUMERIC);
    let path = format!("/v1/workspaces/{id}/members/{name}/history");
    let scope = Scope::new(path, [("as_of", query.as_of.clone())]);
    let after: Option<i64> = scope.open(&look.app, query.cursor.as_deref())?;
    let until = past.map_or(i64::MAX, |past| past.position);
    let entries =
        why::history_of(&mut tx, &look.app.vault, &user, until, after.unwrap_or(0), limit + 1).await?;
    let entries = entries.ok_or_else(|| not_found("member"))?;
    let response = scope.page(&look.app, entries, limit, |entry| entry.workspace_seq, |entry| entry)?;
    Ok(look.fresh(response))
}
