//! How events become users; the switcher's part is in [`super::switcher`].

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::session::SessionEvent;
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::values::Email;
use tenure_aggregates::{Time, WorkspaceId};
use uuid::Uuid;

use super::User;
use super::switcher::Switcher;
use crate::projection::Projection;
use crate::recorded::{Event, Recorded};
use crate::rows::{Rows, column};

/// The projection `users`.
#[derive(Debug)]
pub struct Users;

impl Projection for Users {
    const NAME: &'static str = "users";
    const VERSION: i32 = 2;
    const TABLES: &'static [&'static str] = &["users", "user_workspaces", "workspace_labels"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut users = load(conn, batch).await?;
        let mut switcher = Switcher::load(conn, batch).await?;
        for recorded in batch {
            match &recorded.event {
                Event::User(event) => evolve(&mut users, recorded, event),
                Event::Workspace(event) => switcher.workspace(recorded.workspace_id, event),
                Event::Membership(event) => switcher.membership(recorded.workspace_id, event),
                Event::Session(event) => {
                    if let Some((workspace, at)) = entered(event) {
                        let home = recorded.workspace_id;
                        users.change(&home.into(), |row| row.last_workspace_id = Some(workspace.0));
                        switcher.entered(home, workspace, at);
                    }
                }
                Event::Invitation(_)
                | Event::ApiKey(_)
                | Event::WebhookEndpoint(_)
                | Event::Catalogue(_)
                | Event::Claim(_) => {}
            }
        }
        write(conn, &users).await?;
        switcher.write(conn).await
    }
}

/// The workspace a session went to, and when.
pub(crate) fn entered(event: &SessionEvent) -> Option<(WorkspaceId, Time)> {
    match event {
        SessionEvent::SessionStarted { workspace_id, started_at, .. } => Some((*workspace_id, *started_at)),
        SessionEvent::SessionSwitched { workspace_id, switched_at, .. } => {
            Some((workspace_id.to, *switched_at))
        }
        SessionEvent::SessionEnded { .. } => None,
    }
}

fn text(email: Option<&Email>) -> Option<String> {
    email.map(|email| email.as_str().to_owned())
}

fn evolve(users: &mut Rows<Uuid, User>, recorded: &Recorded, event: &UserEvent) {
    let id: Uuid = recorded.workspace_id.into();
    match event {
        UserEvent::UserProvisioned { user_id, email, email_verified, name, created_at } => {
            let row = User {
                workspace_id: id,
                user_id: user_id.as_str().to_owned(),
                email: text(email.as_ref()),
                email_verified: *email_verified,
                name: name.clone(),
                status: "active".to_owned(),
                last_workspace_id: None,
                sequence: 0,
                created_at: *created_at,
                updated_at: recorded.recorded_at,
            };
            users.put(id, row);
        }
        UserEvent::UserProfileChanged { email, email_verified, name, .. } => users.change(&id, |row| {
            if let Some(email) = email {
                row.email = text(email.to.as_ref());
            }
            if let Some(verified) = email_verified {
                row.email_verified = verified.to;
            }
            if let Some(name) = name {
                row.name.clone_from(&name.to);
            }
        }),
        UserEvent::UserErasureStarted { .. } => {
            users.change(&id, |row| "erasing".clone_into(&mut row.status));
        }
        UserEvent::UserErasureWithdrawn { .. } => {
            users.change(&id, |row| "active".clone_into(&mut row.status));
        }
        UserEvent::UserErased { .. } => users.change(&id, |row| {
            "erased".clone_into(&mut row.status);
            (row.email, row.email_verified, row.name) = (None, false, None);
        }),
    }
    users.change(&id, |row| {
        row.sequence = recorded.sequence;
        row.updated_at = recorded.recorded_at;
    });
}

async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Rows<Uuid, User>, sqlx::Error> {
    // What begins with its first event needs no row.
    let of = |recorded: &Recorded| match &recorded.event {
        Event::User(UserEvent::UserProvisioned { .. }) => None,
        Event::User(_) | Event::Session(_) => Some(Uuid::from(recorded.workspace_id)),
        _ => None,
    };
    let ids: Vec<Uuid> = batch.iter().filter_map(of).collect::<BTreeSet<_>>().into_iter().collect();
    let key = |row: &User| row.workspace_id;
    if ids.is_empty() {
        return Ok(Rows::loaded([], key));
    }
    let rows = sqlx::query_as!(
        User,
        "select workspace_id, user_id, email, email_verified, name, status, last_workspace_id, sequence, created_at,
                updated_at
         from users where workspace_id = any($1)",
        &ids
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
                "insert into users (workspace_id, user_id, email, email_verified, name, status, last_workspace_id,
                                    sequence, created_at, updated_at)
                 select * from unnest($1::uuid[], $2::text[], $3::text[], $4::bool[], $5::text[], $6::text[], $7::uuid[],
                                      $8::bigint[], $9::timestamptz[], $10::timestamptz[])"
                    + $and,
                &column(rows, |row| row.workspace_id),
                &column(rows, |row| row.user_id.as_str()) as _,
                &column(rows, |row| row.email.as_deref()) as _,
                &column(rows, |row| row.email_verified),
                &column(rows, |row| row.name.as_deref()) as _,
                &column(rows, |row| row.status.as_str()) as _,
                &column(rows, |row| row.last_workspace_id) as _,
                &column(rows, |row| row.sequence),
                &column(rows, |row| row.created_at),
                &column(rows, |row| row.updated_at)
            )
            .execute(&mut *$conn)
            .await?;
        }
    };
}

async fn write(conn: &mut PgConnection, rows: &Rows<Uuid, User>) -> Result<(), sqlx::Error> {
    insert!(conn, rows.to_insert(), "");
    insert!(
        conn,
        rows.to_rewrite(),
        "
         on conflict (workspace_id) do update set
             user_id = excluded.user_id, email = excluded.email, email_verified = excluded.email_verified,
             name = excluded.name, status = excluded.status,
             last_workspace_id = excluded.last_workspace_id, sequence = excluded.sequence,
             created_at = excluded.created_at, updated_at = excluded.updated_at"
    );
    Ok(())
}
