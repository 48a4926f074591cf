//! Events in words: who did it, and what it was.

use serde_json::Value;
use tenure_aggregates::Role;
use tenure_aggregates::api_key::ApiKeyEvent;
use tenure_aggregates::catalogue::CatalogueEvent;
use tenure_aggregates::claim::ClaimEvent;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::membership::{self, Entrance, MembershipEvent};
use tenure_aggregates::session::SessionEvent;
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::webhook_endpoint::WebhookEndpointEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_projections::audit_log::describe;
use tenure_projections::recorded::{ActorType, member, user};
use tenure_projections::{Event, Recorded};

use super::instant;
use super::names::Names;
use crate::store::StoreError;

/// Who did it.
pub(super) fn actor(event: &Recorded, names: &Names) -> String {
    let metadata = &event.metadata;
    let id = metadata.actor_id.as_deref();
    match (metadata.actor_type, id) {
        (ActorType::User, Some(id)) => names.who(id, event.position),
        (ActorType::ApiKey, Some(id)) => format!("API key {id}"),
        (ActorType::Service, _) => "the service".to_owned(),
        (ActorType::System, _) => "Tenure".to_owned(),
        (ActorType::User | ActorType::ApiKey, None) => "somebody".to_owned(),
    }
}

/// What was done.
pub(super) fn event(recorded: &Recorded, names: &Names) -> Result<String, StoreError> {
    let who = |id: &str| names.who(id, recorded.position);
    Ok(match &recorded.event {
        Event::User(event) => of_user(event, &who(user(event).as_str()), &changes(recorded)?),
        Event::Workspace(event) => of_workspace(event, who, &changes(recorded)?),
        Event::Membership(event) => {
            let user = member(event).as_str();
            let own = recorded.metadata.actor_id.as_deref() == Some(user);
            of_membership(event, &who(user), own)
        }
        Event::Invitation(event) => of_invitation(event, &recorded.aggregate_id),
        Event::Session(event) => of_session(event),
        Event::ApiKey(event) => of_api_key(event, &recorded.aggregate_id),
        Event::WebhookEndpoint(event) => {
            of_webhook_endpoint(event, &recorded.aggregate_id, &changes(recorded)?)
        }
        Event::Catalogue(event) => of_catalogue(event),
        Event::Claim(ClaimEvent::ClaimTaken { .. }) => "reserved a name for the workspace".to_owned(),
        Event::Claim(ClaimEvent::ClaimReleased { .. }) => "gave a reserved name back".to_owned(),
    })
}

fn of_user(event: &UserEvent, user: &str, changes: &str) -> String {
    match event {
        UserEvent::UserProvisioned { .. } => format!("provisioned {user}"),
        UserEvent::UserProfileChanged { .. } => format!("changed the profile of {user}: {changes}"),
        UserEvent::UserErasureStarted { .. } => format!("began to erase {user}"),
        UserEvent::UserErasureWithdrawn { .. } => format!("gave up erasing {user}"),
        UserEvent::UserErased { .. } => format!("erased {user}"),
    }
}

