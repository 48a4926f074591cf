//! Tells live streams that their feed has gone on, whichever process wrote to it.
//!
//! It goes by what the read models show, since that is how far a feed is read. Who listens before looking misses
//! nothing: what is committed after the look is told, what was told before it is seen.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sqlx::PgPool;
use tenure_aggregates::WorkspaceId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Feed;

/// After more events than that nobody asks whose they were: everybody looks.
const MANY: i64 = 5_000;

#[derive(Debug, Default)]
pub struct Tail {
    listeners: Mutex<HashMap<Feed, watch::Sender<i64>>>,
}

impl Tail {
    /// Changes whenever there may be more to read.
    pub fn listen(&self, feed: Feed) -> watch::Receiver<i64> {
        self.lock().entry(feed).or_insert_with(|| watch::channel(0).0).subscribe()
    }

    /// Follows the read models until told to stop. `projector` reads the log of all tenants.
    pub async fn follow(
        &self,
        projector: PgPool,
        mut applied: watch::Receiver<i64>,
        stop: CancellationToken,
    ) {
        let mut told = *applied.borrow_and_update();
        loop {
            tokio::select! {
                changed = applied.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
            let now = *applied.borrow_and_update();
            self.tell(&projector, told, now).await;
            told = now;
        }
    }

    async fn tell(&self, projector: &PgPool, after: i64, to: i64) {
        if self.is_alone() {
            return;
        }
        let touched = if to - after > MANY { None } else { touched(projector, after, to).await };
        let mut listeners = self.lock();
        listeners.retain(|_, listener| listener.receiver_count() > 0);
        for (feed, listener) in listeners.iter() {
            let concerned = match (feed, &touched) {
                (Feed::Of(workspace), Some(touched)) => touched.contains(workspace),
                (Feed::Whole, _) | (_, None) => true,
            };
            if concerned {
                listener.send_replace(to);
            }
        }
    }

    fn is_alone(&self) -> bool {
        let mut listeners = self.lock();
        listeners.retain(|_, listener| listener.receiver_count() > 0);
        listeners.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Feed, watch::Sender<i64>>> {
        // Whatever panicked left at worst a listener that is told of too much.
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The workspaces whose history went on; none if that cannot be found out.
async fn touched(projector: &PgPool, after: i64, to: i64) -> Option<HashSet<WorkspaceId>> {
    let rows = sqlx::query_scalar!(
        "select distinct workspace_id from events where position > $1 and position <= $2",
        after,
        to
    )
    .fetch_all(projector)
    .await;
    match rows {
        Ok(rows) => Some(rows.into_iter().map(WorkspaceId).collect()),
        Err(error) => {
            tracing::debug!(%error, "whose events came is not known: all live streams look");
            None
        }
    }
}
