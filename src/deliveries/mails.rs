//! Which mails an event asks for. Whether there is still something to send is decided anew when it is sent.

use sqlx::PgConnection;
use tenure_aggregates::Time;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::membership::{Ending, MembershipEvent};
use tenure_aggregates::webhook_endpoint::{Disabling, WebhookEndpointEvent};
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_projections::{Event, Logged};
use uuid::Uuid;

use super::rows::{Happening, Planned, insert};
use super::{Channel, Trigger};
use crate::mail::Kind;

/// Writes down the mails that the events of a stretch ask for; returns whether there were any.
pub(super) async fn write(
    conn: &mut PgConnection,
    after: i64,
    to: i64,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let mut any = false;
    for row in telling(&mut *conn, after, to).await? {
        let planned = plan(&mut *conn, row, now).await?;
        any |= !planned.is_empty();
        insert(&mut *conn, Channel::Mail, &planned, now).await?;
    }
    Ok(any)
}

/// The events that may ask for a mail.
async fn telling(conn: &mut PgConnection, after: i64, to: i64) -> Result<Vec<Logged>, sqlx::Error> {
    sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events
           where position > $1 and position <= $2
             and event_type in ('InvitationSent', 'InvitationResent', 'InvitationRevoked',
                                'WorkspaceOwnershipTransferred', 'MembershipEnded', 'WorkspaceSuspended',
                                'WebhookEndpointDisabled')
           order by position"#,
        after,
        to
    )
    .fetch_all(conn)
    .await
}

async fn plan(conn: &mut PgConnection, row: Logged, now: Time) -> Result<Vec<Planned>, sqlx::Error> {
    let of =
        Happening { workspace: row.workspace_id, workspace_seq: row.workspace_seq, position: row.position };
    let invitation = row.aggregate_id.parse::<Uuid>().ok().filter(|_| row.aggregate_type == "Invitation");
    let sends = ["InvitationSent", "InvitationResent"].contains(&row.event_type.as_str());
    let event = match row.decode() {
        Ok(recorded) => recorded.event,
        // Whether it wants a mail shows once it can be read: until then that mail waits, and no other.
        Err(_) if sends => return Ok(vec![to_invited(of, Kind::Invitation, invitation)]),
        Err(error) => {
            tracing::error!(position = of.position, %error, "an event cannot be read: whoever it concerns gets no mail");
            return Ok(vec![]);
        }
    };
    Ok(match event {
        Event::Invitation(
            InvitationEvent::InvitationSent { notify: true, generation, .. }
            | InvitationEvent::InvitationResent { notify: true, generation, .. },
        ) => {
            let generation = i32::try_from(generation).ok();
            vec![Planned { generation, ..to_invited(of, Kind::Invitation, invitation) }]
        }
        Event::Invitation(InvitationEvent::InvitationRevoked) => {
            let told = call_off(conn, of.workspace, invitation, now).await?;
            told.then(|| to_invited(of, Kind::InvitationRevoked, invitation)).into_iter().collect()
        }
        Event::Workspace(WorkspaceEvent::WorkspaceOwnershipTransferred { owner_id }) => {
            [owner_id.to, owner_id.from]
                .map(|user| to_user(of, Kind::OwnershipTransferred, user.as_str().to_owned()))
                .into()
        }
        Event::Membership(MembershipEvent::MembershipEnded { user_id, because: Ending::Removed }) => {
            vec![to_user(of, Kind::MemberRemoved, user_id.as_str().to_owned())]
        }
        Event::Workspace(WorkspaceEvent::WorkspaceSuspended { .. }) => {
            to_users(of, Kind::WorkspaceSuspended, owner(conn, of.workspace).await?)
        }
        Event::WebhookEndpoint(WebhookEndpointEvent::WebhookEndpointDisabled {
            because: Disabling::Gone | Disabling::Failing,
        }) => to_users(of, Kind::WebhookDisabled, admins(conn, of.workspace, now).await?),
        _ => vec![],
    })
}

fn to_invited(of: Happening, kind: Kind, invitation: Option<Uuid>) -> Planned {
    mail(of, kind, None, invitation)
}

fn to_user(of: Happening, kind: Kind, user: String) -> Planned {
    mail(of, kind, Some(user), None)
}

fn to_users(of: Happening, kind: Kind, users: Vec<String>) -> Vec<Planned> {
    users.into_iter().map(|user| to_user(of, kind, user)).collect()
}

fn mail(of: Happening, kind: Kind, recipient: Option<String>, invitation: Option<Uuid>) -> Planned {
    let name = format!("{kind}:{}", recipient.as_deref().unwrap_or_default());
    Planned {
        of,
        id: Uuid::new_v5(&of.event_id(), name.as_bytes()),
        lane: of.workspace,
        kind: kind.as_str().to_owned(),
        trigger: Trigger::Event,
        recipient,
        invitation,
        generation: None,
    }
}

/// Cancels an invitation's mails that nobody has tried to send; returns whether any was tried, so that the invited may
/// have it.
async fn call_off(
    conn: &mut PgConnection,
    workspace: Uuid,
    invitation: Option<Uuid>,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let tried = sqlx::query_scalar!(
        "with off as (
             update deliveries set status = 'cancelled', next_attempt_at = null, reason = 'invitation_revoked',
                                   finished_at = $3
             where workspace_id = $1 and invitation_id = $2 and status = 'pending' and attempts = 0
         )
         select exists (select from deliveries
                        where workspace_id = $1 and invitation_id = $2 and kind = 'invitation' and attempts > 0)",
        workspace,
        invitation,
        now
    )
    .fetch_one(conn)
    .await?;
    Ok(tried.unwrap_or_default())
}

async fn owner(conn: &mut PgConnection, workspace: Uuid) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!("select owner_id from workspaces where workspace_id = $1", workspace)
        .fetch_all(conn)
        .await
}

async fn admins(conn: &mut PgConnection, workspace: Uuid, now: Time) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from members
         where workspace_id = $1 and (is_owner or role = 'admin') and not deactivated
           and (expires_at is null or expires_at > $2)
         order by user_id",
        workspace,
        now
    )
    .fetch_all(conn)
    .await
}
