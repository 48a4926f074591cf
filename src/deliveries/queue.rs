//! The queue: takes what is due, a little from every lane, and notes what came of it.
//!
//! Taking moves `next_attempt_at` by a lease and counts the attempt. Whoever carries a delivery prolongs the lease while
//! it lives; what a dead process held is due again once the lease is over.

use std::time::Duration;

use chrono::TimeDelta;
use sqlx::PgPool;
use tenure_aggregates::{InvitationId, Time, WorkspaceId};
use uuid::Uuid;

use super::{Channel, Due, Outcome, Report, Trigger};

/// The shortest and the longest that what could not be tried through a fault of this service's own waits.
const NOT_NOW: (TimeDelta, TimeDelta) = (TimeDelta::seconds(5), TimeDelta::minutes(5));

/// The queue of one channel. `projector` reads and writes the deliveries of all tenants.
#[derive(Debug, Clone)]
pub struct Queue {
    pub projector: PgPool,
    pub channel: Channel,
    pub lease: Duration,
}

/// A lane on which something is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lane {
    pub workspace: Uuid,
    pub lane: Uuid,
    /// Nothing has arrived there lately.
    pub failing: bool,
}

/// What came of a delivery that was taken, and when there is another attempt, if there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub due: Due,
    pub outcome: Outcome,
    pub retry: Option<Time>,
}

/// One of which there was an attempt.
struct Made<'a> {
    due: &'a Due,
    delivered: bool,
    report: &'a Report,
    retry: Option<Time>,
}

impl<'a> Made<'a> {
    fn of(ended: &'a Ended) -> Option<Self> {
        let (delivered, report) = match &ended.outcome {
            Outcome::Delivered(report) => (true, report),
            Outcome::Failed(report, _) => (false, report),
            Outcome::Cancelled(_) | Outcome::NotNow(_) => return None,
        };
        // What arrived is over.
        let retry = ended.retry.filter(|_| !delivered);
        Some(Self { due: &ended.due, delivered, report, retry })
    }
}

/// A lane, and how many more deliveries of it may be taken.
pub type Room = (Uuid, usize);

struct Row {
    workspace_id: Uuid,
    delivery_id: Uuid,
    lane: Uuid,
    kind: String,
    trigger: String,
    event_id: Uuid,
    position: i64,
    workspace_seq: i64,
    recipient: Option<String>,
    invitation_id: Option<Uuid>,
    attempts: i32,
    created_at: Time,
    log_end: i64,
}

impl Row {
    fn due(self) -> Due {
        Due {
            workspace: WorkspaceId(self.workspace_id),
            id: self.delivery_id,
            lane: self.lane,
            kind: self.kind,
            trigger: self.trigger.parse().unwrap_or(Trigger::Event),
            event_id: self.event_id,
            position: self.position,
            workspace_seq: self.workspace_seq,
            recipient: self.recipient,
            invitation: self.invitation_id.map(InvitationId),
            attempt: u32::try_from(self.attempts).unwrap_or(1),
            created_at: self.created_at,
            log_end: self.log_end,
        }
    }
}

impl Queue {
    /// When the next delivery is due, whosever it is.
    pub async fn next(&self) -> Result<Option<Time>, sqlx::Error> {
        sqlx::query_scalar!(
            "select min(next_attempt_at) from deliveries where channel = $1 and next_attempt_at is not null",
            self.channel.as_str()
        )
        .fetch_one(&self.projector)
        .await
    }

    /// Up to `most` lanes on which something is due, in order, those after `after` first, and none of `full`.
    pub async fn lanes(
        &self,
        after: Uuid,
        full: &[Uuid],
        most: usize,
        now: Time,
    ) -> Result<Vec<Lane>, sqlx::Error> {
        let mut lanes = self.lanes_between(after, Uuid::max(), full, most, now).await?;
        if lanes.len() < most && !after.is_nil() {
            let rest = most - lanes.len();
            lanes.extend(self.lanes_between(Uuid::nil(), after, full, rest, now).await?);
        }
        Ok(lanes)
    }

