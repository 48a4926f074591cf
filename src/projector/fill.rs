//! Filling new generations: one task reads and decodes the log, and each read model applies it on a connection of its
//! own, so that no core waits for another.

use std::sync::Arc;

use futures::TryStreamExt;
use sqlx::{Connection, PgConnection, PgPool};
use tenure_projections::proofs::Proofs;
use tenure_projections::{Projection, Registered};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Clock;
use super::ahead::stretches;
use super::building::{is_protected, run};
use super::error::{Error, poison};
use super::link::Link;
use super::reader::Stretch;
use super::rebuild::{Progress, lock_building};
use super::step::{Care, apply};
use crate::data_keys::{Leaves, Vault};

/// How many stretches are applied together at most, after one and two at first: what several events change is written
/// once, and each statement, however few rows it moves, costs what a statement costs.
const TOGETHER: usize = 4;
/// How many of those may lie read and not applied yet: whoever has much to do per event must not keep the others from going
/// on. An event takes some 2.6 kB: 300 MB in all, with what is being decoded.
const AHEAD: usize = 3;

/// Moves the building generations along the log until its end; `filled` hears of each that is there.
///
/// Dropped, it leaves nothing half-done: its tasks end with it, and their connections close.
pub(super) async fn fill(
    projector: &PgPool,
    vault: &Vault,
    clock: Clock,
    projections: &[&'static Registered],
    filled: mpsc::UnboundedSender<&'static Registered>,
    progress: &mut (impl FnMut(Progress) + Send),
) -> Result<(), Error> {
    let mut tasks = JoinSet::new();
    let (told, mut tells) = mpsc::unbounded_channel();
    let (mut lanes, mut reached) = (Vec::new(), Vec::new());
    for (at, projection) in projections.iter().copied().enumerate() {
        let mut link = Link::connect(projector).await?;
        run(&mut link.conn, "set search_path = tenure_building, public".to_owned()).await?;
        reached.push(position(&mut link.conn, projection).await?);
        let (stretches, mine) = mpsc::channel(AHEAD);
        lanes.push(stretches);
        let (told, filled) = (told.clone(), filled.clone());
        let care = if is_protected(&mut link.conn, projection).await? { Care::Whole } else { Care::Filling };
        let lane = Following { link, clock, projection, care };
        tasks.spawn(async move {
            lane.run(mine, move |progress| told.send((at, progress)).is_ok()).await?;
            // Whoever no longer listens has failed, and says so.
            let _ = filled.send(projection);
            Ok(())
        });
    }
    drop((told, filled));
    let from = reached.iter().copied().min().unwrap_or_default();
    let proven = projections.iter().any(|projection| projection.name == Proofs::NAME);
    let leaves = if proven { Leaves::Hashed } else { Leaves::Left };
    tasks.spawn(read(projector.acquire().await?.detach(), vault.clone(), from, leaves, lanes));
    while let Some((at, now)) = tells.recv().await {
        reached[at] = now.position;
        let position = reached.iter().copied().min().unwrap_or_default();
        // Told once per stretch: when the last of them has it.
        if position == now.position {
            progress(Progress { position, head: now.head });
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended.map_err(|_| Error::Database(sqlx::Error::WorkerCrashed))??;
    }
    Ok(())
}

async fn position(conn: &mut PgConnection, projection: &Registered) -> Result<i64, Error> {
    let position = sqlx::query_scalar!(
        "select position from projection_checkpoints where name = $1 and state = 'building'",
        projection.name
    )
    .fetch_optional(conn)
    .await?;
    position.ok_or(Error::Moved)
}

/// Hands every lane the log, some stretches at a time.
async fn read(
    conn: PgConnection,
    vault: Vault,
    from: i64,
    leaves: Leaves,
    lanes: Vec<mpsc::Sender<Arc<Stretch>>>,
) -> Result<(), Error> {
    let mut stretches = stretches(conn, vault, from, leaves);
    let mut together = 1;
    while let Some(mut stretch) = stretches.try_next().await? {
        let mut more = Vec::with_capacity(TOGETHER);
        while more.len() + 1 < together
            && let Some(next) = stretches.try_next().await?
        {
            more.push(next);
        }
        stretch.extend(more);
        together = (2 * together).min(TOGETHER);
        let stretch = Arc::new(stretch);
        for lane in &lanes {
            // A lane that is gone tells why itself.
            if lane.send(Arc::clone(&stretch)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// One read model on its way.
struct Following {
    link: Link,
    clock: Clock,
    projection: &'static Registered,
    /// How stretches are applied as long as nothing is wrong with them.
    care: Care,
}

impl Following {
    async fn run(
        mut self,
        mut stretches: mpsc::Receiver<Arc<Stretch>>,
        tell: impl Fn(Progress) -> bool,
    ) -> Result<(), Error> {
        while let Some(stretch) = stretches.recv().await {
            let done = match self.one(&stretch, self.care).await {
                Err(Error::Database(error)) if poison(&error) => {
                    self.one(&stretch, Care::AroundPoison).await?
                }
                done => done?,
            };
            self.link.reached(done.position).await?;
            tell(done);
        }
        Ok(())
    }

    async fn one(&mut self, stretch: &Stretch, care: Care) -> Result<Progress, Error> {
        let mut tx = self.link.conn.begin().await?;
        let (mut lanes, _) = lock_building(&mut tx, &[self.projection]).await?;
        apply(&mut tx, &mut lanes, stretch, care, (self.clock)()).await?;
        tx.commit().await?;
        let position = lanes.iter().map(|lane| lane.position).min().unwrap_or_default();
        Ok(Progress { position, head: stretch.head })
    }
}
