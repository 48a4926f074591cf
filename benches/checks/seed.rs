//! Fills the read models: so many workspaces, with so many users who belong to one each.
//!
//! Straight into `workspaces` and `members`, as a projection of as many commands would have left them; the log itself
//! stays empty. Nothing measured here reads it for these workspaces: the index is loaded from the read models, and the
//! look-up per check reads them, too.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor};

use super::Size;

/// The workspace of that number.
pub(super) fn workspace(number: u64) -> String {
    format!("00000000-0000-7000-8000-{number:012x}")
}

/// The user of that number.
pub(super) fn user(number: u64) -> String {
    format!("user-{number:08}")
}

/// The workspace that user belongs to.
pub(super) fn home(number: u64, size: &Size) -> u64 {
    number % size.workspaces
}

pub(super) async fn fill(database: &PgConnectOptions, size: &Size) {
    let mut connection = database.connect().await.expect("a connection");
    let (memberships, workspaces) = (size.memberships, size.workspaces);
    let workspace =
        |number: &str| format!("('00000000-0000-7000-8000-' || lpad(to_hex({number}), 12, '0'))::uuid");
    let user = |number: &str| format!("'user-' || lpad(({number})::text, 8, '0')");
    // The first user of a workspace owns it; of the others every third is a moderator.
    let fill = format!(
        "insert into workspaces (workspace_id, kind, name, social, owner_id, archived, seats_used, seats_limit, code_uses,
                                 sequence, created_at, updated_at)
         select {id}, 'team', 'Workspace ' || w, '{{}}', {owner}, false, 1, 1000000, 0, 1, now(), now()
         from generate_series(0, {workspaces} - 1) w;
         insert into members (workspace_id, user_id, role, recorded_role, is_owner, deactivated, joined_at, sequence,
                              updated_at)
         select {home}, {member}, role, role, role = 'owner', false, now(), 1, now()
         from (select m, case when m < {workspaces} then 'owner' when m % 3 = 0 then 'moderator' else 'member' end as role
               from generate_series(0, {memberships} - 1) m) s;",
        id = workspace("w"),
        owner = user("w"),
        home = workspace(&format!("m % {workspaces}")),
        member = user("m"),
    );
    connection.execute(fill.as_str()).await.expect("seeded");
    connection.execute("vacuum analyze").await.expect("analysed");
    connection.execute("checkpoint").await.expect("a checkpoint");
    connection.close().await.expect("closed");
}
