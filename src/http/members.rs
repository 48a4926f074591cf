//! `/v1/workspaces/{id}/members`: list, add, change, deactivate, remove.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{Permission, Role, Time, UserId, WorkspaceId};
use tenure_projections::members::{self, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::Act;
use super::base::body::{Body, double_option};
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::Query;
use super::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use super::look::{AsOfQuery, Look, not_found};
use super::workspaces::{EmptyRequest, ReasonRequest};
use super::{checks, users};
use crate::commands::members::{AddMember, EditMember, RemoveMember, SwitchMember};
use crate::resources::Member;
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(find, add, edit, remove))
        .routes(routes!(deactivate))
        .routes(routes!(reactivate))
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    #[garde(inner(custom(checks::role)))]
    role: Option<String>,
    #[garde(inner(custom(checks::members_status)))]
    status: Option<String>,
    /// Part of a name, e-mail address or user id, in any case.
    #[garde(inner(length(chars, min = 1, max = 255)))]
    q: Option<String>,
    /// As it was then: a position of the log, or an instant (RFC 3339).
    #[garde(inner(custom(checks::as_of)))]
    as_of: Option<String>,
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// The members of a workspace, in the order they joined.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/members", tag = "members", params(("workspace_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<Member>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, Path(id): Path<Uuid>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let past = look.past(query.as_of.as_deref()).await?;
    let mut tx = look.workspace(WorkspaceId(id), Permission::MembersRead).await?;
    let filter =
        Filter { role: query.role.as_deref(), status: query.status.as_deref(), q: query.q.as_deref() };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let bound = [
        ("role", query.role.clone()),
        ("status", query.status.clone()),
        ("q", query.q.clone()),
        ("as_of", query.as_of.clone()),
    ];
    let scope = Scope::new(format!("/v1/workspaces/{id}/members"), bound);
    let after: Option<(Time, String)> = scope.open(&look.app, query.cursor.as_deref())?;
    if let Some(past) = past {
        let members = past.seen(&look.app.vault).members(&mut tx, &filter, after, limit + 1).await?;
        let members = members.ok_or_else(|| not_found("workspace"))?;
        let key = |member: &Member| (member.joined_at, member.user_id.clone());
        return Ok(look.fresh(scope.page(&look.app, members, limit, key, |member| member)?));
    }
    let after = after.as_ref().map(|(joined_at, user_id)| (*joined_at, user_id.as_str()));
    let rows = members::list(&mut tx, &filter, after, limit + 1, look.now).await.map_err(StoreError::from)?;
    let response =
        scope.page(&look.app, rows, limit, |row| (row.joined_at, row.user_id.clone()), Member::from_row)?;
    Ok(look.fresh(response))
}

/// A member of a workspace.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/members/{user_id}", tag = "members",
    params(("workspace_id" = Uuid, Path), ("user_id" = String, Path), AsOfQuery),
    responses((status = 200, body = Member), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(
    look: Look,
    Query(query): Query<AsOfQuery>,
    Path((id, user_id)): Path<(Uuid, String)>,
) -> Result<Response, Problem> {
    let (id, user_id) = (WorkspaceId(id), users::user(&user_id)?);
    let (sequence, body) = match look.past(query.as_of.as_deref()).await? {
        None => read(&look, id, &user_id).await?,
        Some(past) => {
            let mut tx = look.workspace(id, Permission::MembersRead).await?;
            past.seen(&look.app.vault).member(&mut tx, &user_id).await?.ok_or_else(|| not_found("member"))?
        }
    };
    Ok(look.resource(sequence, &body))
}

pub(super) async fn read(look: &Look, id: WorkspaceId, user_id: &UserId) -> Result<(i64, Member), Problem> {
    let mut tx = look.workspace(id, Permission::MembersRead).await?;
    let row = members::find(&mut tx, user_id.as_str(), look.now).await.map_err(StoreError::from)?;
    let row = row.ok_or_else(|| not_found("member"))?;
    Ok((row.sequence, Member::from_row(row)))
}

/// A membership's terms: as it is to begin, or what is to change of it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct TermsRequest {
    /// A new member is a `member` by default.
    #[garde(inner(custom(checks::role)))]
    role: Option<String>,
    /// When the membership runs out by itself; never by default.
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::instant))))]
    #[schema(value_type = Option<DateTime<Utc>>)]
    expires_at: Option<Option<DateTime<Utc>>>,
}

