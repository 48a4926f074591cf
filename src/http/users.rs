//! `/v1/users`: provisioning, the profile, the switcher, erasure.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::values::Email;
use tenure_aggregates::{UserId, WorkspaceId};
use tenure_projections::users;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::{Act, Outcome};
use super::base::body::{Body, double_option};
use super::base::path::Path;
use super::base::problem::{FieldError, Problem, ProblemBody};
use super::base::query::Query;
use super::checks;
use super::look::{AsOfQuery, Look, no_such_user};
use crate::commands::erasure::{EraseUser, Fate};
use crate::commands::users::ProvisionUser;
use crate::resources::{self, SwitcherItem, User};
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(provision, find, delete))
        .routes(routes!(workspaces))
        .routes(routes!(erase))
}

/// What is known of a user; what is left out stays as it is, `null` empties it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ProvisionRequest {
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::email))))]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    #[serde(default)]
    #[garde(skip)]
    email_verified: Option<bool>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::name))))]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
}

/// Provision or update a user, with a personal workspace.
#[utoipa::path(
    put, path = "/v1/users/{user_id}", tag = "users", request_body = ProvisionRequest,
    params(("user_id" = String, Path, description = "The caller's own opaque id")),
    responses((status = 200, body = User), (status = 201, body = User), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn provision(
    act: Act,
    Path(user_id): Path<String>,
    body: Body<ProvisionRequest>,
) -> Result<Response, Problem> {
    let user_id = user(&user_id)?;
    let request = body.value;
    let email = request.email.map(|email| email.and_then(|text| Email::parse(&text).ok()));
    let command = ProvisionUser {
        user_id: user_id.clone(),
        email,
        email_verified: request.email_verified,
        name: request.name,
        precondition: act.precondition.clone(),
    };
    let outcome = act.run(None, &body.raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, &user_id)).await
}

/// A user.
#[utoipa::path(
    get, path = "/v1/users/{user_id}", tag = "users", params(("user_id" = String, Path), AsOfQuery),
    responses((status = 200, body = User), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(
    look: Look,
    Query(query): Query<AsOfQuery>,
    Path(user_id): Path<String>,
) -> Result<Response, Problem> {
    let user_id = user(&user_id)?;
    let (sequence, body) = match look.past(query.as_of.as_deref()).await? {
        None => read(&look, &user_id).await?,
        Some(past) => {
            let mut tx = look.user(&user_id).await?;
            past.seen(&look.app.vault).user(&mut tx, &user_id).await?.ok_or_else(no_such_user)?
        }
    };
    Ok(look.resource(sequence, &body))
}

async fn read(look: &Look, user_id: &UserId) -> Result<(i64, User), Problem> {
    let mut tx = look.user(user_id).await?;
    let row = users::find(&mut tx).await.map_err(StoreError::from)?;
    let row = row.filter(|row| row.status != "erased").ok_or_else(no_such_user)?;
    Ok((row.sequence, resources::User::from_row(row)))
}

/// Every workspace of a user.
#[derive(Debug, serde::Serialize, ToSchema)]
struct Switcher {
    items: Vec<SwitcherItem>,
}

/// The switcher: every workspace of a user, the personal one first.
#[utoipa::path(
    get, path = "/v1/users/{user_id}/workspaces", tag = "users", params(("user_id" = String, Path), AsOfQuery),
    responses((status = 200, body = Switcher), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn workspaces(
    look: Look,
    Query(query): Query<AsOfQuery>,
    Path(user_id): Path<String>,
) -> Result<Response, Problem> {
    let user_id = user(&user_id)?;
    let past = look.past(query.as_of.as_deref()).await?;
    let mut tx = look.user(&user_id).await?;
    let (sequence, rows) = if let Some(past) = past {
        let then = past.seen(&look.app.vault);
        let (sequence, _) = then.user(&mut tx, &user_id).await?.ok_or_else(no_such_user)?;
        (sequence, then.switcher(&look.app.reads, &mut tx, &user_id).await?)
    } else {
        let known = users::find(&mut tx).await.map_err(StoreError::from)?;
        let known = known.filter(|row| row.status != "erased").ok_or_else(no_such_user)?;
        (known.sequence, users::workspaces_of(&mut tx, look.now).await.map_err(StoreError::from)?)
    };
    let here = look.caller.0.session.map(|session| session.workspace_id.0).unwrap_or_default();
    let items = rows.into_iter().map(|row| SwitcherItem::from_row(row).seen_from(here)).collect();
    Ok(look.resource(sequence, &Switcher { items }))
}

/// Erase a user who owns no shared workspace.
#[utoipa::path(
    delete, path = "/v1/users/{user_id}", tag = "users", params(("user_id" = String, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn delete(act: Act, Path(user_id): Path<String>) -> Result<Response, Problem> {
    run_erasure(act, &user_id, BTreeMap::new(), &[]).await.map(IntoResponse::into_response)
}

/// What becomes of the shared workspaces the user owns.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct EraseRequest {
    #[serde(default)]
    #[garde(skip)]
    owned: BTreeMap<Uuid, FateRequest>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(untagged)]
enum FateRequest {
    /// Only `"delete"`.
    Word(String),
    Transfer(TransferRequest),
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransferRequest {
    transfer_to: String,
}

/// Erase a user, saying what becomes of the shared workspaces they own.
#[utoipa::path(
    post, path = "/v1/users/{user_id}/erase", tag = "users", request_body = EraseRequest, params(("user_id" = String, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn erase(act: Act, Path(user_id): Path<String>, body: Body<EraseRequest>) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    let mut owned = BTreeMap::new();
    for (id, fate) in body.value.owned {
        let pointer = format!("/owned/{id}");
        match fate {
            FateRequest::Word(word) if word == "delete" => drop(owned.insert(WorkspaceId(id), Fate::Delete)),
            FateRequest::Word(_) => errors.push(FieldError::new(
                pointer,
                "unknown_value",
                "must be \"delete\" or {\"transfer_to\": user}",
            )),
            FateRequest::Transfer(TransferRequest { transfer_to }) => match UserId::parse(&transfer_to) {
                Ok(heir) => drop(owned.insert(WorkspaceId(id), Fate::TransferTo(heir))),
                Err(invalid) => errors.push(FieldError::new(
                    format!("{pointer}/transfer_to"),
                    invalid.code,
                    invalid.detail,
                )),
            },
        }
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    run_erasure(act, &user_id, owned, &body.raw).await.map(IntoResponse::into_response)
}

async fn run_erasure(
    act: Act,
    user_id: &str,
    owned: BTreeMap<WorkspaceId, Fate>,
    body: &[u8],
) -> Result<Outcome, Problem> {
    let erase = EraseUser { user_id: user(user_id)?, owned, reads: act.app.reads.clone() };
    let (store, origin, key) = (act.app.store.clone(), act.origin(), act.key(None, body));
    let precondition = act.precondition.clone();
    let done = tokio::spawn(async move { erase.run(&store, origin, key, precondition).await });
    let done = done.await.map_err(|_| Problem::from(StoreError::OutcomeUnknown))??;
    act.outcome(&done)
}

pub(super) fn user(text: &str) -> Result<UserId, Problem> {
    UserId::parse(text).map_err(|invalid| Problem::invalid_field("user_id", invalid.code, invalid.detail))
}
