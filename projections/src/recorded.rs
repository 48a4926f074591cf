//! An event of the log: the row as text, with what is sealed in it opened, and decoded.

use cqrs_es::Aggregate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenure_aggregates::api_key::ApiKeyEvent;
use tenure_aggregates::catalogue::CatalogueEvent;
use tenure_aggregates::claim::ClaimEvent;
use tenure_aggregates::event::EventName;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::membership::MembershipEvent;
use tenure_aggregates::session::SessionEvent;
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::webhook_endpoint::WebhookEndpointEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_aggregates::{
    ApiKey, Catalogue, Claim, Invitation, Membership, Session, Time, User, UserId, WebhookEndpoint,
    Workspace, WorkspaceId, upcast,
};
use tlog_tiles::Hash;
use uuid::Uuid;

use crate::leaf;

/// A row of the log, its JSON still text: its own, or borrowed from what was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Logged<T = String> {
    pub position: i64,
    pub workspace_id: Uuid,
    pub workspace_seq: i64,
    pub aggregate_type: T,
    pub aggregate_id: T,
    pub sequence: i64,
    pub event_type: T,
    pub event_version: T,
    pub payload: T,
    pub metadata: T,
    pub recorded_at: Time,
}

/// A decoded event with its place in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub position: i64,
    pub workspace_id: WorkspaceId,
    pub workspace_seq: i64,
    /// Index in the event's own stream.
    pub sequence: i64,
    pub aggregate_id: String,
    pub recorded_at: Time,
    pub metadata: Metadata,
    /// The leaf hash, of the row as it is stored; none if whoever decoded it had no use for it.
    pub leaf: Option<Hash>,
    /// With what was sealed in it opened, where whoever decoded it had the keys.
    pub event: Event,
    /// As it is stored, where that differs.
    stored: Option<Box<Event>>,
}

/// A row of the log with what is sealed in it opened.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    pub logged: Logged,
    /// The event with its sealed fields opened, in its current shape; nothing if that is what is stored.
    pub payload: Option<Value>,
    /// Why it could not be opened, though its key is there.
    pub broken: Option<String>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives for one batch; a box per event would cost more")]
pub enum Event {
    User(UserEvent),
    Workspace(WorkspaceEvent),
    Membership(MembershipEvent),
    Invitation(InvitationEvent),
    Session(SessionEvent),
    ApiKey(ApiKeyEvent),
    WebhookEndpoint(WebhookEndpointEvent),
    Catalogue(CatalogueEvent),
    Claim(ClaimEvent),
}

/// Who did it, through what, from where: the flat map of strings beside every event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    pub workspace_id: WorkspaceId,
    pub actor_type: ActorType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor_id: Option<String>,
    /// What was commanded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The service that acted for the actor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// The session the actor acted in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// The fields of the event that are sealed, with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
    /// From where the request came, sealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Stored in clear by versions before there were keys; else what the origin says, once opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActorType {
    User,
    ApiKey,
    Service,
    System,
}

impl ActorType {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ApiKey => "api_key",
            Self::Service => "service",
            Self::System => "system",
        }
    }
}

/// An event this program cannot read; it parks its workspace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {position} of workspace {workspace_id} cannot be read: {reason}")]
pub struct Undecodable {
    pub position: i64,
    pub workspace_id: WorkspaceId,
    pub reason: String,
}

impl<T: AsRef<str>> Logged<T> {
    /// The event as it is stored: sealed texts stand in it sealed.
    pub fn decode(&self) -> Result<Recorded, Undecodable> {
        self.decode_with(Some(leaf::hash(self)))
    }

