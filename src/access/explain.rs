//! Who made it so: the event that gave somebody the role they hold, out of the workspace's own log.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenure_aggregates::{MembershipId, Role, RoleName, UserId, WorkspaceId};
use tenure_projections::{Logged, TenantTx};

use super::decide::Reason;
use crate::past::Past;
use crate::reads::Reads;
use crate::store::{Failure, StoreError};

/// An event and its author, as an answer shows them.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Since {
    pub position: i64,
    pub time: DateTime<Utc>,
    /// The event's name, such as `MembershipRoleChanged`.
    pub event: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct By {
    /// user, `api_key`, service or system.
    #[serde(rename = "type")]
    pub kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The service that acted for the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
}

/// What gave somebody the role they hold.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Cause {
    pub since: Since,
    pub by: By,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// The last event behind `reason`: what gave the role that is held, or what took the membership away; for a workspace's
/// own role also its definition, if that is later.
pub async fn cause(
    reads: &Reads,
    workspace: WorkspaceId,
    user: &UserId,
    (reason, role): (Reason, Option<&Role>),
    past: Option<&Past>,
) -> Result<Option<Cause>, Failure> {
    let mut tx = reads.log_of(workspace).await?;
    let behind = Behind {
        membership: MembershipId::of(workspace, user),
        events: events_behind(reason),
        own_role: role.and_then(Role::custom).map(RoleName::as_str),
        until: past.map_or(i64::MAX, |past| past.position),
    };
    let logged = behind.last(&mut tx).await.map_err(StoreError::from)?;
    tx.close().await.map_err(StoreError::from)?;
    let Some(logged) = logged else { return Ok(None) };
    let recorded = logged.decode().map_err(StoreError::from)?;
    let metadata = recorded.metadata;
    Ok(Some(Cause {
        since: Since {
            position: recorded.position,
            time: recorded.recorded_at,
            event: recorded.event.name().to_owned(),
        },
        by: By { kind: metadata.actor_type.as_str(), id: metadata.actor_id, via: metadata.via },
        command: metadata.command,
        request_id: metadata.request_id,
    }))
}

fn events_behind(reason: Reason) -> &'static [&'static str] {
    match reason {
        Reason::NotAMember => &["MembershipEnded"],
        Reason::MembershipDeactivated => &["MembershipDeactivated"],
        Reason::MembershipExpired => &["MembershipStarted", "MembershipExpiryChanged"],
        _ => &["MembershipStarted", "MembershipRoleChanged"],
    }
}

/// What is looked for.
struct Behind<'a> {
    membership: MembershipId,
    events: &'static [&'static str],
    own_role: Option<&'a str>,
    until: i64,
}

impl Behind<'_> {
    async fn last(&self, tx: &mut TenantTx) -> Result<Option<Logged>, sqlx::Error> {
        let workspace = tx.workspace().0;
        sqlx::query_as!(
            Logged,
            r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                      event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
               from events
               where workspace_id = $1 and position <= $4
                 and (aggregate_type = 'Membership' and aggregate_id = $2 and event_type = any($3)
                      or aggregate_type = 'Workspace' and aggregate_id = $5 and $6::text is not null
                          and event_type in ('RoleDefined', 'RoleChanged') and payload ->> 'role' = $6)
               order by workspace_seq desc limit 1"#,
            workspace,
            self.membership.to_string(),
            self.events as _,
            self.until,
            workspace.to_string(),
            self.own_role
        )
        .fetch_optional(tx.connection())
        .await
    }
}
