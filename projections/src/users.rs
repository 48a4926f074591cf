//! Users, and the switcher: the workspaces a user belongs to. Both lie in the user's personal workspace.

mod fold;
mod switcher;

use sqlx::PgPool;
use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
pub use fold::Users;
pub(crate) use fold::entered;

/// A user; an erased one keeps the row and has neither e-mail nor name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The personal workspace.
    pub workspace_id: Uuid,
    pub user_id: String,
    pub email: Option<String>,
    pub email_verified: bool,
    pub name: Option<String>,
    /// active, erasing or erased.
    pub status: String,
    /// Where the user's last session was last, whether or not they still belong there.
    pub last_workspace_id: Option<Uuid>,
    /// The `ETag`.
    pub sequence: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// The user whose personal workspace the transaction names.
pub async fn find(tx: &mut TenantTx) -> Result<Option<User>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        User,
        "select workspace_id, user_id, email, email_verified, name, status, last_workspace_id, sequence, created_at,
                updated_at
         from users where workspace_id = $1",
        workspace
    )
    .fetch_optional(tx.connection())
    .await
}

/// Users whose erasure began before `before` and did not end: needs a pool of the projector's role.
pub async fn stuck_in_erasure(
    projector: &PgPool,
    before: Time,
    limit: i64,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from users where status = 'erasing' and updated_at < $1 order by updated_at limit $2",
        before,
        limit
    )
    .fetch_all(projector)
    .await
}

/// The workspaces of the user whose personal workspace the transaction names, by id, after one of them.
pub async fn workspace_ids_of(
    tx: &mut TenantTx,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        "select member_of from user_workspaces
         where workspace_id = $1 and member_of > $2 order by member_of limit $3",
        workspace,
        after.unwrap_or_default(),
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// A line of the switcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SwitcherRow {
    /// The workspace this line leads to.
    pub workspace_id: Uuid,
    pub kind: String,
    pub name: String,
    pub slug: Option<String>,
    pub suspended: bool,
    pub archived: bool,
    pub plan: String,
    pub role: String,
    pub is_owner: bool,
    /// The membership's: active, deactivated or expired.
    pub status: String,
    pub joined_at: Time,
    pub expires_at: Option<Time>,
    pub last_used_at: Option<Time>,
}

/// Every workspace of the user whose personal workspace the transaction names: the personal one first, then by name.
pub async fn workspaces_of(tx: &mut TenantTx, now: Time) -> Result<Vec<SwitcherRow>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        SwitcherRow,
        r#"select member_of as workspace_id, kind, name, slug, suspended, archived, plan, role, is_owner,
                  case when expires_at <= $2 then 'expired' when deactivated then 'deactivated'
                       else 'active' end as "status!",
                  joined_at, expires_at, last_used_at
           from user_workspaces where workspace_id = $1
           order by member_of <> $1, lower(name), name, member_of"#,
        workspace,
        now
    )
    .fetch_all(tx.connection())
    .await
}
