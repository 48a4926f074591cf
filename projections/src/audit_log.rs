//! The audit log: what was done in a workspace, to what, by whom, from where.

mod fold;

use serde_json::Value;
use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
pub use fold::AuditLog;

/// One entry per event. What speaks of somebody is sealed in it, as in the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub workspace_id: Uuid,
    pub workspace_seq: i64,
    pub position: i64,
    pub time: Time,
    pub actor_type: String,
    pub actor_id: Option<String>,
    pub via: Option<String>,
    pub action: String,
    pub target_type: String,
    pub target_id: String,
    /// `{field: {from, to}}`
    pub changes: Value,
    pub reason: Option<String>,
    /// The stream of the event, for which what is sealed in the entry was sealed.
    pub aggregate_type: Option<String>,
    pub aggregate_id: Option<String>,
    /// From where the request came, sealed.
    pub origin: Option<String>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Filter<'a> {
    /// The actor's id.
    pub actor: Option<&'a str>,
    /// An action, or a family of them: `membership.*`.
    pub action: Option<&'a str>,
    /// The target's id.
    pub target: Option<&'a str>,
    /// At or after.
    pub from: Option<Time>,
    /// Before.
    pub to: Option<Time>,
}

/// Newest first, those with a `workspace_seq` below `before`.
pub async fn list(
    tx: &mut TenantTx,
    filter: &Filter<'_>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    let family = filter.action.and_then(|action| action.strip_suffix('*'));
    let action = filter.action.filter(|_| family.is_none());
    sqlx::query_as!(
        Entry,
        "select workspace_id, workspace_seq, position, time, actor_type, actor_id, via, action, target_type, target_id,
                changes, reason, aggregate_type, aggregate_id, origin, request_id, correlation_id, causation_id
         from audit_log
         where workspace_id = $1 and ($2::bigint is null or workspace_seq < $2)
           and ($3::text is null or actor_id = $3) and ($4::text is null or action = $4)
           and ($5::text is null or starts_with(action, $5)) and ($6::text is null or target_id = $6)
           and ($7::timestamptz is null or time >= $7) and ($8::timestamptz is null or time < $8)
         order by workspace_seq desc limit $9",
        workspace,
        before,
        filter.actor,
        action,
        family,
        filter.target,
        filter.from,
        filter.to,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// What an event is called outside: `<aggregate>.<past tense>`, as in `membership.role_changed`.
pub fn action(aggregate_type: &str, event_type: &str) -> String {
    let what = event_type.strip_prefix(aggregate_type).unwrap_or(event_type);
    format!("{}.{}", snake(aggregate_type), snake(what))
}

fn snake(camel: &str) -> String {
    let mut snake = String::with_capacity(camel.len() + 4);
    for (at, letter) in camel.char_indices() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::action;

    #[test]
    fn actions_are_past_tense_under_their_aggregate() {
        assert_eq!(action("Workspace", "WorkspaceCreated"), "workspace.created");
        assert_eq!(action("Workspace", "WorkspaceOwnershipTransferred"), "workspace.ownership_transferred");
        assert_eq!(action("Workspace", "InviteCodeIssued"), "workspace.invite_code_issued");
        assert_eq!(action("Membership", "MembershipRoleChanged"), "membership.role_changed");
    }
}
