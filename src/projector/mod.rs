//! The projector: moves the core read models along the log.
//!
//! # Layout
//! - [`Projector`] (here): the loop; `turn.rs`: what one round of it does; `link.rs`: one of its connections; `status.rs`: what it tells of itself
//! - [`reader`]: the log in order, up to the first hole; `copied.rs`: much of it at once; [`ahead`]: all of it; `step.rs`: a stretch of it through all projections
//! - [`checkpoint`]: where each projection stands, and who may move it
//! - [`parking`]: workspaces that wait because of an event that cannot be applied
//! - [`mod@rebuild`]: a new generation beside the live one, and the swap; `building.rs`: its tables;
//!   `fill.rs`: its rows
//!
//! Rows and checkpoints commit in one transaction, so that every event is applied exactly once whoever dies when.
//! Any number of processes may run a projector: whoever locks the checkpoints applies the next stretch, the others
//! follow. `applied` is true in all of them.

pub mod ahead;
mod building;
pub mod checkpoint;
mod copied;
mod error;
mod fill;
mod link;
pub mod parking;
pub mod reader;
pub mod rebuild;
mod status;
mod step;
mod turn;

use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tenure_aggregates::Time;
use tokio::sync::{Notify, watch};

use crate::data_keys::Vault;
use crate::database::twin;
use crate::overload::Pressure;
use crate::own_thread::{self, Working};
pub use checkpoint::{ProjectionStatus, outdated, status};
pub use error::Error;
pub use parking::{Parked, Waiting, parked, retry_parked};
pub use reader::Hole;
pub use rebuild::{Progress, rebuild};
pub use status::{Role, Snapshot};
use turn::Links;

/// Tells the time; handed in, as everywhere.
pub type Clock = fn() -> Time;

/// The shortest and the longest wait after work was done, and the wait when nothing happens.
const EAGER: Duration = Duration::from_millis(5);
const PATIENT: Duration = Duration::from_millis(100);
const IDLE: Duration = Duration::from_secs(1);
/// The longest wait after errors.
const WEARY: Duration = Duration::from_secs(5);
/// The longest breath after a turn.
const BREATH: Duration = Duration::from_millis(4);
/// And while more is asked than can be done: readers wait, and the processors have more for commands.
const LONG_BREATH: Duration = Duration::from_millis(50);
/// A turn that moved so many events is worth what a turn costs by itself.
const MANY: i64 = 32;
/// Turns take longer where there is more to do than processors to do it.
const QUICK: Duration = Duration::from_millis(14);

/// The loop, as its task owns it.
#[derive(Debug)]
pub struct Projector {
    pool: PgPool,
    vault: Vault,
    clock: Clock,
    appended: watch::Receiver<i64>,
    shutdown: watch::Receiver<bool>,
    pressure: Pressure,
    applied: watch::Sender<i64>,
    snapshot: watch::Sender<Snapshot>,
    created: bool,
    /// Kept from turn to turn.
    links: Option<Links>,
}

/// A running projector.
#[derive(Debug)]
pub struct Handle {
    applied: watch::Receiver<i64>,
    snapshot: watch::Receiver<Snapshot>,
    working: Working,
}

impl Handle {
    /// The position all live core read models have reached.
    pub fn applied(&self) -> watch::Receiver<i64> {
        self.applied.clone()
    }

    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.borrow().clone()
    }

    /// Snapshots as they change.
    pub fn snapshots(&self) -> watch::Receiver<Snapshot> {
        self.snapshot.clone()
    }

    /// Waits for the loop's end, after shutdown was asked for.
    pub async fn join(self) {
        self.working.ended().await;
    }
}

impl Projector {
    /// Starts the loop, on a thread of its own: an event is applied in many small steps, and each would wait behind
    /// whatever requests there are. `pool` connects as `tenure_projector`; the loop has a twin of it. `appended` is the
    /// last position this process appended; the loop ends when `shutdown` turns true, or is gone; while `pressure` is
    /// high, more is moved at once.
    pub fn spawn(
        pool: PgPool,
        vault: Vault,
        clock: Clock,
        appended: watch::Receiver<i64>,
        shutdown: watch::Receiver<bool>,
        pressure: Pressure,
    ) -> std::io::Result<Handle> {
        let (applied, applied_seen) = watch::channel(0);
        let (snapshot, snapshot_seen) = watch::channel(Snapshot::default());
        let work = async move || {
            let (own, vault) = (twin(&pool), vault.apart());
            let (pool, created, links) = (own.clone(), false, None);
            Self { pool, vault, clock, appended, shutdown, pressure, applied, snapshot, created, links }
                .run()
                .await;
            own.close().await;
        };
        let working = own_thread::spawn("tenure-projector", work)?;
        Ok(Handle { applied: applied_seen, snapshot: snapshot_seen, working })
    }

