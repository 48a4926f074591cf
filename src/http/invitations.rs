//! `/v1/workspaces/{id}/invitations` and `/v1/invitations`: invite, list, send again, revoke; preview, accept, decline.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use serde_json::Value;
use tenure_aggregates::invitation::Mailing;
use tenure_aggregates::values::Email;
use tenure_aggregates::{InvitationId, Permission, Time, WorkspaceId};
use tenure_projections::invitation_mail;
use tenure_projections::invitations::{self, Filter};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::Act;
use super::base::body::{Body, read as read_body};
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::Query;
use super::checks;
use super::list::{DEFAULT_LIMIT, MAX_LIMIT, Page, Scope};
use super::look::{AsOfQuery, Look, not_found};
use super::members::role;
use super::problem::of_problem;
use super::witness::Witness;
use super::workspaces::EmptyRequest;
use crate::attempts::Place;
use crate::commands::invitations::{
    Accept, Decline, Invite, InviteBatch, NewInvitation, OpenedToken, Preview, Resend, Revoke, Roster,
};
use crate::ids;
use crate::mail::Pages;
use crate::resources::{Invitation, InvitationPreview, Member};
use crate::secrets::invitation_token;
use crate::store::{Failure, StoreError};

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(list, invite))
        .routes(routes!(invite_batch))
        .routes(routes!(find))
        .routes(routes!(resend))
        .routes(routes!(revoke))
        .routes(routes!(preview))
        .routes(routes!(accept))
        .routes(routes!(decline))
}

/// An invitation to be sent.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct InviteRequest {
    #[garde(required, inner(custom(checks::email)))]
    #[schema(required = true, value_type = String, example = "bob@example.com")]
    email: Option<String>,
    /// `member` by default; never above the inviter's own.
    #[garde(inner(custom(checks::role)))]
    role: Option<String>,
    /// 7 days by default; 5 minutes to 90 days. Seconds, or `45m`, `12h`, `7d`, `P7D`.
    #[garde(inner(custom(checks::lifetime)))]
    expires_in: Option<checks::Lifetime>,
    /// Whether the token goes out by mail (the default) or stands in this answer, once.
    #[garde(skip)]
    notify: Option<bool>,
    /// The language of the mail, as BCP 47 names it; the nearest that there are templates in is taken.
    #[garde(inner(custom(checks::language)))]
    #[schema(example = "de-AT")]
    language: Option<String>,
    /// The page of the product that the mail's link leads to: exactly one of those the operator listed.
    #[garde(skip)]
    accept_url: Option<String>,
}

impl InviteRequest {
    /// `pages` are those that may be given a token.
    fn into_new(self, pages: &Pages) -> Result<NewInvitation, Problem> {
        let mailing = mailing(self.language, self.accept_url, pages)?;
        let email = self.email.as_deref().and_then(|email| Email::parse(email).ok());
        Ok(NewInvitation {
            id: InvitationId(ids::new_v7()),
            email: email.ok_or_else(Problem::internal)?,
            role: role(self.role.as_deref()).unwrap_or_default(),
            lifetime: checks::Lifetime::or_default(self.expires_in.as_ref()),
            notify: self.notify.unwrap_or(true),
            mailing,
        })
    }
}

/// How the mail is to be written. A page that is not listed is refused: it would be given the token.
fn mailing(language: Option<String>, accept_url: Option<String>, pages: &Pages) -> Result<Mailing, Problem> {
    if accept_url.as_deref().is_some_and(|page| !pages.lists(page)) {
        let detail = "must be one of the pages that this service may send people to, exactly as it is listed";
        return Err(Problem::invalid_field("/accept_url", "not_listed", detail));
    }
    Ok(Mailing { language, accept_url })
}

fn roster(act: &Act) -> Roster {
    Roster { reads: act.app.reads.clone(), access: act.app.access.clone() }
}

