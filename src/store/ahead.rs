//! Reading what a command is about to load, all at once: one after the other, each stream that is not in memory would
//! wait for the one before.

use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, join_all};
use tenure_aggregates::adapter::Stream;

use super::error::StoreError;
use super::heads::{CachedState, Heads};
use super::loader::Loader;
use super::stream::StreamKey;
use super::unit_of_work::UnitOfWork;

/// A stream that will be loaded in a moment.
pub struct Ahead {
    key: StreamKey,
    read: fn(Loader, Arc<Heads>, StreamKey, i64) -> BoxFuture<'static, Result<CachedState, StoreError>>,
}

impl Ahead {
    pub fn of<A: Stream + 'static>(id: &str) -> Self {
        let read = |loader: Loader, heads: Arc<Heads>, key: StreamKey, read_at| -> BoxFuture<'static, _> {
            Box::pin(async move {
                let loaded = loader.load::<A>(&key.id).await?;
                heads.keep(&key, &loaded, read_at);
                Ok(CachedState::of(loaded.state, loaded.sequence, loaded.home))
            })
        };
        Self { key: StreamKey::of::<A>(id), read }
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ahead").field(&self.key).finish()
    }
}

impl UnitOfWork {
    /// Reads those of these streams that are not in memory side by side. The commit does not depend on any of them
    /// before it is loaded, and what goes wrong here goes wrong there again.
    pub async fn read_ahead(&mut self, streams: impl IntoIterator<Item = Ahead>) {
        let unknown = |ahead: &Ahead| !self.is_at_hand(&ahead.key);
        let unknown: Vec<Ahead> = streams.into_iter().filter(unknown).collect();
        if unknown.len() < 2 {
            return;
        }
        let (store, read_at) = (&self.store, self.append.read_at);
        let reads = unknown.into_iter().map(|Ahead { key, read }| async move {
            let state = read(store.loader.clone(), store.heads.clone(), key.clone(), read_at).await;
            Some((key, state.ok()?))
        });
        let read = join_all(reads).await;
        self.ahead.extend(read.into_iter().flatten());
    }
}
