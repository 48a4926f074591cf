//! How events become invitations.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::Time;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use uuid::Uuid;

use crate::projection::Projection;
use crate::recorded::{Event, Recorded};
use crate::rows::{Rows, column};

/// The projection `invitations`.
#[derive(Debug)]
pub struct Invitations;

impl Projection for Invitations {
    const NAME: &'static str = "invitations";
    const VERSION: i32 = 2;
    const TABLES: &'static [&'static str] = &["invitations"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut rows = load(conn, batch).await?;
        let mut ended = Vec::new();
        for recorded in batch {
            // Whom it was sent to stays sealed: it outlives the one who is erased.
            match recorded.stored() {
                Event::Invitation(event) => evolve(&mut rows, recorded, event)?,
                Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. }) => {
                    let workspace: Uuid = recorded.workspace_id.into();
                    rows.forget(|(of, _)| *of == workspace);
                    ended.push(workspace);
                }
                Event::Workspace(_)
                | Event::User(_)
                | Event::Membership(_)
                | Event::Session(_)
                | Event::ApiKey(_)
                | Event::WebhookEndpoint(_)
                | Event::Catalogue(_)
                | Event::Claim(_) => {}
            }
        }
        if !ended.is_empty() {
            sqlx::query!("delete from invitations where workspace_id = any($1)", &ended)
                .execute(&mut *conn)
                .await?;
        }
        write(conn, &rows).await
    }
}

type Key = (Uuid, Uuid);

struct Row {
    workspace_id: Uuid,
    invitation_id: Uuid,
    email: String,
    role: String,
    status: String,
    invited_by: Option<String>,
    accepted_by: Option<String>,
    expires_at: Time,
    generation: i32,
    notify: bool,
    sequence: i64,
    created_at: Time,
    updated_at: Time,
}

fn key(row: &Row) -> Key {
    (row.workspace_id, row.invitation_id)
}

/// The stream's id is the invitation's: only the first event repeats it.
fn id(recorded: &Recorded) -> Result<Key, sqlx::Error> {
    let invitation = recorded.aggregate_id.parse().map_err(|error| {
        let reason = format!("event {}: invitation id {}: {error}", recorded.position, recorded.aggregate_id);
        sqlx::Error::Decode(reason.into())
    })?;
    Ok((recorded.workspace_id.into(), invitation))
}

fn generation(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn evolve(
    rows: &mut Rows<Key, Row>,
    recorded: &Recorded,
    event: &InvitationEvent,
) -> Result<(), sqlx::Error> {
    use InvitationEvent as E;
    let id = id(recorded)?;
    let mut status = |status: &str| rows.change(&id, |row| status.clone_into(&mut row.status));
    match event {
        E::InvitationSent {
            email,
            role,
            invited_by,
            expires_at,
            generation: number,
            notify,
            created_at,
            ..
        } => {
            let row = Row {
                workspace_id: id.0,
                invitation_id: id.1,
                email: email.as_str().to_owned(),
                role: role.to_string(),
                status: "pending".to_owned(),
                invited_by: invited_by.as_ref().map(|user| user.as_str().to_owned()),
                accepted_by: None,
                expires_at: *expires_at,
                generation: generation(*number),
                notify: *notify,
                sequence: 0,
                created_at: *created_at,
                updated_at: recorded.recorded_at,
            };
            rows.put(id, row);
        }
        E::InvitationResent { generation: number, expires_at, notify, .. } => rows.change(&id, |row| {
            row.generation = generation(*number);
            row.expires_at = *expires_at;
            row.notify = *notify;
        }),
        E::InvitationAccepted { user_id } => rows.change(&id, |row| {
            "accepted".clone_into(&mut row.status);
            row.accepted_by = Some(user_id.as_str().to_owned());
        }),
        E::InvitationDeclined => status("declined"),
        E::InvitationRevoked => status("revoked"),
        E::InvitationRoleChanged { role } => rows.change(&id, |row| row.role = role.to.to_string()),
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
        if let Event::Invitation(event) = &recorded.event
            && !matches!(event, InvitationEvent::InvitationSent { .. })
        {
            keys.insert(id(recorded)?);
        }
    }
    if keys.is_empty() {
        return Ok(Rows::loaded([], key));
    }
    let (workspaces, invitations): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, invitation_id, email, role, status, invited_by, accepted_by, expires_at, generation,
                notify, sequence, created_at, updated_at
         from invitations
         where (workspace_id, invitation_id) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &workspaces,
        &invitations
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, key))
}

/// Whole rows, many at a time; `$and` says what becomes of those that are there already.
macro_rules! insert {
    ($conn:expr, $rows:expr, $and:literal) => {
        let rows: &[&_] = &$rows;
        if !rows.is_empty() {
            sqlx::query!(
                "insert into invitations (workspace_id, invitation_id, email, role, status, invited_by, accepted_by,
                                          expires_at, generation, notify, sequence, created_at, updated_at)
                 select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                                      $8::timestamptz[], $9::int[], $10::bool[], $11::bigint[], $12::timestamptz[],
                                      $13::timestamptz[])"
                    + $and,
                &column(rows, |row| row.workspace_id),
                &column(rows, |row| row.invitation_id),
                &column(rows, |row| row.email.as_str()) as _,
                &column(rows, |row| row.role.as_str()) as _,
                &column(rows, |row| row.status.as_str()) as _,
                &column(rows, |row| row.invited_by.as_deref()) as _,
                &column(rows, |row| row.accepted_by.as_deref()) as _,
                &column(rows, |row| row.expires_at),
                &column(rows, |row| row.generation),
                &column(rows, |row| row.notify),
                &column(rows, |row| row.sequence),
                &column(rows, |row| row.created_at),
                &column(rows, |row| row.updated_at)
            )
            .execute(&mut *$conn)
            .await?;
        }
    };
}

async fn write(conn: &mut PgConnection, rows: &Rows<Key, Row>) -> Result<(), sqlx::Error> {
    insert!(conn, rows.to_insert(), "");
    insert!(
        conn,
        rows.to_rewrite(),
        "
         on conflict (workspace_id, invitation_id) do update set
             email = excluded.email, role = excluded.role, status = excluded.status,
             invited_by = excluded.invited_by, accepted_by = excluded.accepted_by,
             expires_at = excluded.expires_at, generation = excluded.generation, notify = excluded.notify,
             sequence = excluded.sequence, created_at = excluded.created_at, updated_at = excluded.updated_at"
    );
    Ok(())
}
