//! The thread that owns every write of this process: group commit, one statement a batch.
//!
//! Commands only send to it and wait; a request that is dropped meanwhile leaves nothing half done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tenure_aggregates::WorkspaceId;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::append::{Append, Appended, Counters};
use super::batch::{Plan, Verdict};
use super::connection::{Connection, Sent, unknown_workspaces};
use super::error::{Failure, StoreError};
use super::heads::Heads;
use super::queue::{self, Queued, Rejected};
use super::watcher::Watcher;
use crate::data_keys::Vault;
use crate::overload::{Bound, Pressure};
use crate::own_thread::{self, Working};

/// How many units may wait; one more is turned away at once.
const QUEUE: usize = 8192;
/// How many units one statement may carry.
const BATCH: usize = 512;
/// While more is asked than can be done, a batch of fewer units than this waits so long for more: they share what a batch
/// costs by itself.
const ENOUGH: usize = 64;
const GATHERING: Duration = Duration::from_millis(10);
/// How long other processes are not told of an append, so that they are told of many at once.
const UNANNOUNCED: Duration = Duration::from_millis(5);

pub(super) struct Job {
    pub append: Append,
    pub reply: oneshot::Sender<Result<Appended, Failure>>,
    pub queued: Instant,
}

#[derive(Debug, Clone)]
pub struct Appender {
    jobs: queue::Sender<Job>,
    closing: CancellationToken,
    writing: Working,
}

impl Appender {
    /// Its own thread and runtime: what handlers do with the processor does not hold up a batch that is due.
    pub(super) async fn spawn(
        options: PgConnectOptions,
        heads: Arc<Heads>,
        vault: Vault,
        watcher: Arc<dyn Watcher>,
        pressure: Pressure,
    ) -> Result<Self, StoreError> {
        let (jobs, queue) = queue::queue(QUEUE);
        let closing = CancellationToken::new();
        let (ready, started) = oneshot::channel();
        let token = closing.clone();
        let work = async move || {
            let connection = match Connection::take_over(options, &heads).await {
                Ok(connection) => connection,
                Err(error) => return drop(ready.send(Err(error))),
            };
            let _ = ready.send(Ok(()));
            let (untold, later, announce_at) = (None, Vec::new(), None);
            let writer = Writer {
                queue,
                connection,
                heads,
                vault,
                watcher,
                pressure,
                closing: token,
                untold,
                later,
                announce_at,
            };
            writer.run().await;
        };
        let writing = own_thread::spawn("tenure-appender", work)
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        started.await.map_err(|_| StoreError::Unavailable("the appender did not start".to_owned()))??;
        Ok(Self { jobs, closing, writing })
    }

    /// Queues a unit, at once or not at all; its outcome is awaited apart.
    pub fn append(
        &self,
        append: Append,
    ) -> Result<impl Future<Output = Result<Appended, Failure>> + use<>, StoreError> {
        let (reply, outcome) = oneshot::channel();
        let job = Job { append, reply, queued: Instant::now() };
        self.jobs.try_send(job).map_err(|rejected| match rejected {
            Rejected::Full => turned_away(Bound::Append),
            Rejected::Share => turned_away(Bound::AppendShare),
            Rejected::Closed => StoreError::Unavailable("shutting down".to_owned()),
        })?;
        Ok(async move { outcome.await.map_err(|_| StoreError::OutcomeUnknown)? })
    }

    /// How many units wait.
    pub fn queue_depth(&self) -> usize {
        self.jobs.len()
    }

    /// In how many seconds what waits now will have been written, as things go.
    pub fn seconds_to_drain(&self) -> u64 {
        self.jobs.seconds_to_drain()
    }

    /// Writes what is queued, then stops.
    pub async fn close(&self) {
        self.closing.cancel();
        self.writing.ended().await;
    }
}

/// The counters of a workspace as they stand in the database.
pub async fn counters(pool: &PgPool, workspace: WorkspaceId) -> Result<Counters, StoreError> {
    let row =
        sqlx::query!("select seats, code_uses from workspace_heads where workspace_id = $1", workspace.0)
            .fetch_optional(pool)
            .await?;
    Ok(row.map(|row| Counters { seats: row.seats, code_uses: row.code_uses }).unwrap_or_default())
}

struct Writer {
    queue: queue::Receiver<Job>,
    connection: Connection,
    heads: Arc<Heads>,
    vault: Vault,
    watcher: Arc<dyn Watcher>,
    pressure: Pressure,
    closing: CancellationToken,
    /// The batch that was written last, while its clients are not answered yet: that is done while the next is written.
    untold: Option<Plan>,
    /// Jobs that had to wait for a batch to be in the log.
    later: Vec<Job>,
    /// When other processes are to be told of what was appended since they last were.
    announce_at: Option<Instant>,
}

