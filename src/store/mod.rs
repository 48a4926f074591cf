//! The event log: what is loaded from it, and the one place that writes it.
//!
//! # Layout
//! - [`unit_of_work`]: one command's reads and buffered events; loads through stock postgres-es, commits once; [`ahead`]:
//!   what it is about to load, read side by side
//! - [`append`]: what a unit of work wants written; [`appender`]: the task that owns all writes of this process, in batches;
//!   [`batch`] decides what a batch may hold, [`statement`] is the SQL, [`connection`] keeps and fences the connection
//! - [`queue`]: what waits for it, bounded and fair between workspaces
//! - [`heads`]: what this process knows of streams and workspaces, exact as long as the fence holds
//! - [`loader`]: streams folded, wrapped so that none of another workspace is taken; [`reading`] gets their events, from
//!   stock `PostgresEventRepository` or, where many are asked for at once, many in a query
//! - [`idempotency`]: keys of requests and the answers kept for them
//! - [`watcher`]: who is told of this process's commits before their answers go out
//! - [`sealing`]: seals what speaks of somebody, under that one's key
//! - [`origin`]: who caused an event, and through what
//! - [`retry`]: a command again and again against fresh state, until it is accepted or refused

pub mod ahead;
pub mod append;
pub mod appender;
mod batch;
mod connection;
pub mod error;
pub mod heads;
pub mod idempotency;
pub mod loader;
pub mod origin;
mod queue;
mod reading;
pub mod retry;
mod sealing;
mod statement;
pub mod stream;
pub mod unit_of_work;
pub mod watcher;

use std::sync::Arc;

use sqlx::PgPool;
use tenure_aggregates::adapter::Stream;
use tokio::sync::watch;

use crate::data_keys::Vault;
use crate::overload::Pressure;
pub use ahead::Ahead;
use appender::Appender;
pub use error::{Failure, Refusal, StoreError};
use heads::Heads;
use loader::{Loaded, Loader};
pub use origin::Origin;
use stream::StreamKey;
pub use unit_of_work::{Committed, UnitOfWork};
pub use watcher::Watcher;

/// The log as the commands see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) appender: Appender,
    pub(crate) heads: Arc<Heads>,
    pub(crate) loader: Loader,
    pub(crate) pool: PgPool,
    pub(crate) queues: Arc<retry::Queues>,
    pub(crate) vault: Vault,
}

impl Store {
    /// Takes the log over with a new epoch and starts the appender. `pool` logs in as the appender's role; `watcher`
    /// is told of every commit before it is answered; `vault` keeps the keys that events are sealed with; while
    /// `pressure` is high, appends are gathered into larger batches.
    pub async fn open(
        pool: PgPool,
        vault: Vault,
        watcher: Arc<dyn Watcher>,
        pressure: Pressure,
    ) -> Result<Self, StoreError> {
        let heads = Arc::new(Heads::new());
        let options = pool.connect_options().as_ref().clone();
        let appender = Appender::spawn(options, heads.clone(), vault.clone(), watcher, pressure).await?;
        let loader = Loader::new(pool.clone(), vault.clone());
        Ok(Self { appender, heads, loader, pool, queues: Arc::default(), vault })
    }

    /// The last position this process knows to be committed, whoever committed it.
    pub fn position(&self) -> watch::Receiver<i64> {
        self.heads.watch()
    }

    /// How many units wait to be written.
    pub fn queue_depth(&self) -> usize {
        self.appender.queue_depth()
    }

    /// In how many seconds what waits now will have been written, as things go.
    pub fn seconds_to_drain(&self) -> u64 {
        self.appender.seconds_to_drain()
    }

    /// For reads that need a stream as the log has it.
    pub fn loader(&self) -> &Loader {
        &self.loader
    }

    /// A stream as it stands, no older than the log was when it ended at `end`: from memory, if this process knows all of
    /// the log up to there.
    pub async fn no_older_than<A: Stream + 'static>(
        &self,
        id: &str,
        end: i64,
    ) -> Result<Loaded<A>, StoreError> {
        let (key, known) = (StreamKey::of::<A>(id), self.heads.position());
        if known >= end
            && let Some(loaded) = self.heads.cached::<A>(&key)
        {
            return Ok(loaded);
        }
        let loaded = self.loader.load::<A>(id).await?;
        self.heads.keep(&key, &loaded, known);
        Ok(loaded)
    }

    /// The keys that events are sealed with.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Another process destroyed keys: nothing opened with them stays here.
    pub fn forget(&self) {
        self.vault.forget();
        self.heads.forget_states();
    }

    /// Finishes what was queued, then stops the appender.
    pub async fn close(&self) {
        self.appender.close().await;
    }
}
