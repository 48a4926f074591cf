//! `/v1/workspaces`: create, read, change, hand over, suspend, archive, delete, readiness.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::values::Slug;
use tenure_aggregates::workspace::Profile;
use tenure_aggregates::{Claim, Permission, WorkspaceId};
use tenure_projections::workspaces;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::App;
use super::act::Act;
use super::base::body::{Body, double_option};
use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::NoQuery;
use super::look::{Look, not_found};
use super::{checks, users};
use crate::commands::workspaces::{
    ChangeLifecycle, ChangeWorkspace, CreateWorkspace, DeleteWorkspace, SocialChange, Step, TransferOwnership,
};
use crate::ids;
use crate::resources::{Social, Workspace};
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(find, change, delete))
        .routes(routes!(by_slug))
        .routes(routes!(transfer_ownership))
        .routes(routes!(suspend))
        .routes(routes!(resume))
        .routes(routes!(archive))
        .routes(routes!(restore))
}

/// A new team workspace.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct CreateRequest {
    #[garde(required, inner(custom(checks::name)))]
    #[schema(required = true, value_type = String, example = "Acme")]
    name: Option<String>,
    #[garde(inner(custom(checks::slug)))]
    #[schema(example = "acme")]
    slug: Option<String>,
    /// The acting user by default; the service, acting for nobody, must name one.
    #[garde(inner(custom(checks::user_id)))]
    owner_id: Option<String>,
    #[garde(inner(custom(checks::description)))]
    description: Option<String>,
    #[garde(inner(custom(checks::image_url)))]
    image_url: Option<String>,
    #[garde(inner(custom(checks::link)))]
    website: Option<String>,
    #[garde(inner(custom(checks::phone)))]
    phone: Option<String>,
    #[garde(dive)]
    social: Option<SocialRequest>,
}

/// Social profiles: an address each, or a bare handle.
#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SocialRequest {
    #[garde(inner(custom(checks::social)))]
    x: Option<String>,
    #[garde(inner(custom(checks::social)))]
    facebook: Option<String>,
    #[garde(inner(custom(checks::social)))]
    linkedin: Option<String>,
    #[garde(inner(custom(checks::social)))]
    instagram: Option<String>,
    #[garde(inner(custom(checks::social)))]
    github: Option<String>,
}

/// Create a team workspace.
#[utoipa::path(
    post, path = "/v1/workspaces", tag = "workspaces", request_body = CreateRequest,
    responses((status = 201, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn create(act: Act, body: Body<CreateRequest>) -> Result<Response, Problem> {
    let request = body.value;
    let social = request.social.unwrap_or_default();
    let SocialRequest { x, facebook, linkedin, instagram, github } = social;
    let owner_id = request.owner_id.as_deref().map(users::user).transpose()?;
    let command = CreateWorkspace {
        id: WorkspaceId(ids::new_v7()),
        owner_id,
        profile: Profile {
            name: request.name.unwrap_or_default(),
            slug: request.slug.and_then(|slug| Slug::parse(&slug).ok()),
            description: request.description,
            image_url: request.image_url,
            website: request.website,
            phone: request.phone,
            social: Social { x, facebook, linkedin, instagram, github }.into(),
        },
        precondition: act.precondition.clone(),
    };
    Ok(act.run(None, &body.raw, command).await?.into_response())
}

/// A workspace.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}", tag = "workspaces", params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn find(look: Look, _: NoQuery, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let (sequence, body) = read(&look, WorkspaceId(id)).await?;
    Ok(look.resource(sequence, &body))
}

async fn read(look: &Look, id: WorkspaceId) -> Result<(i64, Workspace), Problem> {
    let mut tx = look.workspace(id, Permission::WorkspaceRead).await?;
    let row = workspaces::find(&mut tx).await.map_err(StoreError::from)?;
    let row = row.ok_or_else(|| not_found("workspace"))?;
    Ok((row.sequence, Workspace::from_row(row)))
}

/// A workspace, by its slug.
#[utoipa::path(
    get, path = "/v1/workspaces/by-slug/{slug}", tag = "workspaces", params(("slug" = String, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn by_slug(look: Look, _: NoQuery, Path(slug): Path<String>) -> Result<Response, Problem> {
    let nobody = || not_found("workspace");
    let slug = Slug::parse(&slug).map_err(|_| nobody())?;
    // The claim itself says whose the slug is; no read model is behind it.
    let claim = look.app.store.loader().load::<Claim>(&Claim::slug(&look.app.vault.slug_hash(&slug))).await?;
    let id = claim.state.holder().ok_or_else(nobody)?;
    let (sequence, body) = read(&look, id).await?;
    Ok(look.resource(sequence, &body))
}

/// A merge patch of a workspace's profile and settings.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct ChangeRequest {
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(required, inner(custom(checks::name))))]
    #[schema(value_type = Option<String>)]
    name: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::slug))))]
    #[schema(value_type = Option<String>)]
    slug: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::description))))]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::image_url))))]
    #[schema(value_type = Option<String>)]
    image_url: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::link))))]
    #[schema(value_type = Option<String>)]
    website: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::phone))))]
    #[schema(value_type = Option<String>)]
    phone: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(dive)]
    #[schema(value_type = Option<SocialChangeRequest>)]
    social: Option<Option<SocialChangeRequest>>,
    /// By the operator only.
    #[garde(dive)]
    seats: Option<SeatsRequest>,
    /// By the operator only.
    #[garde(inner(custom(checks::plan)))]
    plan: Option<String>,
}

