//! How events become workspaces.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::PgConnection;
use sqlx::types::Json;
use tenure_aggregates::Time;
use tenure_aggregates::membership::{Entrance, MembershipEvent};
use tenure_aggregates::workspace::{
    CustomRole, DEFAULT_PLAN, Kind, Profile, ProfileChange, RoleChange, Social, WorkspaceEvent,
};
use uuid::Uuid;

use super::{Roles, Workspace};
use crate::newborn::newborn;
use crate::projection::Projection;
use crate::recorded::{Event, Recorded, member};
use crate::rows::{Rows, column};

/// The projection `workspaces`.
#[derive(Debug)]
pub struct Workspaces;

impl Projection for Workspaces {
    const NAME: &'static str = "workspaces";
    const VERSION: i32 = 2;
    const TABLES: &'static [&'static str] = &["workspaces", "deactivated_members"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut fold = Fold::load(conn, batch).await?;
        for recorded in batch {
            match &recorded.event {
                Event::Workspace(event) => fold.workspace(recorded, event),
                Event::Membership(event) => fold.membership(recorded, event),
                Event::User(_)
                | Event::Invitation(_)
                | Event::Session(_)
                | Event::ApiKey(_)
                | Event::WebhookEndpoint(_)
                | Event::Catalogue(_)
                | Event::Claim(_) => {}
            }
        }
        fold.write(conn).await
    }
}

/// A deactivated member, who takes no seat.
type Idle = (Uuid, String);

struct Fold {
    workspaces: Rows<Uuid, Workspace>,
    idle: Rows<Idle, Idle>,
    ended: Vec<Uuid>,
}

impl Fold {
    async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Self, sqlx::Error> {
        use MembershipEvent as E;
        let (mut workspaces, mut idle) = (BTreeSet::new(), BTreeSet::new());
        let newborn = newborn(batch);
        for recorded in batch {
            let id: Uuid = recorded.workspace_id.into();
            match &recorded.event {
                Event::Workspace(WorkspaceEvent::WorkspaceCreated { .. })
                | Event::User(_)
                | Event::Invitation(_)
                | Event::Session(_)
                | Event::ApiKey(_)
                | Event::WebhookEndpoint(_)
                | Event::Catalogue(_)
                | Event::Claim(_)
                | Event::Membership(E::MembershipRoleChanged { .. } | E::MembershipExpiryChanged { .. }) => {}
                _ if newborn.contains(&recorded.workspace_id) => {}
                Event::Workspace(_) | Event::Membership(E::MembershipStarted { .. }) => {
                    workspaces.insert(id);
                }
                Event::Membership(event) => {
                    workspaces.insert(id);
                    idle.insert((id, member(event).as_str().to_owned()));
                }
            }
        }
        Ok(Self {
            workspaces: load_workspaces(conn, workspaces).await?,
            idle: load_idle(conn, idle).await?,
            ended: Vec::new(),
        })
    }

    fn workspace(&mut self, recorded: &Recorded, event: &WorkspaceEvent) {
        use WorkspaceEvent as E;
        let id: Uuid = recorded.workspace_id.into();
        match event {
            E::WorkspaceCreated { kind, owner_id, profile, seats_limit, created_at } => {
                let row = created(id, *kind, owner_id.as_str(), profile, *seats_limit, *created_at);
                self.workspaces.put(id, row);
            }
            E::WorkspaceDeleted { .. } => {
                self.workspaces.remove(&id);
                self.idle.forget(|(workspace, _)| *workspace == id);
                self.ended.push(id);
            }
            _ => {}
        }
        self.workspaces.change(&id, |row| {
            row.evolve(event, recorded.recorded_at);
            row.sequence = recorded.sequence;
            row.updated_at = recorded.recorded_at;
        });
    }