    async fn run(mut self) {
        let heard = Notify::new();
        let (pool, mut shutdown) = (self.pool.clone(), self.shutdown.clone());
        tokio::select! {
            () = self.walk(&heard) => {}
            () = listen(&pool, &heard) => {}
            // Only backs the loop's own look at it, should a statement hang.
            () = async { ended(&mut shutdown).await; tokio::time::sleep(WEARY).await } => {}
        }
    }

    async fn walk(&mut self, heard: &Notify) {
        let mut wait = EAGER;
        while !self.is_over() {
            let begun = Instant::now();
            match self.turn().await {
                Ok(turn::Outcome::Full) => {
                    wait = EAGER;
                    continue;
                }
                Ok(turn::Outcome::Worked(events)) => {
                    wait = EAGER;
                    let breath = breath(events, begun.elapsed(), self.pressure.is_high());
                    self.pause(breath).await;
                }
                // Another process is at it: what this one appended will be there in a moment.
                Ok(turn::Outcome::Followed) if self.awaited() => wait = EAGER,
                Ok(turn::Outcome::Followed | turn::Outcome::Nothing) => {
                    wait = if wait < PATIENT { (wait * 2).min(PATIENT) } else { IDLE };
                }
                Err(error) => {
                    self.failed(&error);
                    wait = (wait * 2).clamp(PATIENT, WEARY);
                    self.pause(wait).await;
                    continue;
                }
            }
            self.rest(wait, heard).await;
        }
    }

    fn is_over(&self) -> bool {
        *self.shutdown.borrow() || self.shutdown.has_changed().is_err()
    }

    /// Whether this process appended what the read models do not show yet.
    fn awaited(&self) -> bool {
        *self.appended.borrow() > *self.applied.borrow()
    }

    /// Until something may have been appended, or the time is up.
    async fn rest(&mut self, wait: Duration, heard: &Notify) {
        let news = self.appended.has_changed().unwrap_or(false);
        self.appended.mark_unchanged();
        if news && self.awaited() {
            return;
        }
        tokio::select! {
            () = changed(&mut self.appended) => {}
            () = heard.notified() => {}
            () = ended(&mut self.shutdown) => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    async fn pause(&mut self, wait: Duration) {
        tokio::select! {
            () = ended(&mut self.shutdown) => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// How long to wait after a turn, so that events come together and share what a turn costs by itself: where they are few,
/// so that no more than half of the time goes to few events, and where the processors are wanted elsewhere.
fn breath(events: i64, took: Duration, pressed: bool) -> Duration {
    if pressed {
        return LONG_BREATH;
    }
    let wanted = if events < MANY { took } else { took.saturating_sub(QUICK) };
    wanted.min(BREATH)
}

/// The next append; never, if nobody appends in this process.
async fn changed(appended: &mut watch::Receiver<i64>) {
    if appended.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Shutdown; that nobody is left who could ask for it is one, too.
async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|over| *over).await;
}

/// Other processes' appends. Only a hint: whoever misses one polls.
pub(crate) async fn listen(pool: &PgPool, heard: &Notify) {
    loop {
        let attempt = async {
            let mut listener = PgListener::connect_with(pool).await?;
            listener.listen("tenure_log").await?;
            loop {
                listener.recv().await?;
                heard.notify_one();
            }
        };
        let lost: Result<(), sqlx::Error> = attempt.await;
        tracing::debug!(error = ?lost.err(), "not listening for appends: polling until the connection is back");
        tokio::time::sleep(IDLE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_little_or_long_work_the_next_turn_waits_for_more() {
        let (short, quick, long) = (Duration::from_millis(1), QUICK, Duration::from_millis(15));
        let breath = |events, took| super::breath(events, took, false);
        assert_eq!(breath(1, short), short, "no more than half of the time for few events");
        assert_eq!(breath(1, long), BREATH);
        assert_eq!(breath(MANY, quick), Duration::ZERO);
        assert_eq!(breath(MANY, long), Duration::from_millis(1));
        assert_eq!(breath(MANY, Duration::from_secs(1)), BREATH);
        assert_eq!(super::breath(MANY, quick, true), LONG_BREATH, "while more is asked than can be done");
    }
}
