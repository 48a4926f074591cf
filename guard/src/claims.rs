//! What the claims of a session token must say before it counts. Pure.
//!
//! Checked here and not by a JWT crate: those built for it take a claim of the wrong type for an absent one
//! (CVE-2026-25537) and read the clock themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

use crate::refusal::InvalidToken;
use crate::session::{Grant, Session, WorkspaceKind, WorkspaceStatus};

/// How far Tenure's clock may be from ours, in seconds.
const LEEWAY: u64 = 10;
/// The longest user id or role name, in characters.
const MAX_TEXT: usize = 255;

/// The claims as they stand in the token. Serde refuses one that is missing or comes twice, and null is no value.
#[derive(Deserialize)]
pub(crate) struct Claims {
    iss: String,
    aud: String,
    sub: String,
    iat: u64,
    exp: u64,
    #[serde(default, deserialize_with = "if_present")]
    nbf: Option<u64>,
    sid: Uuid,
    r#gen: u64,
    workspace_id: Uuid,
    workspace_kind: WorkspaceKind,
    workspace_status: WorkspaceStatus,
    role: String,
    #[serde(default, deserialize_with = "if_present")]
    permissions: Option<Vec<String>>,
    #[serde(default)]
    permissions_omitted: bool,
}

/// Absent is `None`; whatever is there must be a `T`, and null is none.
fn if_present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Claims {
    /// Checks everything but the signature.
    pub(crate) fn check(
        &self,
        issuer: &str,
        audience: &str,
        now: SystemTime,
    ) -> Result<Session, InvalidToken> {
        if self.iss != issuer {
            return Err(InvalidToken::Issuer);
        }
        if self.aud != audience {
            return Err(InvalidToken::Audience);
        }
        self.check_times(now)?;
        let fits = plain_text(&self.sub) && plain_text(&self.role) && self.r#gen >= 1;
        let grant = self.grant().filter(|_| fits).ok_or(InvalidToken::Claims)?;
        let expires_at = UNIX_EPOCH.checked_add(Duration::from_secs(self.exp)).ok_or(InvalidToken::Claims)?;
        Ok(Session {
            user_id: self.sub.clone(),
            id: self.sid,
            generation: self.r#gen,
            workspace_id: self.workspace_id,
            workspace_kind: self.workspace_kind,
            workspace_status: self.workspace_status,
            role: self.role.clone(),
            grant,
            expires_at,
        })
    }

    fn check_times(&self, now: SystemTime) -> Result<(), InvalidToken> {
        // A clock before 1970 is one we cannot go by: every token is from its future.
        let now = now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        // Nothing is added to a claim: one at the end of time must not overflow.
        if self.exp <= now.saturating_sub(LEEWAY) {
            return Err(InvalidToken::Expired);
        }
        let begins = self.nbf.map_or(self.iat, |nbf| nbf.max(self.iat));
        if begins > now.saturating_add(LEEWAY) {
            return Err(InvalidToken::NotYetValid);
        }
        Ok(())
    }

    /// A list that is there is the whole answer. Without one, only two roles speak for themselves.
    fn grant(&self) -> Option<Grant> {
        match (&self.permissions, self.permissions_omitted, self.role.as_str()) {
            (Some(list), false, _) => {
                Some(Grant::Listed(list.iter().map(|name| name.as_str().into()).collect()))
            }
            (None, true, _) => Some(Grant::Omitted),
            (None, false, "owner") => Some(Grant::Owner),
            (None, false, "admin") => Some(Grant::Admin),
            _ => None,
        }
    }
}

/// 1 to 255 characters, none of them a control character.
fn plain_text(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.chars().count()) && !text.contains(char::is_control)
}
