//! How events become the switcher: one line per membership, in its user's personal workspace.

mod write;

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::membership::MembershipEvent;
use tenure_aggregates::workspace::{DEFAULT_PLAN, WorkspaceEvent};
use tenure_aggregates::{Role, Time, UserId, WorkspaceId};
use uuid::Uuid;

use super::fold::entered;
use crate::members::effective_role;
use crate::newborn::newborn;
use crate::recorded::{Event, Recorded, member};
use crate::rows::{Rows, column};
use write::{delete_lines, load_labels, load_lines, spread_labels, write_labels};

/// The personal workspace the line stands in, and the workspace it leads to.
type Key = (Uuid, Uuid);

pub(super) struct Switcher {
    lines: Rows<Key, Line>,
    /// What lines copy of their workspace. Labels that changed reach every line after the batch.
    labels: Rows<Uuid, Label>,
    ended: Vec<Uuid>,
}

struct Line {
    workspace_id: Uuid,
    member_of: Uuid,
    recorded_role: String,
    is_owner: bool,
    deactivated: bool,
    joined_at: Time,
    expires_at: Option<Time>,
    last_used_at: Option<Time>,
}

#[derive(Clone)]
struct Label {
    workspace_id: Uuid,
    kind: String,
    name: String,
    slug: Option<String>,
    suspended: bool,
    archived: bool,
    plan: String,
}

fn line_key(line: &Line) -> Key {
    (line.workspace_id, line.member_of)
}

fn label_key(label: &Label) -> Uuid {
    label.workspace_id
}

fn key(workspace: WorkspaceId, user: &UserId) -> Key {
    (WorkspaceId::personal(user).into(), workspace.into())
}

impl Switcher {
    pub(super) async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Self, sqlx::Error> {
        let (mut lines, mut labels) = (BTreeSet::new(), BTreeSet::new());
        let newborn = newborn(batch);
        for recorded in batch {
            let workspace = recorded.workspace_id;
            match &recorded.event {
                Event::Membership(MembershipEvent::MembershipStarted { .. })
                | Event::Workspace(
                    WorkspaceEvent::WorkspaceProfileChanged(_)
                    | WorkspaceEvent::WorkspacePlanChanged { .. }
                    | WorkspaceEvent::WorkspaceSuspended { .. }
                    | WorkspaceEvent::WorkspaceResumed { .. }
                    | WorkspaceEvent::WorkspaceArchived
                    | WorkspaceEvent::WorkspaceRestored,
                ) => {
                    if !newborn.contains(&workspace) {
                        labels.insert(workspace.into());
                    }
                }
                Event::Membership(event) => {
                    lines.insert(key(workspace, member(event)));
                }
                Event::Workspace(WorkspaceEvent::WorkspaceOwnershipTransferred { owner_id }) => {
                    lines.extend([key(workspace, &owner_id.from), key(workspace, &owner_id.to)]);
                }
                Event::Session(event) => {
                    lines.extend(entered(event).map(|(to, _)| (workspace.into(), to.into())));
                }
                Event::Workspace(_)
                | Event::User(_)
                | Event::Invitation(_)
                | Event::ApiKey(_)
                | Event::WebhookEndpoint(_)
                | Event::Catalogue(_)
                | Event::Claim(_) => {}
            }
        }
        Ok(Self {
            lines: load_lines(conn, lines).await?,
            labels: load_labels(conn, labels).await?,
            ended: vec![],
        })
    }

    pub(super) fn workspace(&mut self, workspace: WorkspaceId, event: &WorkspaceEvent) {
        use WorkspaceEvent as E;
        let id: Uuid = workspace.into();
        match event {
            E::WorkspaceCreated { kind, profile, .. } => {
                let kind: &'static str = (*kind).into();
                let label = Label {
                    workspace_id: id,
                    kind: kind.to_owned(),
                    name: profile.name.clone(),
                    slug: profile.slug.as_ref().map(|slug| slug.as_str().to_owned()),
                    suspended: false,
                    archived: false,
                    plan: DEFAULT_PLAN.to_owned(),
                };
                self.labels.put(id, label);
            }
            E::WorkspaceProfileChanged(change) if change.name.is_some() || change.slug.is_some() => {
                self.labels.change(&id, |label| {
                    if let Some(name) = &change.name {
                        label.name.clone_from(&name.to);
                    }
                    if let Some(slug) = &change.slug {
                        label.slug = slug.to.as_ref().map(|slug| slug.as_str().to_owned());
                    }
                });
            }
            E::WorkspaceSuspended { .. } => self.labels.change(&id, |label| label.suspended = true),
            E::WorkspaceResumed { .. } => self.labels.change(&id, |label| label.suspended = false),
            E::WorkspacePlanChanged { plan } => {
                self.labels.change(&id, |label| label.plan.clone_from(&plan.to));
            }
            E::WorkspaceArchived => self.labels.change(&id, |label| label.archived = true),
            E::WorkspaceRestored => self.labels.change(&id, |label| label.archived = false),
            E::WorkspaceOwnershipTransferred { owner_id } => {
                self.lines.change(&key(workspace, &owner_id.from), |line| line.is_owner = false);
                self.lines.change(&key(workspace, &owner_id.to), |line| line.is_owner = true);
            }
            E::WorkspaceDeleted { .. } => {
                self.lines.forget(|(personal, member_of)| *personal == id || *member_of == id);
                self.labels.forget(|label| *label == id);
                self.ended.push(id);
            }
            E::WorkspaceProfileChanged(_)
            | E::WorkspaceSeatsLimitChanged { .. }
            | E::InviteCodeIssued { .. }
            | E::InviteCodeDisabled { .. }
            | E::RoleDefined { .. }
            | E::RoleChanged { .. }
            | E::RoleDeleted { .. } => {}
        }
    }

