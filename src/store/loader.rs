//! Loads a stream as postgres-es reads it, and learns whose it is.

use std::borrow::Cow;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;

use cqrs_es::persist::SerializedEvent;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sqlx::PgPool;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::event::EventName;
use tenure_aggregates::{WorkspaceId, upcast};

use super::error::StoreError;
use super::reading::{Found, Reading, Row};
use crate::data_keys::Vault;

#[derive(Debug, Clone)]
pub struct Loader {
    reading: Reading,
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
        Self { reading: Reading::new(pool), vault }
    }

    pub async fn load<A: Stream>(&self, id: &str) -> Result<Loaded<A>, StoreError> {
        let events = match self.reading.read::<A>(id).await? {
            Found::Together(rows) => match plain::<A>(id, &rows)? {
                Some(events) => events,
                None => self.opened::<A>(id, Found::Together(rows)).await?,
            },
            alone @ Found::Alone(_) => self.opened::<A>(id, alone).await?,
        };
        let mut loaded = Loaded { state: Arc::default(), sequence: 0, home: None };
        let mut state = A::default();
        for event in events {
            (loaded.sequence, loaded.home) = (event.sequence, event.home);
            state.apply(event.event);
        }
        Ok(Loaded { state: Arc::new(state), ..loaded })
    }

    /// The events of a stream themselves.
    pub async fn history<A: Stream>(&self, id: &str) -> Result<Vec<A::Event>, StoreError> {
        let found = self.reading.read::<A>(id).await?;
        let events = self.opened::<A>(id, found).await?;
        Ok(events.into_iter().map(|event| event.event).collect())
    }

    /// With what is sealed in them opened.
    async fn opened<A: Stream>(&self, id: &str, found: Found) -> Result<Vec<Decoded<A::Event>>, StoreError> {
        let mut events = match found {
            Found::Alone(events) => events,
            Found::Together(rows) => {
                rows.into_iter().map(|row| row.serialized::<A>(id)).collect::<Result<_, _>>()?
            }
        };
        refuse_strays::<A>(id, events.iter().map(workspace_of))?;
        self.vault.open_stream(&mut events).await?;
        let decoded = events.into_iter().map(|event| {
            let (home, sequence) = (workspace_of(&event), i64::try_from(event.sequence).unwrap_or(i64::MAX));
            let SerializedEvent { event_type, event_version, payload, .. } = event;
            let place = Place::<A> { home, id, sequence, event_type: &event_type, aggregate: PhantomData };
            let payload = upcast::upcast(&event_type, &event_version, payload);
            let payload = payload.map_err(|unknown| place.unreadable(&unknown))?;
            place.holds(serde_json::from_value(payload))
        });
        decoded.collect()
    }
}

/// An event of a stream, in its current shape.
struct Decoded<E> {
    sequence: i64,
    home: Option<WorkspaceId>,
    event: E,
}

/// Straight from the text, which is far less work; nothing, if something is sealed in any of them.
fn plain<A: Stream>(id: &str, rows: &[Row]) -> Result<Option<Vec<Decoded<A::Event>>>, StoreError> {
    #[derive(Deserialize)]
    struct Marks<'a> {
        #[serde(borrow, default)]
        workspace_id: Option<Cow<'a, str>>,
        #[serde(default)]
        sealed: Option<IgnoredAny>,
    }
    let mut homes = Vec::with_capacity(rows.len());
    for row in rows {
        let marks: Marks<'_> = serde_json::from_str(&row.metadata)
            .map_err(|error| StoreError::Corrupt(format!("{} {id} {}: {error}", A::TYPE, row.sequence)))?;
        if marks.sealed.is_some() {
            return Ok(None);
        }
        homes.push(marks.workspace_id.and_then(|id| id.parse().ok()).map(WorkspaceId));
    }
    refuse_strays::<A>(id, homes.iter().copied())?;
    let decoded = rows.iter().zip(homes).map(|(row, home)| {
        let (sequence, event_type) = (row.sequence, &row.event_type);
        let place = Place::<A> { home, id, sequence, event_type, aggregate: PhantomData };
        let payload = upcast::upcast_text(event_type, &row.event_version, &row.payload);
        let payload = payload.map_err(|unknown| place.unreadable(&unknown))?;
        place.holds(serde_json::from_str(&payload))
    });
    decoded.collect::<Result<_, _>>().map(Some)
}

fn workspace_of(event: &SerializedEvent) -> Option<WorkspaceId> {
    let text = event.metadata.get("workspace_id").and_then(serde_json::Value::as_str)?;
    text.parse().ok().map(WorkspaceId)
}

/// A stream that belongs to one workspace holds no event of another, and none of no workspace.
fn refuse_strays<A: Stream>(
    id: &str,
    mut homes: impl Iterator<Item = Option<WorkspaceId>>,
) -> Result<(), StoreError> {
    let Some(first) = homes.next() else { return Ok(()) };
    if first.is_none() || homes.any(|home| home.is_none() || !A::SHARED && home != first) {
        return Err(StoreError::Corrupt(format!("{} {id} mixes workspaces", A::TYPE)));
    }
    Ok(())
}

/// The row an event is decoded from.
struct Place<'a, A> {
    home: Option<WorkspaceId>,
    id: &'a str,
    sequence: i64,
    event_type: &'a str,
    aggregate: PhantomData<A>,
}

impl<A: Stream> Place<'_, A> {
    /// The event, which must be of the row's type.
    fn holds(self, event: serde_json::Result<A::Event>) -> Result<Decoded<A::Event>, StoreError> {
        let event = event.map_err(|error| self.unreadable(&error))?;
        let name = event.name();
        if name != self.event_type {
            return Err(self.unreadable(&format_args!("a {name} in a row of that type")));
        }
        Ok(Decoded { sequence: self.sequence, home: self.home, event })
    }

    fn unreadable(&self, reason: &dyn Display) -> StoreError {
        StoreError::Unreadable {
            workspace: self.home.unwrap_or(WorkspaceId(uuid::Uuid::nil())),
            reason: format!("{} {} {}: {reason}", self.event_type, self.id, self.sequence),
        }
    }
}
