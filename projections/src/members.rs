//! Members: who belongs to a workspace, in which role, since when and until when.

mod fold;

use sqlx::PgPool;
use sqlx::types::Json;
use tenure_aggregates::workspace::CustomRole;
use tenure_aggregates::{Catalogue, Rights, Role, Time, WorkspaceId};
use uuid::Uuid;

use crate::TenantTx;
use crate::keyset::from_oldest;
pub use fold::Members;
pub(crate) use fold::effective_role;

/// A member as it stands at an instant; a membership that has run out is `expired` before anybody records it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub workspace_id: Uuid,
    pub user_id: String,
    pub role: String,
    /// active, deactivated or expired.
    pub status: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub is_owner: bool,
    pub joined_at: Time,
    pub expires_at: Option<Time>,
    /// The membership's: the `ETag`.
    pub sequence: i64,
    pub updated_at: Time,
}

/// Reads members; `$1` is the workspace, `$2` now, the rest the caller's.
macro_rules! members {
    ($tail:literal, $tx:expr, $now:expr $(, $arg:expr)*) => {{
        let workspace: Uuid = $tx.workspace().into();
        sqlx::query_as!(
            Member,
            r#"select * from (
                   select workspace_id, user_id, role, email, name, is_owner, joined_at, expires_at, sequence,
                          updated_at, case when expires_at <= $2 then 'expired' when deactivated then 'deactivated'
                                           else 'active' end as "status!"
                   from members where workspace_id = $1) m "# + $tail,
            workspace,
            $now
            $(, $arg)*
        )
    }};
}

pub async fn find(tx: &mut TenantTx, user_id: &str, now: Time) -> Result<Option<Member>, sqlx::Error> {
    members!("where user_id = $3", tx, now, user_id).fetch_optional(tx.connection()).await
}

/// Members with that e-mail address; addresses are unique to nobody.
pub async fn find_by_email(tx: &mut TenantTx, email: &str, now: Time) -> Result<Vec<Member>, sqlx::Error> {
    members!("where email = $3 order by joined_at, user_id", tx, now, email).fetch_all(tx.connection()).await
}

#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    pub role: Option<&'a str>,
    /// active, deactivated or expired.
    pub status: Option<&'a str>,
    /// Part of a name, an e-mail address or a user id, in any case.
    pub q: Option<&'a str>,
}

/// Oldest first, after the member named by (`joined_at`, `user_id`).
pub async fn list(
    tx: &mut TenantTx,
    filter: &Filter<'_>,
    after: Option<(Time, &str)>,
    limit: i64,
    now: Time,
) -> Result<Vec<Member>, sqlx::Error> {
    let (joined_at, user_id) = from_oldest(after);
    members!(
        r#"where ($3::text is null or role = $3) and ($4::text is null or "status!" = $4)
             and ($5::text is null or position(lower($5) in lower(user_id)) > 0
                  or position(lower($5) in lower(coalesce(email, ''))) > 0
                  or position(lower($5) in lower(coalesce(name, ''))) > 0)
             and (joined_at, user_id) > ($6, $7)
           order by joined_at, user_id limit $8"#,
        tx,
        now,
        filter.role,
        filter.status,
        filter.q,
        joined_at,
        user_id,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// Active members with one of these roles, oldest first, after the one named by (`joined_at`, `user_id`).
pub async fn active_holders(
    tx: &mut TenantTx,
    roles: &[String],
    after: Option<(Time, &str)>,
    limit: i64,
    now: Time,
) -> Result<Vec<Member>, sqlx::Error> {
    let (joined_at, user_id) = from_oldest(after);
    members!(
        r#"where role = any($3) and "status!" = 'active'
             and (joined_at, user_id) > ($4, $5)
           order by joined_at, user_id limit $6"#,
        tx,
        now,
        roles,
        joined_at,
        user_id,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// What one user may read here, and whether the workspace still is what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "four independent facts, as the tables hold them")]
pub struct Standing {
    /// The effective role; none for somebody who is not a member.
    pub role: Option<Role>,
    pub is_owner: bool,
    pub deactivated: bool,
    pub expires_at: Option<Time>,
    pub workspace_suspended: bool,
    pub workspace_archived: bool,
    /// What the role allows, where it is one of the workspace's own.
    pub custom: Option<CustomRole>,
}

impl Standing {
    /// The role, if the membership counts at that instant.
    pub fn active_role(&self, now: Time) -> Option<&Role> {
        let over = self.expires_at.is_some_and(|end| end <= now);
        self.role.as_ref().filter(|_| !self.deactivated && !over)
    }

    /// What the member may do at that instant.
    pub fn rights(&self, catalogue: &Catalogue, now: Time) -> Rights {
        match (self.active_role(now), &self.custom) {
            (Some(Role::Custom(_)), Some(role)) => Rights::of_names(&role.permissions),
            (Some(role), _) => Rights::of_built_in(role, catalogue),
            (None, _) => Rights::default(),
        }
    }
}

/// One user's standing; none if the workspace does not exist.
pub async fn standing(tx: &mut TenantTx, user_id: &str) -> Result<Option<Standing>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let row = sqlx::query!(
        r#"select m.role as "role?", coalesce(m.is_owner, false) as "is_owner!",
                  coalesce(m.deactivated, false) as "deactivated!", m.expires_at as "expires_at?",
                  w.suspended_since is not null as "suspended!", w.archived,
                  w.roles -> m.role as "custom: Json<CustomRole>"
           from workspaces w
           left join members m on m.workspace_id = w.workspace_id and m.user_id = $2
           where w.workspace_id = $1"#,
        workspace,
        user_id
    )
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| {
        let role = row.role.map(|role| role.parse::<Role>()).transpose();
        Ok(Standing {
            role: role.map_err(|error| sqlx::Error::Decode(error.into()))?,
            is_owner: row.is_owner,
            deactivated: row.deactivated,
            expires_at: row.expires_at,
            workspace_suspended: row.suspended,
            workspace_archived: row.archived,
            custom: row.custom.map(|Json(role)| role),
        })
    })
    .transpose()
}

/// The members whose recorded role this is, whatever their status.
pub async fn holders(tx: &mut TenantTx, role: &str, limit: i64) -> Result<Vec<String>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        "select user_id from members where workspace_id = $1 and recorded_role = $2 order by user_id limit $3",
        workspace,
        role,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// A membership whose end has come and is not recorded yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expired {
    pub workspace_id: Uuid,
    pub user_id: String,
    pub expires_at: Time,
}

/// Of one workspace or of all, for upkeep: needs a pool of the projector's role.
pub async fn expired(
    projector: &PgPool,
    workspace: Option<WorkspaceId>,
    now: Time,
    limit: i64,
) -> Result<Vec<Expired>, sqlx::Error> {
    sqlx::query_as!(
        Expired,
        r#"select workspace_id, user_id, expires_at as "expires_at!" from members
           where expires_at <= $1 and ($3::uuid is null or workspace_id = $3) order by expires_at limit $2"#,
        now,
        limit,
        workspace.map(Uuid::from)
    )
    .fetch_all(projector)
    .await
}
