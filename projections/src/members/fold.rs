//! How events become members.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::membership::MembershipEvent;
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::values::Email;
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_aggregates::{Role, Time, UserId, WorkspaceId};
use uuid::Uuid;

use crate::projection::Projection;
use crate::recorded::{Event, Recorded, member};
use crate::rows::{Rows, column};

/// The projection `members`.
#[derive(Debug)]
pub struct Members;

impl Projection for Members {
    const NAME: &'static str = "members";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["members", "member_profiles"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut fold = Fold::load(conn, batch).await?;
        for recorded in batch {
            fold.event(recorded);
        }
        fold.write(conn).await
    }
}

type Key = (Uuid, String);

struct Fold {
    members: Rows<Key, Row>,
    /// By personal workspace. Those that changed reach every membership of their user after the batch.
    profiles: Rows<Uuid, Profile>,
    ended_workspaces: Vec<Uuid>,
}

struct Row {
    workspace_id: Uuid,
    user_id: String,
    recorded_role: String,
    is_owner: bool,
    deactivated: bool,
    email: Option<String>,
    name: Option<String>,
    joined_at: Time,
    expires_at: Option<Time>,
    sequence: i64,
    updated_at: Time,
}

struct Profile {
    workspace_id: Uuid,
    /// Known while its events speak; memberships are found by it.
    user_id: Option<String>,
    email: Option<String>,
    name: Option<String>,
}

/// The role that counts: the owner's is owner, and a recorded `owner` of anybody else is worth an admin's.
pub(crate) fn effective_role(recorded: &str, is_owner: bool) -> &str {
    match (is_owner, recorded) {
        (true, _) => Role::Owner.as_str(),
        (false, "owner") => Role::Owner.unowned().as_str(),
        (false, other) => other,
    }
}

fn personal(user: &UserId) -> Uuid {
    WorkspaceId::personal(user).into()
}

fn key(workspace: WorkspaceId, user: &UserId) -> Key {
    (workspace.into(), user.as_str().to_owned())
}

impl Fold {
    async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Self, sqlx::Error> {
        let (mut members, mut profiles) = (BTreeSet::new(), BTreeSet::new());
        for recorded in batch {
            match &recorded.event {
                Event::Membership(event) => {
                    members.insert(key(recorded.workspace_id, member(event)));
                    if let MembershipEvent::MembershipStarted { user_id, .. } = event {
                        profiles.insert(personal(user_id));
                    }
                }
                Event::Workspace(WorkspaceEvent::WorkspaceOwnershipTransferred { owner_id }) => {
                    members.insert(key(recorded.workspace_id, &owner_id.from));
                    members.insert(key(recorded.workspace_id, &owner_id.to));
                }
                Event::User(_) => {
                    profiles.insert(recorded.workspace_id.into());
                }
                Event::Workspace(_) | Event::Invitation(_) | Event::Claim(_) => {}
            }
        }
        Ok(Self {
            members: load_members(conn, members).await?,
            profiles: load_profiles(conn, profiles).await?,
            ended_workspaces: Vec::new(),
        })
    }

    fn event(&mut self, recorded: &Recorded) {
        match &recorded.event {
            Event::Membership(event) => self.membership(recorded, event),
            Event::User(event) => self.user(recorded.workspace_id.into(), event),
            Event::Workspace(WorkspaceEvent::WorkspaceOwnershipTransferred { owner_id }) => {
                self.members.change(&key(recorded.workspace_id, &owner_id.from), |row| row.is_owner = false);
                self.members.change(&key(recorded.workspace_id, &owner_id.to), |row| row.is_owner = true);
            }
            Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. }) => {
                let workspace: Uuid = recorded.workspace_id.into();
                self.members.forget(|(of, _)| *of == workspace);
                self.ended_workspaces.push(workspace);
            }
            Event::Workspace(_) | Event::Invitation(_) | Event::Claim(_) => {}
        }
    }

    fn membership(&mut self, recorded: &Recorded, event: &MembershipEvent) {
        use MembershipEvent as E;
        let key = key(recorded.workspace_id, member(event));
        match event {
            E::MembershipStarted { user_id, role, expires_at, joined_at, .. } => {
                let profile = self.profiles.get(&personal(user_id));
                let row = Row {
                    workspace_id: key.0,
                    user_id: key.1.clone(),
                    recorded_role: role.to_string(),
                    is_owner: *role == Role::Owner,
                    deactivated: false,
                    email: profile.and_then(|profile| profile.email.clone()),
                    name: profile.and_then(|profile| profile.name.clone()),
                    joined_at: *joined_at,
                    expires_at: *expires_at,
                    sequence: 0,
                    updated_at: recorded.recorded_at,
                };
                self.members.put(key.clone(), row);
            }
            E::MembershipRoleChanged { role, .. } => {
                self.members.change(&key, |row| row.recorded_role = role.to.to_string());
            }
            E::MembershipExpiryChanged { expires_at, .. } => {
                self.members.change(&key, |row| row.expires_at = expires_at.to);
            }
            E::MembershipDeactivated { .. } => self.members.change(&key, |row| row.deactivated = true),
            E::MembershipReactivated { .. } => self.members.change(&key, |row| row.deactivated = false),
            E::MembershipEnded { .. } => self.members.remove(&key),
        }
        self.members.change(&key, |row| {
            row.sequence = recorded.sequence;
            row.updated_at = recorded.recorded_at;
        });
    }

    fn user(&mut self, workspace_id: Uuid, event: &UserEvent) {
        let text = |email: &Option<Email>| email.as_ref().map(|email| email.as_str().to_owned());
        match event {
            UserEvent::UserProvisioned { user_id, email, name, .. } => {
                let user_id = Some(user_id.as_str().to_owned());
                let profile = Profile { workspace_id, user_id, email: text(email), name: name.clone() };
                self.profiles.put(workspace_id, profile);
            }
            UserEvent::UserProfileChanged { user_id, email, name, .. } => {
                self.profiles.change(&workspace_id, |profile| {
                    profile.user_id = Some(user_id.as_str().to_owned());
                    if let Some(email) = email {
                        profile.email = text(&email.to);
                    }
                    if let Some(name) = name {
                        profile.name.clone_from(&name.to);
                    }
                });
            }
            UserEvent::UserErased { user_id } => self.profiles.change(&workspace_id, |profile| {
                let user_id = Some(user_id.as_str().to_owned());
                *profile = Profile { workspace_id, user_id, email: None, name: None };
            }),
            UserEvent::UserErasureStarted { .. } | UserEvent::UserErasureWithdrawn { .. } => {}
        }
    }

    async fn write(self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.ended_workspaces.is_empty() {
            sqlx::query!("delete from members where workspace_id = any($1)", &self.ended_workspaces)
                .execute(&mut *conn)
                .await?;
        }
        delete_members(conn, &self.members.to_delete()).await?;
        upsert_members(conn, &self.members.to_write()).await?;
        write_profiles(conn, &self.profiles.to_write()).await
    }
}

