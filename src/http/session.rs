//! `/v1/session`: signing in, the switcher, switching workspaces, signing out.

use std::sync::Arc;

use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{SessionId, UserId, WorkspaceId};
use tenure_projections::users;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::{Act, Outcome};
use super::base::body::Body;
use super::base::cookie;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::NoQuery;
use super::caller::{Caller, SESSION_COOKIE};
use super::look::{Look, no_such_user};
use crate::attempts::Place;
use crate::commands::sessions::{EndSession, RenewSession, StartSession, SwitchSession};
use crate::ids;
use crate::resources::{self, CurrentWorkspace, Entered, SessionAnswer, SessionSummary, SwitcherItem, User};
use crate::sessions::token::Issued;
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(start, show, end)).routes(routes!(switch))
}

/// Where the session is to begin.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct StartRequest {
    /// The workspace used last by default, the personal one if there is none.
    #[garde(skip)]
    workspace_id: Option<Uuid>,
}

/// Sign in: start a session of the user an issuer's JWT speaks of.
#[utoipa::path(
    post, path = "/v1/session", tag = "session", request_body = StartRequest, security(("bearer" = [])),
    responses((status = 201, body = SessionAnswer, description = "With the token, also set as a cookie"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn start(act: Act, body: Body<StartRequest>) -> Result<Response, Problem> {
    act.caller.require_issuer()?;
    let last_used = match act.caller.user() {
        Some(user) if body.value.workspace_id.is_none() => last_used(&act, user).await?,
        _ => None,
    };
    if let Some(wanted) = body.value.workspace_id {
        act.witness.is_about(Place::Workspace(WorkspaceId(wanted)));
    }
    let command = StartSession {
        id: SessionId(ids::new_v7()),
        wanted: body.value.workspace_id.map(WorkspaceId),
        last_used,
        lifetime: act.app.sessions.lifetime,
        precondition: act.precondition.clone(),
    };
    let outcome = act.run(None, &body.raw, command).await?;
    hand_out(&act, outcome).await
}

async fn last_used(act: &Act, user: &UserId) -> Result<Option<WorkspaceId>, Problem> {
    let mut tx = act.app.reads.personal(WorkspaceId::personal(user), None).await?;
    let row = users::find(&mut tx).await.map_err(StoreError::from)?;
    Ok(row.and_then(|row| row.last_workspace_id).map(WorkspaceId))
}

/// The session and everything a switcher shows, with a new token.
///
/// If its user is no longer an active member of the workspace the session is in, it goes to the personal one, and the
/// answer says so.
#[utoipa::path(
    get, path = "/v1/session", tag = "session", security(("bearer" = []), ("session" = [])),
    responses((status = 200, body = SessionAnswer), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn show(look: Look, _: NoQuery) -> Result<Response, Problem> {
    let session = look.caller.require_session()?;
    look.await_position().await?;
    let (entered, etag, position) = renew(&look.app, &look.caller, session.id).await?;
    let (body, issued) = describe(&look.app, &look.caller, entered, position).await?;
    let fresh = Look::after(&look.app, &look.caller, position);
    Ok(with_cookie(fresh.resource(etag, &body), &issued))
}

/// Where the session is to go.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SwitchRequest {
    /// One of the user's workspaces.
    #[garde(required)]
    #[schema(required = true, value_type = Uuid)]
    workspace_id: Option<Uuid>,
}

/// Switch the session to another workspace: the token is issued anew, and the one it was asked with is dead.
#[utoipa::path(
    post, path = "/v1/session/switch", tag = "session", request_body = SwitchRequest,
    security(("bearer" = []), ("session" = [])),
    responses((status = 200, body = SessionAnswer), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn switch(act: Act, body: Body<SwitchRequest>) -> Result<Response, Problem> {
    act.caller.require_session()?;
    let to = WorkspaceId(body.value.workspace_id.unwrap_or_default());
    act.witness.is_about(Place::Workspace(to));
    let command = SwitchSession { to, precondition: act.precondition.clone() };
    let outcome = act.run(None, &body.raw, command).await?;
    hand_out(&act, outcome).await
}

/// Sign out: end the session and take the cookie away.
#[utoipa::path(
    delete, path = "/v1/session", tag = "session", security(("bearer" = []), ("session" = [])),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn end(act: Act) -> Result<Response, Problem> {
    act.caller.require_session()?;
    let command = EndSession { precondition: act.precondition.clone() };
    let mut response = act.run(None, &[], command).await?.into_response();
    if let Some(cleared) = cookie::clear(SESSION_COOKIE) {
        response.headers_mut().insert(SET_COOKIE, cleared);
    }
    Ok(response)
}

/// Answers a command with the session as it stands. No token is kept with an idempotency key: a repeated request gets
/// a new one, for wherever the session is by then.
async fn hand_out(act: &Act, outcome: Outcome) -> Result<Response, Problem> {
    let mut entered: Entered = outcome.read_body()?;
    if outcome.replayed() {
        let fallback = entered.fallback.take();
        entered = renew(&act.app, &act.caller, SessionId(entered.session_id)).await?.0;
        entered.fallback = entered.fallback.or(fallback);
    }
    let (body, issued) = describe(&act.app, &act.caller, entered, outcome.position).await?;
    Ok(with_cookie(outcome.with_body(&body)?.into_response(), &issued))
}

/// The session as it stands, its sequence, and the position at which that is so.
async fn renew(app: &Arc<App>, caller: &Caller, id: SessionId) -> Result<(Entered, i64, i64), Problem> {
    let (app, origin) = (app.clone(), caller.0.clone());
    // In a task of its own, as every command: it may write, and must not stop halfway when the client goes away.
    let done =
        tokio::spawn(
            async move { app.store.run(&RenewSession { id }, origin, None, crate::clock::now).await },
        );
    let done = done.await.map_err(|_| Problem::from(StoreError::OutcomeUnknown))??;
    let answer = resources::Answer::from_text(&done.committed.answer)?;
    let etag = answer.etag.unwrap_or_default();
    Ok((answer.read_body()?, etag, done.committed.position))
}

/// Everything a switcher shows, read after `position`, with a token made just now.
async fn describe(
    app: &Arc<App>,
    caller: &Caller,
    entered: Entered,
    position: i64,
) -> Result<(SessionAnswer, Issued), Problem> {
    let user = UserId::parse(&entered.user_id).map_err(|_| Problem::internal())?;
    let look = Look::after(app, caller, position);
    let mut tx = look.user(&user).await?;
    let profile = users::find(&mut tx).await.map_err(StoreError::from)?;
    let profile = profile.filter(|row| row.status != "erased").ok_or_else(no_such_user)?;
    let rows = users::workspaces_of(&mut tx, look.now).await.map_err(StoreError::from)?;
    let here = |row| SwitcherItem::from_row(row).seen_from(entered.workspace_id);
    let workspaces: Vec<SwitcherItem> = rows.into_iter().map(here).collect();
    let issued = app.sessions.issue(&entered, look.now);
    let body = SessionAnswer {
        session: SessionSummary {
            id: entered.session_id,
            user_id: entered.user_id,
            started_at: entered.started_at,
            expires_at: entered.expires_at,
        },
        user: User::from_row(profile),
        current: CurrentWorkspace {
            workspace_id: entered.workspace_id,
            kind: entered.kind,
            name: entered.name,
            slug: entered.slug,
            role: entered.role,
            status: entered.status,
            permissions: entered.permissions,
            plan: entered.plan,
        },
        workspaces,
        token: issued.token.clone(),
        token_expires_at: issued.expires_at,
        fallback: entered.fallback,
    };
    Ok((body, issued))
}

/// The cookie lasts as long as the token in it.
fn with_cookie(mut response: Response, issued: &Issued) -> Response {
    let left = (issued.expires_at - crate::clock::now()).max(TimeDelta::zero()).num_seconds();
    if let Some(cookie) = cookie::set(SESSION_COOKIE, &issued.token, left) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
