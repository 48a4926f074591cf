//! A session token: a JWT that says who acts, in which workspace and in which role.
//!
//! Other services believe it by its signature alone until it expires, so it is short-lived; Tenure itself also looks
//! whether its session still stands.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use tenure_aggregates::{SessionId, Time, UserId, WorkspaceId};
use uuid::Uuid;

use crate::resources::Entered;
use crate::secrets::SessionKeys;
use crate::store::origin::SessionRef;

/// The audience of every session token.
pub const AUDIENCE: &str = "tenure";
/// Longer than any token we make.
const MAX_LENGTH: usize = 8 * 1024;
/// How many bytes of permissions (and of the user's id, which shares the room) a token bears: a cookie that is longer
/// than 4 KiB is dropped by browsers without a word.
const MAX_PERMISSIONS: usize = 2_000;

/// A token, and when it ceases to count.
pub struct Issued {
    pub token: String,
    pub expires_at: Time,
}

/// What a token says. The names are the contract with whoever verifies tokens without asking us.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'static str,
    sub: &'a str,
    iat: i64,
    exp: i64,
    sid: Uuid,
    #[serde(rename = "gen")]
    generation: u32,
    workspace_id: Uuid,
    workspace_kind: &'a str,
    workspace_status: &'a str,
    role: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    permissions: Option<&'a [String]>,
    /// The list was too long: only Tenure itself can tell.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    permissions_omitted: bool,
}

/// What we go by of a token that is shown. Serde refuses a claim that comes twice or is of another type.
#[derive(Deserialize)]
struct Shown {
    iss: String,
    aud: String,
    sub: String,
    exp: i64,
    sid: Uuid,
    #[serde(rename = "gen")]
    generation: u32,
    workspace_id: Uuid,
}

/// Why a token is none of ours, or no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidToken {
    #[error("it is longer than any session token")]
    TooLong,
    #[error("none of the current keys signed it")]
    Signature,
    #[error("it does not say what a session token says")]
    Claims,
    #[error("it is from another issuer, or for another audience")]
    Audience,
    #[error("it has expired")]
    Expired,
}

pub(super) fn issue(
    keys: &SessionKeys,
    issuer: &str,
    entered: &Entered,
    now: Time,
    expires_at: Time,
) -> Issued {
    let listed = !["owner", "admin"].contains(&entered.role.as_str());
    let room = MAX_PERMISSIONS.saturating_sub(entered.user_id.len());
    let length: usize = entered.permissions.iter().map(|name| name.len() + r#""","#.len()).sum();
    let claims = Claims {
        iss: issuer,
        aud: AUDIENCE,
        sub: &entered.user_id,
        iat: now.timestamp(),
        exp: expires_at.timestamp(),
        sid: entered.session_id,
        generation: entered.generation,
        workspace_id: entered.workspace_id,
        workspace_kind: &entered.kind,
        workspace_status: &entered.status,
        role: &entered.role,
        permissions: (listed && length <= room).then_some(&entered.permissions),
        permissions_omitted: listed && length > room,
    };
    // Texts and numbers: nothing that JSON could not express.
    let claims = serde_json::to_vec(&claims).unwrap_or_default();
    let expires_at = Time::from_timestamp(expires_at.timestamp(), 0).unwrap_or(expires_at);
    Issued { token: keys.sign(&claims, now), expires_at }
}

/// The issuer a text names if it has the form of a JWT; nothing of it is trusted.
pub(super) fn issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Named {
        iss: String,
    }
    let claims = token.split('.').nth(1).filter(|_| token.len() <= MAX_LENGTH)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    serde_json::from_slice::<Named>(&claims).ok().map(|named| named.iss)
}