fn of_workspace(event: &WorkspaceEvent, who: impl Fn(&str) -> String, changes: &str) -> String {
    use WorkspaceEvent as E;
    match event {
        E::WorkspaceCreated { kind, owner_id, profile, .. } => {
            let kind: &str = (*kind).into();
            format!("created the {kind} workspace “{}” for {}", profile.name, who(owner_id.as_str()))
        }
        E::WorkspaceProfileChanged(_) => format!("changed the workspace: {changes}"),
        E::WorkspaceSeatsLimitChanged { seats_limit } => {
            format!("set the seats to {}, were {}", seats_limit.to, seats_limit.from)
        }
        E::WorkspacePlanChanged { plan } => format!("put it on the plan {}, was on {}", plan.to, plan.from),
        E::WorkspaceOwnershipTransferred { owner_id } => {
            let (from, to) = (who(owner_id.from.as_str()), who(owner_id.to.as_str()));
            format!("handed the workspace from {from} to {to}")
        }
        E::WorkspaceSuspended { reason, .. } => {
            format!("suspended the workspace{}", because(reason.as_deref()))
        }
        E::WorkspaceResumed { reason } => format!("resumed the workspace{}", because(reason.as_deref())),
        E::WorkspaceArchived => "archived the workspace".to_owned(),
        E::WorkspaceRestored => "restored the workspace".to_owned(),
        E::WorkspaceDeleted { because: ending } => match ending {
            tenure_aggregates::workspace::Ending::Deleted => "deleted the workspace".to_owned(),
            tenure_aggregates::workspace::Ending::OwnerErased => {
                "ended the workspace with its owner".to_owned()
            }
        },
        E::InviteCodeIssued { generation, role, max_uses, expires_at, .. } => {
            let uses = max_uses.map(|max| format!(", good {max} times")).unwrap_or_default();
            let end = expires_at.map(|end| format!(", until {}", instant(end))).unwrap_or_default();
            format!("issued invite code {generation} for the role {role}{uses}{end}")
        }
        E::InviteCodeDisabled { generation } => format!("disabled invite code {generation}"),
        E::RoleDefined { role, definition } => {
            format!("defined the role {role}: {}", list(&definition.permissions))
        }
        E::RoleChanged { role, .. } => format!("changed the role {role}: {changes}"),
        E::RoleDeleted { role, replacement } => {
            let instead = replacement.as_ref().map(|role| format!(", in favour of {role}"));
            format!("deleted the role {role}{}", instead.unwrap_or_default())
        }
    }
}

/// `own` where the member did it themselves.
fn of_membership(event: &MembershipEvent, user: &str, own: bool) -> String {
    use MembershipEvent as E;
    match event {
        E::MembershipStarted { role, expires_at, through, .. } => {
            let how = match through {
                Entrance::Created => "as its first member".to_owned(),
                Entrance::Added => "directly".to_owned(),
                Entrance::Invitation { invitation_id } => format!("by invitation {invitation_id}"),
                Entrance::InviteCode { generation } => format!("by invite code {generation}"),
            };
            let end = expires_at.map(|end| format!(", until {}", instant(end))).unwrap_or_default();
            let role = a(role);
            if own {
                format!("became {role}, {how}{end}")
            } else {
                format!("added {user} as {role}, {how}{end}")
            }
        }
        E::MembershipRoleChanged { role, .. } => format!("made {user} {}, was {}", a(&role.to), role.from),
        E::MembershipExpiryChanged { expires_at, .. } => match expires_at.to {
            Some(end) => format!("let the membership of {user} end on {}", instant(end)),
            None => format!("let the membership of {user} last"),
        },
        E::MembershipDeactivated { reason, .. } => {
            format!("deactivated {user}{}", because(reason.as_deref()))
        }
        E::MembershipReactivated { .. } => format!("reactivated {user}"),
        E::MembershipEnded { because, .. } => match because {
            membership::Ending::Left => "left".to_owned(),
            membership::Ending::Removed => format!("removed {user}"),
            membership::Ending::Expired => format!("noted that the membership of {user} ran out"),
            membership::Ending::UserErased => format!("ended the membership of {user}, who is erased"),
        },
    }
}

fn of_invitation(event: &InvitationEvent, id: &str) -> String {
    use InvitationEvent as E;
    match event {
        E::InvitationSent { email, role, expires_at, .. } => {
            let (email, end) = (email.as_str(), instant(*expires_at));
            format!("invited {email} as {role}, until {end} (invitation {id})")
        }
        E::InvitationResent { expires_at, .. } => {
            format!("sent invitation {id} again, until {}", instant(*expires_at))
        }
        E::InvitationAccepted { .. } => format!("accepted invitation {id}"),
        E::InvitationDeclined => format!("declined invitation {id}"),
        E::InvitationRevoked => format!("revoked invitation {id}"),
        E::InvitationRoleChanged { role } => {
            format!("made invitation {id} one for {}, was for {}", role.to, role.from)
        }
    }
}

