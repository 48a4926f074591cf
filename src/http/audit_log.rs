//! `/v1/workspaces/{id}/audit-log`: what was done and what was refused, to what, by whom, from where; as a list and as
//! a file.

use std::sync::Arc;

use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use futures::stream;
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::{Permission, WorkspaceId};
use tenure_projections::TenantTx;
use tenure_projections::audit_log::Filter;
use utoipa::IntoParams;
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
use crate::audit::export::{CHUNK, Chunk, Encoder, Format, Wanted};
use crate::audit::names;
use crate::audit::timeline::{At, newest, opened};
use crate::data_keys::Vault;
use crate::resources::{AuditEntry, Outcome};
use crate::store::StoreError;

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

/// What is asked for, whether as a list or as a file.
#[derive(Debug, Clone, Default)]
struct Terms {
    actor: Option<String>,
    actor_type: Option<String>,
    action: Option<String>,
    target: Option<String>,
    command: Option<String>,
    from: Option<DateTime<Utc>>,
    to: Option<DateTime<Utc>>,
    q: Option<String>,
}

impl Terms {
    /// What a cursor is bound to, besides what else is asked for.
    fn bound(&self) -> [(&'static str, Option<String>); 8] {
        [
            ("actor", self.actor.clone()),
            ("actor_type", self.actor_type.clone()),
            ("action", self.action.clone()),
            ("target", self.target.clone()),
            ("command", self.command.clone()),
            ("from", self.from.map(|time| time.to_rfc3339())),
            ("to", self.to.map(|time| time.to_rfc3339())),
            ("q", self.q.clone()),
        ]
    }

    async fn filter(self, tx: &mut TenantTx, vault: &Vault) -> Result<Filter, Problem> {
        let named = match &self.q {
            Some(text) => {
                let resolved = names::resolve(tx, vault, text).await?;
                Some(resolved.map_err(|broad| Problem::invalid_field("?q", "too_broad", broad.to_string()))?)
            }
            None => None,
        };
        let Self { actor, actor_type, action, target, command, from, to, q: _ } = self;
        Ok(Filter { actor, actor_type, action, target, command, from, to, named })
    }
}

fn outcome(text: Option<&str>) -> Option<Outcome> {
    [Outcome::Done, Outcome::Refused].into_iter().find(|outcome| Some(outcome.as_str()) == text)
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// The actor's id.
    #[garde(inner(length(chars, min = 1, max = 255)))]
    actor: Option<String>,
    /// `user`, `service`, `api_key`, `system` or `unknown`.
    #[garde(inner(custom(checks::actor_type)))]
    actor_type: Option<String>,
    /// An action, or a family of them: `membership.*`.
    #[garde(inner(length(chars, min = 1, max = 100)))]
    action: Option<String>,
    /// The target's id.
    #[garde(inner(length(chars, min = 1, max = 255)))]
    target: Option<String>,
    /// What was commanded, as in `ChangeRole`.
    #[garde(inner(length(chars, min = 1, max = 100)))]
    command: Option<String>,
    /// At or after this time.
    #[garde(inner(custom(checks::instant)))]
    from: Option<DateTime<Utc>>,
    /// Before this time.
    #[garde(inner(custom(checks::instant)))]
    to: Option<DateTime<Utc>>,
    /// Part of the name or address of a person, key or role that acted or was acted on, of an id or an action; or the
    /// whole address of an invitation.
    #[garde(inner(length(chars, min = 1, max = 255)))]
    q: Option<String>,
    /// `done` or `refused`; both by default.
    #[garde(inner(custom(checks::outcome)))]
    outcome: Option<String>,
    #[garde(inner(range(min = 1, max = MAX_LIMIT)))]
    limit: Option<i64>,
    #[garde(skip)]
    cursor: Option<String>,
}

/// The audit log of a workspace, newest first: what was done, and what was refused.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/audit-log", tag = "audit", params(("workspace_id" = Uuid, Path), ListQuery),
    responses((status = 200, body = Page<AuditEntry>), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn list(look: Look, Path(id): Path<Uuid>, Query(query): Query<ListQuery>) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::AuditRead).await?;
    let ListQuery { actor, actor_type, action, target, command, from, to, q, outcome: wanted, limit, cursor } =
        query;
    let terms = Terms { actor, actor_type, action, target, command, from, to, q };
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    let bound = terms.bound().into_iter().chain([("outcome", wanted.clone())]);
    let scope = Scope::new(format!("/v1/workspaces/{id}/audit-log"), bound);
    let before: Option<At> = scope.open(&look.app, cursor.as_deref())?;
    let filter = terms.filter(&mut tx, &look.app.vault).await?;
    let outcome = outcome(wanted.as_deref());
    let items = newest(&mut tx, &filter, outcome, before, limit + 1).await.map_err(StoreError::from)?;
    let entries = opened(&look.app.vault, items).await?;
    let response = scope.page(&look.app, entries, limit, |entry| entry.0, |entry| entry.1)?;
    Ok(look.fresh(response))
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ExportQuery {
    /// `ndjson` (the default), `csv` or `parquet`.
    #[garde(inner(custom(checks::export_format)))]
    format: Option<String>,
    /// What stands after this `workspace_seq`; everything by default. A broken export goes on after its last whole line.
    #[garde(inner(range(min = 0)))]
    after: Option<i64>,
    /// `attempts`: with what was refused. Such lines have no leaf.
    #[garde(inner(custom(checks::export_include)))]
    include: Option<String>,
    /// As in the list, as all that follows.
    #[garde(inner(length(chars, min = 1, max = 255)))]
    actor: Option<String>,
    #[garde(inner(custom(checks::actor_type)))]
    actor_type: Option<String>,
    #[garde(inner(length(chars, min = 1, max = 100)))]
    action: Option<String>,
    #[garde(inner(length(chars, min = 1, max = 255)))]
    target: Option<String>,
    #[garde(inner(length(chars, min = 1, max = 100)))]
    command: Option<String>,
    #[garde(inner(custom(checks::instant)))]
    from: Option<DateTime<Utc>>,
    #[garde(inner(custom(checks::instant)))]
    to: Option<DateTime<Utc>>,
    #[garde(inner(length(chars, min = 1, max = 255)))]
    q: Option<String>,
    /// `done` (the default) or `refused`.
    #[garde(inner(custom(checks::outcome)))]
    outcome: Option<String>,
}

impl ExportQuery {
    /// Without a filter that is exactly the history, which can be verified.
    fn outcome(&self) -> Option<Outcome> {
        match (outcome(self.outcome.as_deref()), &self.include) {
            (None, Some(_)) => None,
            (None, None) => Some(Outcome::Done),
            (wanted, _) => wanted,
        }
    }
}

/// The audit log of a workspace as a file, oldest first.
///
/// Without a filter it is every event of the workspace; each line of NDJSON then has the `leaf` that proofs are about.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/audit-log/export", tag = "audit", params(("workspace_id" = Uuid, Path), ExportQuery),
    responses(
        (status = 200, content((AuditEntry = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.parquet"))),
        (status = "default", body = ProblemBody, content_type = "application/problem+json")
    )
)]
async fn export(
    look: Look,
    Path(id): Path<Uuid>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let format = query.format.as_deref().and_then(Format::parse).unwrap_or_default();
    let (outcome, after) = (query.outcome(), At::event(query.after.unwrap_or(0)));
    let ExportQuery { actor, actor_type, action, target, command, from, to, q, .. } = query;
    let terms = Terms { actor, actor_type, action, target, command, from, to, q };
    let mut tx = look.workspace(id, Permission::AuditRead).await?;
    let filter = terms.filter(&mut tx, &look.app.vault).await?;
    drop(tx);
    let encoder = Encoder::begin(format)?;
    let mut exporting = Exporting { look, id, wanted: Wanted { filter, outcome }, encoder, at: after };
    // The first chunk is read before the answer begins, so that a refusal is a refusal and not a broken stream.
    let (first, more) = exporting.step().await?;
    let rest = stream::try_unfold((exporting, more), |(mut exporting, more)| async move {
        if !more {
            return Ok(None);
        }
        let (bytes, more) = exporting.step().await.map_err(|problem| problem.code())?;
        Ok::<_, &'static str>(Some((bytes, (exporting, more))))
    });
    let bytes = stream::StreamExt::chain(stream::iter([Ok(first)]), rest);
    let mut response = Body::from_stream(bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
    let name = format!("attachment; filename=\"audit-log-{id}.{}\"", format.extension());
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// An export on its way.
struct Exporting {
    look: Look,
    id: WorkspaceId,
    wanted: Wanted,
    encoder: Encoder,
    at: At,
}

impl Exporting {
    /// The next bytes, and whether more follow. Every chunk is authorised anew: a reader who is removed meanwhile reads
    /// no further, and the file is visibly broken off.
    async fn step(&mut self) -> Result<(Vec<u8>, bool), Problem> {
        let mut tx = self.look.workspace(self.id, Permission::AuditRead).await?;
        let chunk = Chunk::read(&mut tx, &self.look.app.vault, &self.wanted, self.at, CHUNK).await?;
        drop(tx);
        self.at = chunk.last;
        let mut bytes = self.encoder.encode(chunk.lines)?;
        if chunk.is_last {
            bytes.extend(std::mem::replace(&mut self.encoder, Encoder::Ndjson).end()?);
        }
        Ok((bytes, !chunk.is_last))
    }
}
