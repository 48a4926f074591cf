//! What is to be delivered, as rows that are written once.

use sqlx::PgConnection;
use tenure_aggregates::Time;
use uuid::Uuid;

use super::{Channel, Trigger};
use crate::feeds::event_id;

/// The event that something is to be delivered of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Happening {
    pub workspace: Uuid,
    pub workspace_seq: i64,
    pub position: i64,
}

impl Happening {
    pub(super) fn event_id(self) -> Uuid {
        event_id(self.workspace, self.workspace_seq)
    }
}

/// A delivery that has yet to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Planned {
    pub of: Happening,
    pub id: Uuid,
    pub lane: Uuid,
    pub kind: String,
    pub trigger: Trigger,
    pub recipient: Option<String>,
    pub invitation: Option<Uuid>,
    /// Which token the invitation's mail carries.
    pub generation: Option<i32>,
}

/// Writes them down. What is there already stays as it is: the same delivery always has the same id.
pub(super) async fn insert(
    conn: &mut PgConnection,
    channel: Channel,
    planned: &[Planned],
    now: Time,
) -> Result<(), sqlx::Error> {
    if planned.is_empty() {
        return Ok(());
    }
    let each = |of: fn(&Planned) -> Uuid| planned.iter().map(of).collect::<Vec<_>>();
    let number = |of: fn(&Planned) -> i64| planned.iter().map(of).collect::<Vec<_>>();
    let triggers: Vec<&str> = planned.iter().map(|one| one.trigger.into()).collect();
    sqlx::query!(
        "insert into deliveries (channel, workspace_id, delivery_id, lane, kind, trigger, event_id, position,
                                 workspace_seq, recipient, invitation_id, generation, next_attempt_at, created_at)
         select $1, p.workspace, p.delivery, p.lane, p.kind, p.trigger, p.event, p.position, p.seq, p.recipient,
                p.invitation, p.generation, $13, $13
         from unnest($2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::uuid[], $8::bigint[],
                     $9::bigint[], $10::text[], $11::uuid[], $12::int[])
              p (workspace, delivery, lane, kind, trigger, event, position, seq, recipient, invitation, generation)
         on conflict do nothing",
        channel.as_str(),
        &each(|one| one.of.workspace),
        &each(|one| one.id),
        &each(|one| one.lane),
        &planned.iter().map(|one| one.kind.clone()).collect::<Vec<_>>(),
        &triggers as _,
        &each(|one| one.of.event_id()),
        &number(|one| one.of.position),
        &number(|one| one.of.workspace_seq),
        &planned.iter().map(|one| one.recipient.clone()).collect::<Vec<_>>() as _,
        &planned.iter().map(|one| one.invitation).collect::<Vec<_>>() as _,
        &planned.iter().map(|one| one.generation).collect::<Vec<_>>() as _,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
