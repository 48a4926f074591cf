//! A workspace's webhook endpoint: where events are delivered, which ones, signed with which secret, and whether at all.

use chrono::Duration;
use serde::{Deserialize, Serialize};
use strum::{Display, IntoStaticStr, VariantNames};
use uuid::Uuid;

use crate::Time;
use crate::adapter::aggregate;
use crate::event::{Changed, Refused};
use crate::ids::{UserId, WebhookEndpointId};

/// How long the secret before the present one signs, too, when nothing is said.
pub const DEFAULT_OVERLAP: Duration = Duration::hours(24);
/// The longest overlap that may be asked for.
pub const MAX_OVERLAP: Duration = Duration::days(30);
/// How many events one redelivery may span.
pub const MAX_REDELIVERY: i64 = 10_000;

// ---- Event

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, IntoStaticStr, VariantNames)]
#[serde(tag = "type")]
pub enum WebhookEndpointEvent {
    WebhookEndpointCreated {
        endpoint_id: WebhookEndpointId,
        url: String,
        /// Patterns of what is delivered: `invitation.sent`, `membership.*`, `*`.
        events: Vec<String>,
        description: Option<String>,
        /// Which secret signs: it is derived from the endpoint's id and this number, and stored nowhere.
        generation: u32,
        created_by: Option<UserId>,
        created_at: Time,
    },
    WebhookEndpointChanged {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        url: Option<Changed<String>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        events: Option<Changed<Vec<String>>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        description: Option<Changed<Option<String>>>,
    },
    WebhookEndpointSecretRotated {
        generation: u32,
        /// Until then the secret before this one signs, too.
        overlap_until: Time,
    },
    WebhookEndpointEnabled,
    WebhookEndpointDisabled {
        because: Disabling,
    },
    /// A delivery of this very event was asked for, whatever the patterns say.
    WebhookEndpointTested {
        delivery_id: Uuid,
    },
    /// What the patterns let through of a stretch of the workspace's history is delivered once more.
    WebhookEndpointRedeliveryRequested {
        redelivery_id: Uuid,
        from_seq: i64,
        to_seq: i64,
        /// The one delivery that is repeated, whatever the patterns say by now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivery_id: Option<Uuid>,
    },
    WebhookEndpointDeleted,
}

/// Why nothing is delivered any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Disabling {
    /// Somebody wanted it so.
    Requested,
    /// The receiver answered 410.
    Gone,
    /// Every attempt of the last days failed.
    Failing,
}

// ---- State

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub enum WebhookEndpoint {
    #[default]
    Missing,
    Active(Target),
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    pub url: String,
    pub events: Vec<String>,
    pub description: Option<String>,
    pub generation: u32,
    /// Until when the generation before signs, too.
    pub previous_until: Option<Time>,
    pub disabled: Option<Disabling>,
    pub created_by: Option<UserId>,
    pub created_at: Time,
}

impl WebhookEndpoint {
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Active(target) => Some(target),
            Self::Missing | Self::Deleted => None,
        }
    }

    // ---- evolve

    #[must_use]
    pub fn evolve(self, event: WebhookEndpointEvent) -> Self {
        use WebhookEndpointEvent as E;
        match (self, event) {
            (
                _,
                E::WebhookEndpointCreated {
                    url,
                    events,
                    description,
                    generation,
                    created_by,
                    created_at,
                    ..
                },
            ) => Self::Active(Target {
                url,
                events,
                description,
                generation,
                previous_until: None,
                disabled: None,
                created_by,
                created_at,
            }),
            (_, E::WebhookEndpointDeleted) => Self::Deleted,
            (Self::Active(target), event) => Self::Active(target.evolve(event)),
            (state, _) => state,
        }
    }
}

impl Target {
    fn evolve(mut self, event: WebhookEndpointEvent) -> Self {
        use WebhookEndpointEvent as E;
        match event {
            E::WebhookEndpointChanged { url, events, description } => {
                self.url = url.map_or(self.url, |changed| changed.to);
                self.events = events.map_or(self.events, |changed| changed.to);
                self.description = description.map_or(self.description, |changed| changed.to);
            }
            E::WebhookEndpointSecretRotated { generation, overlap_until } => {
                (self.generation, self.previous_until) = (generation, Some(overlap_until));
            }
            E::WebhookEndpointEnabled => self.disabled = None,
            E::WebhookEndpointDisabled { because } => self.disabled = Some(because),
            E::WebhookEndpointTested { .. }
            | E::WebhookEndpointRedeliveryRequested { .. }
            | E::WebhookEndpointCreated { .. }
            | E::WebhookEndpointDeleted => {}
        }
        self
    }

    /// The generations whose secrets sign at an instant, the present one first.
    pub fn signing(&self, now: Time) -> impl Iterator<Item = u32> {
        let overlaps = self.previous_until.is_some_and(|until| until > now);
        let previous = self.generation.checked_sub(1).filter(|_| overlaps);
        std::iter::once(self.generation).chain(previous)
    }
}

// ---- Command

#[derive(Debug, Clone, PartialEq)]
pub enum WebhookEndpointCommand {
    Create {
        endpoint_id: WebhookEndpointId,
        url: String,
        events: Vec<String>,
        description: Option<String>,
        enabled: bool,
        created_by: Option<UserId>,
        now: Time,
    },
    /// Changes what is named. Enabling also takes back what the service itself disabled.
    Change {
        url: Option<String>,
        events: Option<Vec<String>>,
        description: Option<Option<String>>,
        enabled: Option<bool>,
    },
    /// Makes a new secret; the one before it signs, too, for the overlap.
    RotateSecret {
        overlap: Duration,
        now: Time,
    },
    /// The service itself gives up on the endpoint.
    GiveUp {
        because: Disabling,
    },
    Test {
        delivery_id: Uuid,
    },
    /// `head` is the last `workspace_seq` there is.
    Redeliver {
        redelivery_id: Uuid,
        from_seq: i64,
        to_seq: i64,
        delivery_id: Option<Uuid>,
        head: i64,
    },
    Delete,
}

