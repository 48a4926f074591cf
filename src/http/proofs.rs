//! `/v1/workspaces/{id}/audit-log/checkpoint` and `/proofs`: what the history has come to, signed, and how to check
//! that an entry is in it, or that it only grew. `/.well-known/tenure-audit-key`: by whom it is signed.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenure_aggregates::{Permission, WorkspaceId};
use tenure_projections::proofs::Hash;
use tenure_projections::{TenantTx, history, leaf, proofs};
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

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(checkpoint))
        .routes(routes!(inclusion))
        .routes(routes!(consistency))
        .routes(routes!(hashes))
        .routes(routes!(key))
}

/// That an event is part of the history that a checkpoint stands for.
#[derive(Debug, Serialize, ToSchema)]
pub struct InclusionProof {
    workspace_seq: u64,
    /// `workspace_seq` - 1.
    leaf_index: u64,
    /// How many events the checkpoint stands for.
    size: u64,
    /// All that matters of the event, exactly as it is hashed: `SHA-256(0x00 | leaf)`.
    leaf: String,
    leaf_hash: String,
    /// What to hash it with, from the bottom of the tree to its top (RFC 6962, section 2.1.1).
    hashes: Vec<String>,
    root: String,
    /// The signed checkpoint of that size.
    checkpoint: String,
}

