//! `/access/v1/search/…`: who may do this here, where somebody may do this, and what somebody may do here.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{PermissionName, Role, Time, UserId, WorkspaceId};
use tenure_projections::{members, states, users};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::ask::Ask;
use super::entities::{Action, Asked, Context, Entity, Sought, USER, WORKSPACE};
use super::page::{Found, Page, PageRequest};
use crate::access::log::Loaded;
use crate::http::App;
use crate::http::base::problem::{Problem, ProblemBody};
use crate::http::problem::HISTORY_UNREADABLE;
use crate::past::Past;
use crate::resources::{Member, MemberStatus};
use crate::store::StoreError;

pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(subjects)).routes(routes!(resources)).routes(routes!(actions))
}

/// Who may do this here?
#[derive(Debug, Deserialize, Validate, ToSchema)]
struct SubjectSearch {
    #[garde(dive)]
    subject: Sought,
    #[garde(dive)]
    action: Action,
    #[garde(dive)]
    resource: Entity,
    #[serde(default)]
    #[garde(dive)]
    context: Option<Context>,
    #[serde(default)]
    #[garde(dive)]
    page: Option<PageRequest>,
}

/// Where may this user do this?
#[derive(Debug, Deserialize, Validate, ToSchema)]
struct ResourceSearch {
    #[garde(dive)]
    subject: Entity,
    #[garde(dive)]
    action: Action,
    #[garde(dive)]
    resource: Sought,
    #[serde(default)]
    #[garde(dive)]
    context: Option<Context>,
    #[serde(default)]
    #[garde(dive)]
    page: Option<PageRequest>,
}

/// What may this user do here?
#[derive(Debug, Deserialize, Validate, ToSchema)]
struct ActionSearch {
    #[garde(dive)]
    subject: Entity,
    #[garde(dive)]
    resource: Entity,
    #[serde(default)]
    #[garde(dive)]
    context: Option<Context>,
    #[serde(default)]
    #[garde(dive)]
    page: Option<PageRequest>,
}

/// Where a page of members goes on.
type MemberKey = (Time, String);