    fn membership(&mut self, recorded: &Recorded, event: &MembershipEvent) {
        use MembershipEvent as E;
        let id: Uuid = recorded.workspace_id.into();
        if self.workspaces.get(&id).is_none() {
            return;
        }
        let idle = (id, member(event).as_str().to_owned());
        let seats = match event {
            E::MembershipStarted { through, .. } => {
                if let Entrance::InviteCode { generation } = through {
                    self.workspaces.change(&id, |row| row.redeemed(*generation));
                }
                1
            }
            E::MembershipDeactivated { .. } => {
                self.idle.put(idle.clone(), idle);
                -1
            }
            E::MembershipReactivated { .. } => {
                self.idle.remove(&idle);
                1
            }
            E::MembershipEnded { .. } => {
                let was_idle = self.idle.get(&idle).is_some();
                self.idle.remove(&idle);
                if was_idle { 0 } else { -1 }
            }
            E::MembershipRoleChanged { .. } | E::MembershipExpiryChanged { .. } => 0,
        };
        if seats != 0 {
            self.workspaces.change(&id, |row| row.seats_used += seats);
        }
    }

    async fn write(self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.ended.is_empty() {
            sqlx::query!("delete from workspaces where workspace_id = any($1)", &self.ended)
                .execute(&mut *conn)
                .await?;
            sqlx::query!("delete from deactivated_members where workspace_id = any($1)", &self.ended)
                .execute(&mut *conn)
                .await?;
        }
        super::write::write(conn, &self.workspaces).await?;
        write_idle(conn, &self.idle.to_delete(), &self.idle.to_write()).await
    }
}

/// A count as the table keeps it.
fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn social(links: &Social) -> Value {
    serde_json::to_value(links).unwrap_or_default()
}

fn created(id: Uuid, kind: Kind, owner: &str, of: &Profile, seats: u32, created_at: Time) -> Workspace {
    let kind: &'static str = kind.into();
    Workspace {
        workspace_id: id,
        kind: kind.to_owned(),
        name: of.name.clone(),
        slug: of.slug.as_ref().map(|slug| slug.as_str().to_owned()),
        description: of.description.clone(),
        image_url: of.image_url.clone(),
        website: of.website.clone(),
        phone: of.phone.clone(),
        social: social(&of.social),
        owner_id: owner.to_owned(),
        suspended_since: None,
        suspension_reason: None,
        archived: false,
        plan: DEFAULT_PLAN.to_owned(),
        roles: Json(Roles::new()),
        seats_used: 0,
        seats_limit: count(seats),
        code_generation: None,
        code_role: None,
        code_max_uses: None,
        code_uses: 0,
        code_expires_at: None,
        code_issued_at: None,
        sequence: 0,
        created_at,
        updated_at: created_at,
    }
}

impl Workspace {
    fn evolve(&mut self, event: &WorkspaceEvent, recorded_at: Time) {
        use WorkspaceEvent as E;
        match event {
            E::WorkspaceProfileChanged(change) => self.change_profile(change),
            E::WorkspaceSeatsLimitChanged { seats_limit } => self.seats_limit = count(seats_limit.to),
            E::WorkspacePlanChanged { plan } => self.plan.clone_from(&plan.to),
            E::WorkspaceOwnershipTransferred { owner_id } => {
                owner_id.to.as_str().clone_into(&mut self.owner_id);
            }
            E::WorkspaceSuspended { reason, since } => {
                self.suspended_since = Some(*since);
                self.suspension_reason.clone_from(reason);
            }
            E::WorkspaceResumed { .. } => {
                self.suspended_since = None;
                self.suspension_reason = None;
            }
            E::WorkspaceArchived => self.archived = true,
            E::WorkspaceRestored => self.archived = false,
            E::InviteCodeIssued { generation, role, max_uses, expires_at, .. } => {
                self.code_generation = Some(count(*generation));
                self.code_role = Some(role.to_string());
                self.code_max_uses = max_uses.map(count);
                self.code_uses = 0;
                self.code_expires_at = *expires_at;
                self.code_issued_at = Some(recorded_at);
            }
            E::InviteCodeDisabled { .. } => {
                (self.code_generation, self.code_role, self.code_max_uses) = (None, None, None);
                (self.code_uses, self.code_expires_at, self.code_issued_at) = (0, None, None);
            }
            E::RoleDefined { role, definition } => {
                self.roles.0.insert(role.as_str().to_owned(), definition.clone());
            }
            E::RoleChanged { role, change } => {
                if let Some(held) = self.roles.0.get_mut(role.as_str()) {
                    change_role(held, change);
                }
            }
            E::RoleDeleted { role, replacement } => {
                self.roles.0.remove(role.as_str());
                if self.code_role.as_deref() == Some(role.as_str())
                    && let Some(replacement) = replacement
                {
                    self.code_role = Some(replacement.to_string());
                }
            }
            E::WorkspaceCreated { .. } | E::WorkspaceDeleted { .. } => {}
        }
    }

