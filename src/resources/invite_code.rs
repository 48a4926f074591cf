//! The terms of an invite code.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_aggregates::workspace;
use utoipa::ToSchema;

/// An invite code's terms; the code itself stands in one answer, the one that made it.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct InviteCode {
    /// The role joiners get.
    pub role: String,
    pub max_uses: Option<u32>,
    pub uses: i32,
    pub expires_at: Option<DateTime<Utc>>,
    /// Counts the workspace's codes; each rotation is one more.
    pub generation: u32,
}

impl InviteCode {
    pub fn from_state(code: &workspace::InviteCode, uses: i32) -> Self {
        Self {
            role: code.role.as_str().to_owned(),
            max_uses: code.max_uses,
            uses,
            expires_at: code.expires_at,
            generation: code.generation,
        }
    }
}
