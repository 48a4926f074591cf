//! Access: may this user do this here? Answered from memory, fresh within a stated bound, and everywhere the same.
//!
//! # Layout
//! - [`decide`]: the decision, pure, out of what the aggregates say; [`Reason`] is what it says of itself
//! - [`index`]: memberships and workspaces in memory; `known.rs`: the catalogue beside them; `entries.rs`: what
//!   they are there, 20 bytes a membership; `table.rs`: how they lie; `places.rs`: how they are found, by some five bytes
//!   more; `role_codes.rs`: role names as numbers
//! - [`api_keys`]: keys by the hash of their secret; [`addresses`]: e-mail addresses that are anybody's
//! - `load.rs`: fills the index from the read models at the start; `feed.rs`: keeps it at the end of the log
//! - `progress.rs`: how far along the log it is, and since when
//! - [`log`]: the same decision on the log itself, where the index may not be believed
//! - `past.rs`: the same decision as it was at a position or an instant; [`explain`]: who made it so, and when
//!
//! The index is fed twice. What this process commits is in it before the answer goes out ([`Access::committed`]);
//! what others commit is read from the log. Every entry bears its stream's sequence and takes nothing older, so the
//! order in which the two arrive does not matter.
//!
//! *An index that is not known to be fresh must never answer.* Older than the bound, it hands the question to the
//! log; and if that cannot be asked, there is no answer at all.

pub mod addresses;
pub mod api_keys;
pub mod decide;
mod entries;
pub mod explain;
mod feed;
pub mod index;
mod known;
mod load;
pub mod log;
mod past;
mod places;
mod progress;
mod role_codes;
mod table;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cqrs_es::Aggregate;
use metrics::{Counter, counter};
use tenure_aggregates::values::Email;
use tenure_aggregates::{
    ApiKey, ApiKeyId, Catalogue, Membership, MembershipId, Time, User, Workspace, WorkspaceId,
};

use crate::store::heads::CachedState;
use crate::store::stream::StreamKey;
use crate::store::{Failure, Watcher};
pub use decide::Reason;
pub use feed::Feed;
pub use index::{Index, Question};
use progress::Progress;
use tokio::sync::watch;

/// How long a question that names a position waits for it before the log is asked.
const PATIENCE: Duration = Duration::from_millis(250);

/// The index and how far it may be believed.
#[derive(Debug)]
pub struct Access {
    pub index: Index,
    pub api_keys: api_keys::ApiKeys,
    addresses: addresses::Addresses,
    progress: Progress,
    /// How old the index may be.
    bound: Duration,
    /// Whether it is loaded, or known that it cannot be.
    settled: watch::Sender<bool>,
    answers: Answers,
}

/// Where an answer is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    Index,
    Log,
}

impl Access {
    /// An empty index, which believes nothing until a [`Feed`] has loaded it.
    pub fn new(bound: Duration) -> Arc<Self> {
        Arc::new(Self {
            index: Index::default(),
            api_keys: api_keys::ApiKeys::default(),
            addresses: addresses::Addresses::default(),
            progress: Progress::new(Instant::now()),
            bound,
            settled: watch::channel(false).0,
            answers: Answers::registered(),
        })
    }

    /// Whether the index has been loaded.
    pub fn is_loaded(&self) -> bool {
        self.progress.position().is_some()
    }

    /// Whether the index is still to be loaded; not so where it cannot be, and the log is asked for good.
    pub fn is_loading(&self) -> bool {
        !*self.settled.borrow()
    }

    /// Waits, bounded, until the index is loaded or cannot be.
    pub async fn settled(&self, patience: Duration) {
        let mut settled = self.settled.subscribe();
        if tokio::time::timeout(patience, settled.wait_for(|settled| *settled)).await.is_err() {
            tracing::warn!("the access index is still being loaded; until it is, the log is asked");
        }
    }

    /// Everything up to here is in the index; none before it is loaded.
    pub fn position(&self) -> Option<i64> {
        self.progress.position()
    }

    /// How long ago nothing was missing from the index; none if it never was complete.
    pub fn age(&self) -> Option<Duration> {
        self.progress.age()
    }

    /// Whether the index may be believed, whatever anybody else has committed meanwhile.
    pub fn is_fresh(&self) -> bool {
        self.age().is_some_and(|age| age <= self.bound)
    }

    /// The key with a secret of this hash, if what is known of it may be believed.
    pub fn held_key(&self, hash: &str) -> Option<api_keys::Held> {
        let held = self.api_keys.find(hash).filter(|_| self.is_fresh())?;
        self.index.knows(held.workspace).then_some(held)
    }

