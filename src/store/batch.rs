//! Decides what a batch may hold: each unit is accepted or turned away on its own, against what is known and what
//! the units before it in the batch will have done.

use cqrs_es::Aggregate;
use foldhash::fast::RandomState;
use foldhash::{HashMap, HashSet};
use tenure_aggregates::{Membership, Time, Workspace, WorkspaceId};
use uuid::Uuid;

use super::append::{Append, Appended};
use super::appender::Job;
use super::error::{Failure, Refusal};
use super::heads::{Heads, Inner, Read, Ticket, WorkspaceHead};
use super::idempotency::KeyId;
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
    pub changes: Changes,
    /// Whether keys end with the one unit accepted.
    pub destroys: bool,
    rejected: Vec<(Job, Verdict)>,
    /// Units that must wait for the outcome of an earlier one: it uses the same key, or must go alone.
    later: Vec<Job>,
}

/// What a batch changes.
#[derive(Default)]
pub(super) struct Changes {
    streams: HashMap<StreamKey, (i64, Option<Ticket>)>,
    keys: HashSet<KeyId>,
    pub workspaces: HashMap<Uuid, WorkspaceHead>,
}

/// What is known, and what the units accepted so far will have changed.
struct Overlay<'a> {
    known: &'a mut Inner,
    /// What is in the log and not among what is known yet.
    written: Option<&'a Changes>,
    changes: Changes,
}

impl Plan {
    /// Every workspace the jobs write to must be known to `heads`, but for those they create. `written` is in the log,
    /// and `heads` does not know of it yet.
    pub(super) fn of(mut jobs: Vec<Job>, heads: &Heads, written: Option<&Self>, last_recorded: Time) -> Self {
        let base = written.map_or_else(|| heads.position(), |written| written.base + written.events);
        let mut known = heads.lock();
        let written = written.map(|written| &written.changes);
        let mut overlay = Overlay { known: &mut known, written, changes: Changes::default() };
        let mut plan = Self {
            base,
            accepted: Vec::with_capacity(jobs.len()),
            events: 0,
            recorded_at: last_recorded,
            changes: Changes::default(),
            destroys: false,
            rejected: Vec::new(),
            later: Vec::new(),
        };
        in_order_of_time(&mut jobs);
        for job in jobs {
            // What is destroyed must have been written before: such a unit goes alone.
            let destroys = !job.append.destruction.is_empty();
            if plan.destroys || destroys && !plan.accepted.is_empty() {
                plan.later.push(job);
                continue;
            }
            if let Some(key) = &job.append.key
                && overlay.changes.keys.contains(&key.request.id)
            {
                plan.later.push(job);
                continue;
            }
            // Time never runs backwards in the log.
            let recorded_at = plan.recorded_at.max(job.append.now);
            match overlay.admit(&job.append, base + plan.events, recorded_at == job.append.now) {
                Err(verdict) => plan.rejected.push((job, verdict)),
                Ok(workspace_seqs) => {
                    let offset = plan.events;
                    plan.destroys = destroys;
                    plan.events += job.append.length();
                    plan.recorded_at = recorded_at;
                    plan.accepted.push(Accepted { job, recorded_at, offset, workspace_seqs });
                }
            }
        }
        plan.changes = overlay.changes;
        drop(known);
        for unit in &mut plan.accepted {
            unit.restamp();
        }
        heads.unforesee(plan.unfulfilled());
        plan
    }

    /// Notes that it is in the log.
    pub(super) fn written(&mut self) {
        // With no events, only keys were written.
        if self.events > 0 {
            self.changes.workspaces.values_mut().for_each(|head| head.stored = true);
        }
    }