    pub(super) fn membership(&mut self, workspace: WorkspaceId, event: &MembershipEvent) {
        use MembershipEvent as E;
        let key = key(workspace, member(event));
        match event {
            E::MembershipStarted { role, expires_at, joined_at, .. } => {
                let line = Line {
                    workspace_id: key.0,
                    member_of: key.1,
                    recorded_role: role.to_string(),
                    is_owner: *role == Role::Owner,
                    deactivated: false,
                    joined_at: *joined_at,
                    expires_at: *expires_at,
                    last_used_at: None,
                };
                self.lines.put(key, line);
            }
            E::MembershipRoleChanged { role, .. } => {
                self.lines.change(&key, |line| line.recorded_role = role.to.to_string());
            }
            E::MembershipExpiryChanged { expires_at, .. } => {
                self.lines.change(&key, |line| line.expires_at = expires_at.to);
            }
            E::MembershipDeactivated { .. } => self.lines.change(&key, |line| line.deactivated = true),
            E::MembershipReactivated { .. } => self.lines.change(&key, |line| line.deactivated = false),
            E::MembershipEnded { .. } => self.lines.remove(&key),
        }
    }

    /// A session of the user of `personal` went to `workspace`.
    pub(super) fn entered(&mut self, personal: WorkspaceId, workspace: WorkspaceId, at: Time) {
        let key = (personal.into(), workspace.into());
        self.lines.change(&key, |line| line.last_used_at = Some(at));
    }

    pub(super) async fn write(self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.ended.is_empty() {
            sqlx::query!(
                "delete from user_workspaces where workspace_id = any($1) or member_of = any($1)",
                &self.ended
            )
            .execute(&mut *conn)
            .await?;
            sqlx::query!("delete from workspace_labels where workspace_id = any($1)", &self.ended)
                .execute(&mut *conn)
                .await?;
        }
        delete_lines(conn, &self.lines.to_delete()).await?;
        self.write_lines(conn).await?;
        write_labels(conn, &self.labels).await?;
        spread_labels(conn, &self.labels.to_rewrite()).await
    }

    /// A line is born with its workspace's label as it is after the batch; later labels come by [`spread_labels`].
    async fn write_lines(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        let label = |line: &Line| self.labels.get(&line.member_of);
        macro_rules! insert {
            ($lines:expr, $and:literal) => {
                let lines: &[&Line] = &$lines;
                if !lines.is_empty() {
                    sqlx::query!(
                    "insert into user_workspaces (workspace_id, member_of, kind, name, slug, suspended, archived, plan,
                                                  role, recorded_role, is_owner, deactivated, joined_at, expires_at,
                                                  last_used_at)
                     select * from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bool[],
                                          $7::bool[], $8::text[], $9::text[], $10::text[], $11::bool[], $12::bool[],
                                          $13::timestamptz[], $14::timestamptz[], $15::timestamptz[])"
                            + $and,
                    &column(lines, |line| line.workspace_id),
                    &column(lines, |line| line.member_of),
                    &column(lines, |line| label(line).map_or("team", |label| label.kind.as_str())) as _,
                    &column(lines, |line| label(line).map_or("", |label| label.name.as_str())) as _,
                    &column(lines, |line| label(line).and_then(|label| label.slug.as_deref())) as _,
                    &column(lines, |line| label(line).is_some_and(|label| label.suspended)),
                    &column(lines, |line| label(line).is_some_and(|label| label.archived)),
                    &column(lines, |line| label(line).map_or(DEFAULT_PLAN, |label| label.plan.as_str())) as _,
                    &column(lines, |line| effective_role(&line.recorded_role, line.is_owner)) as _,
                    &column(lines, |line| line.recorded_role.as_str()) as _,
                    &column(lines, |line| line.is_owner),
                    &column(lines, |line| line.deactivated),
                    &column(lines, |line| line.joined_at),
                    &column(lines, |line| line.expires_at) as _,
                    &column(lines, |line| line.last_used_at) as _
                    )
                    .execute(&mut *conn)
                    .await?;
                }
            };
        }
        insert!(self.lines.to_insert(), "");
        insert!(
            self.lines.to_rewrite(),
            "
             on conflict (workspace_id, member_of) do update set
                 role = excluded.role, recorded_role = excluded.recorded_role, is_owner = excluded.is_owner,
                 deactivated = excluded.deactivated, joined_at = excluded.joined_at,
                 expires_at = excluded.expires_at, last_used_at = excluded.last_used_at"
        );
        Ok(())
    }
}