    /// Whether it is certain that no user has this address: as certain as the index is fresh.
    pub fn is_nobodys(&self, address: &Email) -> bool {
        self.is_fresh() && !self.addresses.may_have(address.as_str())
    }

    /// Who may answer for somebody who has seen the log up to `seen`: the index, if need be after a moment.
    pub async fn source_for(&self, seen: Option<i64>) -> Source {
        if !self.is_fresh() {
            return Source::Log;
        }
        let Some(seen) = seen else { return Source::Index };
        let mut position = self.progress.watch();
        if *position.borrow() < seen {
            self.progress.nudge();
            let reached = position.wait_for(|position| *position >= seen);
            if tokio::time::timeout(PATIENCE, reached).await.is_err() {
                return Source::Log;
            }
        }
        Source::Index
    }

    /// The answer, from memory and at once; none if the log has to be asked.
    pub fn decide(&self, question: &Question<'_>, now: Time) -> Option<Reason> {
        let reason = self.index.decide(question, now)?;
        self.answers.count(Source::Index, reason);
        Some(reason)
    }

    /// The answer from `source`, and from the log where the index does not know.
    pub async fn check(
        &self,
        log: &log::Log,
        source: Source,
        question: &Question<'_>,
        now: Time,
    ) -> Result<Reason, Failure> {
        if source == Source::Index
            && let Some(reason) = self.decide(question, now)
        {
            return Ok(reason);
        }
        let reason = log.decide(question, now).await.inspect_err(|_| self.answers.failed.increment(1))?;
        self.answers.count(Source::Log, reason);
        Ok(reason)
    }
}

impl Watcher for Access {
    fn committed(&self, base: i64, end: i64, states: &[(StreamKey, CachedState)]) {
        // Before it is loaded the index may be emptied once more: what is put in until then is read again.
        let loaded = self.is_loaded();
        for (stream, cached) in states {
            self.put(stream, cached);
        }
        if loaded {
            self.progress.took_own(base, end);
        }
    }
}

impl Access {
    /// Takes a stream's state, if it is of a kind that matters here.
    fn put(&self, stream: &StreamKey, cached: &CachedState) {
        let (Some(home), sequence) = (cached.home, cached.sequence) else { return };
        let id = || stream.id.parse().ok();
        match stream.aggregate_type {
            Workspace::TYPE => {
                if let Some(state) = cached.state.downcast_ref::<Workspace>() {
                    self.index.put_workspace(home, sequence, state);
                }
            }
            Membership::TYPE => {
                if let (Some(id), Some(state)) = (id(), cached.state.downcast_ref::<Membership>()) {
                    self.index.put_membership(MembershipId(id), sequence, state);
                }
            }
            Catalogue::TYPE => {
                if let Some(state) = cached.state.downcast_ref::<Catalogue>() {
                    self.index.put_catalogue(sequence, state);
                }
            }
            ApiKey::TYPE => {
                if let (Some(id), Ok(key)) = (id(), cached.state.clone().downcast::<ApiKey>()) {
                    self.put_api_key(ApiKeyId(id), home, sequence, key);
                }
            }
            User::TYPE => {
                if let Some(state) = cached.state.downcast_ref::<User>() {
                    self.put_user(state);
                }
            }
            _ => {}
        }
    }

    fn put_user(&self, user: &User) {
        if let Some(address) = user.profile().and_then(|profile| profile.email.as_ref()) {
            self.addresses.put(address.as_str());
        }
    }

    fn put_api_key(&self, id: ApiKeyId, workspace: WorkspaceId, sequence: i64, key: Arc<ApiKey>) {
        self.api_keys.put(api_keys::Held { id, workspace, sequence, key });
    }
}

/// The counters of answers, held so that a check need not look them up.
#[derive(Debug)]
struct Answers {
    allowed: [Counter; 2],
    denied: [Counter; 2],
    failed: Counter,
}

impl Answers {
    fn registered() -> Self {
        let of = |outcome: &'static str| {
            ["index", "log"].map(
                |source| counter!("tenure_access_checks_total", "outcome" => outcome, "source" => source),
            )
        };
        let failed = counter!("tenure_access_checks_total", "outcome" => "unavailable", "source" => "log");
        Self { allowed: of("allowed"), denied: of("denied"), failed }
    }

    fn count(&self, source: Source, reason: Reason) {
        let counters = if reason.allows() { &self.allowed } else { &self.denied };
        counters[source as usize].increment(1);
    }
}