fn of_session(event: &SessionEvent) -> String {
    match event {
        SessionEvent::SessionStarted { workspace_id, .. } => {
            format!("signed in, in workspace {workspace_id}")
        }
        SessionEvent::SessionSwitched { workspace_id, .. } => {
            format!("went to workspace {}", workspace_id.to)
        }
        SessionEvent::SessionEnded { .. } => "signed out".to_owned(),
    }
}

fn of_api_key(event: &ApiKeyEvent, id: &str) -> String {
    match event {
        ApiKeyEvent::ApiKeyCreated { name, permissions, .. } => {
            format!("made the API key “{name}” ({id}): {}", list(permissions))
        }
        ApiKeyEvent::ApiKeyRotated { overlap_until, .. } => {
            format!("rotated API key {id}; the old secret is good until {}", instant(*overlap_until))
        }
        ApiKeyEvent::ApiKeyUsedFromNewNetwork { network } => {
            format!("used API key {id} from a new network, {network}")
        }
        ApiKeyEvent::ApiKeyRevoked => format!("revoked API key {id}"),
    }
}

fn of_webhook_endpoint(event: &WebhookEndpointEvent, id: &str, changes: &str) -> String {
    use WebhookEndpointEvent as E;
    match event {
        E::WebhookEndpointCreated { url, events, .. } => {
            format!("made the webhook endpoint {id}: {} to {url}", events.join(", "))
        }
        E::WebhookEndpointChanged { .. } => format!("changed webhook endpoint {id}: {changes}"),
        E::WebhookEndpointSecretRotated { overlap_until, .. } => format!(
            "rotated the secret of webhook endpoint {id}; the old one signs, too, until {}",
            instant(*overlap_until)
        ),
        E::WebhookEndpointEnabled => format!("enabled webhook endpoint {id}"),
        E::WebhookEndpointDisabled { because } => format!("disabled webhook endpoint {id} ({because})"),
        E::WebhookEndpointTested { .. } => format!("asked for a test of webhook endpoint {id}"),
        E::WebhookEndpointRedeliveryRequested { from_seq, to_seq, .. } => {
            format!("asked to deliver {from_seq} to {to_seq} again to webhook endpoint {id}")
        }
        E::WebhookEndpointDeleted => format!("deleted webhook endpoint {id}"),
    }
}

fn of_catalogue(event: &CatalogueEvent) -> String {
    match event {
        CatalogueEvent::PermissionRegistered { permission, .. } => {
            format!("registered the permission {permission}")
        }
        CatalogueEvent::PermissionChanged { permission, .. } => {
            format!("changed the permission {permission}")
        }
        CatalogueEvent::PermissionWithdrawn { permission } => format!("withdrew the permission {permission}"),
    }
}

fn a(role: &Role) -> String {
    match role {
        Role::Owner => "the owner".to_owned(),
        Role::Admin => "an admin".to_owned(),
        other => format!("a {other}"),
    }
}

fn because(reason: Option<&str>) -> String {
    reason.map(|reason| format!(": {}", printable(reason))).unwrap_or_default()
}

fn list<T: ToString>(items: &std::collections::BTreeSet<T>) -> String {
    if items.is_empty() {
        return "nothing".to_owned();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// `name “Acme” → “Acme Ltd”, slug none → “acme”`
fn changes(recorded: &Recorded) -> Result<String, StoreError> {
    let changes = describe(recorded, &recorded.event)?.changes();
    let change = |(field, change): (&String, &Value)| {
        format!("{field} {} → {}", value(&change["from"]), value(&change["to"]))
    };
    let changes = changes.as_object().map(|changes| changes.iter().map(change).collect::<Vec<_>>());
    Ok(changes.unwrap_or_default().join(", "))
}

fn value(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => format!("“{}”", printable(text)),
        other => other.to_string(),
    }
}

/// On one line: a description may have several, and a terminal obeys control characters.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