/// That the history at one size is what it begins with at a later one.
#[derive(Debug, Serialize, ToSchema)]
pub struct ConsistencyProof {
    from: u64,
    to: u64,
    from_root: String,
    to_root: String,
    /// RFC 6962, section 2.1.2.
    hashes: Vec<String>,
    /// The signed checkpoint of the later size.
    checkpoint: String,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct CheckpointQuery {
    /// Of how many events; of all by default.
    #[garde(inner(range(min = 1)))]
    size: Option<u64>,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct InclusionQuery {
    /// The event's number in its workspace; the last of `size` by default.
    #[garde(inner(range(min = 1)))]
    workspace_seq: Option<u64>,
    /// Of how many events the checkpoint is; of all by default.
    #[garde(inner(range(min = 1)))]
    size: Option<u64>,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ConsistencyQuery {
    /// The size of the earlier checkpoint; 1 by default.
    #[garde(inner(range(min = 1)))]
    from: Option<u64>,
    /// The size of the later one; all events by default.
    #[garde(inner(range(min = 1)))]
    to: Option<u64>,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct HashesQuery {
    /// Those of the events after this `workspace_seq`; from the first by default.
    #[garde(inner(range(min = 0)))]
    after: Option<i64>,
    /// At most so many.
    #[garde(inner(range(min = 1, max = MAX_HASHES)))]
    limit: Option<i64>,
}

/// A line each takes 65 bytes.
const MAX_HASHES: i64 = 10_000;

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct KeyQuery {
    /// The key under the name of this workspace's log, for tools that know nothing of Tenure.
    #[garde(skip)]
    workspace_id: Option<Uuid>,
}

/// The signed checkpoint of a workspace's history: keep it outside, and nothing before it can change unnoticed.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/audit-log/checkpoint", tag = "audit", params(("workspace_id" = Uuid, Path), CheckpointQuery),
    responses((status = 200, body = String, content_type = "text/plain", description = "A C2SP tlog-checkpoint"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn checkpoint(
    look: Look,
    Path(id): Path<Uuid>,
    Query(query): Query<CheckpointQuery>,
) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let mut tx = look.workspace(id, Permission::AuditRead).await?;
    let size = size(&mut tx, "?size", query.size).await?;
    let root = proofs::root(&mut tx, size).await.map_err(StoreError::from)?;
    Ok(look.fresh(text(signed(&look.app, id, size, root)?)))
}

/// Proves that an event is part of the history.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/audit-log/proofs/inclusion", tag = "audit", params(("workspace_id" = Uuid, Path), InclusionQuery),
    responses((status = 200, body = InclusionProof), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn inclusion(
    look: Look,
    Path(id): Path<Uuid>,
    Query(query): Query<InclusionQuery>,
) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let mut tx = look.workspace(id, Permission::AuditRead).await?;
    let size = size(&mut tx, "?size", query.size).await?;
    let seq = within("?workspace_seq", query.workspace_seq.unwrap_or(size), size)?;
    let path = proofs::inclusion(&mut tx, seq, size).await.map_err(StoreError::from)?;
    let root = proofs::root(&mut tx, size).await.map_err(StoreError::from)?;
    let events = history::page(&mut tx, i64::try_from(seq - 1).unwrap_or(i64::MAX), 1).await;
    let event = events.map_err(StoreError::from)?.pop();
    let event = event.ok_or_else(|| StoreError::Corrupt(format!("event {seq} of {id} is gone")))?;
    let proof = InclusionProof {
        workspace_seq: seq,
        leaf_index: seq - 1,
        size,
        leaf_hash: leaf::hash(&event).to_string(),
        leaf: leaf::leaf(&event),
        hashes: base64(&path),
        root: root.to_string(),
        checkpoint: signed(&look.app, id, size, root)?,
    };
    Ok(look.fresh(axum::Json(proof).into_response()))
}

/// Proves that the history only grew between two checkpoints.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/audit-log/proofs/consistency", tag = "audit", params(("workspace_id" = Uuid, Path), ConsistencyQuery),
    responses((status = 200, body = ConsistencyProof), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn consistency(
    look: Look,
    Path(id): Path<Uuid>,
    Query(query): Query<ConsistencyQuery>,
) -> Result<Response, Problem> {
    let id = WorkspaceId(id);
    let mut tx = look.workspace(id, Permission::AuditRead).await?;
    let to = size(&mut tx, "?to", query.to).await?;
    let from = within("?from", query.from.unwrap_or(1), to)?;
    let hashes = proofs::consistency(&mut tx, from, to).await.map_err(StoreError::from)?;
    let from_root = proofs::root(&mut tx, from).await.map_err(StoreError::from)?;
    let to_root = proofs::root(&mut tx, to).await.map_err(StoreError::from)?;
    let proof = ConsistencyProof {
        from,
        to,
        from_root: from_root.to_string(),
        to_root: to_root.to_string(),
        hashes: base64(&hashes),
        checkpoint: signed(&look.app, id, to, to_root)?,
    };
    Ok(look.fresh(axum::Json(proof).into_response()))
}

/// The leaf hashes that the tree holds, in hexadecimal, one a line. Kept with a checkpoint, which vouches for all of
/// them together, they tell later which event was changed.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/audit-log/proofs/hashes", tag = "audit", params(("workspace_id" = Uuid, Path), HashesQuery),
    responses((status = 200, body = String, content_type = "text/plain", description = "Event n's leaf hash in line n - after"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn hashes(
    look: Look,
    Path(id): Path<Uuid>,
    Query(query): Query<HashesQuery>,
) -> Result<Response, Problem> {
    let mut tx = look.workspace(WorkspaceId(id), Permission::AuditRead).await?;
    let (after, limit) = (query.after.unwrap_or(0), query.limit.unwrap_or(MAX_HASHES));
    let nodes = proofs::nodes(&mut tx, after, limit).await.map_err(StoreError::from)?;
    let mut lines = String::with_capacity(nodes.len() * 65);
    for hash in nodes.iter().filter_map(|(_, hashes)| hashes.first()) {
        lines.push_str(&hex(*hash));
        lines.push('\n');
    }
    Ok(look.fresh(text(lines)))
}

/// The verifier key that checkpoints are signed with, for everybody: pin it.
#[utoipa::path(
    get, path = "/.well-known/tenure-audit-key", tag = "audit", security(()), params(KeyQuery),
    responses((status = 200, body = String, content_type = "text/plain", description = "A C2SP verifier key, `<name>+<hash>+<key>`"), (status = "default", body = ProblemBody, content_type = "application/problem+json"))
)]
async fn key(State(app): State<Arc<App>>, Query(query): Query<KeyQuery>) -> Response {
    let key = app.checkpoints.verifier_key();
    let key = query.workspace_id.map_or_else(|| key.clone(), |id| key.of_workspace(WorkspaceId(id)));
    ([(CACHE_CONTROL, "public, max-age=3600")], text(format!("{key}\n"))).into_response()
}

/// The size that was asked for, if the tree has it; else its whole size.
async fn size(tx: &mut TenantTx, pointer: &str, asked: Option<u64>) -> Result<u64, Problem> {
    let size = proofs::size(tx).await.map_err(StoreError::from)?;
    asked.map_or(Ok(size), |asked| within(pointer, asked, size))
}

fn within(pointer: &str, number: u64, size: u64) -> Result<u64, Problem> {
    if number <= size {
        return Ok(number);
    }
    Err(Problem::invalid_field(pointer, "out_of_range", format!("must be at most {size}")))
}

fn signed(app: &App, id: WorkspaceId, size: u64, root: Hash) -> Result<String, Problem> {
    let signed = app.checkpoints.sign(id, size, root);
    Ok(signed.map_err(|error| StoreError::Internal(error.to_string()))?)
}

fn text(body: String) -> Response {
    ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
}

fn base64(hashes: &[Hash]) -> Vec<String> {
    hashes.iter().map(Hash::to_string).collect()
}

fn hex(hash: Hash) -> String {
    hash.0.map(|byte| format!("{byte:02x}")).concat()
}
