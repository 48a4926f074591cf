//! One command's work: loads through postgres-es, lets cqrs-es decide, buffers, commits once.
//!
//! It remembers the sequence of every stream it read, also of those it does not write; the append is refused if any
//! of them moved. So a right that was checked is still held, and a rule that was checked still holds, at the very
//! position where the command's events come to stand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::event::EventName;
use tenure_aggregates::values::{Email, Slug};
use tenure_aggregates::{Claim, Membership, Refused, Session, Time, Workspace, WorkspaceId, session};

use super::Store;
use super::append::{Append, CounterMove, Counters, NewEvent, NewKey};
use super::error::{Failure, StoreError};
use super::heads::{CachedState, Heads, Read, Ticket};
use super::idempotency::RequestKey;
use super::loader::Loaded;
use super::origin::Origin;
use super::stream::StreamKey;
use tokio::sync::OwnedMutexGuard;

use crate::data_keys::{DataKey, Owner, Place};

#[derive(Debug)]
pub struct UnitOfWork {
    pub(super) store: Store,
    pub(super) origin: Arc<Origin>,
    key: Option<Arc<RequestKey>>,
    now: Time,
    mode: Mode,
    used_cache: Arc<AtomicBool>,
    /// Streams known to be new.
    begun: Vec<StreamKey>,
    pub(super) append: Append,
    /// What was read before it is loaded.
    pub(super) ahead: Vec<(StreamKey, CachedState)>,
    /// The keys sealed with so far.
    pub(super) keys: Vec<(Owner, DataKey)>,
    /// The place in the line for a contended stream, kept until the unit is queued.
    line: Option<OwnedMutexGuard<()>>,
}

/// How one attempt at a command is made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mode {
    /// The command's name.
    pub command: &'static str,
    /// Whether states kept in this process may be used, or everything is read from the database.
    pub use_cache: bool,
}

/// A command that happened: where, when, and what is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The position of the command's last event; of the log as it was known, if nothing had to change.
    pub position: i64,
    pub answer: String,
}

impl UnitOfWork {
    pub(super) fn begin(
        store: &Store,
        origin: Arc<Origin>,
        key: Option<Arc<RequestKey>>,
        now: Time,
        mode: Mode,
        line: Option<OwnedMutexGuard<()>>,
    ) -> Self {
        let append = Append::new(store.heads.ticket(), store.heads.position(), now);
        Self {
            store: store.clone(),
            origin,
            key,
            now,
            mode,
            used_cache: Arc::default(),
            begun: Vec::new(),
            append,
            ahead: Vec::new(),
            keys: Vec::new(),
            line,
        }
    }

    /// The command's instant.
    pub fn now(&self) -> Time {
        self.now
    }

    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Tells, also once the unit is gone, whether anything was decided on a state kept in this process.
    pub(super) fn used_cache(&self) -> Arc<AtomicBool> {
        self.used_cache.clone()
    }

