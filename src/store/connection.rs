//! The appender's one connection: takes the log over, notices that another process wrote, and finds out what became
//! of a write whose connection broke.

use std::collections::BTreeSet;
use std::time::Duration;

use foldhash::HashSet;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection as _, PgConnection};
use tenure_aggregates::Time;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::appender::Job;
use super::batch::{Changes, Plan, creates};
use super::error::StoreError;
use super::heads::{Heads, WorkspaceHead};
use super::idempotency::KeyId;
use super::statement::{self, Keys};
use super::stream::StreamKey;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a statement may take. A server that stands still must not hold up everybody for good.
const STATEMENT: Duration = Duration::from_secs(10);
/// How long to try to find out what became of a write before telling the client that nobody knows.
const RESOLVE: Duration = Duration::from_secs(5);
/// How many events of other processes are read one by one; more, and everything known is forgotten instead.
const CATCH_UP: i64 = 20_000;
const ANNOUNCE: &str = "set local synchronous_commit = off; notify tenure_log";
/// So many races lost in a row, and the next write locks the head first.
const PATIENCE: u32 = 2;

pub(super) struct Connection {
    options: PgConnectOptions,
    link: Option<PgConnection>,
    epoch: i64,
    recorded_at: Time,
    races_lost: u32,
    /// A transaction is open that holds the head row.
    holds_head: bool,
}

/// What became of a batch.
pub(super) enum Sent {
    Done,
    /// Another process appended first; nothing was written.
    Raced,
    /// These idempotency keys are used; nothing was written.
    KeysTaken(HashSet<KeyId>),
    /// The database refused the data; nothing was written.
    Refused(String),
    /// A stream or workspace was further than believed; nothing was written.
    Stale,
    /// The connection broke, and what became of the write could not be found out.
    Unknown,
}

struct Head {
    position: i64,
    epoch: i64,
    recorded_at: Time,
}

impl Connection {
    pub(super) async fn take_over(options: PgConnectOptions, heads: &Heads) -> Result<Self, StoreError> {
        let options = options
            .application_name("tenure appender")
            .options([
                ("plan_cache_mode", "force_generic_plan"),
                ("lock_timeout", "10s"),
                ("tenure.announces", "later"),
            ])
            .disable_statement_logging();
        let mut connection = Self {
            options,
            link: None,
            epoch: 0,
            recorded_at: Time::UNIX_EPOCH,
            races_lost: 0,
            holds_head: false,
        };
        let head = connection.reconnect().await?;
        heads.restart(head.position);
        Ok(connection)
    }

    pub(super) fn recorded_at(&self) -> Time {
        self.recorded_at
    }

    /// Whether the log must be looked at before these jobs can be planned.
    pub(super) fn must_look(&self, jobs: &[Job], heads: &Heads) -> bool {
        self.link.is_none() || self.races_lost >= PATIENCE || are_behind(heads, jobs)
    }

    /// Makes sure there is a connection, that no job knows more of the log than this process, and after lost races that
    /// nobody else moves the head.
    pub(super) async fn ready(&mut self, jobs: &[Job], heads: &Heads) -> Result<(), StoreError> {
        if are_behind(heads, jobs)
            && let Err(error) = self.catch_up_with_log(heads).await
        {
            self.broke(&error);
        }
        if self.link.is_none() {
            let head = self.reconnect().await?;
            self.catch_up(&head, heads).await?;
        }
        if self.races_lost >= PATIENCE && !self.holds_head {
            let head = self.hold_head().await?;
            self.catch_up(&head, heads).await?;
        }
        Ok(())
    }

    pub(super) fn broke(&mut self, error: &StoreError) {
        tracing::warn!(%error, "the appender's connection broke");
        self.link = None;
        self.holds_head = false;
    }

    pub(super) fn moved(&mut self, plan: &Plan) {
        self.recorded_at = plan.recorded_at;
        self.races_lost = 0;
    }

