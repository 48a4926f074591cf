//! How events become trees.

use std::collections::HashMap;

use sqlx::PgConnection;
use tlog_tiles::Hash;
use uuid::Uuid;

use super::frontier::Frontier;
use super::node;
use crate::copy;
use crate::projection::Projection;
use crate::recorded::Recorded;
use crate::rows::column;

/// The projection `proofs`.
#[derive(Debug)]
pub struct Proofs;

impl Projection for Proofs {
    const NAME: &'static str = "proofs";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["proof_nodes"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let rows = grow(&mut *conn, batch).await?;
        insert(conn, &rows.iter().collect::<Vec<_>>()).await
    }

    async fn fill(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let rows = grow(&mut *conn, batch).await?;
        copy(conn, rows).await
    }
}

async fn grow<'a>(conn: &mut PgConnection, batch: &'a [Recorded]) -> Result<Vec<Row<'a>>, sqlx::Error> {
    let mut trees = load(conn, batch).await?;
    let mut rows = Vec::with_capacity(batch.len());
    for recorded in batch {
        let tree = trees.entry(recorded.workspace_id.into()).or_default();
        rows.push(Row { recorded, hashes: append(tree, recorded)? });
    }
    Ok(rows)
}

struct Row<'a> {
    recorded: &'a Recorded,
    hashes: Vec<u8>,
}

fn append(tree: &mut Frontier, recorded: &Recorded) -> Result<Vec<u8>, sqlx::Error> {
    let follows = u64::try_from(recorded.workspace_seq).is_ok_and(|seq| seq == tree.size() + 1);
    let leaf =
        recorded.leaf.ok_or_else(|| sqlx::Error::Decode("an event was read without its leaf".into()))?;
    let completed = if follows { tree.push(leaf) } else { None };
    let completed = completed.ok_or_else(|| {
        let Recorded { workspace_id, workspace_seq, .. } = recorded;
        let reason =
            format!("the tree of workspace {workspace_id} does not reach to its event {workspace_seq}");
        sqlx::Error::Decode(reason.into())
    })?;
    Ok(completed.iter().flat_map(|hash| hash.0).collect())
}

/// Of each workspace in the batch, the tree as it stood before, as far as the batch will take it in.
async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<HashMap<Uuid, Frontier>, sqlx::Error> {
    let mut growth: HashMap<Uuid, (u64, u64)> = HashMap::new();
    for recorded in batch {
        let before = u64::try_from(recorded.workspace_seq - 1).unwrap_or_default();
        growth.entry(recorded.workspace_id.into()).or_insert((before, 0)).1 += 1;
    }
    let mut needed: HashMap<Uuid, (u64, Vec<(u32, i64)>)> = HashMap::new();
    let (mut workspaces, mut seqs) = (Vec::new(), Vec::new());
    for (workspace, (size, growth)) in growth {
        let mut peaks = Vec::new();
        for (level, end) in Frontier::peaks_to_merge(size, growth) {
            let seq = i64::try_from(end).unwrap_or(i64::MAX);
            peaks.push((level, seq));
            workspaces.push(workspace);
            seqs.push(seq);
        }
        needed.insert(workspace, (size, peaks));
    }
    let rows = stored(conn, &workspaces, &seqs).await?;
    // A peak that is not there leaves a gap, and the first event that would need it says so.
    let peak = |workspace, (level, seq)| node(rows.get(&(workspace, seq))?, level);
    let tree = |(workspace, (size, peaks)): (Uuid, (u64, Vec<(u32, i64)>))| {
        let peaks: Option<Vec<Hash>> = peaks.into_iter().map(|at| peak(workspace, at)).collect();
        (workspace, Frontier::resume(size, peaks.unwrap_or_default()))
    };
    Ok(needed.into_iter().map(tree).collect())
}

async fn stored(
    conn: &mut PgConnection,
    workspaces: &[Uuid],
    seqs: &[i64],
) -> Result<HashMap<(Uuid, i64), Vec<u8>>, sqlx::Error> {
    if seqs.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = sqlx::query!(
        "select workspace_id, workspace_seq, hashes from proof_nodes
         where (workspace_id, workspace_seq) in (select * from unnest($1::uuid[], $2::bigint[]))",
        workspaces,
        seqs
    )
    .fetch_all(conn)
    .await?;
    Ok(rows.into_iter().map(|row| ((row.workspace_id, row.workspace_seq), row.hashes)).collect())
}

/// In the order of the key, so that rows find its index's pages at hand.
async fn copy(conn: &mut PgConnection, mut rows: Vec<Row<'_>>) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    rows.sort_unstable_by_key(|row| (row.recorded.workspace_id, row.recorded.workspace_seq));
    let table = "proof_nodes (workspace_id, workspace_seq, hashes)";
    copy::copy(conn, table, 3, rows, |row, Row { recorded, hashes }| {
        row.uuid(recorded.workspace_id.0).number(recorded.workspace_seq).bytes(&hashes);
        Ok(())
    })
    .await
}

async fn insert(conn: &mut PgConnection, rows: &[&Row<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into proof_nodes (workspace_id, workspace_seq, hashes)
         select * from unnest($1::uuid[], $2::bigint[], $3::bytea[])",
        &column(rows, |row| row.recorded.workspace_id.0),
        &column(rows, |row| row.recorded.workspace_seq),
        &column(rows, |row| row.hashes.as_slice()) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