    fn change_profile(&mut self, change: &ProfileChange) {
        if let Some(name) = &change.name {
            self.name.clone_from(&name.to);
        }
        if let Some(slug) = &change.slug {
            self.slug = slug.to.as_ref().map(|slug| slug.as_str().to_owned());
        }
        let texts = [
            (&mut self.description, &change.description),
            (&mut self.image_url, &change.image_url),
            (&mut self.website, &change.website),
            (&mut self.phone, &change.phone),
        ];
        for (text, change) in texts {
            if let Some(change) = change {
                text.clone_from(&change.to);
            }
        }
        if let Some(links) = &change.social {
            self.social = social(&links.to);
        }
    }

    fn redeemed(&mut self, generation: u32) {
        if self.code_generation == Some(count(generation)) {
            self.code_uses += 1;
        }
    }
}

fn change_role(role: &mut CustomRole, change: &RoleChange) {
    if let Some(description) = &change.description {
        role.description.clone_from(&description.to);
    }
    if let Some(permissions) = &change.permissions {
        role.permissions.clone_from(&permissions.to);
    }
}

async fn load_workspaces(
    conn: &mut PgConnection,
    ids: BTreeSet<Uuid>,
) -> Result<Rows<Uuid, Workspace>, sqlx::Error> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let rows = if ids.is_empty() { vec![] } else { super::write::load(conn, &ids).await? };
    Ok(Rows::loaded(rows, |row| row.workspace_id))
}

async fn load_idle(conn: &mut PgConnection, keys: BTreeSet<Idle>) -> Result<Rows<Idle, Idle>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Rows::loaded([], Idle::clone));
    }
    let (workspaces, users): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query!(
        "select workspace_id, user_id from deactivated_members
         where (workspace_id, user_id) in (select * from unnest($1::uuid[], $2::text[]))",
        &workspaces,
        &users
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows.into_iter().map(|row| (row.workspace_id, row.user_id)), Idle::clone))
}

async fn write_idle(conn: &mut PgConnection, gone: &[&Idle], new: &[&Idle]) -> Result<(), sqlx::Error> {
    if !gone.is_empty() {
        sqlx::query!(
            "delete from deactivated_members
             where (workspace_id, user_id) in (select * from unnest($1::uuid[], $2::text[]))",
            &column(gone, |(workspace, _)| *workspace),
            &column(gone, |(_, user)| user.as_str()) as _
        )
        .execute(&mut *conn)
        .await?;
    }
    if !new.is_empty() {
        sqlx::query!(
            "insert into deactivated_members (workspace_id, user_id) select * from unnest($1::uuid[], $2::text[])
             on conflict (workspace_id, user_id) do nothing",
            &column(new, |(workspace, _)| *workspace),
            &column(new, |(_, user)| user.as_str()) as _
        )
        .execute(conn)
        .await?;
    }
    Ok(())
}
