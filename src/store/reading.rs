//! Streams read from the log: each by itself through stock postgres-es while few are asked for, and what queues up behind
//! those many at a time, in one query.

use std::sync::{Arc, Mutex, PoisonError};

use cqrs_es::Aggregate;
use cqrs_es::persist::{PersistedEventRepository, PersistenceError, SerializedEvent};
use postgres_es::PostgresEventRepository;
use sqlx::PgPool;
use tokio::sync::oneshot;

use super::error::StoreError;

/// How many queries there may be at once. A query each is a round trip and a pool's connection each; at this many, the
/// next are better off together.
const READERS: usize = 4;
/// How many streams one query may read.
const LOT: usize = 128;

/// Reads streams, many at a time where many are asked for. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pool: PgPool,
    line: Arc<Mutex<Line>>,
}

#[derive(Debug, Default)]
struct Line {
    readers: usize,
    waiting: Vec<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    aggregate_type: &'static str,
    id: String,
    reply: oneshot::Sender<Result<Vec<Row>, StoreError>>,
}

/// A stream's events in their order, as they are stored.
#[derive(Debug)]
pub(super) enum Found {
    /// As postgres-es gives them.
    Alone(Vec<SerializedEvent>),
    Together(Vec<Row>),
}

/// An event as a query for many streams gives it, its JSON still text.
#[derive(Debug)]
pub(super) struct Row {
    pub sequence: i64,
    pub event_type: String,
    pub event_version: String,
    pub payload: String,
    pub metadata: String,
}

/// The right to run one query at a time. Whoever gives it up, or is dropped with it, hands it to those who wait.
struct Reader(Reading);

impl Reading {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, line: Arc::default() }
    }

    pub(super) async fn read<A: Aggregate>(&self, id: &str) -> Result<Found, StoreError> {
        let queued = {
            let mut line = self.lock();
            if line.readers < READERS {
                line.readers += 1;
                None
            } else {
                let (reply, events) = oneshot::channel();
                line.waiting.push(Wanted { aggregate_type: A::TYPE, id: id.to_owned(), reply });
                Some(events)
            }
        };
        let Some(queued) = queued else {
            let _reader = Reader(self.clone());
            return self.alone::<A>(id).await.map(Found::Alone);
        };
        let rows = queued.await.map_err(|_| StoreError::Unavailable("the reader ended".to_owned()))?;
        rows.map(Found::Together)
    }

    async fn alone<A: Aggregate>(&self, id: &str) -> Result<Vec<SerializedEvent>, StoreError> {
        let repository = PostgresEventRepository::new(self.pool.clone());
        repository.get_events::<A>(id).await.map_err(|error| match error {
            PersistenceError::DeserializationError(cause) => StoreError::Corrupt(cause.to_string()),
            other => StoreError::Unavailable(other.to_string()),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Line> {
        // Nothing panics between two changes that belong together.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let reading = &self.0;
        let lot: Vec<Wanted> = {
            let mut line = reading.lock();
            let length = line.waiting.len().min(LOT);
            if length == 0 {
                line.readers -= 1;
                return;
            }
            line.waiting.drain(..length).collect()
        };
        let reader = Self(reading.clone());
        // Where there is no runtime any more, nobody waits for an answer.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(reader.read(lot));
        }
    }
}

impl Reader {
    async fn read(self, lot: Vec<Wanted>) {
        // Who has gone meanwhile needs nothing read.
        let lot: Vec<Wanted> = lot.into_iter().filter(|wanted| !wanted.reply.is_closed()).collect();
        match together(&self.0.pool, &lot).await {
            Ok(streams) => {
                for (wanted, events) in lot.into_iter().zip(streams) {
                    let _ = wanted.reply.send(Ok(events));
                }
            }
            Err(error) => {
                let error = StoreError::from(error);
                for wanted in lot {
                    let _ = wanted.reply.send(Err(error.clone()));
                }
            }
        }
    }
}

impl Row {
    /// As postgres-es would give it.
    pub(super) fn serialized<A: Aggregate>(self, id: &str) -> Result<SerializedEvent, StoreError> {
        let Self { sequence, event_type, event_version, payload, metadata } = self;
        let json = |text: &str| {
            serde_json::from_str(text)
                .map_err(|error| StoreError::Corrupt(format!("{} {id} {sequence}: {error}", A::TYPE)))
        };
        Ok(SerializedEvent {
            aggregate_id: id.to_owned(),
            sequence: usize::try_from(sequence).unwrap_or(usize::MAX),
            aggregate_type: A::TYPE.to_owned(),
            event_type,
            event_version,
            payload: json(&payload)?,
            metadata: json(&metadata)?,
        })
    }
}

/// Each stream's events, all of them together in one query; no stream's trouble is another's.
async fn together(pool: &PgPool, lot: &[Wanted]) -> Result<Vec<Vec<Row>>, sqlx::Error> {
    let mut streams: Vec<Vec<Row>> = lot.iter().map(|_| Vec::new()).collect();
    if lot.is_empty() {
        return Ok(streams);
    }
    let types: Vec<&str> = lot.iter().map(|wanted| wanted.aggregate_type).collect();
    let ids: Vec<&str> = lot.iter().map(|wanted| wanted.id.as_str()).collect();
    let rows = sqlx::query!(
        r#"select k.n as "n!", e.sequence, e.event_type, e.event_version,
                  e.payload::text as "payload!", e.metadata::text as "metadata!"
           from unnest($1::text[], $2::text[]) with ordinality k (aggregate_type, aggregate_id, n)
           cross join lateral (
               select sequence, event_type, event_version, payload, metadata from events
               where aggregate_type = k.aggregate_type and aggregate_id = k.aggregate_id order by sequence
           ) e
           order by k.n, e.sequence"#,
        &types as &[&str],
        &ids as &[&str],
    )
    .fetch_all(pool)
    .await?;
    for row in rows {
        if let Some(stream) = usize::try_from(row.n - 1).ok().and_then(|at| streams.get_mut(at)) {
            stream.push(Row {
                sequence: row.sequence,
                event_type: row.event_type,
                event_version: row.event_version,
                payload: row.payload,
                metadata: row.metadata,
            });
        }
    }
    Ok(streams)
}
