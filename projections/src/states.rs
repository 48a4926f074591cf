//! Every aggregate as it stood from a position on: what time travel reads. One row per state, and none is ever changed,
//! so that a read of the past is an index probe, however long ago it was and whatever came later.
//!
//! A user's states are copied to the workspaces the user ever joined, so that a workspace's past is read within that
//! workspace. Personal data are as the log has them.

mod fold;
mod write;

use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
use crate::keyset::{from_newest, from_oldest};
pub use fold::States;

/// What a state is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// By its id.
    Workspace,
    /// By its user's id.
    Membership,
    Invitation,
    /// By the user's id, in the personal workspace.
    User,
    /// A [`User`](tenure_aggregates::User) who ever was a member, by the user's id, in the workspace of the membership.
    Profile,
    /// By the workspace's id: [`Counters`].
    Counters,
    /// By the id of the workspace that was entered, in the personal workspace: [`Visit`].
    Visit,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workspace => "Workspace",
            Self::Membership => "Membership",
            Self::Invitation => "Invitation",
            Self::User => "User",
            Self::Profile => "Profile",
            Self::Counters => "Counters",
            Self::Visit => "Visit",
        }
    }
}

/// What a workspace counts beside its own stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    pub seats_used: i32,
    /// The invite code whose uses are counted; 0 while there is none.
    pub code_generation: u32,
    pub code_uses: i32,
}

/// A session of the user went to a workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Visit {
    pub at: Option<Time>,
}

/// A state that something was in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub id: String,
    pub from_position: i64,
    /// Where this life of it began.
    pub since_position: i64,
    /// The aggregate's: the `ETag`.
    pub sequence: i64,
    pub recorded_at: Time,
    /// Ended, deleted or erased.
    pub gone: bool,
    /// The serialized state, personal data in it as the log has them.
    pub state: String,
}

/// The state of one thing at a position, if there was any yet.
pub async fn at(
    tx: &mut TenantTx,
    kind: Kind,
    id: &str,
    position: i64,
) -> Result<Option<Version>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Version,
        r#"select id, from_position, since_position, sequence, recorded_at, gone, state::text as "state!" from states
           where workspace_id = $1 and kind = $2 and id = $3 and from_position <= $4
           order by from_position desc limit 1"#,
        workspace,
        kind.as_str(),
        id,
        position
    )
    .fetch_optional(tx.connection())
    .await
}

/// A member of then: the membership, and the profile of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberVersion {
    pub membership: Version,
    /// The serialized [`User`](tenure_aggregates::User).
    pub profile: Option<String>,
}

/// The memberships there were at a position, oldest first, after the one named by (`joined_at`, `user_id`). `now` is an
/// instant at or after that of the position: nothing that began later is looked at.
pub async fn members(
    tx: &mut TenantTx,
    (position, now): (i64, Time),
    after: Option<(Time, &str)>,
    limit: i64,
) -> Result<Vec<MemberVersion>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let (joined_at, user_id) = from_oldest(after);
    let rows = sqlx::query!(
        r#"select b.id, s.from_position, s.since_position, s.sequence, s.recorded_at,
                  s.state::text as "state!", p.state::text as "profile?"
           from states b
           cross join lateral (
               select s.* from states s
               where s.workspace_id = b.workspace_id and s.kind = b.kind and s.id = b.id and s.from_position <= $2
               order by s.from_position desc limit 1) s
           left join lateral (
               select p.state from states p
               where p.workspace_id = b.workspace_id and p.kind = 'Profile' and p.id = b.id and p.from_position <= $2
               order by p.from_position desc limit 1) p on true
           where b.workspace_id = $1 and b.kind = 'Membership' and b.from_position = b.since_position
             and b.from_position <= $2 and s.since_position = b.since_position and not s.gone
             and b.sorted_by <= $6
             and (b.sorted_by, b.id) > ($3, $4)
           order by b.sorted_by, b.id limit $5"#,
        workspace,
        position,
        joined_at,
        user_id,
        limit,
        now
    )
    .fetch_all(tx.connection())
    .await?;
    let members = rows.into_iter().map(|row| MemberVersion {
        membership: Version {
            id: row.id,
            from_position: row.from_position,
            since_position: row.since_position,
            sequence: row.sequence,
            recorded_at: row.recorded_at,
            gone: false,
            state: row.state,
        },
        profile: row.profile,
    });
    Ok(members.collect())
}

