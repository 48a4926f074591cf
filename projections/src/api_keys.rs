//! API keys: what a workspace's keys are, what each may do and from where, and never the keys themselves.

mod fold;

use sqlx::PgPool;
use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
pub use fold::ApiKeys;

/// A key as its workspace sees it; a revoked one keeps its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    pub workspace_id: Uuid,
    pub key_id: Uuid,
    pub name: String,
    /// How the key begins.
    pub hint: String,
    /// Until when the secret before the present one is good.
    pub previous_until: Option<Time>,
    pub permissions: Vec<String>,
    pub expires_at: Option<Time>,
    pub networks: Vec<String>,
    /// From where it has been used.
    pub networks_seen: Vec<String>,
    pub created_by: Option<String>,
    pub revoked_at: Option<Time>,
    /// To the hour.
    pub last_used_at: Option<Time>,
    /// The `ETag`.
    pub sequence: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Reads keys; `$1` is the workspace, the rest the caller's.
macro_rules! api_keys {
    ($tail:literal, $tx:expr $(, $arg:expr)*) => {{
        let workspace: Uuid = $tx.workspace().into();
        sqlx::query_as!(
            ApiKey,
            r#"select k.workspace_id, k.key_id, name, hint, previous_until, permissions, expires_at, networks,
                      networks_seen, created_by, revoked_at, u.last_used_at as "last_used_at?", sequence, created_at,
                      updated_at
               from api_keys k
               left join api_key_uses u on u.workspace_id = k.workspace_id and u.key_id = k.key_id
               where k.workspace_id = $1 "# + $tail,
            workspace
            $(, $arg)*
        )
    }};
}

pub async fn find(tx: &mut TenantTx, key: Uuid) -> Result<Option<ApiKey>, sqlx::Error> {
    api_keys!("and k.key_id = $2", tx, key).fetch_optional(tx.connection()).await
}

/// Newest first, those before the one named by (`created_at`, `key_id`).
pub async fn list(
    tx: &mut TenantTx,
    before: Option<(Time, Uuid)>,
    limit: i64,
) -> Result<Vec<ApiKey>, sqlx::Error> {
    let (created_at, key) = before.unzip();
    api_keys!(
        "and ($2::timestamptz is null or (created_at, k.key_id) < ($2, $3::uuid))
         order by created_at desc, k.key_id desc limit $4",
        tx,
        created_at,
        key,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// How many keys of the workspace are not revoked.
pub async fn count_active(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_keys where workspace_id = $1 and revoked_at is null"#,
        workspace
    )
    .fetch_one(tx.connection())
    .await
}

/// Whose a secret of this hash is, revoked or not: needs a pool of the projector's role, since a key says nothing of
/// the workspace it belongs to.
pub async fn find_by_hash(projector: &PgPool, hash: &str) -> Result<Option<(Uuid, Uuid)>, sqlx::Error> {
    let row = sqlx::query!(
        "select workspace_id, key_id from api_keys where hash = $1 or previous_hash = $1 limit 1",
        hash
    )
    .fetch_optional(projector)
    .await?;
    Ok(row.map(|row| (row.workspace_id, row.key_id)))
}

/// Notes when keys were last used; an instant never goes back. Not a read model: no event tells of each use.
pub async fn note_uses(projector: &PgPool, uses: &[(Uuid, Uuid, Time)]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into api_key_uses (workspace_id, key_id, last_used_at)
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[])
         on conflict (workspace_id, key_id) do update
             set last_used_at = greatest(api_key_uses.last_used_at, excluded.last_used_at)",
        &uses.iter().map(|(workspace, ..)| *workspace).collect::<Vec<_>>(),
        &uses.iter().map(|(_, key, _)| *key).collect::<Vec<_>>(),
        &uses.iter().map(|(.., at)| *at).collect::<Vec<_>>()
    )
    .execute(projector)
    .await?;
    Ok(())
}