    /// The same, with a leaf hash that is known or not wanted.
    pub fn decode_with(&self, leaf: Option<Hash>) -> Result<Recorded, Undecodable> {
        let (position, workspace_id) = (self.position, WorkspaceId(self.workspace_id));
        let undecodable = |reason: String| Undecodable { position, workspace_id, reason };
        let event = self.event(self.payload.as_ref()).map_err(undecodable)?;
        if event.name() != self.event_type.as_ref() {
            let (name, event_type) = (event.name(), self.event_type.as_ref());
            return Err(undecodable(format!("a {name} in a row of type {event_type}")));
        }
        let metadata: Metadata = serde_json::from_str(self.metadata.as_ref())
            .map_err(|error| undecodable(format!("its metadata: {error}")))?;
        if metadata.workspace_id != workspace_id {
            return Err(undecodable(format!("its metadata name workspace {}", metadata.workspace_id)));
        }
        Ok(Recorded {
            position,
            workspace_id,
            workspace_seq: self.workspace_seq,
            sequence: self.sequence,
            aggregate_id: self.aggregate_id.as_ref().to_owned(),
            recorded_at: self.recorded_at,
            metadata,
            leaf,
            event,
            stored: None,
        })
    }

    /// A payload of this row's type and version, as an event.
    fn event(&self, payload: &str) -> Result<Event, String> {
        let payload = upcast::upcast_text(self.event_type.as_ref(), self.event_version.as_ref(), payload)
            .map_err(|unknown| unknown.to_string())?;
        Event::decode(self.aggregate_type.as_ref(), &payload)
    }
}

impl Opened {
    pub fn decode(self) -> Result<Recorded, Undecodable> {
        let (position, workspace_id) = (self.logged.position, WorkspaceId(self.logged.workspace_id));
        let undecodable = |reason: String| Undecodable { position, workspace_id, reason };
        if let Some(reason) = self.broken {
            return Err(undecodable(reason));
        }
        let mut recorded = self.logged.decode()?;
        if self.ip.is_some() || self.user_agent.is_some() {
            (recorded.metadata.ip, recorded.metadata.user_agent) = (self.ip, self.user_agent);
        }
        if let Some(payload) = self.payload {
            recorded.open(Event::from_json(&self.logged.aggregate_type, payload))?;
        }
        Ok(recorded)
    }

    /// In the current shape. What is of a version this program does not know stays as it is; decoding refuses it.
    #[must_use]
    pub fn upcast(mut self) -> Self {
        let (event_type, version) = (&self.logged.event_type, &self.logged.event_version);
        if upcast::is_current(event_type, version) || !upcast::knows(event_type, version) {
            return self;
        }
        let payload = self.payload.take().or_else(|| serde_json::from_str(&self.logged.payload).ok());
        self.payload = payload.and_then(|payload| upcast::upcast(event_type, version, payload).ok());
        self
    }

    /// The version of the shape that [`Self::data`] has.
    pub fn version(&self) -> String {
        let (event_type, version) = (&self.logged.event_type, &self.logged.event_version);
        if upcast::knows(event_type, version) {
            upcast::current(event_type).to_string()
        } else {
            version.clone()
        }
    }

    /// The event as JSON, opened and in its current shape.
    pub fn data(&self) -> String {
        self.payload.as_ref().map_or_else(|| self.logged.payload.clone(), Value::to_string)
    }
}

impl Recorded {
    /// Whether its stream begins with it, so that there is nothing of what it speaks of from before.
    pub fn begins(&self) -> bool {
        self.sequence == 1
    }

    /// The event as it is stored: what must outlive an erasure is built from this.
    pub fn stored(&self) -> &Event {
        self.stored.as_deref().unwrap_or(&self.event)
    }

    /// Opens what is sealed in it: the event in the row's payload, once that is opened, takes its place.
    pub fn open_with<T: AsRef<str>>(&mut self, row: &Logged<T>, payload: &str) -> Result<(), Undecodable> {
        self.open(row.event(payload))
    }

    fn open(&mut self, opened: Result<Event, String>) -> Result<(), Undecodable> {
        // Not why: a reason may quote what was opened, and is shown and logged.
        let opened = opened.map_err(|_| Undecodable {
            position: self.position,
            workspace_id: self.workspace_id,
            reason: "what is sealed in it does not fit its field".to_owned(),
        })?;
        self.stored = Some(Box::new(std::mem::replace(&mut self.event, opened)));
        Ok(())
    }
}

