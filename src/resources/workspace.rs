//! A workspace.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenure_aggregates::WorkspaceId;
use tenure_aggregates::workspace::{self, Details};
use utoipa::ToSchema;
use uuid::Uuid;

use super::InviteCode;

/// A workspace: the tenant boundary.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Workspace {
    pub id: Uuid,
    #[schema(example = "team")]
    pub kind: String,
    pub name: String,
    pub slug: Option<String>,
    pub description: Option<String>,
    pub image_url: Option<String>,
    pub website: Option<String>,
    pub phone: Option<String>,
    pub social: Social,
    pub owner_id: String,
    /// `active`, `suspended` or `archived`.
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspension: Option<Suspension>,
    pub seats: Seats,
    #[schema(example = "free")]
    pub plan: String,
    /// The invite code's terms, never the code.
    pub invite_code: Option<InviteCode>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

/// Social profiles.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Social {
    pub x: Option<String>,
    pub facebook: Option<String>,
    pub linkedin: Option<String>,
    pub instagram: Option<String>,
    pub github: Option<String>,
}

/// Why and since when a workspace is read-only.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Suspension {
    pub reason: Option<String>,
    pub since: DateTime<Utc>,
}

/// Seats taken by active members, and how many there are.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Seats {
    pub used: i32,
    pub limit: i32,
}

impl Workspace {
    /// As it is after a command at `updated_at`, with its counters as last known.
    pub fn from_state(
        id: WorkspaceId,
        details: &Details,
        counters: crate::store::append::Counters,
        updated_at: DateTime<Utc>,
    ) -> Self {
        let profile = details.profile.clone();
        Self {
            id: id.0,
            kind: <&str>::from(details.kind).to_owned(),
            name: profile.name,
            slug: profile.slug.map(|slug| slug.as_str().to_owned()),
            description: profile.description,
            image_url: profile.image_url,
            website: profile.website,
            phone: profile.phone,
            social: profile.social.into(),
            owner_id: details.owner_id.to_string(),
            status: status(details.suspension.is_some(), details.archived).to_owned(),
            suspension: details.suspension.clone().map(|s| Suspension { reason: s.reason, since: s.since }),
            seats: Seats {
                used: counters.seats,
                limit: i32::try_from(details.seats_limit).unwrap_or(i32::MAX),
            },
            plan: details.plan.clone(),
            invite_code: details
                .invite_code
                .as_ref()
                .map(|code| InviteCode::from_state(code, counters.code_uses)),
            created_at: details.created_at,
            updated_at,
        }
    }
}

/// A living workspace's status on the wire.
pub fn status(suspended: bool, archived: bool) -> &'static str {
    match (suspended, archived) {
        (true, _) => "suspended",
        (false, true) => "archived",
        (false, false) => "active",
    }
}

impl From<workspace::Social> for Social {
    fn from(social: workspace::Social) -> Self {
        let workspace::Social { x, facebook, linkedin, instagram, github } = social;
        Self { x, facebook, linkedin, instagram, github }
    }
}

impl From<Social> for workspace::Social {
    fn from(social: Social) -> Self {
        let Social { x, facebook, linkedin, instagram, github } = social;
        Self { x, facebook, linkedin, instagram, github }
    }
}

impl Workspace {
    pub fn from_row(row: tenure_projections::workspaces::Workspace) -> Self {
        let status = row.status().to_owned();
        Self {
            id: row.workspace_id,
            kind: row.kind,
            name: row.name,
            slug: row.slug,
            description: row.description,
            image_url: row.image_url,
            website: row.website,
            phone: row.phone,
            social: serde_json::from_value(row.social).unwrap_or_default(),
            owner_id: row.owner_id,
            status,
            suspension: row.suspended_since.map(|since| Suspension { reason: row.suspension_reason, since }),
            seats: Seats { used: row.seats_used, limit: row.seats_limit },
            plan: row.plan,
            invite_code: row.code_generation.zip(row.code_role).map(|(generation, role)| InviteCode {
                role,
                max_uses: row.code_max_uses.and_then(|max| u32::try_from(max).ok()),
                uses: row.code_uses,
                expires_at: row.code_expires_at,
                generation: u32::try_from(generation).unwrap_or_default(),
            }),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}
