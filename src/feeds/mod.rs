//! The feeds: the log as other programs follow it, event by event, from the first one on.
//!
//! # Layout
//! - [`Feed`] (here): whose events; [`Feeds`]: what all readers share
//! - [`cloud_event`]: an event as a `CloudEvent`; [`types`]: which of them a reader asks for
//! - [`tail`]: who is told that there is more; [`seats`]: how many may stay on
//! - [`lag`]: how far the consumers of the whole log are behind, as a metric
//!
//! *A feed must never skip a place.* What is not there yet holds up all that follows it.

pub mod cloud_event;
pub mod lag;
pub mod seats;
pub mod tail;
pub mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_aggregates::{Catalogue, WorkspaceId};
use tenure_projections::Logged;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use cloud_event::{CloudEvent, event_id};
pub use seats::{Full, Seat, Seats};
pub use tail::Tail;
pub use types::Types;

/// Whose events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Feed {
    /// A workspace's; an event's place is its `workspace_seq`.
    Of(WorkspaceId),
    /// All there are; an event's place is its position.
    Whole,
}

impl Feed {
    /// The workspace its consumers lie in.
    pub fn home(self) -> WorkspaceId {
        match self {
            Self::Of(workspace) => workspace,
            Self::Whole => Catalogue::home(),
        }
    }

    pub fn place(self, event: &Logged) -> i64 {
        match self {
            Self::Of(_) => event.workspace_seq,
            Self::Whole => event.position,
        }
    }

    /// The address it is read at.
    pub fn path(self) -> String {
        match self {
            Self::Of(workspace) => format!("/v1/workspaces/{workspace}/events"),
            Self::Whole => "/v1/events".to_owned(),
        }
    }
}

/// How long and how often.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// The longest silence on a live stream, and the longest a reader who has lost the right stays on it.
    pub heartbeat: Duration,
    /// How long a reader may leave what was sent to it unread.
    pub patience: Duration,
    /// The shortest time between two looks of a live stream that had come to the end.
    pub pace: Duration,
    /// The wait after a look that failed.
    pub pause: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(15),
            patience: Duration::from_secs(30),
            pace: Duration::from_millis(20),
            pause: Duration::from_secs(1),
        }
    }
}

/// What all readers of this process share.
#[derive(Debug)]
pub struct Feeds {
    pub times: Times,
    pub seats: Arc<Seats>,
    pub tail: Arc<Tail>,
    turns: Semaphore,
    in_flight: Arc<AtomicUsize>,
}

impl Feeds {
    /// `streams` may be live at once; of the service's `connections` the readers of feeds take a quarter at most.
    pub fn new(times: Times, streams: usize, connections: u32) -> Self {
        Self {
            times,
            seats: Arc::new(Seats::new(streams)),
            tail: Arc::default(),
            turns: Semaphore::new(usize::try_from(connections / 4).unwrap_or(1).max(1)),
            in_flight: Arc::default(),
        }
    }

    /// A turn to look into the database; the readers stand in line for it, and not in the way of others.
    pub async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.turns.acquire().await.ok()
    }

    /// Counts bytes that wait for their reader, for as long as they do.
    pub fn hold(&self, bytes: usize) -> Held {
        self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        Held { bytes, all: self.in_flight.clone() }
    }

    /// How many bytes wait for their readers.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

/// Bytes that wait for their reader.
#[derive(Debug)]
pub struct Held {
    bytes: usize,
    all: Arc<AtomicUsize>,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
