//! Decides what a batch may hold: each unit is accepted or turned away on its own, against what is known and what
//! the units before it in the batch will have done.

use std::collections::{HashMap, HashSet};

use tenure_aggregates::{Time, Workspace, WorkspaceId};
use uuid::Uuid;

use super::appender::{Append, Appended, Job};
use super::error::{Failure, Refusal};
use super::heads::{Heads, Inner, WorkspaceHead};
use super::idempotency::KeyScope;
use super::stream::StreamKey;
use super::unit_of_work::restamp;
use super::watcher::Watcher;
use crate::data_keys::Vault;

/// Why a unit is not in the batch.
#[derive(Debug)]
pub(super) enum Verdict {
    Moved(StreamKey),
    KeyTaken,
    Refused(Refusal),
}

pub(super) struct Accepted {
    pub job: Job,
    pub recorded_at: Time,
    /// The positions of the unit's events come after this many others of the batch.
    pub offset: i64,
    /// The `workspace_seq` of each event.
    pub workspace_seqs: Vec<i64>,
}

pub(super) struct Plan {
    pub base: i64,
    pub accepted: Vec<Accepted>,
    pub events: i64,
    pub recorded_at: Time,
    pub workspaces: HashMap<Uuid, WorkspaceHead>,
    /// Whether keys end with the one unit accepted.
    pub destroys: bool,
    rejected: Vec<(Job, Verdict)>,
    /// Units that must wait for the outcome of an earlier one: it uses the same key, or must go alone.
    later: Vec<Job>,
}

/// What the units accepted so far will have changed.
struct Overlay<'a> {
    known: &'a mut Inner,
    streams: HashMap<StreamKey, i64>,
    keys: HashSet<KeyScope>,
    workspaces: HashMap<Uuid, WorkspaceHead>,
}

impl Plan {
    /// Every workspace the jobs write to must be known to `heads`, but for those they create.
    pub(super) fn of(jobs: Vec<Job>, heads: &Heads, last_recorded: Time) -> Self {
        let base = heads.position();
        let mut known = heads.lock();
        let mut overlay = Overlay {
            known: &mut known,
            streams: HashMap::new(),
            keys: HashSet::new(),
            workspaces: HashMap::new(),
        };
        let mut plan = Self {
            base,
            accepted: Vec::with_capacity(jobs.len()),
            events: 0,
            recorded_at: last_recorded,
            workspaces: HashMap::new(),
            destroys: false,
            rejected: Vec::new(),
            later: Vec::new(),
        };
        for job in jobs {
            // What is destroyed must have been written before: such a unit goes alone.
            let destroys = !job.append.destruction.is_empty();
            if plan.destroys || destroys && !plan.accepted.is_empty() {
                plan.later.push(job);
                continue;
            }
            if let Some(key) = &job.append.key
                && overlay.keys.contains(&key.request.scope)
            {
                plan.later.push(job);
                continue;
            }
            match overlay.admit(&job.append, base + plan.events) {
                Err(verdict) => plan.rejected.push((job, verdict)),
                Ok(workspace_seqs) => {
                    let offset = plan.events;
                    plan.destroys = destroys;
                    plan.events += job.append.length();
                    // Time never runs backwards in the log.
                    plan.recorded_at = plan.recorded_at.max(job.append.now);
                    plan.accepted.push(Accepted {
                        recorded_at: plan.recorded_at,
                        offset,
                        workspace_seqs,
                        job,
                    });
                }
            }
        }
        plan.workspaces = overlay.workspaces;
        for unit in &mut plan.accepted {
            unit.restamp();
        }
        plan
    }

    /// The batch is in the log: remembers it, tells the watcher and answers everybody. Returns who has to be planned
    /// again.
    pub(super) fn settle(self, heads: &Heads, vault: &Vault, watcher: &dyn Watcher) -> Vec<Job> {
        for unit in &self.accepted {
            let (after, append) = (self.base + unit.offset, &unit.job.append);
            watcher.committed(after, after + append.length(), &append.states);
            for key in append.data_keys.iter().filter(|key| !append.destroys(key)) {
                vault.stored(key);
            }
        }
        if self.destroys {
            vault.forget();
            heads.forget_states();
        }
        let mut replies = Vec::with_capacity(self.accepted.len());
        let mut inner = heads.lock();
        for unit in self.accepted {
            let Accepted { job: Job { append, reply, queued }, recorded_at, offset, .. } = unit;
            let restamped = recorded_at != append.now;
            let last = self.base + offset + append.length();
            let mut states = append.states;
            for (event, position) in append.events.into_iter().zip(self.base + offset + 1..) {
                let state = states
                    .iter()
                    .position(|(key, state)| *key == event.stream && state.sequence == event.sequence);
                let state = state.map(|at| states.swap_remove(at).1).filter(|_| !restamped);
                inner.remember_stream(position, event.stream, event.sequence, state);
            }
            if let Some(key) = append.key {
                inner.remember_key(last, key.request.scope.clone());
            }
            replies.push((reply, Appended { position: last, recorded_at }, queued));
        }
        for (workspace, head) in self.workspaces {
            inner.workspaces.put(workspace, head);
        }
        drop(inner);
        heads.publish(self.base + self.events);
        for (reply, appended, queued) in replies {
            metrics::histogram!("tenure_append_wait_seconds").record(queued.elapsed());
            let _ = reply.send(Ok(appended));
        }
        // Only now: a loser that decides again should find what the winner made of it.
        for (job, verdict) in self.rejected {
            job.reply(verdict);
        }
        self.later
    }