/// The invitations there were at a position, newest first, after the one named by (`created_at`, `invitation_id`). `now`
/// is as in [`members`].
pub async fn invitations(
    tx: &mut TenantTx,
    (position, now): (i64, Time),
    after: Option<(Time, Uuid)>,
    limit: i64,
) -> Result<Vec<Version>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let (created_at, id) = from_newest(after);
    let id = id.to_string();
    sqlx::query_as!(
        Version,
        r#"select b.id, s.from_position, s.since_position, s.sequence, s.recorded_at, s.gone,
                  s.state::text as "state!"
           from states b
           cross join lateral (
               select s.* from states s
               where s.workspace_id = b.workspace_id and s.kind = b.kind and s.id = b.id and s.from_position <= $2
               order by s.from_position desc limit 1) s
           where b.workspace_id = $1 and b.kind = 'Invitation' and b.from_position = b.since_position
             and b.from_position <= $2
             and b.sorted_by <= $6
             and (b.sorted_by, b.id) < ($3, $4)
           order by b.sorted_by desc, b.id desc limit $5"#,
        workspace,
        position,
        created_at,
        id,
        limit,
        now
    )
    .fetch_all(tx.connection())
    .await
}

/// The workspaces that the user whose personal workspace the transaction names had ever joined by then, by id, after
/// one of them.
pub async fn workspaces_joined(
    tx: &mut TenantTx,
    position: i64,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        "select member_of from joined_workspaces
         where workspace_id = $1 and since_position <= $2 and member_of > $3
         order by member_of limit $4",
        workspace,
        position,
        after.unwrap_or_default(),
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// Which of these texts contain `part`, in any case: by the same rule as the lists of now.
pub async fn containing(tx: &mut TenantTx, texts: &[String], part: &str) -> Result<Vec<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select position(lower($2) in lower(text)) > 0 as "found!"
           from unnest($1::text[]) with ordinality t (text, number) order by number"#,
        texts,
        part
    )
    .fetch_all(tx.connection())
    .await
}

/// The order of a switcher's lines, as the numbers of these names: the personal workspace first, then by name.
pub async fn switcher_order(
    tx: &mut TenantTx,
    names: &[String],
    ids: &[Uuid],
) -> Result<Vec<i64>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        r#"select number as "number!" from unnest($2::text[], $3::uuid[]) with ordinality l (name, id, number)
           order by id <> $1, lower(name), name, id"#,
        workspace,
        names,
        ids
    )
    .fetch_all(tx.connection())
    .await
}

/// A user at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAt {
    pub personal: Uuid,
    pub user_id: String,
    pub position: i64,
}

/// The serialized users as they were, in the order asked; for the operator's eyes: needs a pool of the projector's role.
pub async fn users_at(projector: &PgPool, asked: &[UserAt]) -> Result<Vec<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select s.state::text
           from unnest($1::uuid[], $2::text[], $3::bigint[]) with ordinality a (personal, user_id, position, number)
           left join lateral (
               select s.state from states s
               where s.workspace_id = a.personal and s.kind = 'User' and s.id = a.user_id
                 and s.from_position <= a.position
               order by s.from_position desc limit 1) s on true
           order by a.number"#,
        &asked.iter().map(|user| user.personal).collect::<Vec<_>>(),
        &asked.iter().map(|user| user.user_id.as_str()).collect::<Vec<_>>() as _,
        &asked.iter().map(|user| user.position).collect::<Vec<_>>()
    )
    .fetch_all(projector)
    .await
}