    /// The streams of which something was foreseen that will not be, or not so.
    fn unfulfilled(&self) -> impl Iterator<Item = &StreamKey> {
        let rejected = self.rejected.iter().map(|(job, _)| job);
        let late = self.accepted.iter().filter(|unit| unit.recorded_at != unit.job.append.now);
        let jobs = rejected.chain(late.map(|unit| &unit.job));
        jobs.flat_map(|job| job.append.events.iter().map(|event| &event.stream))
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
            let on_time = recorded_at == append.now;
            let ticket = on_time.then_some(append.ticket);
            let last = self.base + offset + append.length();
            let mut states = append.states;
            for (event, position) in append.events.into_iter().zip(self.base + offset + 1..) {
                let state = states
                    .iter()
                    .position(|(key, state)| *key == event.stream && state.sequence == event.sequence);
                let state = state.map(|at| states.swap_remove(at).1);
                let state = state.and_then(|state| state.restamped(append.now, recorded_at));
                inner.remember_stream(position, event.stream, event.sequence, ticket, state);
            }
            if let Some(key) = append.key {
                inner.remember_key(last, key.request.id);
            }
            replies.push((reply, Appended { position: last, recorded_at }, queued));
        }
        for (workspace, head) in self.changes.workspaces {
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
    pub(super) fn without_keys(self, taken: &HashSet<KeyId>) -> Vec<Job> {
        let (gone, rest): (Vec<_>, Vec<_>) = self
            .into_jobs()
            .into_iter()
            .partition(|job| job.append.key.as_ref().is_some_and(|key| taken.contains(&key.request.id)));
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
        self.accepted.first()?.job.append.reads.first().map(|read| read.stream.clone())
    }
}

/// They came at about the same time: in the order of their instants, all but few are recorded at their own. One that
/// rests on another comes behind it.
fn in_order_of_time(jobs: &mut Vec<Job>) {
    let mut places: HashMap<Ticket, Time> =
        HashMap::with_capacity_and_hasher(jobs.len(), RandomState::default());
    let mut keyed: Vec<(Time, Job)> = Vec::with_capacity(jobs.len());
    for job in jobs.drain(..) {
        let before = job.append.reads.iter().filter_map(|read| places.get(&read.rests_on?)).max();
        let place = before.copied().map_or(job.append.now, |before| before.max(job.append.now));
        places.insert(job.append.ticket, place);
        keyed.push((place, job));
    }
    keyed.sort_by_key(|(place, _)| *place);
    jobs.extend(keyed.into_iter().map(|(_, job)| job));
}

impl Accepted {
    /// Lets payloads carry the instant that the log records. The kept answer gets it when it is asked for.
    fn restamp(&mut self) {
        let (stamped, recorded) = (self.job.append.stamped, self.recorded_at);
        if stamped == recorded {
            return;
        }
        for event in &mut self.job.append.events {
            event.payload = restamp(std::mem::take(&mut event.payload), stamped, recorded);
        }
        self.job.append.stamped = recorded;
    }
}

impl Overlay<'_> {
    /// Accepts the unit and counts its effects in, or says why not. Returns the `workspace_seq` of each event.
    /// `on_time`: what it foresaw of its streams, others may rest on.
    fn admit(&mut self, append: &Append, mut position: i64, on_time: bool) -> Result<Vec<i64>, Verdict> {
        if let Some(key) = &append.key
            && self.is_used(&key.request.id)
        {
            return Err(Verdict::KeyTaken);
        }
        if let Some(moved) = append.reads.iter().find(|read| !self.is_current(read, append.read_at)) {
            return Err(Verdict::Moved(moved.stream.clone()));
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
            if event.stream.aggregate_type == Membership::TYPE {
                head.members = position;
            }
            workspace_seqs.push(head.seq);
        }
        self.changes.workspaces.extend(touched);
        let ticket = on_time.then_some(append.ticket);
        for event in &append.events {
            self.changes.streams.insert(event.stream.clone(), (event.sequence, ticket));
        }
        if let Some(key) = &append.key {
            self.changes.keys.insert(key.request.id);
        }
        Ok(workspace_seqs)
    }

    fn is_used(&self, key: &KeyId) -> bool {
        self.known.keys.contains(key) || self.written.is_some_and(|written| written.keys.contains(key))
    }

    fn is_current(&self, read: &Read, read_at: i64) -> bool {
        let written = || self.written.and_then(|written| written.streams.get(&read.stream));
        match self.changes.streams.get(&read.stream).or_else(written) {
            Some((sequence, ticket)) => {
                *sequence == read.sequence && (read.rests_on.is_none() || *ticket == read.rests_on)
            }
            None => self.known.is_current(read, read_at),
        }
    }

    fn head<'a>(
        &mut self,
        touched: &'a mut Vec<(Uuid, WorkspaceHead)>,
        workspace: Uuid,
    ) -> &'a mut WorkspaceHead {
        let at = touched.iter().position(|(id, _)| *id == workspace).unwrap_or_else(|| {
            let written = || self.written.and_then(|written| written.workspaces.get(&workspace));
            let pending = self.changes.workspaces.get(&workspace).or_else(written).copied();
            let head = pending.or_else(|| self.known.workspaces.get(&workspace).copied()).unwrap_or_default();
            touched.push((workspace, head));
            touched.len() - 1
        });
        &mut touched[at].1
    }
}

/// Whether a unit brings its workspace into being, so that nothing about it need be known.
pub(super) fn creates(append: &Append, workspace: Uuid) -> bool {
    append.events.iter().any(|event| {
        event.sequence == 1
            && event.workspace == workspace
            && event.stream.aggregate_type == Workspace::TYPE
            && *event.stream.id == *workspace.to_string()
    })
}