    /// All jobs, to be planned again.
    pub(super) fn into_jobs(self) -> Vec<Job> {
        let accepted = self.accepted.into_iter().map(|unit| unit.job);
        accepted.chain(self.rejected.into_iter().map(|(job, _)| job)).chain(self.later).collect()
    }

    /// Answers the units whose keys turned out to be used; the others are planned again.
    pub(super) fn without_keys(self, taken: &HashSet<KeyScope>) -> Vec<Job> {
        let (gone, rest): (Vec<_>, Vec<_>) = self
            .into_jobs()
            .into_iter()
            .partition(|job| job.append.key.as_ref().is_some_and(|key| taken.contains(&key.request.scope)));
        for job in gone {
            job.reply(Verdict::KeyTaken);
        }
        rest
    }

    /// Answers the accepted with a failure and the rejected with theirs.
    pub(super) fn refuse(self, failure: &Failure) -> Vec<Job> {
        for unit in self.accepted {
            let _ = unit.job.reply.send(Err(failure.clone()));
        }
        for (job, verdict) in self.rejected {
            job.reply(verdict);
        }
        self.later
    }

    pub(super) fn first_stream(&self) -> Option<StreamKey> {
        self.accepted.first()?.job.append.reads.first().map(|(key, _)| key.clone())
    }
}

impl Accepted {
    /// Lets payloads carry the instant that the log records. The kept answer gets it when it is asked for.
    fn restamp(&mut self) {
        let (decided, recorded) = (self.job.append.now, self.recorded_at);
        if decided == recorded {
            return;
        }
        for event in &mut self.job.append.events {
            event.payload = restamp(std::mem::take(&mut event.payload), decided, recorded);
        }
    }
}

impl Overlay<'_> {
    /// Accepts the unit and counts its effects in, or says why not. Returns the `workspace_seq` of each event.
    fn admit(&mut self, append: &Append, mut position: i64) -> Result<Vec<i64>, Verdict> {
        if let Some(key) = &append.key
            && self.known.keys.contains_key(&key.request.scope)
        {
            return Err(Verdict::KeyTaken);
        }
        for (stream, sequence) in &append.reads {
            let current = match self.streams.get(stream) {
                Some(pending) => pending == sequence,
                None => self.known.is_current(stream, *sequence, append.read_at),
            };
            if !current {
                return Err(Verdict::Moved(stream.clone()));
            }
        }
        let mut touched: Vec<(Uuid, WorkspaceHead)> = Vec::with_capacity(2);
        if let Some((workspace, seq)) = append.untouched
            && self.head(&mut touched, workspace).seq != seq
        {
            return Err(Verdict::Moved(StreamKey::of::<Workspace>(&workspace.to_string())));
        }
        for counters in &append.counters {
            let head = self.head(&mut touched, counters.workspace);
            if counters.code_reset {
                head.code_uses = 0;
            }
            head.seats += counters.seats;
            head.code_uses += counters.code_uses;
            if counters.seats_limit.is_some_and(|limit| head.seats > limit) {
                let refusal = Refusal::new("seats_exhausted", "Every seat of this workspace is taken.");
                let workspace = Some(WorkspaceId(counters.workspace));
                return Err(Verdict::Refused(Refusal { workspace, ..refusal }));
            }
            if counters.code_limit.is_some_and(|limit| head.code_uses > limit) {
                return Err(Verdict::Refused(Refusal::new(
                    "code_exhausted",
                    "This invite code has been used up.",
                )));
            }
        }
        let mut workspace_seqs = Vec::with_capacity(append.events.len());
        for event in &append.events {
            let head = self.head(&mut touched, event.workspace);
            position += 1;
            head.seq += 1;
            head.position = position;
            workspace_seqs.push(head.seq);
        }
        self.workspaces.extend(touched);
        for event in &append.events {
            self.streams.insert(event.stream.clone(), event.sequence);
        }
        if let Some(key) = &append.key {
            self.keys.insert(key.request.scope.clone());
        }
        Ok(workspace_seqs)
    }

    fn head<'a>(
        &mut self,
        touched: &'a mut Vec<(Uuid, WorkspaceHead)>,
        workspace: Uuid,
    ) -> &'a mut WorkspaceHead {
        let at = touched.iter().position(|(id, _)| *id == workspace).unwrap_or_else(|| {
            let pending = self.workspaces.get(&workspace).copied();
            let head = pending.or_else(|| self.known.workspaces.get(&workspace).copied()).unwrap_or_default();
            touched.push((workspace, head));
            touched.len() - 1
        });
        &mut touched[at].1
    }
}

/// Whether a unit brings its workspace into being, so that nothing about it need be known.
pub(super) fn creates(append: &Append, workspace: Uuid) -> bool {
    use cqrs_es::Aggregate;
    append.events.iter().any(|event| {
        event.sequence == 1
            && event.workspace == workspace
            && event.stream.aggregate_type == Workspace::TYPE
            && *event.stream.id == *workspace.to_string()
    })
}