async fn load_members(conn: &mut PgConnection, keys: BTreeSet<Key>) -> Result<Rows<Key, Row>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Rows::loaded([], row_key));
    }
    let (workspaces, users): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, user_id, recorded_role, is_owner, deactivated, email, name, joined_at, expires_at,
                sequence, updated_at
         from members where (workspace_id, user_id) in (select * from unnest($1::uuid[], $2::text[]))",
        &workspaces,
        &users
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, row_key))
}

fn row_key(row: &Row) -> Key {
    (row.workspace_id, row.user_id.clone())
}

async fn load_profiles(
    conn: &mut PgConnection,
    keys: BTreeSet<Uuid>,
) -> Result<Rows<Uuid, Profile>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Rows::loaded([], |profile: &Profile| profile.workspace_id));
    }
    let keys: Vec<Uuid> = keys.into_iter().collect();
    let rows = sqlx::query_as!(
        Profile,
        r#"select workspace_id, null as "user_id: String", email, name
           from member_profiles where workspace_id = any($1)"#,
        &keys
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, |profile| profile.workspace_id))
}

async fn delete_members(conn: &mut PgConnection, keys: &[&Key]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from members where (workspace_id, user_id) in (select * from unnest($1::uuid[], $2::text[]))",
        &column(keys, |(workspace, _)| *workspace),
        &column(keys, |(_, user)| user.as_str()) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn upsert_members(conn: &mut PgConnection, rows: &[&Row]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into members (workspace_id, user_id, role, recorded_role, is_owner, deactivated, email, name,
                              joined_at, expires_at, sequence, updated_at)
         select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bool[], $7::text[],
                              $8::text[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::timestamptz[])
         on conflict (workspace_id, user_id) do update set
             role = excluded.role, recorded_role = excluded.recorded_role, is_owner = excluded.is_owner,
             deactivated = excluded.deactivated, email = excluded.email, name = excluded.name,
             joined_at = excluded.joined_at, expires_at = excluded.expires_at, sequence = excluded.sequence,
             updated_at = excluded.updated_at",
        &column(rows, |row| row.workspace_id),
        &column(rows, |row| row.user_id.as_str()) as _,
        &column(rows, |row| effective_role(&row.recorded_role, row.is_owner)) as _,
        &column(rows, |row| row.recorded_role.as_str()) as _,
        &column(rows, |row| row.is_owner),
        &column(rows, |row| row.deactivated),
        &column(rows, |row| row.email.as_deref()) as _,
        &column(rows, |row| row.name.as_deref()) as _,
        &column(rows, |row| row.joined_at),
        &column(rows, |row| row.expires_at) as _,
        &column(rows, |row| row.sequence),
        &column(rows, |row| row.updated_at)
    )
    .execute(conn)
    .await?;
    Ok(())
}

async fn write_profiles(conn: &mut PgConnection, rows: &[&Profile]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let email = column(rows, |row| row.email.as_deref());
    let name = column(rows, |row| row.name.as_deref());
    sqlx::query!(
        "insert into member_profiles (workspace_id, email, name)
         select * from unnest($1::uuid[], $2::text[], $3::text[])
         on conflict (workspace_id) do update set email = excluded.email, name = excluded.name",
        &column(rows, |row| row.workspace_id),
        &email as _,
        &name as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update members m set email = p.email, name = p.name
         from unnest($1::text[], $2::text[], $3::text[]) p (user_id, email, name)
         where m.user_id = p.user_id and (m.email, m.name) is distinct from (p.email, p.name)",
        &column(rows, |row| row.user_id.as_deref()) as _,
        &email as _,
        &name as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
