//! Loads a stream through stock postgres-es, and learns whose it is.

use std::sync::Arc;

use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{AggregateError, EventStore};
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;
use tenure_aggregates::WorkspaceId;
use tenure_aggregates::adapter::Stream;

use super::error::StoreError;

#[derive(Debug, Clone)]
pub struct Loader {
    pool: PgPool,
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
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    pub async fn load<A: Stream>(&self, id: &str) -> Result<Loaded<A>, StoreError> {
        // Never another constructor: the snapshot and aggregate stores of cqrs-es 0.5 apply every event twice.
        let store =
            PersistedEventStore::<_, A>::new_event_store(PostgresEventRepository::new(self.pool.clone()));
        let events = store.load_events(id).await.map_err(|error| match error {
            AggregateError::DeserializationError(cause) => StoreError::Corrupt(cause.to_string()),
            other => StoreError::Unavailable(other.to_string()),
        })?;
        let mut state = A::default();
        let (mut sequence, mut home) = (0, None);
        for event in events {
            let workspace =
                event.metadata.get("workspace_id").and_then(|text| text.parse().ok()).map(WorkspaceId);
            let strayed = !A::SHARED && home.is_some() && home != workspace;
            if workspace.is_none() || strayed {
                return Err(StoreError::Corrupt(format!("{} {id} mixes workspaces", A::TYPE)));
            }
            home = workspace;
            sequence = i64::try_from(event.sequence).unwrap_or(i64::MAX);
            state.apply(event.payload);
        }
        Ok(Loaded { state: Arc::new(state), sequence, home })
    }
}