#[derive(Debug, Default, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SocialChangeRequest {
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::social))))]
    #[schema(value_type = Option<String>)]
    x: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::social))))]
    #[schema(value_type = Option<String>)]
    facebook: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::social))))]
    #[schema(value_type = Option<String>)]
    linkedin: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::social))))]
    #[schema(value_type = Option<String>)]
    instagram: Option<Option<String>>,
    #[serde(default, deserialize_with = "double_option")]
    #[garde(inner(inner(custom(checks::social))))]
    #[schema(value_type = Option<String>)]
    github: Option<Option<String>>,
}

#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct SeatsRequest {
    #[garde(required, inner(range(min = 1, max = 10_000_000)))]
    #[schema(required = true, value_type = u32)]
    limit: Option<u32>,
}

impl From<SocialChangeRequest> for SocialChange {
    fn from(request: SocialChangeRequest) -> Self {
        let SocialChangeRequest { x, facebook, linkedin, instagram, github } = request;
        Self { x, facebook, linkedin, instagram, github }
    }
}

/// Change a workspace's profile and settings.
#[utoipa::path(
    patch, path = "/v1/workspaces/{workspace_id}", tag = "workspaces", request_body = ChangeRequest, params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn change(act: Act, Path(id): Path<Uuid>, body: Body<ChangeRequest>) -> Result<Response, Problem> {
    let request = body.value;
    let id = WorkspaceId(id);
    let none = || SocialChange {
        x: Some(None),
        facebook: Some(None),
        linkedin: Some(None),
        instagram: Some(None),
        github: Some(None),
    };
    let command = ChangeWorkspace {
        id,
        name: request.name.flatten(),
        slug: request.slug.map(|slug| slug.and_then(|slug| Slug::parse(&slug).ok())),
        description: request.description,
        image_url: request.image_url,
        website: request.website,
        phone: request.phone,
        social: match request.social {
            None => SocialChange::default(),
            Some(None) => none(),
            Some(Some(change)) => change.into(),
        },
        seats_limit: request.seats.and_then(|seats| seats.limit),
        plan: request.plan,
        precondition: act.precondition.clone(),
    };
    let outcome = act.run(Some(id), &body.raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, id)).await
}

/// Delete a workspace.
#[utoipa::path(
    delete, path = "/v1/workspaces/{workspace_id}", tag = "workspaces", params(("workspace_id" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn delete(act: Act, Path(id): Path<Uuid>) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let command = DeleteWorkspace { id, precondition: act.precondition.clone() };
    Ok(act.run(Some(id), &[], command).await?.into_response())
}

/// Whom a workspace goes to.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
struct TransferRequest {
    /// An active member.
    #[garde(required, inner(custom(checks::user_id)))]
    #[schema(required = true, value_type = String)]
    to: Option<String>,
}

/// Hand a workspace to another active member; the old owner stays, as admin.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/transfer-ownership", tag = "workspaces", request_body = TransferRequest,
    params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn transfer_ownership(
    act: Act,
    Path(id): Path<Uuid>,
    body: Body<TransferRequest>,
) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let to = users::user(body.value.to.as_deref().unwrap_or_default())?;
    let command = TransferOwnership { id, to, precondition: act.precondition.clone() };
    let outcome = act.run(Some(id), &body.raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, id)).await
}

/// Why.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReasonRequest {
    #[garde(inner(custom(checks::reason)))]
    pub(super) reason: Option<String>,
}

/// Make a workspace read-only.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/suspend", tag = "workspaces", request_body = ReasonRequest,
    params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn suspend(act: Act, Path(id): Path<Uuid>, body: Body<ReasonRequest>) -> Result<Response, Problem> {
    step(act, id, Step::Suspend { reason: body.value.reason }, &body.raw).await
}

/// End a suspension.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/resume", tag = "workspaces", request_body = ReasonRequest,
    params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn resume(act: Act, Path(id): Path<Uuid>, body: Body<ReasonRequest>) -> Result<Response, Problem> {
    step(act, id, Step::Resume { reason: body.value.reason }, &body.raw).await
}

/// Nothing to say.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EmptyRequest {}

/// Put a workspace away: it can be read, and restored.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/archive", tag = "workspaces", params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn archive(act: Act, Path(id): Path<Uuid>, body: Body<EmptyRequest>) -> Result<Response, Problem> {
    step(act, id, Step::Archive, &body.raw).await
}

/// Bring an archived workspace back.
#[utoipa::path(
    post, path = "/v1/workspaces/{workspace_id}/restore", tag = "workspaces", params(("workspace_id" = Uuid, Path)),
    responses((status = 200, body = Workspace), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn restore(act: Act, Path(id): Path<Uuid>, body: Body<EmptyRequest>) -> Result<Response, Problem> {
    step(act, id, Step::Restore, &body.raw).await
}

async fn step(act: Act, id: Uuid, step: Step, raw: &[u8]) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let command = ChangeLifecycle { id, step, precondition: act.precondition.clone() };
    let outcome = act.run(Some(id), raw, command).await?;
    let look = Look::after(&act.app, &act.caller, outcome.position);
    outcome.or_read(read(&look, id)).await
}
