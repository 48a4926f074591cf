//! Where each projection stands. Whoever holds the rows locked is the leader; a position moves only from where it
//! was found.

use std::collections::HashMap;

use sqlx::{PgConnection, PgPool};
use tenure_aggregates::Time;
use tenure_projections::Registered;
use tenure_projections::projection::{ALL, named};
use uuid::Uuid;

use super::error::{Error, locked};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Live,
    Building,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Building => "building",
        }
    }
}

/// One generation of a projection on its way along the log, locked.
#[derive(Debug)]
pub(super) struct Lane {
    pub projection: &'static Registered,
    pub generation: i64,
    pub position: i64,
    /// Workspaces that wait, and the event each waits at.
    pub parked: HashMap<Uuid, i64>,
}

/// First start: every projection begins at the beginning.
pub(super) async fn create_missing(pool: &PgPool, now: Time) -> Result<(), sqlx::Error> {
    let names: Vec<&str> = ALL.iter().map(|projection| projection.name).collect();
    let versions: Vec<i32> = ALL.iter().map(|projection| projection.version).collect();
    sqlx::query!(
        "insert into projection_checkpoints (name, generation, version, position, state, moved_at)
         select name, 1, version, 0, 'live', $3 from unnest($1::text[], $2::int[]) p (name, version)
         on conflict do nothing",
        &names as _,
        &versions,
        now
    )
    .execute(pool)
    .await?;
    Ok(())
}

/// Locks the checkpoints of that state; [`Error::Busy`] at once if another process holds one. Comes with the head of
/// the log, as it stood then.
pub(super) async fn lock(
    conn: &mut PgConnection,
    state: State,
    names: &[&str],
) -> Result<(Vec<Lane>, i64), Error> {
    let rows = sqlx::query!(
        "select name, generation, version, position from projection_checkpoints
         where state = $1 and name = any($2) order by name for update nowait",
        state.as_str(),
        names as _
    )
    .fetch_all(&mut *conn)
    .await
    .map_err(|error| if locked(&error) { Error::Busy } else { error.into() })?;
    let mut lanes = Vec::with_capacity(rows.len());
    for row in rows {
        let projection = named(&row.name).ok_or_else(|| Error::Unknown(row.name.clone()))?;
        if row.version > projection.version {
            let (name, stored, known) = (projection.name, row.version, projection.version);
            return Err(Error::NewerVersion { name, stored, known });
        }
        let (generation, position) = (row.generation, row.position);
        lanes.push(Lane { projection, generation, position, parked: HashMap::new() });
    }
    // One that is being swapped away under our eyes is nobody's for a moment.
    if lanes.len() != names.len() {
        return Err(Error::Busy);
    }
    // A statement of its own: what was unparked under the lock we waited for must be seen.
    let parked = sqlx::query!(
        r#"select h.position as head, p.name as "name?", p.generation as "generation?",
                  p.workspace_id as "workspace_id?", p.position as "position?"
           from log_head h left join projection_parked p on p.name = any($1) where h.id = 1"#,
        names as _
    )
    .fetch_all(conn)
    .await?;
    let head = parked.first().map(|row| row.head).unwrap_or_default();
    for row in parked {
        let (Some(name), Some(workspace), Some(position)) = (row.name, row.workspace_id, row.position) else {
            continue;
        };
        let waits =
            |lane: &&mut Lane| lane.projection.name == name && Some(lane.generation) == row.generation;
        if let Some(lane) = lanes.iter_mut().find(waits) {
            lane.parked.insert(workspace, position);
        }
    }
    Ok((lanes, head))
}

/// Waits until the live checkpoints are ours, so that [`lock`] finds them free.
pub(super) async fn wait_for_live(conn: &mut PgConnection, names: &[&str]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select name from projection_checkpoints where state = 'live' and name = any($1) order by name for update",
        names as _
    )
    .fetch_all(conn)
    .await?;
    Ok(())
}

/// Moves the lanes that stand before `to`, each from where it was found.
pub(super) async fn advance(
    conn: &mut PgConnection,
    lanes: &mut [Lane],
    to: i64,
    now: Time,
) -> Result<(), Error> {
    let behind: Vec<&mut Lane> = lanes.iter_mut().filter(|lane| lane.position < to).collect();
    let moved = sqlx::query!(
        "update projection_checkpoints c set position = $4, moved_at = $5
         from unnest($1::text[], $2::bigint[], $3::bigint[]) l (name, generation, position)
         where c.name = l.name and c.generation = l.generation and c.position = l.position",
        &behind.iter().map(|lane| lane.projection.name).collect::<Vec<_>>() as _,
        &behind.iter().map(|lane| lane.generation).collect::<Vec<_>>(),
        &behind.iter().map(|lane| lane.position).collect::<Vec<_>>(),
        to,
        now
    )
    .execute(conn)
    .await?;
    if usize::try_from(moved.rows_affected()).ok() != Some(behind.len()) {
        return Err(Error::Moved);
    }
    for lane in behind {
        lane.position = to;
    }
    Ok(())
}

/// Where the read models stand together, seen without a lock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    /// What every live read model has reached.
    pub applied: i64,
    pub head: i64,
    pub parked: i64,
}

pub(super) async fn peek(pool: &PgPool) -> Result<Seen, sqlx::Error> {
    sqlx::query_as!(
        Seen,
        r#"select coalesce((select min(position) from projection_checkpoints where state = 'live'), 0) as "applied!",
                  (select position from log_head where id = 1) as "head!",
                  (select count(*) from projection_parked) as "parked!""#
    )
    .fetch_one(pool)
    .await
}

/// Where one generation of a projection stands, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectionStatus {
    pub name: String,
    pub generation: i64,
    /// Of the rows; below [`Registered::version`] they need a rebuild.
    pub version: i32,
    /// live or building.
    pub state: String,
    pub position: i64,
    /// Events between it and the head of the log.
    pub lag: i64,
    /// Workspaces that wait for a fix.
    pub parked: i64,
    pub moved_at: Time,
}

/// Every projection, live and building. Needs a pool of the projector's role.
pub async fn status(projector: &PgPool) -> Result<Vec<ProjectionStatus>, sqlx::Error> {
    sqlx::query_as!(
        ProjectionStatus,
        r#"select c.name, c.generation, c.version, c.state, c.position, greatest(h.position - c.position, 0) as "lag!",
                  (select count(*) from projection_parked p
                   where p.name = c.name and p.generation = c.generation) as "parked!", c.moved_at
           from projection_checkpoints c, log_head h order by c.name, c.generation"#
    )
    .fetch_all(projector)
    .await
}

/// The live read models whose rows an older program wrote: they serve on, and want [`rebuild`](fn@super::rebuild).
pub async fn outdated(projector: &PgPool) -> Result<Vec<&'static str>, sqlx::Error> {
    let rows = sqlx::query!("select name, version from projection_checkpoints where state = 'live'")
        .fetch_all(projector)
        .await?;
    let older = |row: &_| -> Option<&'static str> {
        let (name, version): &(String, i32) = row;
        named(name).filter(|projection| *version < projection.version).map(|projection| projection.name)
    };
    Ok(rows.into_iter().map(|row| (row.name, row.version)).filter_map(|row| older(&row)).collect())
}
