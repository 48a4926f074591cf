//! The log as it stands, decoded, for tests that look behind the answers.

use sqlx::{Connection, PgConnection, PgPool, Row};
use tenure::data_keys::Vault;
use tenure_aggregates::Time;
use tenure_projections::recorded::{Logged, Recorded};

use super::{Answer, TestService};

/// Every event there is, in the order of positions.
pub async fn events(service: &TestService) -> Vec<Recorded> {
    let admin = service.admin().await;
    let events = events_of(&admin, &service.app().vault).await;
    admin.close().await;
    events
}

/// Every event of a database, opened with the keys there are.
pub async fn events_of(admin: &PgPool, vault: &Vault) -> Vec<Recorded> {
    let sql =
        "select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                      event_version, payload::text payload, metadata::text metadata, recorded_at
               from events order by position";
    let rows = sqlx::query(sql).fetch_all(admin).await.unwrap();
    let rows = rows
        .iter()
        .map(|row| Logged {
            position: row.get("position"),
            workspace_id: row.get("workspace_id"),
            workspace_seq: row.get("workspace_seq"),
            aggregate_type: row.get("aggregate_type"),
            aggregate_id: row.get("aggregate_id"),
            sequence: row.get("sequence"),
            event_type: row.get("event_type"),
            event_version: row.get("event_version"),
            payload: row.get("payload"),
            metadata: row.get("metadata"),
            recorded_at: row.get::<Time, _>("recorded_at"),
        })
        .collect();
    let opened = vault.open_events(rows).await.unwrap();
    opened.into_iter().map(|event| event.decode().unwrap()).collect()
}

/// The last position of the log.
pub async fn head(service: &TestService) -> i64 {
    let mut connection = PgConnection::connect_with(&service.database).await.unwrap();
    let head = sqlx::query_scalar("select position from log_head").fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    head
}

/// The position an answer was told.
#[track_caller]
pub fn position(answer: &Answer) -> i64 {
    answer.header("tenure-position").unwrap_or_else(|| panic!("no position: {answer:?}")).parse().unwrap()
}
