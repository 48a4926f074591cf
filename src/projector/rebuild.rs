//! Rebuilding read models, blue/green: a new generation is filled beside the live one, which serves meanwhile, and
//! takes its place in one short transaction once it has caught up.
//!
//! The fill's transactions carry its own checkpoint: killed at any point, the next call goes on where it stood. Of
//! two rebuilds of one read model at once, one ends with [`Error::Busy`] or [`Error::Moved`], and nothing is applied
//! twice. Side effects are no read models and are never rebuilt.

use std::time::Duration;

use sqlx::{Connection, PgConnection, PgPool};
use tenure_projections::Registered;
use tenure_projections::projection::named;
use tokio::sync::{Mutex, mpsc};

use super::Clock;
use super::building::{begin, finish, run, take_over};
use super::checkpoint::{Lane, State, create_missing, lock, wait_for_live};
use super::error::Error;
use super::fill::fill;
use super::step::{Care, step};
use crate::data_keys::Vault;

/// How far a rebuild is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub position: i64,
    pub head: i64,
}

/// Indexes are made over all rows at once: with so much memory, in fewer passes and on several cores. Plans of the first
/// minute can do with a quarter of the usual sample, until PostgreSQL analyzes by itself.
const FINISHING: &str = "set maintenance_work_mem = '256MB'; set default_statistics_target = 25";
/// A rebuild may need this many attempts to get at the tables between readers.
const SWAP_ATTEMPTS: u32 = 200;
/// Shorter than `deadlock_timeout`: a reader in the way wins, and the swap tries again.
const SWAP_LOCK_TIMEOUT_MS: u32 = 300;
/// How many batches the swap applies under the lock at most; with more to do, the fill goes on first.
const SWAP_BATCHES: u32 = 4;

/// Rebuilds the named read models together, in one pass over the log. `owner` owns the tables and may become
/// `tenure_projector`; `projector` connects as that role. `progress` hears of every batch.
pub async fn rebuild(
    owner: &PgPool,
    projector: &PgPool,
    vault: &Vault,
    clock: Clock,
    names: &[&str],
    mut progress: impl FnMut(Progress) + Send,
) -> Result<(), Error> {
    let mut projections = Vec::with_capacity(names.len());
    for name in names {
        projections.push(named(name).ok_or_else(|| Error::Unknown((*name).to_owned()))?);
    }
    projections.sort_by_key(|projection| projection.name);
    projections.dedup_by_key(|projection| projection.name);
    // A database that was only ever migrated.
    create_missing(projector, clock()).await?;
    let (mut owner, mut second) = (connect(owner).await?, connect(owner).await?);
    let mut tx = owner.begin().await?;
    for projection in &projections {
        begin(&mut tx, projection, clock()).await?;
    }
    tx.commit().await?;
    for _ in 0..SWAP_ATTEMPTS {
        let (filled, to_finish) = mpsc::unbounded_channel();
        tokio::try_join!(
            fill(projector, vault, clock, &projections, filled, &mut progress),
            finish_all([&mut owner, &mut second], to_finish)
        )?;
        match swap(&mut owner, vault, clock, &projections).await {
            Ok(Some(last)) => {
                progress(last);
                return Ok(());
            }
            Ok(None) => {}
            Err(error) if error.lock_lost() => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => return Err(error),
        }
    }
    Err(Error::SwapRefused(names.join(", ")))
}

/// A connection of its own: nothing of the role, the search path or a dropped future comes back to the pool.
async fn connect(owner: &PgPool) -> Result<PgConnection, Error> {
    let mut conn = owner.acquire().await?.detach();
    run(&mut conn, FINISHING.to_owned()).await?;
    Ok(conn)
}

/// Each as soon as it is filled, while others still are; two at a time, since most of it is making indexes.
async fn finish_all(
    conns: [&mut PgConnection; 2],
    filled: mpsc::UnboundedReceiver<&'static Registered>,
) -> Result<(), Error> {
    let filled = Mutex::new(filled);
    let some = async |conn: &mut PgConnection| {
        loop {
            let next = filled.lock().await.recv().await;
            let Some(projection) = next else { return Ok(()) };
            finish(conn, projection).await?;
        }
    };
    let [first, second] = conns;
    tokio::try_join!(some(first), some(second)).map(drop)
}

pub(super) async fn lock_building(
    conn: &mut PgConnection,
    projections: &[&'static Registered],
) -> Result<(Vec<Lane>, i64), Error> {
    let names: Vec<&str> = projections.iter().map(|projection| projection.name).collect();
    lock(conn, State::Building, &names).await
}

/// Applies the rest under the live checkpoints' lock and swaps; none if the rest was too long.
async fn swap(
    owner: &mut PgConnection,
    vault: &Vault,
    clock: Clock,
    projections: &[&'static Registered],
) -> Result<Option<Progress>, Error> {
    let names: Vec<&str> = projections.iter().map(|projection| projection.name).collect();
    let mut tx = owner.begin().await?;
    run(&mut tx, format!("set local lock_timeout = {SWAP_LOCK_TIMEOUT_MS}")).await?;
    run(
        &mut tx,
        "set local role tenure_projector; set local search_path = tenure_building, public".to_owned(),
    )
    .await?;
    wait_for_live(&mut tx, &names).await?;
    let (live, _) = lock(&mut tx, State::Live, &names).await?;
    let (mut lanes, head) = lock_building(&mut tx, projections).await?;
    let mut done = None;
    for _ in 0..SWAP_BATCHES {
        let last = step(&mut tx, vault, &mut lanes, head, Care::AroundPoison, clock()).await?;
        done = Some(Progress { position: last.position, head: last.head });
        if last.events == 0 {
            break;
        }
        done = None;
    }
    run(&mut tx, "set local role none; set local search_path = public".to_owned()).await?;
    let caught_up = lanes.iter().all(|new| live.iter().all(|old| old.position <= new.position));
    if done.is_none() || !caught_up {
        // What was applied is good: only the swap waits.
        tx.commit().await?;
        return Ok(None);
    }
    for projection in projections {
        take_over(&mut tx, projection).await?;
    }
    tx.commit().await?;
    Ok(done)
}
