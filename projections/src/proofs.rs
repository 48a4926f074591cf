//! Proofs: per workspace an RFC 6962 Merkle tree over all its events, in which event n is leaf n - 1.
//!
//! A row per event holds its leaf hash and those of the subtrees it completes, so rows are only ever added, and any
//! proof takes a few of them: about as many as the size of the tree has binary digits.

mod fold;
mod frontier;

use std::cell::RefCell;
use std::collections::HashMap;

use tlog_tiles::{Error, HashReader, prove_record, prove_tree, split_stored_hash_index, tree_hash};
use uuid::Uuid;

use crate::TenantTx;
pub use fold::Proofs;
pub use frontier::Frontier;
pub use tlog_tiles::Hash;

/// How many events the tree holds.
pub async fn size(tx: &mut TenantTx) -> Result<u64, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let size = sqlx::query_scalar!(
        r#"select coalesce(max(workspace_seq), 0) as "size!" from proof_nodes where workspace_id = $1"#,
        workspace
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(size.unsigned_abs())
}

/// The root over the first `size` events.
pub async fn root(tx: &mut TenantTx, size: u64) -> Result<Hash, sqlx::Error> {
    compute(tx, |nodes| tree_hash(size, nodes)).await
}

/// That event `seq` is among the first `size`: what its leaf is hashed with, step by step up to the root.
/// An event beyond `size` is an error.
pub async fn inclusion(tx: &mut TenantTx, seq: u64, size: u64) -> Result<Vec<Hash>, sqlx::Error> {
    compute(tx, |nodes| prove_record(size, seq.saturating_sub(1), nodes)).await
}

/// That the first `from` events are still what the first `to` begin with. `from` beyond `to`, or none, is an error.
pub async fn consistency(tx: &mut TenantTx, from: u64, to: u64) -> Result<Vec<Hash>, sqlx::Error> {
    compute(tx, |nodes| prove_tree(to, from, nodes)).await
}

/// What the tree holds for the events after a `workspace_seq`, oldest first: of each its own seq, its leaf hash, and
/// the hashes of the subtrees it completes.
pub async fn nodes(tx: &mut TenantTx, after: i64, limit: i64) -> Result<Vec<(i64, Vec<Hash>)>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let rows = sqlx::query!(
        "select workspace_seq, hashes from proof_nodes
         where workspace_id = $1 and workspace_seq > $2 order by workspace_seq limit $3",
        workspace,
        after,
        limit
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(|row| (row.workspace_seq, hashes(&row.hashes))).collect())
}

/// The leaf hashes of these events, as far as the tree has come to them.
pub async fn leaf_hashes(
    tx: &mut TenantTx,
    workspace_seqs: &[i64],
) -> Result<HashMap<i64, Hash>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let rows = sqlx::query!(
        "select workspace_seq, hashes from proof_nodes where workspace_id = $1 and workspace_seq = any($2)",
        workspace,
        workspace_seqs
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().filter_map(|row| Some((row.workspace_seq, node(&row.hashes, 0)?))).collect())
}

fn hashes(bytes: &[u8]) -> Vec<Hash> {
    bytes.chunks_exact(32).filter_map(|chunk| chunk.try_into().ok().map(Hash)).collect()
}

/// The hash of that level in a row.
fn node(row: &[u8], level: u32) -> Option<Hash> {
    let start = usize::try_from(level).ok()?.checked_mul(32)?;
    row.get(start..start + 32)?.try_into().ok().map(Hash)
}

/// Where a computation gets the hashes it asks for: at first it is only noted which they are.
enum Nodes {
    Noted(RefCell<Vec<u64>>),
    Loaded(HashMap<u64, Hash>),
}

impl HashReader for Nodes {
    fn read_hashes(&self, indexes: &[u64]) -> Result<Vec<Hash>, Error> {
        match self {
            Self::Noted(noted) => {
                noted.borrow_mut().extend(indexes);
                Ok(vec![Hash::default(); indexes.len()])
            }
            Self::Loaded(nodes) => {
                indexes.iter().map(|index| nodes.get(index).copied().ok_or(Error::IndexesNotInTree)).collect()
            }
        }
    }
}

/// Runs a computation on the tree, with one query for all it needs.
async fn compute<T>(
    tx: &mut TenantTx,
    computation: impl Fn(&Nodes) -> Result<T, Error>,
) -> Result<T, sqlx::Error> {
    let failed = |error: Error| sqlx::Error::Decode(format!("the tree: {error}").into());
    let needed = {
        let noted = Nodes::Noted(RefCell::default());
        computation(&noted).map_err(failed)?;
        let Nodes::Noted(indexes) = noted else { return Err(failed(Error::BadMath)) };
        indexes.into_inner()
    };
    let nodes = Nodes::Loaded(load(tx, &needed).await?);
    computation(&nodes).map_err(failed)
}

async fn load(tx: &mut TenantTx, indexes: &[u64]) -> Result<HashMap<u64, Hash>, sqlx::Error> {
    // A subtree's hash stands in the row of its last leaf.
    let places = indexes.iter().map(|index| {
        let (level, n) = split_stored_hash_index(*index);
        (*index, u32::from(level), i64::try_from((n + 1) << level).unwrap_or(i64::MAX))
    });
    let places: Vec<(u64, u32, i64)> = places.collect();
    let seqs: Vec<i64> = places.iter().map(|(_, _, seq)| *seq).collect();
    let workspace: Uuid = tx.workspace().into();
    let rows = sqlx::query!(
        "select workspace_seq, hashes from proof_nodes where workspace_id = $1 and workspace_seq = any($2)",
        workspace,
        &seqs
    )
    .fetch_all(tx.connection())
    .await?;
    let rows: HashMap<i64, Vec<u8>> = rows.into_iter().map(|row| (row.workspace_seq, row.hashes)).collect();
    let found =
        places.into_iter().filter_map(|(index, level, seq)| Some((index, node(rows.get(&seq)?, level)?)));
    Ok(found.collect())
}
