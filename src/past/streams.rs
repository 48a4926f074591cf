//! A single aggregate as it was: the last state the read model has of it, and what the log has after that.

use std::sync::Arc;

use cqrs_es::Aggregate;
use tenure_projections::states::{self, Kind};
use tenure_projections::{Event, Logged, TenantTx};

use super::Past;
use crate::store::StoreError;

/// How many events are folded at a time.
const CHUNK: i64 = 500;

/// Which stream, and where the read model keeps its states; some are in none.
#[derive(Debug, Clone, Copy)]
pub struct StreamOf<'a> {
    /// The stream's id.
    pub id: &'a str,
    pub kept: Option<(Kind, &'a str)>,
}

impl Past {
    /// The aggregate as it was at this moment. `own` picks its events out of all kinds.
    pub async fn fold<A>(
        &self,
        tx: &mut TenantTx,
        stream: StreamOf<'_>,
        own: fn(Event) -> Option<A::Event>,
    ) -> Result<Arc<A>, StoreError>
    where
        A: Aggregate + serde::de::DeserializeOwned,
    {
        let (mut state, mut sequence) = (A::default(), 0);
        if let Some((kind, id)) = stream.kept
            && let Some(version) = states::at(tx, kind, id, self.position).await?
        {
            state = serde_json::from_str(&version.state)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
            sequence = version.sequence;
        }
        // Mostly there is nothing more, or what follows came later.
        let mut limit = 1;
        loop {
            let events = after(tx, A::TYPE, stream.id, sequence, limit).await?;
            let full = i64::try_from(events.len()) == Ok(limit);
            for logged in events {
                if logged.position > self.position {
                    return Ok(Arc::new(state));
                }
                sequence = logged.sequence;
                let recorded = logged.decode().map_err(StoreError::from)?;
                if let Some(event) = own(recorded.event) {
                    state.apply(event);
                }
            }
            if !full {
                return Ok(Arc::new(state));
            }
            limit = CHUNK;
        }
    }
}

async fn after(
    tx: &mut TenantTx,
    aggregate_type: &str,
    id: &str,
    sequence: i64,
    limit: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    let workspace = tx.workspace().0;
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events
           where workspace_id = $1 and aggregate_type = $2 and aggregate_id = $3 and sequence > $4
           order by sequence limit $5"#,
        workspace,
        aggregate_type,
        id,
        sequence,
        limit
    )
    .fetch_all(tx.connection())
    .await
}
