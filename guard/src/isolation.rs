//! Whether the second fence stands: asked once, at a service's start, so that a forgotten table is found before its rows are.

use sqlx::PgPool;

/// Why a database does not keep workspaces apart.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotIsolated {
    /// A superuser, or one with `bypassrls`: every policy is void for it.
    #[error("row level security does not bind the role {role}")]
    Unbound { role: String },
    /// `select tenure_protect(…)` was not said of them.
    #[error("not protected: {}", tables.join(", "))]
    Unprotected { tables: Vec<String> },
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

/// Refuses a pool whose role row level security does not bind, or that reaches a table with a `workspace_id` that is
/// not protected.
pub async fn check_isolation(pool: &PgPool) -> Result<(), NotIsolated> {
    let sql = "select current_user::text from pg_roles
               where rolname = current_user and (rolsuper or rolbypassrls)";
    if let Some(role) = sqlx::query_scalar(sql).fetch_optional(pool).await? {
        return Err(NotIsolated::Unbound { role });
    }
    let sql = "select t::text from tenure_unprotected() t
               where has_table_privilege(t, 'select, insert, update, delete') order by 1";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(pool).await?;
    if tables.is_empty() { Ok(()) } else { Err(NotIsolated::Unprotected { tables }) }
}