/// Invite an e-mail address.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/invitations", tag = "invitations", request_body = InviteRequest,
    params(("workspace_id" = Uuid, Path)),
    responses((status = 201, body = Invitation, description = "With `token` once, if `notify` is false"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn invite(act: Act, Path(id): Path<Uuid>, body: Body<InviteRequest>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let invitation = body.value.into_new(&act.app.mail.pages)?;
    let command =
        Invite { workspace, invitation, roster: roster(&act), precondition: act.precondition.clone() };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

/// Up to 500 invitations.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct BatchRequest {
    #[garde(required, inner(length(min = 1, max = 500)))]
    #[schema(required = true, value_type = Vec<InviteRequest>)]
    invitations: Option<Vec<Value>>,
}

/// Each invitation's outcome, in the order of the request.
#[derive(Debug, serde::Serialize, ToSchema)]
struct BatchAnswer {
    items: Vec<BatchOutcome>,
}

#[derive(Debug, serde::Serialize, ToSchema)]
struct BatchOutcome {
    index: usize,
    status: u16,
    invitation: Option<Invitation>,
    problem: Option<ProblemBody>,
}

/// Invite up to 500 e-mail addresses, each with its own outcome.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/invitations/batch", tag = "invitations", request_body = BatchRequest,
    params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = BatchAnswer), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn invite_batch(act: Act, Path(id): Path<Uuid>, body: Body<BatchRequest>) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let items = body.value.invitations.unwrap_or_default().into_iter().map(|item| {
        let raw = serde_json::to_vec(&item).unwrap_or_default();
        let request = read_body::<InviteRequest>(&raw).map_err(|problem| of_problem(&problem))?;
        request.into_new(&act.app.mail.pages).map_err(|problem| of_problem(&problem))
    });
    let command = InviteBatch {
        workspace,
        items: items.collect(),
        roster: roster(&act),
        precondition: act.precondition.clone(),
    };
    let outcome = act.run(Some(workspace), &body.raw, command).await?;
    if !outcome.replayed() {
        let answer: Value = outcome.read_body()?;
        act.witness.items(answer["items"].as_array().map(Vec::as_slice).unwrap_or_default());
    }
    Ok(outcome.into_response())
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    #[garde(inner(custom(checks::invitation_status)))]
    status: Option<String>,
    /// The whole address, compared as addresses are.
    #[garde(inner(custom(checks::email)))]
    email: Option<String>,
    /// As it was then: a position of the log, or an instant (RFC 3339).
    #[garde(inner(custom(checks::as_of)))]
    as_of: Option<String>,
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// The invitations of a workspace, newest first.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/invitations", tag = "invitations", params(("workspace_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<Invitation>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, Path(id): Path<Uuid>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let past = look.past(query.as_of.as_deref()).await?;
    let mut tx = look.workspace(WorkspaceId(id), Permission::MembersInvite).await?;
    let email = query.email.as_deref().and_then(|email| Email::parse(email).ok());
    // Addresses are sealed: those sent to one are found by its keyed hash.
    let among = match &email {
        Some(email) => Some(look.app.vault.invitations_in(WorkspaceId(id), email).await?),
        None => None,
    };
    let filter = Filter { status: query.status.as_deref(), among: among.as_deref() };
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    let bound =
        [("status", query.status.clone()), ("email", query.email.clone()), ("as_of", query.as_of.clone())];
    let scope = Scope::new(format!("/v1/workspaces/{id}/invitations"), bound);
    let after: Option<(Time, Uuid)> = scope.open(&look.app, query.cursor.as_deref())?;
    if let Some(past) = past {
        let invitations = past.seen(&look.app.vault).invitations(&mut tx, &filter, after, limit + 1).await?;
        let invitations = invitations.ok_or_else(|| not_found("workspace"))?;
        let key = |invitation: &Invitation| (invitation.created_at, invitation.id);
        return Ok(look.fresh(scope.page(&look.app, invitations, limit, key, |invitation| invitation)?));
    }
    let mut rows =
        invitations::list(&mut tx, &filter, after, limit + 1, look.now).await.map_err(StoreError::from)?;
    look.app.vault.open_invitations(&mut rows).await?;
    let mut mails = invitation_mail::of(&mut tx, &rows).await.map_err(StoreError::from)?;
    let item = |row: invitations::Invitation| {
        let mail = mails.remove(&row.invitation_id);
        Invitation::from_row(row, mail)
    };
    let key = |row: &invitations::Invitation| (row.created_at, row.invitation_id);
    let response = scope.page(&look.app, rows, limit, key, item)?;
    Ok(look.fresh(response))
}

/// An invitation.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/invitations/{invitation_id}", tag = "invitations",
    params(("workspace_id" = Uuid, Path), ("invitation_id" = Uuid, Path), AsOfQuery),
    responses((status = 200, body = Invitation), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(
    look: Look,
    Query(query): Query<AsOfQuery>,
    Path((id, invitation)): Path<(Uuid, Uuid)>,
) -> Result<Response, Problem> {
    let (id, invitation) = (WorkspaceId(id), InvitationId(invitation));
    let (sequence, body) = match look.past(query.as_of.as_deref()).await? {
        None => read(&look, id, invitation).await?,
        Some(past) => {
            let mut tx = look.workspace(id, Permission::MembersInvite).await?;
            past.seen(&look.app.vault)
                .invitation(&mut tx, invitation)
                .await?
                .ok_or_else(|| not_found("invitation"))?
        }
    };
    Ok(look.resource(sequence, &body))
}

async fn read(look: &Look, id: WorkspaceId, invitation: InvitationId) -> Result<(i64, Invitation), Problem> {
    let mut tx = look.workspace(id, Permission::MembersInvite).await?;
    let row = invitations::find(&mut tx, invitation, look.now).await.map_err(StoreError::from)?;
    let mut row = row.ok_or_else(|| not_found("invitation"))?;
    look.app.vault.open_invitations(std::slice::from_mut(&mut row)).await?;
    let mut mails =
        invitation_mail::of(&mut tx, std::slice::from_ref(&row)).await.map_err(StoreError::from)?;
    let mail = mails.remove(&row.invitation_id);
    Ok((row.sequence, Invitation::from_row(row, mail)))
}

/// How to send it again.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ResendRequest {
    #[garde(skip)]
    notify: Option<bool>,
    /// From now; 7 days by default.
    #[garde(inner(custom(checks::lifetime)))]
    expires_in: Option<checks::Lifetime>,
    /// The language of the mail; as before if nothing is said.
    #[garde(inner(custom(checks::language)))]
    #[schema(example = "de-AT")]
    language: Option<String>,
    /// The page that the mail's link leads to, one of those the operator listed; as before if nothing is said.
    #[garde(skip)]
    accept_url: Option<String>,
}

