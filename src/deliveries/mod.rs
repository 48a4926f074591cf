//! Deliveries: what goes out because something happened. Mail and webhooks are two channels of it.
//!
//! # Layout
//! - [`Channel`], [`Due`], [`Outcome`], [`Carrier`] (here): what is delivered, and what came of it
//! - [`fan_out`]: follows the log and writes down what is to be delivered, once; [`mails`]: which mails;
//!   `webhooks`: which webhooks; `rows`: as rows
//! - [`queue`]: takes what is due, fairly, and notes what came of it; [`courier`]: the loop that lets a carrier carry it
//! - [`target`]: where an endpoint's deliveries go; [`content`]: the event a delivery tells of, opened
//! - [`outbox`]: how a channel is started; [`gauges`]: how much waits, and for how long; [`inspect`]: for operators
//!
//! What is to be delivered is written down in the transaction that moves the channel's checkpoint: once, whoever dies
//! when. It is carried at least once: whoever takes it holds it for a short lease, so that what a dead process held is
//! taken up by another. Receivers know an event again by its id. *Nothing here is ever rebuilt.*

pub mod content;
pub mod courier;
pub mod fan_out;
pub mod gauges;
pub mod inspect;
pub mod mails;
pub mod outbox;
pub mod queue;
mod rows;
pub mod target;
mod webhooks;

use std::future::Future;
use std::time::Duration;

use strum::{Display, EnumString, IntoStaticStr};
use tenure_aggregates::{InvitationId, Time, WorkspaceId};
use uuid::Uuid;

/// How something goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Channel {
    Mail,
    Webhook,
}

impl Channel {
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The delivery of an event that a redelivery asks for.
pub fn repeated(redelivery: Uuid, event_id: Uuid) -> Uuid {
    Uuid::new_v5(&redelivery, event_id.as_bytes())
}

/// Why something is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Trigger {
    /// It happened.
    Event,
    /// Somebody wanted to see whether it arrives.
    Test,
    /// Somebody wanted it once more.
    Redelivery,
}

/// A delivery whose time has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    pub workspace: WorkspaceId,
    pub id: Uuid,
    /// The endpoint it goes to; a mail's is its workspace.
    pub lane: Uuid,
    /// A webhook's is what the event is called outside, a mail's is its template.
    pub kind: String,
    pub trigger: Trigger,
    /// What receivers know the event by.
    pub event_id: Uuid,
    pub position: i64,
    pub workspace_seq: i64,
    /// The user a mail goes to; none where it goes to the invited address.
    pub recipient: Option<String>,
    pub invitation: Option<InvitationId>,
    /// Which attempt this is, from 1 on.
    pub attempt: u32,
    pub created_at: Time,
    /// Where the log ended when it was taken: what it is written from is no older.
    pub log_end: i64,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Delivered(Report),
    Failed(Report, Retry),
    /// There is nothing to deliver any more, for this reason: no attempt was made.
    Cancelled(&'static str),
    /// This service could not try, through no fault of the receiver's; it does not count as an attempt.
    NotNow(&'static str),
}

/// When it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// As the schedule says.
    Scheduled,
    /// Not before that, if the schedule has another attempt at all.
    After(Duration),
    Never,
}

/// An attempt, as the delivery log shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What the receiver answered: an HTTP status or an SMTP code.
    pub status: Option<u16>,
    /// Why it failed, in a word (`timeout`, `http_500`, `private_address`), perhaps with a sentence after a colon.
    pub reason: Option<String>,
    pub latency: Duration,
    /// The first bytes of the reply, sealed already.
    pub reply: Option<String>,
}

/// Carries what is due on one channel.
pub trait Carrier: Send + Sync + 'static {
    const CHANNEL: Channel;
    /// How many deliveries one process carries at once.
    const AT_ONCE: usize;
    /// How many of them may be on one lane.
    const PER_LANE: usize;
    /// How many of them may be of one workspace, whatever lanes it has.
    const PER_WORKSPACE: usize = 2 * Self::PER_LANE;

    /// The waits before each attempt, from the first on; jitter is added.
    fn schedule(&self) -> &[Duration];

    /// Makes one attempt. It must end by itself: nothing cuts it off.
    fn carry(&self, due: &Due) -> impl Future<Output = Outcome> + Send;
}

/// How long and how often.
#[derive(Debug, Clone)]
pub struct Times {
    /// The waits before each attempt at a webhook.
    pub webhook_schedule: Vec<Duration>,
    /// The waits before each attempt at a mail.
    pub mail_schedule: Vec<Duration>,
    /// How long one attempt may take.
    pub patience: Duration,
    /// How long whoever takes a delivery holds it without saying that it lives.
    pub lease: Duration,
    /// How long every attempt at an endpoint may fail before it is disabled.
    pub failing: Duration,
    /// The longest wait between two looks for what is due.
    pub pace: Duration,
}

impl Default for Times {
    fn default() -> Self {
        let (minute, hour) = (Duration::from_mins(1), Duration::from_hours(1));
        Self {
            webhook_schedule: vec![
                Duration::ZERO,
                Duration::from_secs(5),
                5 * minute,
                30 * minute,
                2 * hour,
                5 * hour,
                10 * hour,
                14 * hour,
                20 * hour,
                24 * hour,
            ],
            mail_schedule: vec![
                Duration::ZERO,
                Duration::from_secs(10),
                minute,
                5 * minute,
                15 * minute,
                hour,
                4 * hour,
                12 * hour,
                24 * hour,
            ],
            patience: Duration::from_secs(15),
            lease: Duration::from_secs(10),
            failing: Duration::from_hours(5 * 24),
            pace: Duration::from_secs(1),
        }
    }
}
