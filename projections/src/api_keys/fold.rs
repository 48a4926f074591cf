//! How events become API keys.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::Time;
use tenure_aggregates::api_key::ApiKeyEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use uuid::Uuid;

use crate::projection::Projection;
use crate::recorded::{Event, Recorded};
use crate::rows::{Rows, column};

/// The projection `api_keys`.
#[derive(Debug)]
pub struct ApiKeys;

impl Projection for ApiKeys {
    const NAME: &'static str = "api_keys";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["api_keys"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut rows = load(conn, batch).await?;
        let mut ended = Vec::new();
        for recorded in batch {
            match &recorded.event {
                Event::ApiKey(event) => evolve(&mut rows, recorded, event)?,
                Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. }) => {
                    let workspace: Uuid = recorded.workspace_id.into();
                    rows.forget(|(of, _)| *of == workspace);
                    ended.push(workspace);
                }
                _ => {}
            }
        }
        if !ended.is_empty() {
            sqlx::query!("delete from api_keys where workspace_id = any($1)", &ended)
                .execute(&mut *conn)
                .await?;
        }
        upsert(conn, &rows.to_write()).await
    }
}

type Key = (Uuid, Uuid);

struct Row {
    workspace_id: Uuid,
    key_id: Uuid,
    name: String,
    hint: String,
    hash: String,
    previous_hash: Option<String>,
    previous_until: Option<Time>,
    permissions: Vec<String>,
    expires_at: Option<Time>,
    networks: Vec<String>,
    networks_seen: Vec<String>,
    created_by: Option<String>,
    revoked_at: Option<Time>,
    sequence: i64,
    created_at: Time,
    updated_at: Time,
}

fn key(row: &Row) -> Key {
    (row.workspace_id, row.key_id)
}

/// The stream's id is the key's: only the first event repeats it.
fn id(recorded: &Recorded) -> Result<Key, sqlx::Error> {
    let key = recorded.aggregate_id.parse().map_err(|error| {
        let reason = format!("event {}: key id {}: {error}", recorded.position, recorded.aggregate_id);
        sqlx::Error::Decode(reason.into())
    })?;
    Ok((recorded.workspace_id.into(), key))
}

fn evolve(rows: &mut Rows<Key, Row>, recorded: &Recorded, event: &ApiKeyEvent) -> Result<(), sqlx::Error> {
    use ApiKeyEvent as E;
    let id = id(recorded)?;
    match event {
        E::ApiKeyCreated {
            name,
            hash,
            hint,
            permissions,
            expires_at,
            networks,
            created_by,
            created_at,
            ..
        } => {
            let row = Row {
                workspace_id: id.0,
                key_id: id.1,
                name: name.clone(),
                hint: hint.clone(),
                hash: hash.clone(),
                previous_hash: None,
                previous_until: None,
                permissions: permissions.iter().map(ToString::to_string).collect(),
                expires_at: *expires_at,
                networks: networks.clone(),
                networks_seen: Vec::new(),
                created_by: created_by.as_ref().map(ToString::to_string),
                revoked_at: None,
                sequence: 0,
                created_at: *created_at,
                updated_at: recorded.recorded_at,
            };
            rows.put(id, row);
        }
        E::ApiKeyRotated { hash, hint, overlap_until } => rows.change(&id, |row| {
            row.previous_hash = Some(std::mem::replace(&mut row.hash, hash.clone()));
            row.previous_until = Some(*overlap_until);
            row.hint.clone_from(hint);
        }),
        E::ApiKeyUsedFromNewNetwork { network } => {
            rows.change(&id, |row| row.networks_seen.push(network.clone()));
        }
        E::ApiKeyRevoked => rows.change(&id, |row| row.revoked_at = Some(recorded.recorded_at)),
    }
    rows.change(&id, |row| {
        row.sequence = recorded.sequence;
        row.updated_at = recorded.recorded_at;
    });
    Ok(())
}

async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Rows<Key, Row>, sqlx::Error> {
    let mut keys = BTreeSet::new();
    for recorded in batch {
        if let Event::ApiKey(event) = &recorded.event
            && !matches!(event, ApiKeyEvent::ApiKeyCreated { .. })
        {
            keys.insert(id(recorded)?);
        }
    }
    if keys.is_empty() {
        return Ok(Rows::loaded([], key));
    }
    let (workspaces, keys): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, key_id, name, hint, hash, previous_hash, previous_until, permissions, expires_at,
                networks, networks_seen, created_by, revoked_at, sequence, created_at, updated_at
         from api_keys where (workspace_id, key_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &workspaces,
        &keys
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, key))
}

/// Lists within lists do not fit `unnest`: they travel as texts. None of what they hold has a comma.
async fn upsert(conn: &mut PgConnection, rows: &[&Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into api_keys (workspace_id, key_id, name, hint, hash, previous_hash, previous_until, permissions,
             expires_at, networks, networks_seen, created_by, revoked_at, sequence, created_at, updated_at)
         select w, k, n, hi, ha, ph, pu, string_to_array(p, ','), e, string_to_array(ne, ','),
                string_to_array(s, ','), cb, r, q, c, u
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                     $8::text[], $9::timestamptz[], $10::text[], $11::text[], $12::text[], $13::timestamptz[],
                     $14::bigint[], $15::timestamptz[], $16::timestamptz[])
              r (w, k, n, hi, ha, ph, pu, p, e, ne, s, cb, r, q, c, u)
         on conflict (workspace_id, key_id) do update set
             name = excluded.name, hint = excluded.hint, hash = excluded.hash, previous_hash = excluded.previous_hash,
             previous_until = excluded.previous_until, permissions = excluded.permissions,
             expires_at = excluded.expires_at, networks = excluded.networks, networks_seen = excluded.networks_seen,
             created_by = excluded.created_by, revoked_at = excluded.revoked_at, sequence = excluded.sequence,
             created_at = excluded.created_at, updated_at = excluded.updated_at",
        &column(rows, |row| row.workspace_id),
        &column(rows, |row| row.key_id),
        &column(rows, |row| row.name.as_str()) as _,
        &column(rows, |row| row.hint.as_str()) as _,
        &column(rows, |row| row.hash.as_str()) as _,
        &column(rows, |row| row.previous_hash.as_deref()) as _,
        &column(rows, |row| row.previous_until) as _,
        &column(rows, |row| row.permissions.join(",")),
        &column(rows, |row| row.expires_at) as _,
        &column(rows, |row| row.networks.join(",")),
        &column(rows, |row| row.networks_seen.join(",")),
        &column(rows, |row| row.created_by.as_deref()) as _,
        &column(rows, |row| row.revoked_at) as _,
        &column(rows, |row| row.sequence),
        &column(rows, |row| row.created_at),
        &column(rows, |row| row.updated_at)
    )
    .execute(conn)
    .await?;
    Ok(())
}
