//! What everybody writes: a membership begins, or gets another end.

use tenure_aggregates::membership::{Entrance, MembershipCommand};
use tenure_aggregates::{Role, UserId};

pub(super) fn start() -> MembershipCommand {
    MembershipCommand::Start {
        user_id: UserId::parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("an id"),
        role: Role::Member,
        expires_at: None,
        through: Entrance::Added,
        now: tenure::clock::now(),
    }
}

/// Another end each time, so that every command records an event.
pub(super) fn change(client: usize, n: u64) -> MembershipCommand {
    let seconds = i64::try_from(n).unwrap_or(0) * 1_000 + i64::try_from(client).unwrap_or(0);
    let expires_at =
        Some(tenure::clock::now() + chrono::Duration::days(365) + chrono::Duration::seconds(seconds));
    MembershipCommand::ChangeExpiry { expires_at, owner: false, now: tenure::clock::now() }
}