impl Writer {
    async fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            batch.append(&mut self.later);
            self.queue.try_recv_many(&mut batch, BATCH);
            if batch.is_empty() && self.untold.is_some() {
                self.tell();
                continue;
            }
            if self.announce_at.is_some_and(|at| at <= Instant::now()) {
                self.announce().await;
            }
            if batch.is_empty() {
                let announcing = self.announce_at;
                tokio::select! {
                    received = self.queue.recv_many(&mut batch, BATCH) => if received == 0 { return self.end().await },
                    () = self.closing.cancelled(), if !self.queue.is_closed() => self.queue.close(),
                    () = until(announcing) => {}
                }
                continue;
            }
            if batch.len() < ENOUGH && self.pressure.is_high() {
                self.tell();
                tokio::time::sleep(GATHERING).await;
                let limit = BATCH - batch.len();
                self.queue.try_recv_many(&mut batch, limit);
            }
            metrics::gauge!("tenure_append_queue_depth")
                .set(u32::try_from(self.queue.len()).unwrap_or(u32::MAX));
            self.write(std::mem::take(&mut batch)).await;
        }
    }

    async fn announce(&mut self) {
        if self.announce_at.take().is_some() {
            self.connection.announce().await;
        }
    }

    async fn end(mut self) {
        self.announce().await;
        self.connection.close().await;
    }

    /// Remembers the batch written last and answers its clients.
    fn tell(&mut self) {
        if let Some(plan) = self.untold.take() {
            self.later.extend(plan.settle(&self.heads, &self.vault, &*self.watcher));
        }
    }

    /// Brings every job of a batch to its answer, but for those of the last plan, which are told next.
    async fn write(&mut self, mut jobs: Vec<Job>) {
        let mut singly = Vec::new();
        let mut broken = false;
        while !jobs.is_empty() {
            if self.connection.must_look(&jobs, &self.heads) {
                self.tell();
                if let Err(error) = self.connection.ready(&jobs, &self.heads).await {
                    return refuse(jobs.into_iter().chain(singly).collect(), &error);
                }
            }
            if let Err(error) = self.learn_workspaces(&jobs).await {
                self.connection.broke(&error);
                // Once is a connection that had gone stale; twice is an outage.
                if std::mem::replace(&mut broken, true) {
                    return refuse(jobs.into_iter().chain(singly).collect(), &error);
                }
                continue;
            }
            let plan = Plan::of(jobs, &self.heads, self.untold.as_ref(), self.connection.recorded_at());
            jobs = self.send(plan, &mut singly).await;
            if jobs.is_empty()
                && let Some(job) = singly.pop()
            {
                jobs = vec![job];
            }
        }
        self.connection.let_go().await;
    }

    async fn learn_workspaces(&mut self, jobs: &[Job]) -> Result<(), StoreError> {
        let written = self.untold.as_ref().map(|plan| &plan.changes);
        let unknown = unknown_workspaces(jobs, &self.heads, written);
        if unknown.is_empty() {
            return Ok(());
        }
        self.tell();
        self.connection.learn_workspaces(unknown, &self.heads).await
    }

    /// Sends one batch; returns the jobs that have to be planned again.
    async fn send(&mut self, mut plan: Plan, singly: &mut Vec<Job>) -> Vec<Job> {
        let started = Instant::now();
        let sent = if plan.accepted.is_empty() {
            self.tell();
            Sent::Done
        } else {
            let (heads, later) = (&self.heads, &mut self.later);
            let tell = async {
                if let Some(plan) = self.untold.take() {
                    later.extend(plan.settle(heads, &self.vault, &*self.watcher));
                }
            };
            // In this order: the statement is on its way before anybody is told of the one before it.
            futures::join!(self.connection.send(&plan, heads), tell).0
        };
        match sent {
            Sent::Done => {
                metrics::histogram!("tenure_append_seconds").record(started.elapsed());
                #[allow(clippy::cast_precision_loss, reason = "a batch is small")]
                metrics::histogram!("tenure_append_batch_events").record(plan.events as f64);
                self.connection.moved(&plan);
                if plan.events > 0 {
                    self.announce_at.get_or_insert_with(|| Instant::now() + UNANNOUNCED);
                }
                let alone = plan.destroys;
                plan.written();
                self.untold = Some(plan);
                // What was decided on what is gone must not be shown a moment longer.
                if alone {
                    self.tell();
                }
                Vec::new()
            }
            Sent::Raced => {
                metrics::counter!("tenure_append_races_total").increment(1);
                plan.into_jobs()
            }
            Sent::KeysTaken(taken) => plan.without_keys(&taken),
            Sent::Refused(reason) if plan.accepted.len() == 1 => {
                tracing::error!(%reason, "the event log refused a write");
                plan.refuse(&Failure::Store(StoreError::Internal(reason)))
            }
            Sent::Refused(reason) => {
                tracing::warn!(%reason, units = plan.accepted.len(), "a batch was refused; trying its units one by one");
                singly.extend(plan.into_jobs());
                Vec::new()
            }
            Sent::Stale => {
                // What was believed of some stream was wrong: forget everything believed.
                if plan.accepted.len() == 1 {
                    let moved =
                        plan.first_stream().map_or(Failure::Store(StoreError::Conflict), Failure::Moved);
                    plan.refuse(&moved)
                } else {
                    singly.extend(plan.into_jobs());
                    Vec::new()
                }
            }
            Sent::Unknown => plan.refuse(&Failure::Store(StoreError::OutcomeUnknown)),
        }
    }
}

/// That instant; never, if there is none.
async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

fn turned_away(bound: Bound) -> StoreError {
    bound.met();
    StoreError::Overloaded
}

fn refuse(jobs: Vec<Job>, error: &StoreError) {
    for job in jobs {
        let _ = job.reply.send(Err(Failure::Store(error.clone())));
    }
}

impl Queued for Job {
    fn lane(&self) -> Uuid {
        self.append.workspace()
    }

    fn cost(&self) -> u32 {
        u32::try_from(self.append.events.len()).unwrap_or(u32::MAX)
    }
}

impl Job {
    pub(super) fn reply(self, verdict: Verdict) {
        let failure = match verdict {
            Verdict::Moved(key) => {
                metrics::counter!("tenure_append_conflicts_total").increment(1);
                Failure::Moved(key)
            }
            Verdict::KeyTaken => Failure::KeyTaken,
            Verdict::Refused(refusal) => Failure::Refused(refusal),
        };
        let _ = self.reply.send(Err(failure));
    }
}
