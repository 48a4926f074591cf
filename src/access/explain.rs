//! Who made it so: the event that gave somebody the role they hold, out of the workspace's own log.

use serde::Serialize;
use tenure_aggregates::{MembershipId, Role, Time, UserId, WorkspaceId};
use tenure_projections::{Logged, TenantTx};

use super::past::Past;
use crate::reads::Reads;
use crate::store::{Failure, StoreError};

/// An event and its author, as an answer shows them.
#[derive(Debug, Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Since {
    pub position: i64,
    pub time: Time,
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

/// The last event that made the membership what it is: its beginning, a change of role, deactivation or end; for a
/// workspace's own role also the last definition of that role, if it is later.
pub async fn cause(
    reads: &Reads,
    workspace: WorkspaceId,
    user: &UserId,
    role: Option<&Role>,
    past: Option<&Past>,
) -> Result<Option<Cause>, Failure> {
    let mut tx = reads.log_of(workspace).await?;
    let bounds = past.map_or((i64::MAX, None), Past::bounds);
    let custom = role.and_then(Role::custom).map(|name| name.as_str());
    let logged = last(&mut tx, MembershipId::of(workspace, user), custom, bounds).await.map_err(StoreError::from)?;
    tx.close().await.map_err(StoreError::from)?;
    let Some(logged) = logged else { return Ok(None) };
    let recorded = logged.decode().map_err(|error| StoreError::Corrupt(error.to_string()))?;
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

async fn last(
    tx: &mut TenantTx,
    membership: MembershipId,
    own_role: Option<&str>,
    (position, time): (i64, Option<Time>),
) -> Result<Option<Logged>, sqlx::Error> {
    let workspace = tx.workspace().0;
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events
           where workspace_id = $1 and position <= $4 and ($5::timestamptz is null or recorded_at <= $5)
             and (aggregate_type = 'Membership' and aggregate_id = $2
                      and event_type <> 'MembershipExpiryChanged'
                  or aggregate_type = 'Workspace' and aggregate_id = $6 and $3::text is not null
                      and event_type in ('RoleDefined', 'RoleChanged') and payload ->> 'role' = $3)
           order by position desc limit 1"#,
        workspace,
        membership.to_string(),
        own_role,
        position,
        time,
        workspace.to_string()
    )
    .fetch_optional(tx.connection())
    .await
}