    /// One look per lane, however much is on it.
    async fn lanes_between(
        &self,
        after: Uuid,
        to: Uuid,
        full: &[Uuid],
        most: usize,
        now: Time,
    ) -> Result<Vec<Lane>, sqlx::Error> {
        sqlx::query_as!(
            Lane,
            r#"with recursive lanes (lane) as (
                   (select lane from deliveries
                    where channel = $1 and next_attempt_at is not null and lane > $2 and lane <= $3
                    order by lane limit 1)
                   union all
                   select (select d.lane from deliveries d
                           where d.channel = $1 and d.next_attempt_at is not null and d.lane > l.lane and d.lane <= $3
                           order by d.lane limit 1)
                   from lanes l where l.lane is not null
               )
               select d.workspace_id as "workspace!", l.lane as "lane!",
                      exists (select from webhook_targets t
                              where t.workspace_id = d.workspace_id and t.endpoint_id = l.lane
                                and t.failing_since is not null) as "failing!"
               from lanes l
               cross join lateral (
                   select workspace_id from deliveries
                   where channel = $1 and lane = l.lane and next_attempt_at <= $4 limit 1
               ) d
               where l.lane <> all($5)
               limit $6"#,
            self.channel.as_str(),
            after,
            to,
            now,
            full,
            i64::try_from(most).unwrap_or(i64::MAX)
        )
        .fetch_all(&self.projector)
        .await
    }

    /// Takes up to `most` deliveries, of every lane as many as there is room for, and the oldest first.
    pub async fn take(&self, rooms: &[Room], most: usize, now: Time) -> Result<Vec<Due>, sqlx::Error> {
        let lanes: Vec<Uuid> = rooms.iter().map(|(lane, _)| *lane).collect();
        let room: Vec<i64> = rooms.iter().map(|(_, room)| i64::try_from(*room).unwrap_or(0)).collect();
        let rows = sqlx::query_as!(
            Row,
            r#"with due as (
                   select d.workspace_id, d.delivery_id
                   from unnest($2::uuid[], $3::bigint[]) l (lane, room)
                   cross join lateral (
                       select workspace_id, delivery_id from deliveries
                       where channel = $1 and lane = l.lane and next_attempt_at <= $4
                       order by next_attempt_at, position limit l.room for update skip locked
                   ) d
                   limit $5
               )
               update deliveries d set next_attempt_at = $6, attempts = d.attempts + 1
               from due where d.workspace_id = due.workspace_id and d.delivery_id = due.delivery_id
               returning d.workspace_id, d.delivery_id, d.lane, d.kind, d.trigger, d.event_id, d.position,
                         d.workspace_seq, d.recipient, d.invitation_id, d.attempts, d.created_at,
                         (select position from log_head where id = 1) as "log_end!""#,
            self.channel.as_str(),
            &lanes,
            &room,
            now,
            i64::try_from(most).unwrap_or(i64::MAX),
            after(now, self.lease)
        )
        .fetch_all(&self.projector)
        .await?;
        Ok(rows.into_iter().map(Row::due).collect())
    }

    /// Says that whoever carries these still lives.
    pub async fn prolong(&self, held: &[Due], now: Time) -> Result<(), sqlx::Error> {
        let (workspaces, ids, attempts) = keys(held);
        sqlx::query!(
            "update deliveries d set next_attempt_at = $4
             from unnest($1::uuid[], $2::uuid[], $3::int[]) h (workspace_id, delivery_id, attempts)
             where d.workspace_id = h.workspace_id and d.delivery_id = h.delivery_id and d.attempts = h.attempts
               and d.status = 'pending'",
            &workspaces,
            &ids,
            &attempts,
            after(now, self.lease)
        )
        .execute(&self.projector)
        .await?;
        Ok(())
    }

    /// Gives back what could not be brought to an end: it is due at once, and counts as tried.
    pub async fn give_back(&self, held: &[Due], now: Time) -> Result<(), sqlx::Error> {
        let at_once = Self { lease: Duration::ZERO, ..self.clone() };
        at_once.prolong(held, now).await
    }

    /// Notes what came of attempts, of all that were made in one statement.
    pub async fn note(&self, ended: &[Ended], now: Time) -> Result<(), sqlx::Error> {
        let made: Vec<Made<'_>> = ended.iter().filter_map(Made::of).collect();
        let mut noted = self.end(&made, now).await;
        // What one receiver said must not keep what came of the others from being noted.
        if matches!(noted, Err(sqlx::Error::Database(_))) && made.len() > 1 {
            noted = Ok(());
            for one in &made {
                noted = self.end(std::slice::from_ref(one), now).await.and(noted);
            }
        }
        for Ended { due, outcome, .. } in ended {
            let (status, reason, retry) = match outcome {
                Outcome::Cancelled(reason) => ("cancelled", reason, None),
                Outcome::NotNow(reason) => ("pending", reason, Some(now + not_now(due.created_at, now))),
                Outcome::Delivered(_) | Outcome::Failed(..) => continue,
            };
            noted = self.put_off(due, status, reason, retry, now).await.and(noted);
        }
        noted
    }

    /// Notes attempts. One that delivered counts whoever has taken the delivery since; one that failed does not.
    /// What came of the last attempt counts, too, where the delivery was called off while it was made.
    async fn end(&self, made: &[Made<'_>], now: Time) -> Result<(), sqlx::Error> {
        if made.is_empty() {
            return Ok(());
        }
        let latency = |report: &Report| i32::try_from(report.latency.as_millis()).unwrap_or(i32::MAX);
        sqlx::query!(
            "with made as (
                 select * from unnest($1::uuid[], $2::uuid[], $3::int[], $4::bool[], $5::int[], $6::text[], $7::int[],
                                      $8::text[], $9::timestamptz[])
                     m (workspace_id, delivery_id, attempt, delivered, status, reason, latency_ms, reply, retry_at)
             ), noted as (
                 insert into delivery_attempts (workspace_id, delivery_id, attempt, at, delivered, status, reason,
                                                latency_ms, reply)
                 select workspace_id, delivery_id, attempt, $10, delivered, status, reason, latency_ms, reply from made
                 on conflict do nothing
             )
             update deliveries d
             set status = case when m.retry_at is not null then 'pending' when m.delivered then 'delivered' else 'failed' end,
                 next_attempt_at = m.retry_at, reason = m.reason,
                 finished_at = case when m.retry_at is null then $10 end
             from made m
             where d.workspace_id = m.workspace_id and d.delivery_id = m.delivery_id
               and (d.status = 'pending' and (m.delivered or d.attempts = m.attempt)
                    or d.status = 'cancelled' and d.attempts = m.attempt and m.retry_at is null)",
            &made.iter().map(|one| one.due.workspace.0).collect::<Vec<_>>(),
            &made.iter().map(|one| one.due.id).collect::<Vec<_>>(),
            &made.iter().map(|one| attempt(one.due)).collect::<Vec<_>>(),
            &made.iter().map(|one| one.delivered).collect::<Vec<_>>(),
            &made.iter().map(|one| one.report.status.map(i32::from)).collect::<Vec<_>>() as _,
            &made.iter().map(|one| one.report.reason.as_deref()).collect::<Vec<_>>() as _,
            &made.iter().map(|one| latency(one.report)).collect::<Vec<_>>(),
            &made.iter().map(|one| one.report.reply.as_deref()).collect::<Vec<_>>() as _,
            &made.iter().map(|one| one.retry).collect::<Vec<_>>() as _,
            now
        )
        .execute(&self.projector)
        .await?;
        Ok(())
    }

    /// Notes that there was no attempt.
    async fn put_off(
        &self,
        due: &Due,
        status: &str,
        reason: &str,
        retry: Option<Time>,
        now: Time,
    ) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "update deliveries
             set status = $4, next_attempt_at = $5, reason = $6, attempts = attempts - 1,
                 finished_at = case when $5::timestamptz is null then $7::timestamptz end
             where workspace_id = $1 and delivery_id = $2 and status = 'pending' and attempts = $3",
            due.workspace.0,
            due.id,
            attempt(due),
            status,
            retry,
            reason,
            now
        )
        .execute(&self.projector)
        .await?;
        Ok(())
    }
}

/// The longer it has waited, the longer it waits: much may pile up until an operator comes.
fn not_now(since: Time, now: Time) -> TimeDelta {
    ((now - since) / 10).clamp(NOT_NOW.0, NOT_NOW.1)
}

fn after(now: Time, wait: Duration) -> Time {
    TimeDelta::from_std(wait).ok().and_then(|wait| now.checked_add_signed(wait)).unwrap_or(now)
}

fn attempt(due: &Due) -> i32 {
    i32::try_from(due.attempt).unwrap_or(i32::MAX)
}

fn keys(held: &[Due]) -> (Vec<Uuid>, Vec<Uuid>, Vec<i32>) {
    let attempts = held.iter().map(attempt).collect();
    (held.iter().map(|due| due.workspace.0).collect(), held.iter().map(|due| due.id).collect(), attempts)
}

/// Forgets what was over before an instant, some at a time; returns how many.
pub async fn forget_before(projector: &PgPool, before: Time) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from deliveries d using (
             select workspace_id, delivery_id from deliveries
             where finished_at < $1 order by finished_at limit 5000
         ) old
         where d.workspace_id = old.workspace_id and d.delivery_id = old.delivery_id",
        before
    )
    .execute(projector)
    .await?;
    Ok(done.rows_affected())
}
