//! Reading what a command is about to load, all at once: one after the other, each stream that is not in memory would
//! wait for the one before.

use std::fmt;

use futures::future::{BoxFuture, join_all};
use tenure_aggregates::adapter::Stream;

use super::Store;
use super::error::StoreError;
use super::heads::CachedState;
use super::stream::StreamKey;
use super::unit_of_work::UnitOfWork;

/// A stream that will be loaded in a moment.
pub struct Ahead {
    key: StreamKey,
    read: Read,
}

/// Reads a stream; the number is up to where the log was known before.
type Read = fn(Store, StreamKey, i64) -> Reading;
type Reading = BoxFuture<'static, Result<(StreamKey, CachedState), StoreError>>;

impl Ahead {
    pub fn of<A: Stream + 'static>(id: &str) -> Self {
        let read: Read = |store, key, read_at| {
            Box::pin(async move {
                let loaded = store.loader.load::<A>(&key.id).await?;
                store.heads.keep(&key, &loaded, read_at);
                Ok((key, CachedState::of(loaded.state, loaded.sequence, loaded.home)))
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
        let mut unknown: Vec<Ahead> = Vec::new();
        for ahead in streams {
            if !self.is_at_hand(&ahead.key) && unknown.iter().all(|other| other.key != ahead.key) {
                unknown.push(ahead);
            }
        }
        if unknown.len() < 2 {
            return;
        }
        let (store, read_at) = (&self.store, self.append.read_at);
        let reads = unknown.into_iter().map(|Ahead { key, read }| read(store.clone(), key, read_at));
        let read = join_all(reads).await;
        self.ahead.extend(read.into_iter().flatten());
    }
}
