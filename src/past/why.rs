//! Why does somebody have this? The events that made a membership what it is.

use tenure_aggregates::membership::{Entrance, MembershipEvent};
use tenure_aggregates::{MembershipId, Role, UserId};
use tenure_projections::history::{self, Bearing};
use tenure_projections::{Event, TenantTx};

use crate::data_keys::Vault;
use crate::resources::HistoryEntry;
use crate::store::StoreError;

/// The events behind a user's membership of the transaction's workspace, oldest first, up to a position and after a
/// `workspace_seq`; none if the user was never a member there by then.
pub async fn history_of(
    tx: &mut TenantTx,
    vault: &Vault,
    user: &UserId,
    until: i64,
    after: i64,
    limit: i64,
) -> Result<Option<Vec<HistoryEntry>>, StoreError> {
    let membership = MembershipId::of(tx.workspace(), user).to_string();
    let own = history::stream(tx, "Membership", &membership, until).await?;
    if own.is_empty() {
        return Ok(None);
    }
    let mut on = Bearing { membership, user_id: user.to_string(), ..Bearing::default() };
    for logged in own {
        let recorded = logged.decode().map_err(StoreError::from)?;
        if let Event::Membership(event) = recorded.event {
            on.learn(&event);
        }
    }
    let events = history::bearing(tx, &on, until, after, limit).await?;
    let entries = vault.open_events(events).await?.into_iter().map(|opened| {
        let recorded = opened.decode().map_err(StoreError::from)?;
        HistoryEntry::of(&recorded)
    });
    entries.collect::<Result<_, _>>().map(Some)
}

/// What a membership's own events say of others that bear on it.
trait Learn {
    fn learn(&mut self, event: &MembershipEvent);
    fn role(&mut self, role: &Role);
}

impl Learn for Bearing {
    fn learn(&mut self, event: &MembershipEvent) {
        match event {
            MembershipEvent::MembershipStarted { role, through, .. } => {
                self.role(role);
                match through {
                    Entrance::Invitation { invitation_id } => {
                        self.invitations.push(invitation_id.to_string());
                    }
                    Entrance::InviteCode { generation } => self.codes.push(i64::from(*generation)),
                    Entrance::Created | Entrance::Added => {}
                }
            }
            MembershipEvent::MembershipRoleChanged { role, .. } => {
                self.role(&role.from);
                self.role(&role.to);
            }
            MembershipEvent::MembershipExpiryChanged { .. }
            | MembershipEvent::MembershipDeactivated { .. }
            | MembershipEvent::MembershipReactivated { .. }
            | MembershipEvent::MembershipEnded { .. } => {}
        }
    }

    fn role(&mut self, role: &Role) {
        if let Some(name) = role.custom() {
            self.roles.push(name.to_string());
        }
    }
}
