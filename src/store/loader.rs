//! Loads a stream through stock postgres-es, and learns whose it is.

use std::sync::Arc;

use cqrs_es::DomainEvent;
use cqrs_es::persist::{PersistedEventRepository, PersistenceError, SerializedEvent};
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::{WorkspaceId, upcast};

use super::error::StoreError;
use crate::data_keys::Vault;

#[derive(Debug, Clone)]
pub struct Loader {
    pool: PgPool,
    vault: Vault,
}

/// A stream as it stands: its folded state, its last sequence (0 = no such stream) and the workspace it belongs to.
#[derive(Debug, Clone)]
pub struct Loaded<A> {
    pub state: Arc<A>,
    pub sequence: i64,
    pub home: Option<WorkspaceId>,
}

impl<A: Stream> Loaded<A> {
    /// What a caller in `workspace` may see of the stream: one of another workspace looks as if there were none,
    /// so that an id of one workspace opens nothing of another. Shared streams belong to nobody.
    #[must_use]
    pub fn seen_from(self, workspace: WorkspaceId) -> Self {
        if A::SHARED || self.home.is_none_or(|home| home == workspace) {
            return self;
        }
        tracing::warn!(aggregate_type = A::TYPE, %workspace, "a stream of another workspace was asked for");
        Self { state: Arc::default(), ..self }
    }
}

impl Loader {
    pub fn new(pool: PgPool, vault: Vault) -> Self {
        Self { pool, vault }
    }

    pub async fn load<A: Stream>(&self, id: &str) -> Result<Loaded<A>, StoreError> {
        let mut state = A::default();
        let (mut sequence, mut home) = (0, None);
        for event in self.events::<A>(id).await? {
            home = workspace_of(&event);
            sequence = i64::try_from(event.sequence).unwrap_or(i64::MAX);
            state.apply(decode::<A>(event)?);
        }
        Ok(Loaded { state: Arc::new(state), sequence, home })
    }

    /// The events of a stream themselves.
    pub async fn history<A: Stream>(&self, id: &str) -> Result<Vec<A::Event>, StoreError> {
        self.events::<A>(id).await?.into_iter().map(decode::<A>).collect()
    }

    /// As stock postgres-es reads them, with what is sealed in them opened.
    async fn events<A: Stream>(&self, id: &str) -> Result<Vec<SerializedEvent>, StoreError> {
        let repository = PostgresEventRepository::new(self.pool.clone());
        let mut events = repository.get_events::<A>(id).await.map_err(|error| match error {
            PersistenceError::DeserializationError(cause) => StoreError::Corrupt(cause.to_string()),
            other => StoreError::Unavailable(other.to_string()),
        })?;
        if strays::<A>(&events) {
            return Err(StoreError::Corrupt(format!("{} {id} mixes workspaces", A::TYPE)));
        }
        self.vault.open_stream(&mut events).await?;
        Ok(events)
    }
}

fn workspace_of(event: &SerializedEvent) -> Option<WorkspaceId> {
    let text = event.metadata.get("workspace_id").and_then(serde_json::Value::as_str)?;
    text.parse().ok().map(WorkspaceId)
}

/// Whether a stream that belongs to one workspace holds an event of another, or of none.
fn strays<A: Stream>(events: &[SerializedEvent]) -> bool {
    let mut homes = events.iter().map(workspace_of);
    let Some(first) = homes.next() else { return false };
    first.is_none() || homes.any(|home| home.is_none() || !A::SHARED && home != first)
}

/// The event in its current shape, which must be one this program knows.
fn decode<A: Stream>(event: SerializedEvent) -> Result<A::Event, StoreError> {
    let workspace = workspace_of(&event).unwrap_or(WorkspaceId(uuid::Uuid::nil()));
    let SerializedEvent { aggregate_id, sequence, event_type, event_version, payload, .. } = event;
    let unreadable = |reason: String| StoreError::Unreadable {
        workspace,
        reason: format!("{event_type} {aggregate_id} {sequence}: {reason}"),
    };
    let payload = upcast::upcast(&event_type, &event_version, payload)
        .map_err(|unknown| unreadable(unknown.to_string()))?;
    let event: A::Event = serde_json::from_value(payload).map_err(|error| unreadable(error.to_string()))?;
    let name = event.event_type();
    if name != event_type {
        return Err(unreadable(format!("a {name} in a row of that type")));
    }
    Ok(event)
}
