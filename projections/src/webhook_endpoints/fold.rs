//! How events become webhook endpoints.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::Time;
use tenure_aggregates::webhook_endpoint::WebhookEndpointEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use uuid::Uuid;

use crate::projection::Projection;
use crate::recorded::{Event, Recorded};
use crate::rows::{Rows, column};

/// The projection `webhook_endpoints`.
#[derive(Debug)]
pub struct WebhookEndpoints;

impl Projection for WebhookEndpoints {
    const NAME: &'static str = "webhook_endpoints";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["webhook_endpoints"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut rows = load(conn, batch).await?;
        let mut ended = Vec::new();
        for recorded in batch {
            match &recorded.event {
                Event::WebhookEndpoint(event) => evolve(&mut rows, recorded, event)?,
                Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. }) => {
                    let workspace: Uuid = recorded.workspace_id.into();
                    rows.forget(|(of, _)| *of == workspace);
                    ended.push(workspace);
                }
                _ => {}
            }
        }
        if !ended.is_empty() {
            sqlx::query!("delete from webhook_endpoints where workspace_id = any($1)", &ended)
                .execute(&mut *conn)
                .await?;
        }
        delete(conn, &rows.to_delete()).await?;
        upsert(conn, &rows.to_write()).await
    }
}

type Key = (Uuid, Uuid);

struct Row {
    workspace_id: Uuid,
    endpoint_id: Uuid,
    url: String,
    events: Vec<String>,
    description: Option<String>,
    generation: i32,
    previous_until: Option<Time>,
    disabled: Option<String>,
    created_by: Option<String>,
    sequence: i64,
    created_at: Time,
    updated_at: Time,
}

fn key(row: &Row) -> Key {
    (row.workspace_id, row.endpoint_id)
}

/// The stream's id is the endpoint's: only the first event repeats it.
fn id(recorded: &Recorded) -> Result<Key, sqlx::Error> {
    let endpoint = recorded.aggregate_id.parse().map_err(|error| {
        let reason =
            format!("event {}: webhook endpoint id {}: {error}", recorded.position, recorded.aggregate_id);
        sqlx::Error::Decode(reason.into())
    })?;
    Ok((recorded.workspace_id.into(), endpoint))
}

fn evolve(
    rows: &mut Rows<Key, Row>,
    recorded: &Recorded,
    event: &WebhookEndpointEvent,
) -> Result<(), sqlx::Error> {
    use WebhookEndpointEvent as E;
    let id = id(recorded)?;
    match event {
        E::WebhookEndpointCreated {
            url, events, description, generation, created_by, created_at, ..
        } => {
            let row = Row {
                workspace_id: id.0,
                endpoint_id: id.1,
                url: url.clone(),
                events: events.clone(),
                description: description.clone(),
                generation: number(*generation),
                previous_until: None,
                disabled: None,
                created_by: created_by.as_ref().map(ToString::to_string),
                sequence: 0,
                created_at: *created_at,
                updated_at: recorded.recorded_at,
            };
            rows.put(id, row);
        }
        E::WebhookEndpointChanged { url, events, description } => rows.change(&id, |row| {
            if let Some(url) = url {
                row.url.clone_from(&url.to);
            }
            if let Some(events) = events {
                row.events.clone_from(&events.to);
            }
            if let Some(description) = description {
                row.description.clone_from(&description.to);
            }
        }),
        E::WebhookEndpointSecretRotated { generation, overlap_until } => rows.change(&id, |row| {
            (row.generation, row.previous_until) = (number(*generation), Some(*overlap_until));
        }),
        E::WebhookEndpointEnabled => rows.change(&id, |row| row.disabled = None),
        E::WebhookEndpointDisabled { because } => {
            rows.change(&id, |row| row.disabled = Some(because.to_string()));
        }
        // The endpoint stays as it is, and yet its sequence moves.
        E::WebhookEndpointTested { .. } | E::WebhookEndpointRedeliveryRequested { .. } => {}
        E::WebhookEndpointDeleted => rows.remove(&id),
    }
    rows.change(&id, |row| {
        row.sequence = recorded.sequence;
        row.updated_at = recorded.recorded_at;
    });
    Ok(())
}

/// The column counts as far as nobody rotates.
fn number(generation: u32) -> i32 {
    i32::try_from(generation).unwrap_or(i32::MAX)
}

async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Rows<Key, Row>, sqlx::Error> {
    let mut keys = BTreeSet::new();
    for recorded in batch {
        if let Event::WebhookEndpoint(event) = &recorded.event
            && !matches!(event, WebhookEndpointEvent::WebhookEndpointCreated { .. })
        {
            keys.insert(id(recorded)?);
        }
    }
    if keys.is_empty() {
        return Ok(Rows::loaded([], key));
    }
    let (workspaces, endpoints): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, endpoint_id, url, events, description, generation, previous_until, disabled, created_by,
                sequence, created_at, updated_at
         from webhook_endpoints where (workspace_id, endpoint_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &workspaces,
        &endpoints
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, key))
}

async fn delete(conn: &mut PgConnection, keys: &[&Key]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let (workspaces, endpoints): (Vec<_>, Vec<_>) = keys.iter().copied().copied().unzip();
    sqlx::query!(
        "delete from webhook_endpoints
         where (workspace_id, endpoint_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &workspaces,
        &endpoints
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists within lists do not fit `unnest`: they travel as texts. No pattern has a comma.
async fn upsert(conn: &mut PgConnection, rows: &[&Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into webhook_endpoints (workspace_id, endpoint_id, url, events, description, generation,
             previous_until, disabled, created_by, sequence, created_at, updated_at)
         select w, e, u, string_to_array(p, ','), d, g, pu, di, cb, s, c, ua
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::integer[], $7::timestamptz[],
                     $8::text[], $9::text[], $10::bigint[], $11::timestamptz[], $12::timestamptz[])
              r (w, e, u, p, d, g, pu, di, cb, s, c, ua)
         on conflict (workspace_id, endpoint_id) do update set
             url = excluded.url, events = excluded.events, description = excluded.description,
             generation = excluded.generation, previous_until = excluded.previous_until,
             disabled = excluded.disabled, created_by = excluded.created_by, sequence = excluded.sequence,
             created_at = excluded.created_at, updated_at = excluded.updated_at",
        &column(rows, |row| row.workspace_id),
        &column(rows, |row| row.endpoint_id),
        &column(rows, |row| row.url.as_str()) as _,
        &column(rows, |row| row.events.join(",")),
        &column(rows, |row| row.description.as_deref()) as _,
        &column(rows, |row| row.generation),
        &column(rows, |row| row.previous_until) as _,
        &column(rows, |row| row.disabled.as_deref()) as _,
        &column(rows, |row| row.created_by.as_deref()) as _,
        &column(rows, |row| row.sequence),
        &column(rows, |row| row.created_at),
        &column(rows, |row| row.updated_at)
    )
    .execute(conn)
    .await?;
    Ok(())
}
