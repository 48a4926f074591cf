//! Follows the log for one channel, and writes down what is to be delivered.
//!
//! The rows and the channel's checkpoint move in one transaction, and only from where they were found: whoever locks the
//! checkpoint goes on, everybody else waits. It goes as far as the read models have come, so that it need not look for
//! holes itself, and finds recipients in them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::target::TargetKey;
use super::{Channel, mails, webhooks};
use crate::clock;
use crate::data_keys::Vault;
use crate::store::StoreError;

/// How many positions it goes in one transaction.
const BATCH: i64 = 2_000;
/// The wait after an error.
const PAUSE: Duration = Duration::from_secs(1);
/// After so many positions in a turn there is a crowd, and the next turn waits for more of it: they share what a turn
/// costs.
const CROWD: i64 = 64;
const PACE: Duration = Duration::from_millis(50);
/// The checkpoint is in the transaction, so that a crash only repeats work, and none of them waits for the disk.
const BEGIN: &str = "begin; set local synchronous_commit = off";
/// The wait while another process is at it.
const FOLLOW: Duration = Duration::from_millis(200);

/// The follower of the log for one channel, as its task owns it.
#[derive(Debug)]
pub struct FanOut {
    pub channel: Channel,
    /// Reads the log of all tenants, and writes deliveries.
    pub projector: PgPool,
    pub vault: Vault,
    pub target_key: TargetKey,
    /// The position all read models have reached.
    pub applied: watch::Receiver<i64>,
    /// Told when something was written down.
    pub written: Arc<Notify>,
}

/// What came of one turn.
enum Turn {
    /// It went on, and there is more.
    Full,
    /// It went over so many positions, and there are no more.
    Done(i64),
    /// Another process is at it.
    Busy,
}

/// What keeps a turn from its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl FanOut {
    /// Runs until told to stop.
    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.applied.mark_unchanged();
            let wait = match self.turn().await {
                Ok(Turn::Full) => continue,
                Ok(Turn::Done(..CROWD)) => Wait::ForMore,
                Ok(Turn::Done(_)) => Wait::ForACrowd,
                Ok(Turn::Busy) => Wait::Only(FOLLOW),
                Err(error) => {
                    tracing::warn!(channel = %self.channel, %error, "deliveries cannot be written down; trying again");
                    Wait::Only(PAUSE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = rest(&mut self.applied, wait) => {}
            }
        }
    }

    async fn turn(&self) -> Result<Turn, Error> {
        let mut tx = self.projector.begin_with(BEGIN).await?;
        let Some(after) = lock(&mut tx, self.channel).await? else { return Ok(Turn::Busy) };
        let applied = *self.applied.borrow();
        let to = applied.min(after + BATCH);
        if to <= after {
            return Ok(Turn::Done(0));
        }
        let now = clock::now();
        let written = match self.channel {
            Channel::Mail => mails::write(&mut tx, after, to, now).await?,
            Channel::Webhook => {
                let pipe = webhooks::Pipe { vault: &self.vault, key: &self.target_key };
                pipe.write(&mut tx, after, to, now).await?
            }
        };
        advance(&mut tx, self.channel, after, to).await?;
        tx.commit().await?;
        if written {
            self.written.notify_one();
        }
        Ok(if to < applied { Turn::Full } else { Turn::Done(to - after) })
    }
}

/// What comes before the next turn.
enum Wait {
    /// Until the read models go on.
    ForMore,
    /// The same, and a while first.
    ForACrowd,
    Only(Duration),
}

async fn rest(applied: &mut watch::Receiver<i64>, wait: Wait) {
    match wait {
        Wait::Only(wait) => return tokio::time::sleep(wait).await,
        Wait::ForACrowd => tokio::time::sleep(PACE).await,
        Wait::ForMore => {}
    }
    if applied.changed().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Where the channel stands, now ours; none while it is another's.
async fn lock(conn: &mut PgConnection, channel: Channel) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "select position from delivery_checkpoints where channel = $1 for update skip locked",
        channel.as_str()
    )
    .fetch_optional(conn)
    .await
}

async fn advance(conn: &mut PgConnection, channel: Channel, after: i64, to: i64) -> Result<(), Error> {
    let moved = sqlx::query!(
        "update delivery_checkpoints set position = $3 where channel = $1 and position = $2",
        channel.as_str(),
        after,
        to
    )
    .execute(conn)
    .await?;
    if moved.rows_affected() == 1 {
        return Ok(());
    }
    Err(StoreError::Internal("a channel's checkpoint moved under its lock".to_owned()).into())
}