// ---- decide

impl WebhookEndpoint {
    pub fn decide(&self, command: WebhookEndpointCommand) -> Result<Vec<WebhookEndpointEvent>, Refusal> {
        use WebhookEndpointCommand as C;
        use WebhookEndpointEvent as E;
        match command {
            C::Create { endpoint_id, url, events, description, enabled, created_by, now } => {
                if *self != Self::Missing {
                    return Err(Refusal::Exists);
                }
                let created = E::WebhookEndpointCreated {
                    endpoint_id,
                    url,
                    events,
                    description,
                    generation: 1,
                    created_by,
                    created_at: now,
                };
                let disabled = E::WebhookEndpointDisabled { because: Disabling::Requested };
                Ok(std::iter::once(created).chain((!enabled).then_some(disabled)).collect())
            }
            C::Change { url, events, description, enabled } => {
                let target = self.target().ok_or(Refusal::NotFound)?;
                let url = url.and_then(|url| Changed::between(target.url.clone(), url));
                let events = events.and_then(|events| Changed::between(target.events.clone(), events));
                let description =
                    description.and_then(|text| Changed::between(target.description.clone(), text));
                let changed = url.is_some() || events.is_some() || description.is_some();
                let changed = changed.then_some(E::WebhookEndpointChanged { url, events, description });
                Ok(changed.into_iter().chain(target.switched(enabled)).collect())
            }
            C::RotateSecret { overlap, now } => {
                let target = self.target().ok_or(Refusal::NotFound)?;
                if !(Duration::zero()..=MAX_OVERLAP).contains(&overlap) {
                    return Err(Refusal::OverlapOutOfBounds);
                }
                let generation = target.generation + 1;
                Ok(vec![E::WebhookEndpointSecretRotated { generation, overlap_until: now + overlap }])
            }
            C::GiveUp { because } => {
                let target = self.target().ok_or(Refusal::NotFound)?;
                let enabled = target.disabled.is_none();
                Ok(if enabled { vec![E::WebhookEndpointDisabled { because }] } else { vec![] })
            }
            C::Test { delivery_id } => {
                self.target().ok_or(Refusal::NotFound)?;
                Ok(vec![E::WebhookEndpointTested { delivery_id }])
            }
            C::Redeliver { redelivery_id, from_seq, to_seq, delivery_id, head } => {
                let target = self.target().ok_or(Refusal::NotFound)?;
                check_stretch(from_seq, to_seq, head)?;
                if target.disabled.is_some() {
                    return Err(Refusal::Disabled);
                }
                Ok(vec![E::WebhookEndpointRedeliveryRequested {
                    redelivery_id,
                    from_seq,
                    to_seq,
                    delivery_id,
                }])
            }
            C::Delete => match self {
                Self::Missing => Err(Refusal::NotFound),
                Self::Active(_) => Ok(vec![E::WebhookEndpointDeleted]),
                Self::Deleted => Ok(vec![]),
            },
        }
    }
}

impl Target {
    fn switched(&self, enabled: Option<bool>) -> Option<WebhookEndpointEvent> {
        use WebhookEndpointEvent as E;
        match (enabled?, self.disabled) {
            (true, Some(_)) => Some(E::WebhookEndpointEnabled),
            (false, None) => Some(E::WebhookEndpointDisabled { because: Disabling::Requested }),
            (true, None) | (false, Some(_)) => None,
        }
    }
}

fn check_stretch(from_seq: i64, to_seq: i64, head: i64) -> Result<(), Refusal> {
    if from_seq < 1 {
        return Err(Refusal::StretchBegins);
    }
    if to_seq < from_seq || to_seq > head {
        return Err(Refusal::StretchEnds);
    }
    if to_seq - from_seq >= MAX_REDELIVERY { Err(Refusal::StretchTooLong) } else { Ok(()) }
}

// ---- Refusal

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("There is no such webhook endpoint.")]
    NotFound,
    #[error("This webhook endpoint exists already.")]
    Exists,
    #[error("This webhook endpoint is disabled: enable it first.")]
    Disabled,
    #[error("The old secret may sign for at most 30 days more.")]
    OverlapOutOfBounds,
    #[error("A workspace's history begins with 1.")]
    StretchBegins,
    #[error("It must not end before it begins, nor after the workspace's last event.")]
    StretchEnds,
    #[error("At most {MAX_REDELIVERY} events are delivered again in one go.")]
    StretchTooLong,
}

impl Refused for Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Exists => "conflict",
            Self::Disabled => "webhook_endpoint_disabled",
            Self::OverlapOutOfBounds | Self::StretchBegins | Self::StretchEnds | Self::StretchTooLong => {
                "validation_failed"
            }
        }
    }

    fn pointer(&self) -> Option<&'static str> {
        match self {
            Self::OverlapOutOfBounds => Some("/overlap"),
            Self::StretchBegins => Some("/from_seq"),
            Self::StretchEnds | Self::StretchTooLong => Some("/to_seq"),
            Self::NotFound | Self::Exists | Self::Disabled => None,
        }
    }
}

aggregate!(WebhookEndpoint, WebhookEndpointEvent, WebhookEndpointCommand, Refusal);
