//! How events become sessions.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::Time;
use tenure_aggregates::session::SessionEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use uuid::Uuid;

use crate::projection::Projection;
use crate::recorded::{Event, Recorded};
use crate::rows::{Rows, column};

/// The projection `sessions`.
#[derive(Debug)]
pub struct Sessions;

impl Projection for Sessions {
    const NAME: &'static str = "sessions";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["sessions"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut rows = load(conn, batch).await?;
        let mut ended = Vec::new();
        for recorded in batch {
            match &recorded.event {
                Event::Session(event) => evolve(&mut rows, recorded, event)?,
                // With the personal workspace go the sessions that lie in it.
                Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. }) => {
                    let workspace: Uuid = recorded.workspace_id.into();
                    rows.forget(|(of, _)| *of == workspace);
                    ended.push(workspace);
                }
                _ => {}
            }
        }
        if !ended.is_empty() {
            sqlx::query!("delete from sessions where workspace_id = any($1)", &ended)
                .execute(&mut *conn)
                .await?;
        }
        upsert(conn, &rows.to_write()).await
    }
}

type Key = (Uuid, Uuid);

struct Row {
    workspace_id: Uuid,
    session_id: Uuid,
    user_id: String,
    current_workspace: Uuid,
    generation: i32,
    started_at: Time,
    expires_at: Time,
    ended: bool,
    sequence: i64,
    updated_at: Time,
}

fn key(row: &Row) -> Key {
    (row.workspace_id, row.session_id)
}

/// The stream's id is the session's: only the first event repeats it.
fn id(recorded: &Recorded) -> Result<Key, sqlx::Error> {
    let session = recorded.aggregate_id.parse().map_err(|error| {
        let reason = format!("event {}: session id {}: {error}", recorded.position, recorded.aggregate_id);
        sqlx::Error::Decode(reason.into())
    })?;
    Ok((recorded.workspace_id.into(), session))
}

fn evolve(rows: &mut Rows<Key, Row>, recorded: &Recorded, event: &SessionEvent) -> Result<(), sqlx::Error> {
    use SessionEvent as E;
    let id = id(recorded)?;
    match event {
        E::SessionStarted { user_id, workspace_id, expires_at, started_at, .. } => {
            let row = Row {
                workspace_id: id.0,
                session_id: id.1,
                user_id: user_id.as_str().to_owned(),
                current_workspace: workspace_id.0,
                generation: 1,
                started_at: *started_at,
                expires_at: *expires_at,
                ended: false,
                sequence: 0,
                updated_at: recorded.recorded_at,
            };
            rows.put(id, row);
        }
        E::SessionSwitched { workspace_id, generation, .. } => rows.change(&id, |row| {
            row.current_workspace = workspace_id.to.0;
            row.generation = i32::try_from(*generation).unwrap_or(i32::MAX);
        }),
        E::SessionEnded { .. } => rows.change(&id, |row| row.ended = true),
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
        if let Event::Session(event) = &recorded.event
            && !matches!(event, SessionEvent::SessionStarted { .. })
        {
            keys.insert(id(recorded)?);
        }
    }
    if keys.is_empty() {
        return Ok(Rows::loaded([], key));
    }
    let (workspaces, sessions): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, session_id, user_id, current_workspace, generation, started_at, expires_at, ended,
                sequence, updated_at
         from sessions where (workspace_id, session_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &workspaces,
        &sessions
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, key))
}

async fn upsert(conn: &mut PgConnection, rows: &[&Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into sessions (workspace_id, session_id, user_id, current_workspace, generation, started_at,
                               expires_at, ended, sequence, updated_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::uuid[], $5::int[], $6::timestamptz[],
                              $7::timestamptz[], $8::bool[], $9::bigint[], $10::timestamptz[])
         on conflict (workspace_id, session_id) do update set
             user_id = excluded.user_id, current_workspace = excluded.current_workspace,
             generation = excluded.generation, started_at = excluded.started_at, expires_at = excluded.expires_at,
             ended = excluded.ended, sequence = excluded.sequence, updated_at = excluded.updated_at",
        &column(rows, |row| row.workspace_id),
        &column(rows, |row| row.session_id),
        &column(rows, |row| row.user_id.as_str()) as _,
        &column(rows, |row| row.current_workspace),
        &column(rows, |row| row.generation),
        &column(rows, |row| row.started_at),
        &column(rows, |row| row.expires_at),
        &column(rows, |row| row.ended),
        &column(rows, |row| row.sequence),
        &column(rows, |row| row.updated_at)
    )
    .execute(conn)
    .await?;
    Ok(())
}
