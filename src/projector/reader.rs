//! Reading the log in order: a bounded range, and of it only what has no hole before it.

use sqlx::PgConnection;
use tenure_projections::{Logged, Recorded, Undecodable};
use uuid::Uuid;

use super::copied::{self, Copied};
use super::error::Error;
use crate::data_keys::{Leaves, Vault};

/// How many events one transaction takes at most.
pub const BATCH: i64 = 5_000;

/// A stretch of the log without a hole.
#[derive(Debug)]
pub(crate) struct Stretch {
    pub events: Vec<Recorded>,
    pub undecodable: Vec<Undecodable>,
    /// The last position of the stretch; where it began, if it is empty.
    pub end: i64,
    /// The head of the log, as it stood when the stretch was read.
    pub head: i64,
    pub hole: Option<Hole>,
}

/// Positions that must be there and are not: an alarm. Whoever waits for them never skips them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hole {
    pub after: i64,
    /// The next position that is there, if any is.
    pub next: Option<i64>,
}

pub(crate) async fn head(conn: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!("select position from log_head where id = 1").fetch_one(conn).await
}

/// The next rows of the log, before they are decoded.
#[derive(Debug)]
pub(super) struct Fetched {
    rows: Copied,
    reached: Reached,
}

/// How far rows go without a hole.
#[derive(Debug)]
struct Reached {
    /// How many of them.
    whole: usize,
    /// The last position; where they began, if there is none.
    end: i64,
    head: i64,
    hole: Option<Hole>,
}

/// The next events, with what is sealed in them opened. `head` was read before them, so all up to there must be seen.
pub(super) async fn read(
    conn: &mut PgConnection,
    vault: &Vault,
    after: i64,
    head: i64,
) -> Result<Stretch, Error> {
    let rows = rows(&mut *conn, after, after + BATCH).await?;
    let reached = reached(conn, rows.iter().map(|row| row.position), after, head).await?;
    reached.decode(&rows, vault, Leaves::Hashed).await
}

/// The same, copied out and not decoded yet: for whoever has much to read.
pub(super) async fn fetch(conn: &mut PgConnection, after: i64) -> Result<Fetched, Error> {
    let head = head(&mut *conn).await?;
    let rows = copied::copy(&mut *conn, after, after + BATCH).await?;
    let reached = reached(conn, rows.positions().iter().copied(), after, head).await?;
    Ok(Fetched { rows, reached })
}

async fn reached(
    conn: &mut PgConnection,
    positions: impl Iterator<Item = i64> + Send,
    after: i64,
    head: i64,
) -> Result<Reached, Error> {
    let (whole, mut hole) = contiguous(positions, after);
    let end = after + i64::try_from(whole).unwrap_or(i64::MAX);
    if whole == 0 && hole.is_none() && head > after {
        let next = sqlx::query_scalar!("select min(position) from events where position > $1", after)
            .fetch_one(conn)
            .await?;
        // It may have come between the two looks.
        if next != Some(after + 1) {
            hole = Some(Hole { after, next });
        }
    }
    Ok(Reached { whole, end, head, hole })
}

impl Fetched {
    /// The last position; where it began, if it is empty.
    pub(super) fn end(&self) -> i64 {
        self.reached.end
    }

    pub(super) async fn decode(self, vault: &Vault, leaves: Leaves) -> Result<Stretch, Error> {
        self.reached.decode(&self.rows.rows()?, vault, leaves).await
    }
}

impl Reached {
    async fn decode<T: AsRef<str> + Sync>(
        self,
        rows: &[Logged<T>],
        vault: &Vault,
        leaves: Leaves,
    ) -> Result<Stretch, Error> {
        let Self { whole, end, head, hole } = self;
        let (events, undecodable) = vault.decode_events(&rows[..whole], leaves).await?;
        Ok(Stretch { events, undecodable, end, head, hole })
    }
}

/// The events after a position, up to another at most, as far as there is no hole; the head is not looked at. What is
/// sealed in them stays so.
pub(crate) async fn range(conn: &mut PgConnection, after: i64, to: i64) -> Result<Stretch, sqlx::Error> {
    let rows = rows(conn, after, to).await?;
    let (whole, hole) = contiguous(rows.iter().map(|row| row.position), after);
    let mut stretch = Stretch::after(after);
    stretch.hole = hole;
    for row in &rows[..whole] {
        stretch.end = row.position;
        stretch.take(row.decode_with(None));
    }
    Ok(stretch)
}

impl Stretch {
    fn after(position: i64) -> Self {
        Self { events: vec![], undecodable: vec![], end: position, head: position, hole: None }
    }

    /// Takes the stretches after this one along.
    pub(super) fn extend(&mut self, more: Vec<Self>) {
        self.events.reserve_exact(more.iter().map(|next| next.events.len()).sum());
        for next in more {
            self.events.extend(next.events);
            self.undecodable.extend(next.undecodable);
            (self.end, self.head, self.hole) = (next.end, next.head, next.hole);
        }
    }

    fn take(&mut self, decoded: Result<Recorded, Undecodable>) {
        match decoded {
            Ok(event) => self.events.push(event),
            Err(undecodable) => self.undecodable.push(undecodable),
        }
    }
}

/// How many positions come before the first hole, and that hole.
fn contiguous(positions: impl Iterator<Item = i64>, after: i64) -> (usize, Option<Hole>) {
    let mut whole = 0;
    for (position, expected) in positions.zip(after + 1..) {
        if position != expected {
            return (whole, Some(Hole { after: expected - 1, next: Some(position) }));
        }
        whole += 1;
    }
    (whole, None)
}

/// The rows after a position, up to another at most, in order; there may be holes between them.
pub(crate) async fn rows(conn: &mut PgConnection, after: i64, to: i64) -> Result<Vec<Logged>, sqlx::Error> {
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events where position > $1 and position <= $2 order by position"#,
        after,
        to
    )
    .fetch_all(conn)
    .await
}

/// A workspace's events within a range of positions, after a `workspace_seq`, at most [`BATCH`].
pub(super) async fn of_workspace(
    conn: &mut PgConnection,
    workspace: Uuid,
    after_seq: i64,
    (from, to): (i64, i64),
) -> Result<Vec<Logged>, sqlx::Error> {
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events
           where workspace_id = $1 and workspace_seq > $2 and position >= $3 and position <= $4
           order by workspace_seq limit $5"#,
        workspace,
        after_seq,
        from,
        to,
        BATCH
    )
    .fetch_all(conn)
    .await
}
