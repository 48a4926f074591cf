//! Invitations by e-mail.

mod fold;

use tenure_aggregates::{InvitationId, Time};
use uuid::Uuid;

use crate::TenantTx;
use crate::keyset::from_newest;
pub use fold::Invitations;

/// An invitation as it stands at an instant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    pub workspace_id: Uuid,
    pub invitation_id: Uuid,
    /// Sealed, as in the log.
    pub email: String,
    pub role: String,
    /// pending, accepted, declined, revoked, or expired: pending for too long.
    pub status: String,
    pub invited_by: Option<String>,
    pub accepted_by: Option<String>,
    pub expires_at: Time,
    /// Which token is good.
    pub generation: i32,
    pub notify: bool,
    /// The `ETag`.
    pub sequence: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Reads invitations; `$1` is the workspace, `$2` now, the rest the caller's.
macro_rules! invitations {
    ($tail:literal, $tx:expr, $now:expr $(, $arg:expr)*) => {{
        let workspace: Uuid = $tx.workspace().into();
        sqlx::query_as!(
            Invitation,
            r#"select workspace_id, invitation_id, email, role, invited_by, accepted_by, expires_at, generation, notify,
                      sequence, created_at, updated_at,
                      case when status = 'pending' and expires_at <= $2 then 'expired' else status end as "status!"
               from invitations where workspace_id = $1 "#
                + $tail,
            workspace,
            $now
            $(, $arg)*
        )
    }};
}

pub async fn find(
    tx: &mut TenantTx,
    invitation: InvitationId,
    now: Time,
) -> Result<Option<Invitation>, sqlx::Error> {
    let invitation: Uuid = invitation.into();
    invitations!("and invitation_id = $3", tx, now, invitation).fetch_optional(tx.connection()).await
}

#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// pending, accepted, declined, revoked or expired.
    pub status: Option<&'a str>,
    /// Only these.
    pub among: Option<&'a [Uuid]>,
}

/// Newest first, after the invitation named by (`created_at`, `invitation_id`).
pub async fn list(
    tx: &mut TenantTx,
    filter: &Filter<'_>,
    after: Option<(Time, Uuid)>,
    limit: i64,
    now: Time,
) -> Result<Vec<Invitation>, sqlx::Error> {
    let (created_at, id) = from_newest(after);
    if let Some(status @ ("pending" | "expired")) = filter.status {
        // There are few of them, with an index of their own.
        return invitations!(
            "and status = 'pending' and (expires_at <= $2) = ($3::text = 'expired')
             and ($4::uuid[] is null or invitation_id = any($4)) and (created_at, invitation_id) < ($5, $6)
             order by created_at desc, invitation_id desc limit $7",
            tx,
            now,
            status,
            filter.among,
            created_at,
            id,
            limit
        )
        .fetch_all(tx.connection())
        .await;
    }
    invitations!(
        "and ($3::text is null or status = $3) and ($4::uuid[] is null or invitation_id = any($4))
         and (created_at, invitation_id) < ($5, $6)
         order by created_at desc, invitation_id desc limit $7",
        tx,
        now,
        filter.status,
        filter.among,
        created_at,
        id,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// The invitations to a role that are neither accepted nor turned down, whether or not they have expired.
pub async fn promised(tx: &mut TenantTx, role: &str, limit: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        "select invitation_id from invitations where workspace_id = $1 and role = $2 and status = 'pending'
         order by invitation_id limit $3",
        workspace,
        role,
        limit
    )
    .fetch_all(tx.connection())
    .await
}