    /// The state of a stream as `workspace` may see it; the commit holds only if it is still that.
    pub async fn load<A: Stream + 'static>(
        &mut self,
        workspace: WorkspaceId,
        id: &str,
    ) -> Result<Arc<A>, Failure> {
        let key = StreamKey::of::<A>(id);
        Ok(self.fetch::<A>(&key, Some(workspace)).await?.seen_from(workspace).state)
    }

    /// The state of a stream whose workspace the caller has yet to learn, and that workspace.
    pub async fn locate<A: Stream + 'static>(
        &mut self,
        id: &str,
    ) -> Result<(Arc<A>, Option<WorkspaceId>), Failure> {
        let loaded = self.fetch::<A>(&StreamKey::of::<A>(id), None).await?;
        Ok((loaded.state, loaded.home))
    }

    /// Makes the commit depend on the session the actor acts in, if there is one.
    pub(super) async fn rest_on_session(&mut self) -> Result<(), Failure> {
        let Some(session) = self.origin.session else { return Ok(()) };
        let user = self.origin.user().cloned().ok_or(session::Refusal::Over)?;
        let state = self.load::<Session>(WorkspaceId::personal(&user), &session.id.to_string()).await?;
        state.honours(&user, session.generation, self.now)?;
        Ok(())
    }

    /// Begins a stream whose id was made for this command, so that there is nothing to load. The log would refuse it
    /// if there were.
    pub fn begin_stream<A: Stream>(&mut self, id: &str) {
        let stream = StreamKey::of::<A>(id);
        self.append.reads.push(Read { stream: stream.clone(), sequence: 0, rests_on: None });
        self.begun.push(stream);
    }

    /// A state for showing, on which the commit does not depend.
    pub async fn peek<A: Stream + 'static>(
        &mut self,
        workspace: WorkspaceId,
        id: &str,
    ) -> Result<Arc<A>, Failure> {
        let key = StreamKey::of::<A>(id);
        Ok(self.look_up::<A>(&key).await?.seen_from(workspace).state)
    }

    /// Loads, decides, remembers; returns the state after. Nothing is written before `commit`.
    pub async fn execute<A>(
        &mut self,
        workspace: WorkspaceId,
        id: &str,
        command: A::Command,
    ) -> Result<Arc<A>, Failure>
    where
        A: Stream + 'static,
        A::Error: Refused,
    {
        let key = StreamKey::of::<A>(id);
        let loaded = self.fetch::<A>(&key, Some(workspace)).await?.seen_from(workspace);
        let mut state = A::clone(&loaded.state);
        let sink = EventSink::<A>::default();
        state.handle(command, &(), &sink).await?;
        let events = sink.collect().await;
        let mut sequence = loaded.sequence;
        for event in &events {
            sequence += 1;
            let place = Place {
                workspace: workspace.0,
                aggregate_type: A::TYPE,
                aggregate_id: id,
                sequence,
                field: "",
            };
            let (payload, sealed) = self.seal(place, event.name(), event, loaded.sequence == 0).await?;
            let metadata = self.origin.metadata(workspace, self.mode.command, &sealed);
            self.append.events.push(NewEvent {
                stream: key.clone(),
                workspace: workspace.0,
                sequence,
                event_type: event.name(),
                event_version: event.event_version(),
                payload,
                metadata: metadata.map_err(|error| StoreError::Internal(error.to_string()))?,
            });
        }
        let state = Arc::new(state);
        if !events.is_empty() {
            let kept = CachedState::of(state.clone(), sequence, Some(workspace));
            self.append.states.retain(|(other, _)| *other != key);
            self.append.states.push((key, kept));
        }
        Ok(state)
    }

    /// The sequence a stream will have once this unit is committed: what its `ETag` says.
    pub fn sequence_of<A: Aggregate>(&self, id: &str) -> i64 {
        let key = StreamKey::of::<A>(id);
        let pending =
            self.append.states.iter().find(|(other, _)| *other == key).map(|(_, state)| state.sequence);
        pending.or_else(|| self.append.read(&key)).unwrap_or(0)
    }

    /// The counters of a workspace as last known: what is shown, not what is relied on.
    pub async fn counters(&self, workspace: WorkspaceId) -> Result<Counters, Failure> {
        let moved = self.append.moved(workspace.0);
        let head = match self.store.heads.workspace(workspace) {
            Some(head) => Counters { seats: head.seats, code_uses: head.code_uses },
            None if self.begun.contains(&StreamKey::of::<Workspace>(&workspace.to_string())) => {
                Counters::default()
            }
            None => super::appender::counters(&self.store.pool, workspace).await?,
        };
        let code_uses = if moved.code_reset { 0 } else { head.code_uses } + moved.code_uses;
        Ok(Counters { seats: head.seats + moved.seats, code_uses })
    }

    /// Destroys, with this unit, every key of a workspace: what its history says of it becomes unreadable.
    pub fn destroy_keys_of(&mut self, workspace: WorkspaceId) {
        self.append.destruction.workspaces.push(workspace.0);
    }

    /// Destroys, with this unit, the keys of every invitation to an address.
    pub fn destroy_keys_to(&mut self, email: &Email) {
        let hash = self.store.vault.address_hash(email);
        self.append.destruction.addresses.push(hash);
    }

    /// The stream id of the claim on a slug, which does not tell the slug.
    pub fn claim_on(&self, slug: &Slug) -> String {
        Claim::slug(&self.store.vault.slug_hash(slug))
    }

    /// Moves the workspace's counters together with the events; the commit is refused where a limit would be passed.
    pub fn move_counters(&mut self, counters: CounterMove) {
        self.append.counters.push(counters);
    }

    /// The commit holds only if nothing at all has happened in the workspace since its history ended at this
    /// `workspace_seq`: for what rests on a read model and not on single streams.
    pub fn require_untouched(&mut self, workspace: WorkspaceId, workspace_seq: i64) {
        self.append.untouched = Some((workspace.0, workspace_seq));
    }

    /// Makes everything durable at once, or nothing. `answer` is what the client is told, now and on every replay.
    pub async fn commit(mut self, answer: String) -> Result<Committed, Failure> {
        if self.append.events.is_empty() {
            // "Nothing to do" is believed only of the log itself: no append will find out if it is not so.
            if self.used_cache.load(Ordering::Relaxed) {
                return Err(Failure::Unconfirmed);
            }
            if self.append.counters.is_empty() && self.key.is_none() {
                return Ok(Committed { position: self.store.heads.position(), answer });
            }
        }
        let contended = |event: &&NewEvent| self.store.queues.is_contended(&event.stream);
        if self.line.is_none()
            && let Some(event) = self.append.events.iter().find(contended)
        {
            return Err(Failure::Moved(event.stream.clone()));
        }
        let now = self.now;
        let answers = self.store.vault.answers();
        self.append.key = self
            .key
            .as_ref()
            .map(|key| NewKey { request: key.clone(), answer: answers.seal(&key.scope, now, &answer) });
        let foreseen = Foreseen::of(&self);
        let outcome = self.store.appender.append(self.append)?;
        // Not before it is queued, so that who rests on it is queued behind it.
        let foreseen = foreseen.show();
        // Whoever is next in line decides on what is foreseen, and may come to stand in the same batch.
        drop(self.line);
        let appended = outcome.await;
        drop(foreseen);
        let appended = appended?;
        let answer = restamp(answer, now, appended.recorded_at);
        Ok(Committed { position: appended.position, answer })
    }

    async fn fetch<A: Stream + 'static>(
        &mut self,
        key: &StreamKey,
        workspace: Option<WorkspaceId>,
    ) -> Result<Loaded<A>, Failure> {
        if let Some((_, pending)) = self.append.states.iter().find(|(other, _)| other == key)
            && let Ok(state) = pending.state.clone().downcast::<A>()
        {
            return Ok(Loaded { state, sequence: pending.sequence, home: pending.home });
        }
        if self.begun.contains(key) {
            return Ok(Loaded { state: Arc::default(), sequence: 0, home: None });
        }
        if self.mode.use_cache
            && let Some((foreseen, ticket)) = self.store.heads.foreseen::<A>(key)
        {
            self.used_cache.store(true, Ordering::Relaxed);
            self.append.reads.push(Read {
                stream: key.clone(),
                sequence: foreseen.sequence,
                rests_on: Some(ticket),
            });
            return Ok(foreseen);
        }
        // Whoever joins a workspace that began lately was never there, and that need not be looked up.
        if self.mode.use_cache
            && A::TYPE == Membership::TYPE
            && workspace.is_some_and(|workspace| self.store.heads.never_began(workspace, key))
        {
            self.used_cache.store(true, Ordering::Relaxed);
            self.append.reads.push(Read { stream: key.clone(), sequence: 0, rests_on: None });
            return Ok(Loaded { state: Arc::default(), sequence: 0, home: None });
        }
        let loaded = self.look_up::<A>(key).await?;
        self.append.reads.push(Read { stream: key.clone(), sequence: loaded.sequence, rests_on: None });
        Ok(loaded)
    }

    /// Whether the stream can be loaded without a look at the database.
    pub(super) fn is_at_hand(&self, key: &StreamKey) -> bool {
        self.begun.contains(key)
            || self.append.states.iter().any(|(other, _)| other == key)
            || self.mode.use_cache && self.store.heads.has_state(key)
    }

    async fn look_up<A: Stream + 'static>(&mut self, key: &StreamKey) -> Result<Loaded<A>, Failure> {
        if self.mode.use_cache
            && let Some(loaded) = self.store.heads.cached::<A>(key)
        {
            self.used_cache.store(true, Ordering::Relaxed);
            return Ok(loaded);
        }
        if let Some(at) = self.ahead.iter().position(|(other, _)| other == key)
            && let (_, read) = self.ahead.swap_remove(at)
            && let Ok(state) = read.state.downcast::<A>()
        {
            return Ok(Loaded { state, sequence: read.sequence, home: read.home });
        }
        let loaded = self.store.loader.load::<A>(&key.id).await?;
        self.store.heads.keep(key, &loaded, self.append.read_at);
        Ok(loaded)
    }
}

