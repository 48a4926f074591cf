//! The log read alone: in order, opened and decoded, and nothing done with it.

use std::path::Path;
use std::time::Instant;

use sqlx::postgres::{PgConnectOptions, PgRow};
use sqlx::{PgConnection, Row};
use tenure::data_keys::Vault;
use tenure::database::{Role, pool};
use tenure::projector::reader::BATCH;
use tenure::secrets::MasterKeys;
use tenure_projections::Logged;

use super::Passed;
use crate::load::median;

/// The median of the rounds, in events a second.
pub(super) async fn per_second(database: &PgConnectOptions, keys: &Path, rounds: usize) -> f64 {
    let (projector, keeper) = (pool(database, Role::Projector, 1), pool(database, Role::Keeper, 2));
    let masters = MasterKeys::load_or_create(&keys.join("master.key")).expect("the master key");
    let (vault, _) = Vault::open(keeper.clone(), masters).await.expect("the keys");
    let mut connection = projector.acquire().await.expect("a connection");
    let mut rates = Vec::new();
    for _ in 0..rounds {
        rates.push(read(&mut connection, &vault).await.per_second());
    }
    drop(connection);
    projector.close().await;
    keeper.close().await;
    median(rates)
}

async fn read(connection: &mut PgConnection, vault: &Vault) -> Passed {
    let (begun, mut events) = (Instant::now(), 0);
    loop {
        let rows = rows(connection, events).await;
        if rows.is_empty() {
            return Passed { events, took: begun.elapsed() };
        }
        for opened in vault.open_events(rows).await.expect("opened") {
            events = opened.decode().expect("an event").position;
        }
    }
}

async fn rows(connection: &mut PgConnection, after: i64) -> Vec<Logged> {
    let rows = sqlx::query(
        "select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                event_version, payload::text, metadata::text, recorded_at
         from events where position > $1 and position <= $2 order by position",
    )
    .bind(after)
    .bind(after + BATCH)
    .fetch_all(connection)
    .await
    .expect("events");
    let logged = |row: &PgRow| Logged {
        position: row.get(0),
        workspace_id: row.get(1),
        workspace_seq: row.get(2),
        aggregate_type: row.get(3),
        aggregate_id: row.get(4),
        sequence: row.get(5),
        event_type: row.get(6),
        event_version: row.get(7),
        payload: row.get(8),
        metadata: row.get(9),
        recorded_at: row.get(10),
    };
    rows.iter().map(logged).collect()
}
