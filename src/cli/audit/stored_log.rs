//! The log itself and the tree in the database, as entries to be checked.

use sqlx::PgPool;
use tenure_aggregates::WorkspaceId;
use tenure_projections::{TenantTx, history, leaf, proofs};

use super::checker::{Checker, Entry};
use super::finding::Finding;

/// How many events are read at a time.
const CHUNK: i64 = 1_000;

/// Checks all that the tree should hold. Events that it has not come to yet are left out.
pub(super) async fn check(
    service: &PgPool,
    workspace: WorkspaceId,
    checker: &mut Checker,
) -> Result<Result<(), Finding>, sqlx::Error> {
    let mut tx = TenantTx::begin(service, workspace).await?;
    let size = i64::try_from(proofs::size(&mut tx).await?).unwrap_or(i64::MAX);
    let mut after = 0;
    while after < size {
        let limit = CHUNK.min(size - after);
        let events = history::page(&mut tx, after, limit).await?;
        let mut nodes = proofs::nodes(&mut tx, after, limit).await?.into_iter().peekable();
        let Some(last) = events.last().map(|event| event.workspace_seq) else { break };
        for event in events.into_iter().filter(|event| event.workspace_seq <= size) {
            let seq = event.workspace_seq;
            while nodes.next_if(|(of, _)| *of < seq).is_some() {}
            let tree = nodes.next_if(|(of, _)| *of == seq).map(|(_, hashes)| hashes);
            let entry = Entry {
                seq: seq.unsigned_abs(),
                line: None,
                leaf: leaf::leaf(&event),
                event: Some(event),
                // A node that is gone fits nothing.
                tree: Some(tree.unwrap_or_default()),
                doctored: None,
            };
            if let Err(finding) = checker.push(&entry) {
                return Ok(Err(finding));
            }
        }
        after = last;
    }
    tx.close().await?;
    Ok(if after < size { Err(checker.breaks_off(size.unsigned_abs())) } else { Ok(()) })
}
