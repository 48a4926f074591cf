//! The audit log: what was done in a workspace, to what, by whom, from where.

mod copied;
mod fold;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use cqrs_es::Aggregate;
use serde_json::Value;
use tenure_aggregates::event::EventName;
use tenure_aggregates::{
    ApiKey, Catalogue, Claim, Invitation, Membership, Session, Time, User, WebhookEndpoint, Workspace,
};
use uuid::Uuid;

use crate::TenantTx;
use crate::recorded::Logged;
pub use fold::{AuditLog, Described, describe, target};

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
    /// What was commanded.
    pub command: Option<String>,
    /// The stream of the event, for which what is sealed in the entry was sealed.
    pub aggregate_type: Option<String>,
    pub aggregate_id: Option<String>,
    /// From where the request came, sealed.
    pub origin: Option<String>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
    pub causation_id: Option<String>,
}

/// Which entries are wanted; what is not given is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The actor's id.
    pub actor: Option<String>,
    /// user, service, `api_key`, system, or unknown.
    pub actor_type: Option<String>,
    /// An action, or a family of them: `membership.*`.
    pub action: Option<String>,
    /// The target's id.
    pub target: Option<String>,
    /// What was commanded.
    pub command: Option<String>,
    /// At or after.
    pub from: Option<Time>,
    /// Before.
    pub to: Option<Time>,
    pub named: Option<Named>,
}

/// A piece of text that actor, target or action must have, or a name that leads to actor or target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// In any case.
    pub text: String,
    /// Those whose name has it.
    pub ids: Vec<String>,
}