impl Event {
    fn from_json(aggregate_type: &str, payload: Value) -> Result<Self, String> {
        let event = match aggregate_type {
            User::TYPE => serde_json::from_value(payload).map(Self::User),
            Workspace::TYPE => serde_json::from_value(payload).map(Self::Workspace),
            Membership::TYPE => serde_json::from_value(payload).map(Self::Membership),
            Invitation::TYPE => serde_json::from_value(payload).map(Self::Invitation),
            Session::TYPE => serde_json::from_value(payload).map(Self::Session),
            ApiKey::TYPE => serde_json::from_value(payload).map(Self::ApiKey),
            WebhookEndpoint::TYPE => serde_json::from_value(payload).map(Self::WebhookEndpoint),
            Catalogue::TYPE => serde_json::from_value(payload).map(Self::Catalogue),
            Claim::TYPE => serde_json::from_value(payload).map(Self::Claim),
            other => return Err(format!("unknown aggregate type {other}")),
        };
        event.map_err(|error| error.to_string())
    }

    fn decode(aggregate_type: &str, payload: &str) -> Result<Self, String> {
        let event = match aggregate_type {
            User::TYPE => serde_json::from_str(payload).map(Self::User),
            Workspace::TYPE => serde_json::from_str(payload).map(Self::Workspace),
            Membership::TYPE => serde_json::from_str(payload).map(Self::Membership),
            Invitation::TYPE => serde_json::from_str(payload).map(Self::Invitation),
            Session::TYPE => serde_json::from_str(payload).map(Self::Session),
            ApiKey::TYPE => serde_json::from_str(payload).map(Self::ApiKey),
            WebhookEndpoint::TYPE => serde_json::from_str(payload).map(Self::WebhookEndpoint),
            Catalogue::TYPE => serde_json::from_str(payload).map(Self::Catalogue),
            Claim::TYPE => serde_json::from_str(payload).map(Self::Claim),
            other => return Err(format!("unknown aggregate type {other}")),
        };
        event.map_err(|error| error.to_string())
    }

    pub fn aggregate_type(&self) -> &'static str {
        match self {
            Self::User(_) => User::TYPE,
            Self::Workspace(_) => Workspace::TYPE,
            Self::Membership(_) => Membership::TYPE,
            Self::Invitation(_) => Invitation::TYPE,
            Self::Session(_) => Session::TYPE,
            Self::ApiKey(_) => ApiKey::TYPE,
            Self::WebhookEndpoint(_) => WebhookEndpoint::TYPE,
            Self::Catalogue(_) => Catalogue::TYPE,
            Self::Claim(_) => Claim::TYPE,
        }
    }

    /// The event's name, as in the log's `event_type`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::User(event) => event.name(),
            Self::Workspace(event) => event.name(),
            Self::Membership(event) => event.name(),
            Self::Invitation(event) => event.name(),
            Self::Session(event) => event.name(),
            Self::ApiKey(event) => event.name(),
            Self::WebhookEndpoint(event) => event.name(),
            Self::Catalogue(event) => event.name(),
            Self::Claim(event) => event.name(),
        }
    }
}

/// Whose membership an event speaks of.
pub fn member(event: &MembershipEvent) -> &UserId {
    use MembershipEvent as E;
    match event {
        E::MembershipStarted { user_id, .. }
        | E::MembershipRoleChanged { user_id, .. }
        | E::MembershipExpiryChanged { user_id, .. }
        | E::MembershipDeactivated { user_id, .. }
        | E::MembershipReactivated { user_id, .. }
        | E::MembershipEnded { user_id, .. } => user_id,
    }
}

/// Which user an event speaks of.
pub fn user(event: &UserEvent) -> &UserId {
    use UserEvent as E;
    match event {
        E::UserProvisioned { user_id, .. }
        | E::UserProfileChanged { user_id, .. }
        | E::UserErasureStarted { user_id }
        | E::UserErasureWithdrawn { user_id }
        | E::UserErased { user_id } => user_id,
    }
}