/// Send an invitation again with a new token; the old one is dead.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/invitations/{invitation_id}/resend", tag = "invitations", request_body = ResendRequest,
    params(("workspace_id" = Uuid, Path), ("invitation_id" = Uuid, Path)),
    responses((status = 200, body = Invitation, description = "With `token` once, if `notify` is false"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn resend(
    act: Act,
    Path((id, invitation)): Path<(Uuid, Uuid)>,
    body: Body<ResendRequest>,
) -> Result<Response, Problem> {
    let workspace = WorkspaceId(id);
    let command = Resend {
        workspace,
        id: InvitationId(invitation),
        lifetime: checks::Lifetime::or_default(body.value.expires_in.as_ref()),
        notify: body.value.notify.unwrap_or(true),
        mailing: mailing(body.value.language, body.value.accept_url, &act.app.mail.pages)?,
        precondition: act.precondition.clone(),
    };
    Ok(act.run(Some(workspace), &body.raw, command).await?.into_response())
}

/// Take an invitation back.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/invitations/{invitation_id}/revoke", tag = "invitations",
    params(("workspace_id" = Uuid, Path), ("invitation_id" = Uuid, Path)),
    responses((status = 200, body = Invitation), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn revoke(
    act: Act,
    Path((id, invitation)): Path<(Uuid, Uuid)>,
    body: Body<EmptyRequest>,
) -> Result<Response, Problem> {
    let (workspace, invitation) = (WorkspaceId(id), InvitationId(invitation));
    let command = Revoke { workspace, id: invitation, precondition: act.precondition.clone() };
    let outcome = act.run(Some(workspace), &body.raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, workspace, invitation)).await
}

/// A token, from the mail or the answer that made it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenRequest {
    #[garde(required, inner(length(bytes, min = 1, max = 255)))]
    #[schema(required = true, value_type = String)]
    token: Option<String>,
}

impl TokenRequest {
    /// A token that Tenure did not make is refused before anything is looked up.
    pub(super) fn open(&self, app: &App, witness: &Witness) -> Result<OpenedToken, Problem> {
        let token = self.token.as_deref().unwrap_or_default();
        let opened = invitation_token::open(&app.keys.invitation_token, token);
        let (id, generation) =
            opened.ok_or_else(|| Failure::from(tenure_aggregates::invitation::Refusal::TokenInvalid))?;
        witness.is_about(Place::Invitation(InvitationId(id)));
        Ok(OpenedToken { id: InvitationId(id), generation })
    }
}

/// What an invitation offers, for the holder of its token.
#[utoipa::path(
    post, path = "/v1/invitations/preview", tag = "invitations", request_body = TokenRequest,
    responses((status = 200, body = InvitationPreview), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn preview(act: Act, body: Body<TokenRequest>) -> Result<Response, Problem> {
    let token = body.value.open(&act.app, &act.witness)?;
    // Nothing is done, so there is nothing to repeat: no idempotency key is used up.
    Ok(act.without_key().run(None, &body.raw, Preview { token }).await?.into_response())
}

/// Accept, as the acting user; the verified e-mail address must be the invited one.
#[utoipa::path(
    post, path = "/v1/invitations/accept", tag = "invitations", request_body = TokenRequest,
    responses((status = 200, body = Member), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn accept(act: Act, body: Body<TokenRequest>) -> Result<Response, Problem> {
    let token = body.value.open(&act.app, &act.witness)?;
    let outcome = act.run(None, &body.raw, Accept { token, precondition: act.precondition.clone() }).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    let accepted_before = async {
        let invitation =
            act.app.store.loader().load::<tenure_aggregates::Invitation>(&token.id.to_string()).await?;
        let (home, user) = invitation.home.zip(act.caller.user()).ok_or_else(|| not_found("member"))?;
        super::members::read(&look, home, user).await
    };
    outcome.or_read(accepted_before).await
}

/// Decline.
#[utoipa::path(
    post, path = "/v1/invitations/decline", tag = "invitations", request_body = TokenRequest,
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn decline(act: Act, body: Body<TokenRequest>) -> Result<Response, Problem> {
    let token = body.value.open(&act.app, &act.witness)?;
    Ok(act
        .run(None, &body.raw, Decline { token, precondition: act.precondition.clone() })
        .await?
        .into_response())
}