    /// Looks up the heads of workspaces.
    pub(super) async fn learn_workspaces(
        &mut self,
        mut unknown: BTreeSet<Uuid>,
        heads: &Heads,
    ) -> Result<(), StoreError> {
        let link = self.link.as_mut().ok_or_else(|| StoreError::Unavailable("not connected".to_owned()))?;
        let ids: Vec<Uuid> = unknown.iter().copied().collect();
        let rows = sqlx::query!(
            "select workspace_id, seq, seats, code_uses from workspace_heads where workspace_id = any($1)",
            &ids
        )
        .fetch_all(link)
        .await?;
        let mut inner = heads.lock();
        for row in rows {
            let (seq, seats, code_uses) = (row.seq, row.seats, row.code_uses);
            let head = WorkspaceHead { seq, seats, code_uses, stored: true, ..WorkspaceHead::default() };
            unknown.remove(&row.workspace_id);
            inner.workspaces.put(row.workspace_id, head);
        }
        for absent in unknown {
            inner.workspaces.put(absent, WorkspaceHead::default());
        }
        Ok(())
    }

    pub(super) async fn send(&mut self, plan: &Plan, heads: &Heads) -> Sent {
        let executed = timeout(STATEMENT, self.execute(plan)).await;
        match executed.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))) {
            Ok(written) if written == u64::try_from(plan.events).unwrap_or(0) => Sent::Done,
            Ok(_) => self.why_nothing(plan, heads).await,
            Err(error) => self.after_error(&error, plan, heads).await,
        }
    }

    async fn execute(&mut self, plan: &Plan) -> sqlx::Result<u64> {
        let holds_head = std::mem::take(&mut self.holds_head);
        let link = self.link.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let written = if plan.events == 0 {
            let keys = plan.accepted.iter().filter(|unit| unit.job.append.key.is_some()).count();
            // Reported as events are: all of them, or not.
            let kept = statement::keep_keys(&mut *link, plan).await;
            kept.map(|kept| u64::from(kept != u64::try_from(keys).unwrap_or(u64::MAX)))
        } else {
            statement::append(&mut *link, plan, self.epoch).await
        };
        if holds_head && written.is_err() {
            // What it failed of is the answer, also where this fails.
            let _ = sqlx::raw_sql("rollback").execute(&mut *link).await;
        }
        let written = written?;
        if holds_head {
            sqlx::raw_sql("commit").execute(link).await?;
        }
        Ok(written)
    }

    /// Some of the batch's keys are used: nothing of it was written.
    async fn which_keys(&mut self, plan: &Plan) -> Sent {
        match self.used_keys(plan).await {
            Ok(taken) if taken.is_empty() => Sent::Stale,
            Ok(taken) => Sent::KeysTaken(taken),
            Err(error) => {
                self.broke(&error);
                Sent::Raced
            }
        }
    }

    /// Nothing was inserted: the fence moved, or, where there are no events, keys are used.
    async fn why_nothing(&mut self, plan: &Plan, heads: &Heads) -> Sent {
        match self.look_at(plan, heads).await {
            Ok(sent) => sent,
            Err(error) => {
                // Known: nothing was written. The batch is simply planned again once there is a connection.
                self.broke(&error);
                Sent::Raced
            }
        }
    }

    async fn look_at(&mut self, plan: &Plan, heads: &Heads) -> Result<Sent, StoreError> {
        let head = self.head().await?;
        if head.position != plan.base || head.epoch != self.epoch {
            self.races_lost += 1;
            self.catch_up(&head, heads).await?;
            return Ok(Sent::Raced);
        }
        let taken = self.used_keys(plan).await?;
        Ok(if taken.is_empty() { Sent::Raced } else { Sent::KeysTaken(taken) })
    }

    async fn after_error(&mut self, error: &sqlx::Error, plan: &Plan, heads: &Heads) -> Sent {
        if let sqlx::Error::Database(refused) = error {
            let class =
                refused.code().map(|code| code.chars().take(2).collect::<String>()).unwrap_or_default();
            match class.as_str() {
                "23" if refused.constraint() == Some("idempotency_pkey") => {
                    return self.which_keys(plan).await;
                }
                "23" if refused.is_unique_violation() => {
                    tracing::warn!(
                        constraint = refused.constraint(),
                        "the log was further than this process believed"
                    );
                    self.holds_head = false;
                    match self.head().await {
                        Ok(head) => {
                            self.adopt(&head);
                            heads.restart(head.position);
                        }
                        Err(error) => self.broke(&error),
                    }
                    return Sent::Stale;
                }
                "22" | "23" | "42" => return Sent::Refused(refused.to_string()),
                _ => {}
            }
        }
        self.broke(&StoreError::Unavailable(error.to_string()));
        match timeout(RESOLVE, self.resolve(plan, heads)).await {
            Ok(sent) => sent,
            Err(_) => Sent::Unknown,
        }
    }

    /// Reconnects and finds out. Raising the epoch waits for the broken connection's statement to end, one way or
    /// the other, and keeps anything it may still carry from committing: after that, the log tells the truth.
    async fn resolve(&mut self, plan: &Plan, heads: &Heads) -> Sent {
        loop {
            match self.try_resolve(plan, heads).await {
                Ok(sent) => return sent,
                Err(error) => self.broke(&error),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn try_resolve(&mut self, plan: &Plan, heads: &Heads) -> Result<Sent, StoreError> {
        let head = self.reconnect().await?;
        if plan.events == 0 {
            self.catch_up(&head, heads).await?;
            let taken = self.used_keys(plan).await?;
            return Ok(if taken.is_empty() { Sent::Raced } else { Sent::KeysTaken(taken) });
        }
        let first = plan.accepted.iter().find_map(|unit| unit.job.append.events.first());
        let link = self.link.as_mut().ok_or_else(|| StoreError::Unavailable("not connected".to_owned()))?;
        let at = sqlx::query!(
            "select aggregate_type, aggregate_id, sequence, metadata::text as \"metadata!\" from events where position = $1",
            plan.base + 1
        )
        .fetch_optional(link)
        .await?;
        let ours = at.zip(first).is_some_and(|(row, event)| {
            row.aggregate_type == event.stream.aggregate_type
                && *row.aggregate_id == *event.stream.id
                && row.sequence == event.sequence
                && row.metadata == event.metadata
        });
        if ours {
            tracing::info!(base = plan.base, "the write whose connection broke did happen");
            return Ok(Sent::Done);
        }
        self.catch_up(&head, heads).await?;
        Ok(Sent::Raced)
    }

    async fn reconnect(&mut self) -> Result<Head, StoreError> {
        self.holds_head = false;
        self.link = None;
        if let Ok(head) = timeout(CONNECT, self.try_reconnect()).await {
            return head;
        }
        self.link = None;
        Err(StoreError::Unavailable(format!("no connection within {CONNECT:?}")))
    }

    /// Connects and raises the epoch, which waits for whatever a connection before this one still has under way.
    async fn try_reconnect(&mut self) -> Result<Head, StoreError> {
        let link = self.options.connect().await?;
        let link = self.link.insert(link);
        let row = sqlx::query!(
            "update log_head set epoch = epoch + 1 where id = 1 returning position, epoch, recorded_at"
        )
        .fetch_one(link)
        .await?;
        let head = Head { position: row.position, epoch: row.epoch, recorded_at: row.recorded_at };
        self.adopt(&head);
        Ok(head)
    }

    async fn head(&mut self) -> Result<Head, StoreError> {
        let link = self.link.as_mut().ok_or_else(|| StoreError::Unavailable("not connected".to_owned()))?;
        let row = sqlx::query!("select position, epoch, recorded_at from log_head where id = 1")
            .fetch_one(link)
            .await?;
        Ok(Head { position: row.position, epoch: row.epoch, recorded_at: row.recorded_at })
    }

    /// Opens a transaction that keeps the head still until the next write.
    async fn hold_head(&mut self) -> Result<Head, StoreError> {
        let link = self.link.as_mut().ok_or_else(|| StoreError::Unavailable("not connected".to_owned()))?;
        sqlx::raw_sql("begin").execute(&mut *link).await?;
        let row = sqlx::query!("select position, epoch, recorded_at from log_head where id = 1 for update")
            .fetch_one(link)
            .await?;
        self.holds_head = true;
        Ok(Head { position: row.position, epoch: row.epoch, recorded_at: row.recorded_at })
    }

    /// Lets go of the head if the transaction turned out not to be needed.
    pub(super) async fn let_go(&mut self) {
        if std::mem::take(&mut self.holds_head)
            && let Some(link) = self.link.as_mut()
            && let Err(error) = sqlx::raw_sql("rollback").execute(link).await
        {
            self.broke(&error.into());
        }
    }

    fn adopt(&mut self, head: &Head) {
        self.epoch = head.epoch;
        self.recorded_at = self.recorded_at.max(head.recorded_at);
    }

    async fn catch_up_with_log(&mut self, heads: &Heads) -> Result<(), StoreError> {
        let head = self.head().await?;
        self.catch_up(&head, heads).await
    }

    /// Learns what other processes appended up to `head`.
    async fn catch_up(&mut self, head: &Head, heads: &Heads) -> Result<(), StoreError> {
        self.adopt(head);
        let known = heads.position();
        if head.position == known {
            return Ok(());
        }
        if !(1..=CATCH_UP).contains(&(head.position - known)) {
            heads.restart(head.position);
            return Ok(());
        }
        let link = self.link.as_mut().ok_or_else(|| StoreError::Unavailable("not connected".to_owned()))?;
        let rows = sqlx::query!(
            "select position, workspace_id, aggregate_type, aggregate_id, sequence from events
             where position > $1 and position <= $2 order by position",
            known,
            head.position
        )
        .fetch_all(link)
        .await?;
        let mut inner = heads.lock();
        for row in rows {
            inner.workspaces.pop(&row.workspace_id);
            if let Some(stream) = StreamKey::known(&row.aggregate_type, &row.aggregate_id) {
                inner.remember_stream(row.position, stream, row.sequence, None, None);
            }
        }
        drop(inner);
        heads.publish(head.position);
        Ok(())
    }

    async fn used_keys(&mut self, plan: &Plan) -> Result<HashSet<KeyId>, StoreError> {
        let keys = Keys::of(plan);
        let link = self.link.as_mut().ok_or_else(|| StoreError::Unavailable("not connected".to_owned()))?;
        let rows = sqlx::query!(
            "select i.workspace_id, i.digest from unnest($1::uuid[], $2::uuid[]) k (workspace_id, digest)
             cross join lateral (select workspace_id, digest from idempotency i
                 where i.workspace_id = k.workspace_id and i.digest = k.digest limit 1) i",
            &keys.workspaces,
            &keys.digests,
        )
        .fetch_all(link)
        .await?;
        Ok(rows.into_iter().map(|row| KeyId { workspace: row.workspace_id, digest: row.digest }).collect())
    }

    /// Tells the other processes that there is something new in the log. A hint is not worth waiting for the disk: it
    /// would hold up the next append.
    pub(super) async fn announce(&mut self) {
        let Some(link) = self.link.as_mut() else { return };
        let told = timeout(STATEMENT, sqlx::raw_sql(ANNOUNCE).execute(link)).await;
        let told = told.unwrap_or_else(|_| Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())));
        if let Err(error) = told {
            self.broke(&error.into());
        }
    }

    pub(super) async fn close(&mut self) {
        if let Some(link) = self.link.take() {
            let _ = link.close().await;
        }
    }
}

/// Whether a job knows more of a stream than this process, so that another one wrote it.
fn are_behind(heads: &Heads, jobs: &[Job]) -> bool {
    heads.are_behind(jobs.iter().flat_map(|job| &job.append.reads))
}

/// The workspaces the jobs write to whose heads are not known; `written` is in the log, and `heads` does not know yet.
pub(super) fn unknown_workspaces(jobs: &[Job], heads: &Heads, written: Option<&Changes>) -> BTreeSet<Uuid> {
    let mut unknown = BTreeSet::new();
    let mut inner = heads.lock();
    for job in jobs {
        let events = job.append.events.iter().map(|event| event.workspace);
        let counters = job.append.counters.iter().map(|counters| counters.workspace);
        let untouched = job.append.untouched.iter().map(|(workspace, _)| *workspace);
        for workspace in events.chain(counters).chain(untouched) {
            let known = written.is_some_and(|written| written.workspaces.contains_key(&workspace))
                || inner.workspaces.get(&workspace).is_some();
            if !known && !creates(&job.append, workspace) {
                unknown.insert(workspace);
            }
        }
    }
    unknown
}
