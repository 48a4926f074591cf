//! Workspaces: profile, owner, standing, seats and invite code.

mod fold;
mod write;

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::types::Json;
use tenure_aggregates::Time;
use tenure_aggregates::workspace::CustomRole;
use uuid::Uuid;

use crate::TenantTx;
pub use fold::Workspaces;

/// A workspace's own roles, by name.
pub type Roles = BTreeMap<String, CustomRole>;

/// A living workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Workspace {
    pub workspace_id: Uuid,
    pub kind: String,
    pub name: String,
    pub slug: Option<String>,
    pub description: Option<String>,
    pub image_url: Option<String>,
    pub website: Option<String>,
    pub phone: Option<String>,
    /// The links that are set, by network.
    pub social: Value,
    pub owner_id: String,
    pub suspended_since: Option<Time>,
    pub suspension_reason: Option<String>,
    pub archived: bool,
    pub plan: String,
    /// The workspace's own roles.
    pub roles: Json<Roles>,
    pub seats_used: i32,
    pub seats_limit: i32,
    /// None when there is no invite code; the code itself is nowhere.
    pub code_generation: Option<i32>,
    pub code_role: Option<String>,
    pub code_max_uses: Option<i32>,
    /// Of the current generation.
    pub code_uses: i32,
    pub code_expires_at: Option<Time>,
    pub code_issued_at: Option<Time>,
    /// The `ETag`.
    pub sequence: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Workspace {
    /// suspended, archived or active; a deleted one has no row.
    pub fn status(&self) -> &'static str {
        match (self.suspended_since, self.archived) {
            (Some(_), _) => "suspended",
            (None, true) => "archived",
            (None, false) => "active",
        }
    }
}

/// Whether there is such a workspace.
pub async fn is_there(tx: &mut TenantTx) -> Result<bool, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        r#"select exists (select from workspaces where workspace_id = $1) as "there!""#,
        workspace
    )
    .fetch_one(tx.connection())
    .await
}

pub async fn find(tx: &mut TenantTx) -> Result<Option<Workspace>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Workspace,
        r#"select workspace_id, kind, name, slug, description, image_url, website, phone, social, owner_id,
                suspended_since, suspension_reason, archived, plan, roles as "roles: Json<Roles>", seats_used,
                seats_limit, code_generation, code_role, code_max_uses, code_uses, code_expires_at, code_issued_at, sequence, created_at, updated_at
         from workspaces where workspace_id = $1"#,
        workspace
    )
    .fetch_optional(tx.connection())
    .await
}