/// Who may do this here? (AuthZEN 1.0, Subject Search)
#[utoipa::path(
    post, path = "/access/v1/search/subject", tag = "access", request_body = SubjectSearch,
    responses((status = 200, body = Found<Entity>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn subjects(ask: Ask, asked: Asked<SubjectSearch>) -> Result<Response, Problem> {
    let SubjectSearch { subject, action, resource, context, page } = asked.value;
    let (past, moment) = ask.moment(context.as_ref()).await?;
    let search = ["subject", &subject.kind, &action.name, &resource.kind, &resource.id, &moment];
    let page = Page::<MemberKey>::of(&ask.app, &search, page.as_ref())?;
    let workspace = resource.as_workspace().filter(|_| subject.kind == USER).map(WorkspaceId);
    let Some(workspace) = workspace else { return nobody(&ask, page) };
    if !ask.may_see_members(workspace).await? {
        let own = ask.own_alone(workspace, &action.name, past.as_ref()).await?;
        return Ok(Json(page.found(&ask.app, own, None)?).into_response());
    }
    let roles = ask.roles_that_may(workspace, &action.name, past.as_ref()).await?;
    if roles.is_empty() {
        return nobody(&ask, page);
    }
    let mut rows = ask.holders(workspace, &roles, &page, past.as_ref()).await?;
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let more = rows.last().cloned().filter(|_| more);
    let results = rows.into_iter().map(|(_, user_id)| Entity::user(user_id)).collect();
    Ok(Json(page.found(&ask.app, results, more)?).into_response())
}

/// Where may this user do this? (AuthZEN 1.0, Resource Search)
#[utoipa::path(
    post, path = "/access/v1/search/resource", tag = "access", request_body = ResourceSearch,
    responses((status = 200, body = Found<Entity>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn resources(ask: Ask, asked: Asked<ResourceSearch>) -> Result<Response, Problem> {
    let ResourceSearch { subject, action, resource, context, page } = asked.value;
    let (past, moment) = ask.moment(context.as_ref()).await?;
    let search = ["resource", &subject.kind, &subject.id, &action.name, &resource.kind, &moment];
    let page = Page::<Uuid>::of(&ask.app, &search, page.as_ref())?;
    let user = UserId::parse(&subject.id).ok().filter(|_| subject.kind == USER && resource.kind == WORKSPACE);
    let Some(user) = user else { return nobody(&ask, page) };
    let mut rows = ask.places(&user, page.after, one_more(page.limit), past.as_ref()).await?;
    let more = rows.len() > page.limit;
    rows.truncate(page.limit);
    let more = rows.last().copied().filter(|_| more);
    let mut results = Vec::new();
    for id in rows {
        let workspace = WorkspaceId(id);
        match ask.is_open_to(workspace, &user, &action.name, past.as_ref()).await {
            Ok(true) => results.push(Entity::workspace(id)),
            // Where nothing can be decided nothing is allowed; the others are none the worse for it.
            Ok(false) => {}
            Err(problem) if problem.code() == HISTORY_UNREADABLE => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(Json(page.found(&ask.app, results, more)?).into_response())
}

/// What may this user do here? (AuthZEN 1.0, Action Search)
#[utoipa::path(
    post, path = "/access/v1/search/action", tag = "access", request_body = ActionSearch,
    responses((status = 200, body = Found<Action>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn actions(ask: Ask, asked: Asked<ActionSearch>) -> Result<Response, Problem> {
    let ActionSearch { subject, resource, context, page } = asked.value;
    let (past, moment) = ask.moment(context.as_ref()).await?;
    let search = ["action", &subject.kind, &subject.id, &resource.kind, &resource.id, &moment];
    let page = Page::<String>::of(&ask.app, &search, page.as_ref())?;
    let user = UserId::parse(&subject.id).ok().filter(|_| subject.kind == USER);
    let (Some(user), Some(workspace)) = (user, resource.as_workspace().map(WorkspaceId)) else {
        return nobody(&ask, page);
    };
    if !ask.may_ask_about(workspace, user.as_str()).await? {
        return nobody(&ask, page);
    }
    let streams = ask.streams(workspace, &user, past.as_ref()).await?;
    let now = past.map_or(ask.now, |past| past.now);
    let mut names: Vec<_> = streams.permissions(&user, now);
    names.sort();
    let after = page.after.as_deref().unwrap_or_default();
    let mut names: Vec<_> = names.iter().map(PermissionName::as_str).filter(|name| *name > after).collect();
    let more = names.len() > page.limit;
    names.truncate(page.limit);
    let more = names.last().filter(|_| more).map(|last| (*last).to_owned());
    let results = names.into_iter().map(Action::named).collect();
    Ok(Json(page.found(&ask.app, results, more)?).into_response())
}

impl Ask {
    /// Whether the user may do this there, and the caller may know.
    async fn is_open_to(
        &self,
        workspace: WorkspaceId,
        user: &UserId,
        permission: &str,
        past: Option<&Past>,
    ) -> Result<bool, Problem> {
        Ok(self.allows(workspace, user, permission, past).await?
            && self.may_ask_about(workspace, user.as_str()).await?)
    }

    /// Of everybody there, a caller may always see themselves.
    async fn own_alone(
        &self,
        workspace: WorkspaceId,
        permission: &str,
        past: Option<&Past>,
    ) -> Result<Vec<Entity>, Problem> {
        let Some(user) = self.user() else { return Ok(vec![]) };
        let found = self.may_ask_about(workspace, user.as_str()).await?
            && self.allows(workspace, user, permission, past).await?;
        Ok(if found { vec![Entity::user(user.to_string())] } else { vec![] })
    }

    /// Where somebody may be found by this caller: where they belong, or, asked by another user or a key, where that one
    /// does; so that not even the number of pages tells of other places. By id, after one of them.
    async fn places(
        &self,
        subject: &UserId,
        after: Option<Uuid>,
        limit: i64,
        past: Option<&Past>,
    ) -> Result<Vec<Uuid>, Problem> {
        if let Some(own) = self.bound_to() {
            return Ok(if after.is_none() { vec![own.0] } else { vec![] });
        }
        let listed = WorkspaceId::personal(self.user().unwrap_or(subject));
        let mut tx = self.app.reads.personal(listed, self.seen).await?;
        let ids = match past {
            None => users::workspace_ids_of(&mut tx, after, limit).await,
            Some(past) => states::workspaces_joined(&mut tx, past.position, after, limit).await,
        };
        let ids = ids.map_err(StoreError::from)?;
        // Each is decided on its own; the transaction would only hold a connection meanwhile.
        tx.close().await.map_err(StoreError::from)?;
        Ok(ids)
    }

    /// Active members with one of these roles: when each joined, and who it is.
    async fn holders(
        &self,
        workspace: WorkspaceId,
        roles: &[String],
        page: &Page<MemberKey>,
        past: Option<&Past>,
    ) -> Result<Vec<MemberKey>, Problem> {
        let mut tx = self.app.reads.workspace(workspace, self.seen).await?;
        let limit = one_more(page.limit);
        if let Some(past) = past {
            let keep =
                |member: &Member| member.status == MemberStatus::Active && roles.contains(&member.role);
            let rows = past
                .seen(&self.app.vault)
                .members_where(&mut tx, keep, None, page.after.clone(), limit)
                .await?;
            let rows = rows.unwrap_or_default().into_iter();
            return Ok(rows.map(|member| (member.joined_at, member.user_id)).collect());
        }
        let after = page.after.as_ref().map(|(joined_at, user)| (*joined_at, user.as_str()));
        let rows = members::active_holders(&mut tx, roles, after, limit, self.now).await;
        let rows = rows.map_err(StoreError::from)?.into_iter();
        Ok(rows.map(|row| (row.joined_at, row.user_id)).collect())
    }

    /// The roles of a workspace that allow this there as it stands, or stood.
    async fn roles_that_may(
        &self,
        workspace: WorkspaceId,
        permission: &str,
        past: Option<&Past>,
    ) -> Result<Vec<String>, Problem> {
        let Ok(permission) = PermissionName::parse(permission) else { return Ok(vec![]) };
        let streams: Loaded = match past {
            Some(past) => past.shared(&self.app.reads, workspace).await?,
            None => self.log.shared(workspace).await?,
        };
        let Ok(details) = streams.workspace.living() else { return Ok(vec![]) };
        if !details.status().permits(permission.as_str()) {
            return Ok(vec![]);
        }
        let roles = Role::BUILT_IN.into_iter().chain(details.roles.keys().cloned().map(Role::Custom));
        let allows = |role: &Role| {
            streams.workspace.rights_of(role, &streams.catalogue).allows_name(&permission, &streams.catalogue)
        };
        Ok(roles.filter(allows).map(|role| role.to_string()).collect())
    }
}

/// Nothing is found where there is nothing the caller may see.
fn nobody<K>(ask: &Ask, page: Page<K>) -> Result<Response, Problem>
where
    K: serde::Serialize + serde::de::DeserializeOwned,
{
    Ok(Json(page.found(&ask.app, Vec::<Entity>::new(), None)?).into_response())
}

fn one_more(limit: usize) -> i64 {
    i64::try_from(limit + 1).unwrap_or(i64::MAX)
}