/// What a unit will make of the streams that were there before it.
struct Foreseen {
    heads: Arc<Heads>,
    ticket: Ticket,
    states: Vec<(StreamKey, CachedState)>,
}

impl Foreseen {
    /// Nothing, where keys begin or end with the unit: what others seal must not rest on those.
    fn of(unit: &UnitOfWork) -> Self {
        let append = &unit.append;
        let alone = !append.data_keys.is_empty() || !append.destruction.is_empty();
        let known = append.states.iter().filter(|(key, _)| !alone && !unit.begun.contains(key));
        Self { heads: unit.store.heads.clone(), ticket: append.ticket, states: known.cloned().collect() }
    }

    /// Shows it to others as long as what this returns lives.
    fn show(self) -> Shown {
        let streams: Vec<StreamKey> = self.states.iter().map(|(key, _)| key.clone()).collect();
        if !streams.is_empty() {
            self.heads.foresee(self.ticket, self.states.into_iter());
        }
        Shown { heads: self.heads, ticket: self.ticket, streams }
    }
}

struct Shown {
    heads: Arc<Heads>,
    ticket: Ticket,
    streams: Vec<StreamKey>,
}

impl Drop for Shown {
    fn drop(&mut self) {
        if !self.streams.is_empty() {
            self.heads.foresee_no_longer(self.ticket, &self.streams);
        }
    }
}

/// Puts the instant the log recorded in place of the one the command was decided at, wherever it appears.
///
/// The two differ only when another command with a later instant was recorded first: times never run backwards.
pub(super) fn restamp(text: String, decided: Time, recorded: Time) -> String {
    if decided == recorded {
        return text;
    }
    let json = |time: Time| serde_json::to_string(&time).unwrap_or_default();
    text.replace(&json(decided), &json(recorded))
}
