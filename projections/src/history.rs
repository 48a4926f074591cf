//! A workspace's events themselves, straight from the log.

use uuid::Uuid;

use crate::TenantTx;
use crate::recorded::Logged;

/// The events after a `workspace_seq`, oldest first.
pub async fn page(tx: &mut TenantTx, after: i64, limit: i64) -> Result<Vec<Logged>, sqlx::Error> {
    page_until(tx, after, i64::MAX, limit).await
}

/// The events after a `workspace_seq` and up to a position of the log, oldest first.
pub async fn page_until(
    tx: &mut TenantTx,
    after: i64,
    upto: i64,
    limit: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events where workspace_id = $1 and workspace_seq > $2 and position <= $3
           order by workspace_seq limit $4"#,
        workspace,
        after,
        upto,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// The `workspace_seq` of the last event; 0 where there is none.
pub async fn end(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let seq = sqlx::query_scalar!(
        "select workspace_seq from events where workspace_id = $1 order by workspace_seq desc limit 1",
        workspace
    );
    Ok(seq.fetch_optional(tx.connection()).await?.unwrap_or(0))
}

/// What made a membership what it is: its own events, and of others those that bear on it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bearing {
    /// The membership's stream.
    pub membership: String,
    pub user_id: String,
    /// The invitations it came by.
    pub invitations: Vec<String>,
    /// The generations of the invite codes it came by.
    pub codes: Vec<i64>,
    /// The workspace's own roles it ever was of.
    pub roles: Vec<String>,
}

/// The events of a stream up to a position.
pub async fn stream(
    tx: &mut TenantTx,
    aggregate_type: &str,
    id: &str,
    until: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events where workspace_id = $1 and aggregate_type = $2 and aggregate_id = $3 and position <= $4
           order by sequence"#,
        workspace,
        aggregate_type,
        id,
        until
    )
    .fetch_all(tx.connection())
    .await
}

/// The events that bear on a membership, up to a position and after a `workspace_seq`, oldest first: the membership's
/// own, those of its invitations, and of the workspace's the ones about its beginning, its status, its owner as far as
/// that is this user, and the codes and roles named.
pub async fn bearing(
    tx: &mut TenantTx,
    on: &Bearing,
    until: i64,
    after: i64,
    limit: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        Logged,
        r#"select position as "position!", workspace_id as "workspace_id!", workspace_seq as "workspace_seq!",
                  aggregate_type as "aggregate_type!", aggregate_id as "aggregate_id!", sequence as "sequence!",
                  event_type as "event_type!", event_version as "event_version!", payload::text as "payload!",
                  metadata::text as "metadata!", recorded_at as "recorded_at!"
           from (
               select * from events where aggregate_type = 'Membership' and aggregate_id = $5
               union all
               select * from events where aggregate_type = 'Invitation' and aggregate_id = any($6)
               union all
               select * from events
               where aggregate_type = 'Workspace' and aggregate_id = $7
                 and (event_type in ('WorkspaceCreated', 'WorkspaceSuspended', 'WorkspaceResumed', 'WorkspaceArchived',
                                     'WorkspaceRestored')
                      or event_type = 'WorkspaceOwnershipTransferred'
                         and $8 in (payload -> 'owner_id' ->> 'from', payload -> 'owner_id' ->> 'to')
                      or event_type = 'InviteCodeIssued' and (payload ->> 'generation')::bigint = any($9)
                      or event_type in ('RoleDefined', 'RoleChanged', 'RoleDeleted')
                         and payload ->> 'role' = any($10))) e
           where workspace_id = $1 and position <= $2 and workspace_seq > $3
           order by workspace_seq limit $4"#,
        workspace,
        until,
        after,
        limit,
        on.membership,
        &on.invitations,
        workspace.to_string(),
        on.user_id,
        &on.codes,
        &on.roles
    )
    .fetch_all(tx.connection())
    .await
}