/// Checks all that the token alone can tell.
pub(super) fn verify(
    keys: &SessionKeys,
    issuer: &str,
    token: &str,
    now: Time,
) -> Result<(UserId, SessionRef), InvalidToken> {
    if token.len() > MAX_LENGTH {
        return Err(InvalidToken::TooLong);
    }
    let claims = keys.verify(token, now).ok_or(InvalidToken::Signature)?;
    let shown: Shown = serde_json::from_slice(&claims).map_err(|_| InvalidToken::Claims)?;
    if shown.iss != issuer || shown.aud != AUDIENCE {
        return Err(InvalidToken::Audience);
    }
    // Made and checked by the same clocks: no leeway.
    if shown.exp <= now.timestamp() {
        return Err(InvalidToken::Expired);
    }
    let user = UserId::parse(&shown.sub).map_err(|_| InvalidToken::Claims)?;
    let session = SessionRef {
        id: SessionId(shown.sid),
        workspace_id: WorkspaceId(shown.workspace_id),
        generation: shown.generation,
    };
    Ok((user, session))
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://tenure.example";

    fn keys() -> SessionKeys {
        SessionKeys::new([7; 32], TimeDelta::days(30))
    }

    fn now() -> Time {
        Time::from_timestamp(1_800_000_000, 0).unwrap()
    }

    fn entered(role: &str, permissions: &[String]) -> Entered {
        Entered {
            session_id: Uuid::from_u128(1),
            user_id: "ada".to_owned(),
            generation: 3,
            started_at: now(),
            expires_at: now() + TimeDelta::hours(12),
            workspace_id: Uuid::from_u128(2),
            kind: "team".to_owned(),
            name: "Acme".to_owned(),
            slug: None,
            status: "active".to_owned(),
            plan: "free".to_owned(),
            role: role.to_owned(),
            permissions: permissions.to_vec(),
            fallback: None,
        }
    }

    fn issued(entered: &Entered) -> Issued {
        issue(&keys(), ISSUER, entered, now(), now() + TimeDelta::minutes(15))
    }

    fn claims(token: &str) -> Value {
        serde_json::from_slice(&keys().verify(token, now()).unwrap()).unwrap()
    }

    #[test]
    fn a_token_says_who_where_and_in_which_role() {
        let Issued { token, expires_at } = issued(&entered("member", &["workspace:read".to_owned()]));
        assert_eq!(expires_at, now() + TimeDelta::minutes(15));
        let expected = json!({
            "iss": ISSUER, "aud": "tenure", "sub": "ada", "iat": 1_800_000_000, "exp": 1_800_000_900,
            "sid": Uuid::from_u128(1), "gen": 3, "workspace_id": Uuid::from_u128(2), "workspace_kind": "team",
            "workspace_status": "active", "role": "member", "permissions": ["workspace:read"],
        });
        assert_eq!(claims(&token), expected);
        assert_eq!(issuer(&token).as_deref(), Some(ISSUER));
        let (user, session) = verify(&keys(), ISSUER, &token, now()).unwrap();
        assert_eq!((user.as_str(), session.generation), ("ada", 3));
    }

    #[test]
    fn permissions_are_left_out_where_a_rule_tells_them_or_there_are_too_many() {
        for role in ["owner", "admin"] {
            let claims = claims(&issued(&entered(role, &["workspace:read".to_owned()])).token);
            assert_eq!((claims.get("permissions"), claims.get("permissions_omitted")), (None, None));
        }
        let many: Vec<String> = (0..200).map(|n| format!("module{n}:verb")).collect();
        let Issued { token, .. } = issued(&entered("custom", &many));
        let claims = claims(&token);
        assert_eq!((claims.get("permissions"), &claims["permissions_omitted"]), (None, &json!(true)));
        assert!(token.len() < 2_000);
    }

    #[test]
    fn a_token_that_says_otherwise_is_none() {
        let sign = |claims: &Value| keys().sign(claims.to_string().as_bytes(), now());
        let good = claims(&issued(&entered("member", &[])).token);
        let verdict = |token: &str| verify(&keys(), ISSUER, token, now()).map(drop);
        assert_eq!(verdict(&sign(&good)), Ok(()));
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            verdict(&sign(&claims))
        };
        assert_eq!(with("iss", json!("https://tenure.example/")), Err(InvalidToken::Audience));
        assert_eq!(with("aud", json!("other")), Err(InvalidToken::Audience));
        assert_eq!(with("exp", json!(1_800_000_000)), Err(InvalidToken::Expired));
        assert_eq!(with("exp", json!(1_800_000_001)), Ok(()));
        for (name, odd) in [
            ("aud", json!(["tenure"])),
            ("exp", json!("1900000000")),
            ("exp", json!(null)),
            ("gen", json!(-1)),
            ("sub", json!("")),
            ("sub", json!("a\nb")),
            ("sid", json!(7)),
            ("workspace_id", json!("acme")),
        ] {
            assert_eq!(with(name, odd), Err(InvalidToken::Claims), "{name}");
        }
        for name in ["iss", "aud", "sub", "exp", "sid", "gen", "workspace_id"] {
            let mut claims = good.clone();
            claims.as_object_mut().unwrap().remove(name);
            assert_eq!(verdict(&sign(&claims)), Err(InvalidToken::Claims), "{name}");
        }
        let twice = good.to_string().replacen('{', r#"{"sub":"bob","#, 1);
        assert_eq!(verdict(&keys().sign(twice.as_bytes(), now())), Err(InvalidToken::Claims));
        assert_eq!(verdict(&"a".repeat(9_000)), Err(InvalidToken::TooLong));
    }
}
