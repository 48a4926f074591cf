//! One step along the log: a stretch of it, through every lane, in the caller's transaction.

use sqlx::PgConnection;
use tenure_aggregates::Time;

use super::checkpoint::{Lane, advance};
use super::error::Error;
use super::reader::{self, Hole, Stretch};
use crate::data_keys::Vault;

/// What a step did.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// How many positions the hindmost lane moved.
    pub events: i64,
    /// Where all lanes stand at least.
    pub position: i64,
    pub head: i64,
    pub hole: Option<Hole>,
}

/// How a stretch is applied: at once, or, after that failed, piece by piece around the poison in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    /// At once, into tables that are being built and not guarded yet.
    Filling,
    Whole,
    AroundPoison,
}

/// The next stretch; `head` is the head of the log, as it stood before.
pub(super) async fn step(
    conn: &mut PgConnection,
    vault: &Vault,
    lanes: &mut [Lane],
    head: i64,
    care: Care,
    now: Time,
) -> Result<Step, Error> {
    let from = lanes.iter().map(|lane| lane.position).min().unwrap_or_default();
    let stretch = reader::read(&mut *conn, vault, from, head).await?;
    apply(conn, lanes, &stretch, care, now).await
}

/// A stretch that begins where the hindmost lane stands, or before.
pub(super) async fn apply(
    conn: &mut PgConnection,
    lanes: &mut [Lane],
    stretch: &Stretch,
    care: Care,
    now: Time,
) -> Result<Step, Error> {
    let from = lanes.iter().map(|lane| lane.position).min().unwrap_or_default();
    for lane in &mut *lanes {
        lane.park_undecodable(&mut *conn, &stretch.undecodable, now).await?;
        match care {
            Care::Filling => lane.projection.fill(&mut *conn, &lane.due(&stretch.events)).await?,
            Care::Whole => lane.projection.apply(&mut *conn, &lane.due(&stretch.events)).await?,
            Care::AroundPoison => lane.apply_around_poison(&mut *conn, &stretch.events, now).await?,
        }
    }
    if stretch.end > from {
        advance(conn, lanes, stretch.end, now).await?;
    }
    Ok(Step { events: stretch.end - from, position: stretch.end, head: stretch.head, hole: stretch.hole })
}
