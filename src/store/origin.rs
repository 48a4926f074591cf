//! Who caused an event, and through what: the metadata of every event of a command.

use serde::Serialize;
use tenure_aggregates::{ApiKeyId, SessionId, UserId, WorkspaceId};

/// Who did it, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Actor {
    User(UserId),
    /// A workspace's own key: it sees that workspace, and no other.
    ApiKey {
        id: ApiKeyId,
        workspace: WorkspaceId,
    },
    /// A holder of the operator key, acting for nobody else.
    Service,
    /// A rule of Tenure itself (an expiry that has come).
    System,
}

/// The session an actor acts in, as the credential that was shown says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionRef {
    pub id: SessionId,
    /// The one workspace the credential opens.
    pub workspace_id: WorkspaceId,
    pub generation: u32,
}

/// Set by the server for one request; nothing of it comes from a request's body.
#[derive(Debug, Clone, Default)]
pub struct Origin {
    pub actor: Option<Actor>,
    /// The service that acted for the user.
    pub via: Option<String>,
    pub session: Option<SessionRef>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
    pub ip: Option<String>,
    pub user_agent: Option<String>,
}

/// The service's name where it acts for itself or for a user.
pub const OPERATOR: &str = "operator";

#[derive(Serialize)]
struct Metadata<'a> {
    workspace_id: WorkspaceId,
    actor_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor_id: Option<String>,
    command: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    via: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    session_id: Option<SessionId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    causation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
}

/// What of an event is sealed.
#[derive(Debug, Clone, Default)]
pub struct Sealed {
    /// Fields of its payload, with commas between them.
    pub fields: Option<String>,
    /// From where the request came, sealed.
    pub origin: Option<String>,
}

impl Origin {
    /// The origin of what Tenure does by itself.
    pub fn system() -> Self {
        Self { actor: Some(Actor::System), ..Self::default() }
    }

    pub fn user(&self) -> Option<&UserId> {
        match &self.actor {
            Some(Actor::User(user)) => Some(user),
            Some(Actor::ApiKey { .. } | Actor::Service | Actor::System) | None => None,
        }
    }

    pub fn api_key(&self) -> Option<ApiKeyId> {
        match &self.actor {
            Some(Actor::ApiKey { id, .. }) => Some(*id),
            Some(Actor::User(_) | Actor::Service | Actor::System) | None => None,
        }
    }

    /// Whether a credential that opens one workspace only opens this one; any other opens them all.
    pub fn opens(&self, workspace: WorkspaceId) -> bool {
        self.session.is_none_or(|session| session.workspace_id == workspace)
    }

    /// Whose idempotency keys these are.
    pub fn principal(&self) -> String {
        match &self.actor {
            Some(Actor::User(user)) => format!("user:{user}"),
            Some(Actor::ApiKey { id, .. }) => format!("api_key:{id}"),
            Some(Actor::Service) => "service".to_owned(),
            Some(Actor::System) | None => "system".to_owned(),
        }
    }

    /// The flat JSON object stored beside an event of `workspace` that `command` led to.
    pub fn metadata(
        &self,
        workspace_id: WorkspaceId,
        command: &'static str,
        sealed: &Sealed,
    ) -> Result<String, serde_json::Error> {
        let (actor_type, actor_id) = match &self.actor {
            Some(Actor::User(user)) => ("user", Some(user.to_string())),
            Some(Actor::ApiKey { id, .. }) => ("api_key", Some(id.to_string())),
            Some(Actor::Service) => ("service", Some(OPERATOR.to_owned())),
            Some(Actor::System) | None => ("system", None),
        };
        serde_json::to_string(&Metadata {
            workspace_id,
            actor_type,
            actor_id,
            command,
            via: self.via.as_deref(),
            session_id: self.session.map(|session| session.id),
            request_id: self.request_id.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            causation_id: self.causation_id.as_deref(),
            sealed: sealed.fields.as_deref(),
            origin: sealed.origin.as_deref(),
        })
    }
}
