//! What became of the mails of invitations: of each the one that carries its present token.

use std::collections::HashMap;

use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
use crate::invitations::Invitation;

/// A mail as its delivery stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationMail {
    /// `pending`, `delivered`, `failed` or `cancelled`.
    pub status: String,
    pub reason: Option<String>,
    /// Since when it is so.
    pub at: Time,
}

/// The mails of these invitations, by their ids; none for one whose token did not go out by mail.
pub async fn of(
    tx: &mut TenantTx,
    invitations: &[Invitation],
) -> Result<HashMap<Uuid, InvitationMail>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let mailed = invitations.iter().filter(|invitation| invitation.notify);
    let (ids, generations): (Vec<Uuid>, Vec<i32>) =
        mailed.clone().map(|invitation| (invitation.invitation_id, invitation.generation)).unzip();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    // A mail that is not written down yet is to come, unless the channel has gone past it: then it was sent before there
    // was a channel, and nobody knows.
    let rows = sqlx::query!(
        r#"select i.invitation_id as "invitation_id!", d.status as "status?", d.reason,
                  coalesce(d.finished_at, d.created_at) as at,
                  coalesce((select m.position >= p.position from delivery_checkpoints m, projection_checkpoints p
                            where m.channel = 'mail' and p.name = 'invitations' and p.state = 'live'), false)
                      as "passed!"
           from unnest($2::uuid[], $3::int[]) with ordinality i (invitation_id, generation, place)
           left join lateral (
               select status, reason, finished_at, created_at from deliveries d
               where d.workspace_id = $1 and d.invitation_id = i.invitation_id and d.channel = 'mail'
                 and d.kind = 'invitation' and d.generation = i.generation
               order by d.position desc limit 1) d on true
           order by i.place"#,
        workspace,
        &ids,
        &generations
    )
    .fetch_all(tx.connection())
    .await?;
    let mut mails = HashMap::with_capacity(rows.len());
    for (row, invitation) in rows.into_iter().zip(mailed) {
        let mail = match (row.status, row.passed) {
            (Some(status), _) => {
                InvitationMail { status, reason: row.reason, at: row.at.unwrap_or(invitation.updated_at) }
            }
            (None, false) => {
                InvitationMail { status: "pending".to_owned(), reason: None, at: invitation.updated_at }
            }
            (None, true) => continue,
        };
        mails.insert(row.invitation_id, mail);
    }
    Ok(mails)
}