/// What alone a filter asks for.
enum Sole<'a> {
    Nothing,
    Actor(&'a str),
    Target(&'a str),
    Action(&'a str),
}

impl Filter {
    /// What is asked for, where that is one thing only.
    fn sole(&self) -> Option<Sole<'_>> {
        let Self { actor, actor_type, action: _, target, command, from, to, named } = self;
        let (action, family) = self.action();
        if actor_type.is_some() || family.is_some() || command.is_some() {
            return None;
        }
        if from.is_some() || to.is_some() || named.is_some() {
            return None;
        }
        match (actor.as_deref(), target.as_deref(), action) {
            (None, None, None) => Some(Sole::Nothing),
            (Some(actor), None, None) => Some(Sole::Actor(actor)),
            (None, Some(target), None) => Some(Sole::Target(target)),
            (None, None, Some(action)) => Some(Sole::Action(action)),
            _ => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        let Self { actor, actor_type, action, target, command, from, to, named } = self;
        let texts = [actor, actor_type, action, target, command];
        texts.iter().all(|text| text.is_none()) && from.is_none() && to.is_none() && named.is_none()
    }

    /// The one action, or the beginning of all of a family.
    pub(crate) fn action(&self) -> (Option<&str>, Option<&str>) {
        let family = self.action.as_deref().and_then(|action| action.strip_suffix('*'));
        (self.action.as_deref().filter(|_| family.is_none()), family)
    }

    pub(crate) fn named(&self) -> (Option<&str>, Option<&[String]>) {
        self.named.as_ref().map(|named| (named.text.as_str(), named.ids.as_slice())).unzip()
    }
}

/// Reads entries with a `workspace_seq` below `$2`, newest first; `$1` is the workspace, `$3` how many. Each of these
/// conditions has an index that is in that order, so that any plan is good.
macro_rules! entries {
    ($condition:literal, $tx:expr, $before:expr, $limit:expr $(, $arg:expr)*) => {{
        let workspace: Uuid = $tx.workspace().into();
        sqlx::query_as!(
            Entry,
            "select workspace_id, workspace_seq, position, time, actor_type, actor_id, via, action, target_type,
                    target_id, changes, reason, command, aggregate_type, aggregate_id, origin, request_id,
                    correlation_id, causation_id
             from audit_log where workspace_id = $1 and workspace_seq < $2 "
                + $condition
                + " order by workspace_seq desc limit $3",
            workspace,
            $before,
            $limit
            $(, $arg)*
        )
    }};
}

/// Reads what the filter lets through of `audit_log a`; `$1` is the workspace, `$2` a `workspace_seq`, `$13` how many.
/// Times never run backwards, so that between two of them lies one stretch of the history, and no entry outside is read
/// but for the few by which its ends are found.
macro_rules! matching {
    ($row:ident, $head:literal, $tail:literal, $tx:expr, $filter:expr, $from:expr, $limit:expr) => {{
        let workspace: Uuid = $tx.workspace().into();
        let ((action, family), (text, ids)) = ($filter.action(), $filter.named());
        sqlx::query_as!(
            $row,
            $head
                + r#" where a.workspace_id = $1 and ($3::text is null or a.actor_id = $3)
                       and ($4::text is null or a.actor_type = $4) and ($5::text is null or a.action = $5)
                       and ($6::text is null or starts_with(a.action, $6))
                       and ($7::text is null or a.target_id = $7) and ($8::text is null or a.command = $8)
                       and ($9::timestamptz is null or a.workspace_seq >= (select audit_log_since($1, $9)))
                       and ($10::timestamptz is null or a.workspace_seq < (select audit_log_since($1, $10)))
                       and ($11::text is null or a.actor_id = any($12::text[]) or a.target_id = any($12::text[])
                            or position(lower($11) in a.action) > 0 or position(lower($11) in lower(a.target_id)) > 0
                            or position(lower($11) in lower(coalesce(a.actor_id, ''))) > 0) "#
                + $tail,
            workspace,
            $from,
            $filter.actor.as_deref(),
            $filter.actor_type.as_deref(),
            action,
            family,
            $filter.target.as_deref(),
            $filter.command.as_deref(),
            $filter.from,
            $filter.to,
            text,
            ids,
            $limit
        )
    }};
}

/// Newest first, those with a `workspace_seq` below `before`.
pub async fn list(
    tx: &mut TenantTx,
    filter: &Filter,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    let before = before.unwrap_or(i64::MAX);
    match filter.sole() {
        Some(Sole::Nothing) => entries!("", tx, before, limit).fetch_all(tx.connection()).await,
        Some(Sole::Actor(actor)) => {
            entries!("and actor_id = $4", tx, before, limit, actor).fetch_all(tx.connection()).await
        }
        Some(Sole::Target(target)) => {
            entries!("and target_id = $4", tx, before, limit, target).fetch_all(tx.connection()).await
        }
        Some(Sole::Action(action)) => {
            entries!("and action = $4", tx, before, limit, action).fetch_all(tx.connection()).await
        }
        None => list_several(tx, filter, before, limit).await,
    }
}

async fn list_several(
    tx: &mut TenantTx,
    filter: &Filter,
    before: i64,
    limit: i64,
) -> Result<Vec<Entry>, sqlx::Error> {
    plan_for_what_is_asked(tx).await?;
    matching!(
        Entry,
        "select workspace_id, workspace_seq, position, time, actor_type, actor_id, via, action, target_type, target_id,
                changes, reason, command, aggregate_type, aggregate_id, origin, request_id, correlation_id, causation_id
         from audit_log a",
        "and a.workspace_seq < $2 order by a.workspace_seq desc limit $13",
        tx,
        filter,
        before,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// The events behind the entries with a `workspace_seq` above `after`, oldest first.
pub async fn events(
    tx: &mut TenantTx,
    filter: &Filter,
    after: i64,
    limit: i64,
) -> Result<Vec<Logged>, sqlx::Error> {
    plan_for_what_is_asked(tx).await?;
    matching!(
        Logged,
        r#"select e.position, e.workspace_id, e.workspace_seq, e.aggregate_type, e.aggregate_id, e.sequence,
                  e.event_type, e.event_version, e.payload::text as "payload!", e.metadata::text as "metadata!",
                  e.recorded_at
           from audit_log a join events e on e.workspace_id = a.workspace_id and e.workspace_seq = a.workspace_seq"#,
        "and a.workspace_seq > $2 order by a.workspace_seq limit $13",
        tx,
        filter,
        after,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// The people, keys and roles of the workspace whose name, address or id has this piece of text, in any case.
pub async fn named(tx: &mut TenantTx, text: &str, limit: i64) -> Result<Vec<String>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        r#"select id as "id!" from (
               select user_id as id from members where workspace_id = $1
                 and (position(lower($2) in lower(coalesce(name, ''))) > 0 or position(lower($2) in lower(coalesce(email, ''))) > 0)
               union select user_id from users where workspace_id = $1
                 and (position(lower($2) in lower(coalesce(name, ''))) > 0 or position(lower($2) in lower(coalesce(email, ''))) > 0)
               union select key_id::text from api_keys where workspace_id = $1 and position(lower($2) in lower(name)) > 0
               union select workspace_id::text from workspaces where workspace_id = $1
                 and (position(lower($2) in lower(name)) > 0 or position(lower($2) in lower(coalesce(slug, ''))) > 0)
           ) named limit $3"#,
        workspace,
        text,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// A plan that suits every filter suits none: for what is not asked for there is an index, too.
async fn plan_for_what_is_asked(tx: &mut TenantTx) -> Result<(), sqlx::Error> {
    sqlx::query("set local plan_cache_mode = force_custom_plan").execute(tx.connection()).await?;
    Ok(())
}

/// What an event is called outside: `<aggregate>.<past tense>`, as in `membership.role_changed`.
pub fn action(aggregate_type: &str, event_type: &str) -> String {
    let what = event_type.strip_prefix(aggregate_type).unwrap_or(event_type);
    format!("{}.{}", snake(aggregate_type), snake(what))
}

/// Whatever an event may be called outside.
pub fn actions() -> &'static BTreeSet<String> {
    static ACTIONS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut all = BTreeSet::new();
        name::<User>(&mut all);
        name::<Workspace>(&mut all);
        name::<Membership>(&mut all);
        name::<Invitation>(&mut all);
        name::<Session>(&mut all);
        name::<ApiKey>(&mut all);
        name::<WebhookEndpoint>(&mut all);
        name::<Catalogue>(&mut all);
        name::<Claim>(&mut all);
        all
    });
    &ACTIONS
}

fn name<A: Aggregate<Event: EventName>>(all: &mut BTreeSet<String>) {
    all.extend(A::Event::NAMES.iter().map(|event| action(A::TYPE, event)));
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
    use super::{action, actions};

    #[test]
    fn actions_are_past_tense_under_their_aggregate() {
        assert_eq!(action("Workspace", "WorkspaceCreated"), "workspace.created");
        assert_eq!(action("Workspace", "WorkspaceOwnershipTransferred"), "workspace.ownership_transferred");
        assert_eq!(action("Workspace", "InviteCodeIssued"), "workspace.invite_code_issued");
        assert_eq!(action("Membership", "MembershipRoleChanged"), "membership.role_changed");
    }

    #[test]
    fn every_action_is_known() {
        for known in
            ["user.provisioned", "workspace.invite_code_issued", "claim.taken", "webhook_endpoint.tested"]
        {
            assert!(actions().contains(known), "{known}");
        }
        assert!(!actions().contains("membership.promoted"));
    }
}
