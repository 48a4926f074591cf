//! Attempts that were refused: noted without making anybody wait, counted together, written beside the log.
//!
//! # Layout
//! - [`Attempts`] (here): where they are noted; a full queue drops them and slows no request
//! - `tally.rs`: equal ones within a minute are one, and each workspace has its share of rows
//! - `writer.rs`: the task that finds out which workspace they are about, and writes them
//!
//! Nothing here answers a request, and nothing is looked up before the answer has gone out: so no answer, and no
//! answer's time, tells whether there is a workspace.

mod tally;
mod writer;

use std::sync::Arc;

use sqlx::PgPool;
use tenure_aggregates::{ApiKeyId, InvitationId, Time, WorkspaceId};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::data_keys::Vault;
use crate::store::Origin;
use writer::Writer;

/// How many wait for the writer.
const QUEUE: usize = 1024;

/// What was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A command, for want of a permission or of any right to see the workspace.
    CommandDenied,
    /// A read of the audit log or the history.
    ReadDenied,
    /// A bearer or session token, an invitation's token, an invite code.
    TokenRejected,
    ApiKeyRejected,
    /// More was refused than is written down one by one.
    Omitted,
}

impl Action {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::CommandDenied => "command.denied",
            Self::ReadDenied => "read.denied",
            Self::TokenRejected => "token.rejected",
            Self::ApiKeyRejected => "api_key.rejected",
            Self::Omitted => "attempts.omitted",
        }
    }
}

/// Where to find the workspace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Place {
    Workspace(WorkspaceId),
    /// Wherever this invitation was sent from.
    Invitation(InvitationId),
    /// Whosever invite code has or had this hash.
    InviteCode(String),
}

/// One refused attempt. Holds nothing of a secret that was shown.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub place: Place,
    pub action: Action,
    /// Why.
    pub code: &'static str,
    pub permission: Option<String>,
    pub command: Option<&'static str>,
    /// The API key that was shown.
    pub key: Option<ApiKeyId>,
    /// Without an actor where nobody was made out.
    pub origin: Arc<Origin>,
    pub at: Time,
    /// How often at once.
    pub times: i64,
}

enum Message {
    Attempt(Box<Noted>),
    /// To be told once all that was noted before is written.
    Settle(oneshot::Sender<()>),
}

/// An attempt, and where the log ended when it happened.
struct Noted {
    attempt: Attempt,
    position: i64,
}

/// Where refused attempts are noted. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Attempts {
    queue: mpsc::Sender<Message>,
    position: watch::Receiver<i64>,
}

impl Attempts {
    /// Starts the writer; `projector` is a pool of that role, `vault` seals from where they came, `position` tells where the log ends, and `applied` how far
    /// the read models are.
    pub fn spawn(
        projector: PgPool,
        vault: Vault,
        position: watch::Receiver<i64>,
        applied: watch::Receiver<i64>,
        stop: CancellationToken,
    ) -> (Self, JoinHandle<()>) {
        let (queue, noted) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(Writer::new(projector, vault, applied).run(noted, stop));
        (Self { queue, position }, writer)
    }

    /// Notes an attempt. Where more come than can be taken, some are only counted, in a metric.
    pub fn note(&self, attempt: Attempt) {
        let position = *self.position.borrow();
        if self.queue.try_send(Message::Attempt(Box::new(Noted { attempt, position }))).is_err() {
            tally::count_dropped(1);
        }
    }

    /// Waits until what was noted before is written, or the writer is gone.
    pub async fn settled(&self) {
        let (tell, told) = oneshot::channel();
        if self.queue.send(Message::Settle(tell)).await.is_ok() {
            let _ = told.await;
        }
    }
}
