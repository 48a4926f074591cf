//! How events become members.

mod write;

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
use crate::rows::Rows;
use write::{delete_members, load_members, load_profiles, write_members, write_profiles};

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
        (true, _) => "owner",
        (false, "owner") => "admin",
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
                // Who joins has no row: a membership that was there before ended first.
                Event::Membership(MembershipEvent::MembershipStarted { user_id, .. }) => {
                    profiles.insert(personal(user_id));
                }
                Event::Membership(event) => {
                    members.insert(key(recorded.workspace_id, member(event)));
                }
                Event::Workspace(WorkspaceEvent::WorkspaceOwnershipTransferred { owner_id }) => {
                    members.insert(key(recorded.workspace_id, &owner_id.from));
                    members.insert(key(recorded.workspace_id, &owner_id.to));
                }
                Event::User(_) => {
                    profiles.insert(recorded.workspace_id.into());
                }
                Event::Workspace(_)
                | Event::Invitation(_)
                | Event::Session(_)
                | Event::ApiKey(_)
                | Event::WebhookEndpoint(_)
                | Event::Catalogue(_)
                | Event::Claim(_) => {}
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
            Event::Workspace(_)
            | Event::Invitation(_)
            | Event::Session(_)
            | Event::ApiKey(_)
            | Event::WebhookEndpoint(_)
            | Event::Catalogue(_)
            | Event::Claim(_) => {}
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
        write_members(conn, &self.members).await?;
        write_profiles(conn, &self.profiles.to_write()).await
    }
}