/// Add a provisioned user directly.
#[utoipa::path(
    put, path = "/v1/workspaces/{workspace_id}/members/{user_id}", tag = "members", request_body = TermsRequest,
    params(("workspace_id" = Uuid, Path), ("user_id" = String, Path)),
    responses((status = 200, body = Member), (status = 201, body = Member), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn add(
    act: Act,
    Path((id, user_id)): Path<(Uuid, String)>,
    body: Body<TermsRequest>,
) -> Result<Response, Problem> {
    let (id, user_id) = (WorkspaceId(id), users::user(&user_id)?);
    let command = AddMember {
        workspace: id,
        user_id: user_id.clone(),
        role: role(body.value.role.as_deref()),
        expires_at: micros(body.value.expires_at),
        precondition: act.precondition.clone(),
    };
    let outcome = act.run(Some(id), &body.raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, id, &user_id)).await
}

/// Change a member's role, or when the membership runs out.
#[utoipa::path(
    patch, path = "/v1/workspaces/{workspace_id}/members/{user_id}", tag = "members", request_body = TermsRequest,
    params(("workspace_id" = Uuid, Path), ("user_id" = String, Path)),
    responses((status = 200, body = Member), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn edit(
    act: Act,
    Path((id, user_id)): Path<(Uuid, String)>,
    body: Body<TermsRequest>,
) -> Result<Response, Problem> {
    if body.value.role.is_none() && body.value.expires_at.is_none() {
        return Err(Problem::invalid_field(
            "/role",
            "required",
            "say what is to change: role, expires_at or both",
        ));
    }
    let (id, user_id) = (WorkspaceId(id), users::user(&user_id)?);
    let command = EditMember {
        workspace: id,
        user_id: user_id.clone(),
        role: role(body.value.role.as_deref()),
        expires_at: micros(body.value.expires_at),
        precondition: act.precondition.clone(),
    };
    let outcome = act.run(Some(id), &body.raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, id, &user_id)).await
}

/// Take a member's access away without ending the membership.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/members/{user_id}/deactivate", tag = "members", request_body = ReasonRequest,
    params(("workspace_id" = Uuid, Path), ("user_id" = String, Path)),
    responses((status = 200, body = Member), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn deactivate(
    act: Act,
    Path(path): Path<(Uuid, String)>,
    body: Body<ReasonRequest>,
) -> Result<Response, Problem> {
    switch(act, path, false, body.value.reason, &body.raw).await
}

/// Give a deactivated member access again.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/members/{user_id}/reactivate", tag = "members",
    params(("workspace_id" = Uuid, Path), ("user_id" = String, Path)),
    responses((status = 200, body = Member), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn reactivate(
    act: Act,
    Path(path): Path<(Uuid, String)>,
    body: Body<EmptyRequest>,
) -> Result<Response, Problem> {
    switch(act, path, true, None, &body.raw).await
}

async fn switch(
    act: Act,
    (id, user_id): (Uuid, String),
    active: bool,
    reason: Option<String>,
    raw: &[u8],
) -> Result<Response, Problem> {
    let (id, user_id) = (WorkspaceId(id), users::user(&user_id)?);
    let precondition = act.precondition.clone();
    let command = SwitchMember { workspace: id, user_id: user_id.clone(), active, reason, precondition };
    let outcome = act.run(Some(id), raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, id, &user_id)).await
}

/// Remove a member; removing oneself is leaving.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace_id}/members/{user_id}", tag = "members",
    params(("workspace_id" = Uuid, Path), ("user_id" = String, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn remove(act: Act, Path((id, user_id)): Path<(Uuid, String)>) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let command = RemoveMember {
        workspace: id,
        user_id: users::user(&user_id)?,
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(id), &[], command).await?.into_response())
}

/// A role that [`checks::role`] has let through.
pub(super) fn role(text: Option<&str>) -> Option<Role> {
    text.and_then(|text| text.parse().ok())
}

/// As precise as PostgreSQL keeps it.
fn micros(expires_at: Option<Option<Time>>) -> Option<Option<Time>> {
    use chrono::SubsecRound;
    expires_at.map(|end| end.map(|end| end.trunc_subsecs(6)))
}
