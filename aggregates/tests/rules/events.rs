//! What is written to the log for ever: every event's name and shape.

use cqrs_es::{Aggregate, DomainEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tenure_aggregates::api_key::ApiKeyEvent;
use tenure_aggregates::catalogue::CatalogueEvent;
use tenure_aggregates::claim::ClaimEvent;
use tenure_aggregates::event::Changed;
use tenure_aggregates::invitation::{InvitationEvent, Mailing};
use tenure_aggregates::membership::{Ending as MembershipEnding, Entrance, MembershipEvent};
use tenure_aggregates::personal;
use tenure_aggregates::session::{Ending as SessionEnding, SessionEvent, Switching};
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::values::Slug;
use tenure_aggregates::webhook_endpoint::{Disabling, WebhookEndpointEvent};
use tenure_aggregates::workspace::{
    CustomRole, Ending, Kind, Profile, ProfileChange, RoleChange, Social, WorkspaceEvent,
};
use tenure_aggregates::{
    ApiKey, Catalogue, Claim, Invitation, Membership, Role, Session, User, WebhookEndpoint, Workspace, upcast,
};

use crate::{
    api_key_id, custom, days, email, endpoint_id, invitation_id, minutes, noon, permission, permissions,
    role_name, session_id, user, workspace_id,
};

/// Holds the shape of each event in `snapshots/`, that it reads back as it was, and that no event is forgotten.
fn assert_shapes<E: DomainEvent>(examples: &[E]) {
    let mut names: Vec<String> = examples.iter().map(DomainEvent::event_type).collect();
    for event in examples {
        insta::assert_json_snapshot!(event.event_type(), event);
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<E>(&text).unwrap(), event, "{text}");
        assert_eq!(serde_json::to_value(event).unwrap()["type"], event.event_type());
        assert_eq!(event.event_version(), upcast::current(&event.event_type()).to_string());
        assert_nothing_in_clear(&event.event_type(), &serde_json::to_value(event).unwrap());
    }
    names.sort();
    assert_eq!(names, variants::<E>(), "an example of each event");
}

/// Fields whose texts are ids, names of a fixed kind, hashes or times: they say nothing of a person, and nothing that a
/// workspace says of itself.
const IN_CLEAR: &[&str] = &[
    "type",
    "kind",
    "role",
    "replacement",
    "because",
    "through",
    "permission",
    "permissions",
    "granted_to",
    "plan",
    "language",
    "accept_url",
    "hash",
    "hint",
    "user_id",
    "owner_id",
    "workspace_id",
    "session_id",
    "invitation_id",
    "key_id",
    "endpoint_id",
    "delivery_id",
    "redelivery_id",
    "events",
    "created_by",
    "invited_by",
    "invited_by_key",
    "issued_by",
    "issued_by_key",
    "created_at",
    "joined_at",
    "started_at",
    "expires_at",
    "overlap_until",
    "since",
    "switched_at",
    "at",
];

/// A field that is neither sealed nor known to be harmless is found here when it is added.
fn assert_nothing_in_clear(event_type: &str, event: &Value) {
    let sealed = personal::of(event_type).map_or(&[][..], |personal| personal.fields);
    for (field, value) in event.as_object().unwrap() {
        let harmless = IN_CLEAR.contains(&field.as_str()) || !holds_text(value);
        // What products call their permissions is in no workspace.
        let catalogue = event_type.starts_with("Permission") && field == "description";
        assert!(
            harmless || catalogue || sealed.contains(&field.as_str()),
            "{event_type}.{field} is a text that is neither sealed nor known to be harmless"
        );
    }
    for field in sealed {
        assert!(
            event.get(*field).is_some() || event_type.ends_with("Changed"),
            "{event_type} has no {field}"
        );
    }
}

fn holds_text(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().any(holds_text),
        Value::Object(members) => members.values().any(holds_text),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The names of an enum's variants, as serde tells them to whoever asks for one that is not there.
fn variants<E: DomainEvent>() -> Vec<String> {
    let error = serde_json::from_str::<E>(r#"{"type":"?"}"#).unwrap_err().to_string();
    let mut names: Vec<String> = error.split('`').skip(3).step_by(2).map(str::to_owned).collect();
    names.sort();
    names
}

fn reads_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&text).unwrap(), value);
    text
}

#[test]
fn every_event_of_a_workspace_keeps_its_shape() {
    let social = Social {
        x: Some("@acme".into()),
        facebook: Some("acme".into()),
        linkedin: Some("https://linkedin.com/company/acme".into()),
        instagram: Some("acme".into()),
        github: Some("acme".into()),
    };
    let text = |from: &str, to: &str| Some(Changed { from: Some(from.to_owned()), to: Some(to.to_owned()) });
    let slug = |text| Some(Slug::parse(text).unwrap());
    assert_shapes(&[
        WorkspaceEvent::WorkspaceCreated {
            kind: Kind::Team,
            owner_id: user("olga"),
            profile: Profile {
                name: "Acme".into(),
                slug: slug("acme"),
                description: Some("Anvils\nand more".into()),
                image_url: Some("https://acme.test/logo.png".into()),
                website: Some("https://acme.test".into()),
                phone: Some("+49 89 1234".into()),
                social: social.clone(),
            },
            seats_limit: 5,
            created_at: noon(),
        },
        WorkspaceEvent::WorkspaceProfileChanged(ProfileChange {
            name: Some(Changed { from: "Acme".into(), to: "Acme Corp".into() }),
            slug: Some(Changed { from: slug("acme"), to: slug("acme-corp") }),
            description: text("Anvils", "Rockets"),
            image_url: text("https://acme.test/1.png", "https://acme.test/2.png"),
            website: text("https://acme.test", "https://acme.example"),
            phone: text("+49 89 1", "+49 89 2"),
            social: Some(Changed { from: social, to: Social::default() }),
        }),
        WorkspaceEvent::WorkspaceSeatsLimitChanged { seats_limit: Changed { from: 5, to: 9 } },
        WorkspaceEvent::WorkspaceOwnershipTransferred {
            owner_id: Changed { from: user("olga"), to: user("ada") },
        },
        WorkspaceEvent::WorkspaceSuspended { reason: Some("unpaid".into()), since: noon() },
        WorkspaceEvent::WorkspaceResumed { reason: Some("paid".into()) },
        WorkspaceEvent::WorkspaceArchived,
        WorkspaceEvent::WorkspaceRestored,
        WorkspaceEvent::WorkspaceDeleted { because: Ending::Deleted },
        WorkspaceEvent::InviteCodeIssued {
            generation: 2,
            hash: "9f86d081".into(),
            role: Role::Member,
            max_uses: Some(10),
            expires_at: Some(noon() + days(1)),
            issued_by: Some(user("olga")),
            issued_by_key: None,
        },
        WorkspaceEvent::InviteCodeDisabled { generation: 2 },
        WorkspaceEvent::WorkspacePlanChanged { plan: Changed { from: "free".into(), to: "pro".into() } },
        WorkspaceEvent::RoleDefined {
            role: role_name("billing"),
            definition: CustomRole {
                description: Some("Pays".into()),
                permissions: permissions(["billing:manage", "reports:export"]),
            },
        },
        WorkspaceEvent::RoleChanged {
            role: role_name("billing"),
            change: RoleChange {
                description: text("Pays", "Pays and looks"),
                permissions: Some(Changed {
                    from: permissions(["billing:manage"]),
                    to: permissions(["billing:manage", "billing:read"]),
                }),
            },
        },
        WorkspaceEvent::RoleDeleted { role: role_name("billing"), replacement: Some(Role::Member) },
    ]);
}

#[test]
fn every_event_of_a_membership_keeps_its_shape() {
    assert_shapes(&[
        MembershipEvent::MembershipStarted {
            user_id: user("ada"),
            role: Role::Moderator,
            expires_at: Some(noon() + days(1)),
            through: Entrance::Invitation { invitation_id: invitation_id(7) },
            joined_at: noon(),
        },
        MembershipEvent::MembershipRoleChanged {
            user_id: user("ada"),
            role: Changed { from: Role::Member, to: Role::Admin },
        },
        MembershipEvent::MembershipExpiryChanged {
            user_id: user("ada"),
            expires_at: Changed { from: None, to: Some(noon()) },
        },
        MembershipEvent::MembershipDeactivated { user_id: user("ada"), reason: Some("on leave".into()) },
        MembershipEvent::MembershipReactivated { user_id: user("ada") },
        MembershipEvent::MembershipEnded { user_id: user("ada"), because: MembershipEnding::UserErased },
    ]);
}

#[test]
fn every_event_of_an_invitation_keeps_its_shape() {
    let mailing =
        Mailing { language: Some("de-AT".into()), accept_url: Some("https://acme.test/join".into()) };
    assert_shapes(&[
        InvitationEvent::InvitationSent {
            invitation_id: invitation_id(7),
            email: email("bob@acme.test"),
            role: Role::Member,
            invited_by: Some(user("olga")),
            invited_by_key: None,
            expires_at: noon() + days(7),
            generation: 1,
            notify: true,
            created_at: noon(),
            mailing: mailing.clone(),
        },
        InvitationEvent::InvitationResent {
            generation: 2,
            expires_at: noon() + days(9),
            notify: false,
            mailing,
        },
        InvitationEvent::InvitationAccepted { user_id: user("bob") },
        InvitationEvent::InvitationDeclined,
        InvitationEvent::InvitationRevoked,
        InvitationEvent::InvitationRoleChanged {
            role: Changed { from: custom("billing"), to: Role::Member },
        },
    ]);
}

#[test]
fn every_event_of_an_api_key_keeps_its_shape() {
    assert_shapes(&[
        ApiKeyEvent::ApiKeyCreated {
            key_id: api_key_id(7),
            name: "Deploy".into(),
            hash: "9f86d081".into(),
            hint: "tnk_abcd".into(),
            permissions: permissions(["members:read", "reports:export"]),
            expires_at: Some(noon() + days(90)),
            networks: vec!["192.0.2.0/24".into(), "2001:db8::/64".into()],
            created_by: Some(user("olga")),
            created_at: noon(),
        },
        ApiKeyEvent::ApiKeyRotated {
            hash: "60303ae2".into(),
            hint: "tnk_efgh".into(),
            overlap_until: noon() + days(1),
        },
        ApiKeyEvent::ApiKeyUsedFromNewNetwork { network: "192.0.2.0/24".into() },
        ApiKeyEvent::ApiKeyRevoked,
    ]);
}

#[test]
fn every_event_of_a_webhook_endpoint_keeps_its_shape() {
    assert_shapes(&[
        WebhookEndpointEvent::WebhookEndpointCreated {
            endpoint_id: endpoint_id(7),
            url: "https://acme.test/hooks".into(),
            events: vec!["membership.*".into(), "invitation.sent".into()],
            description: Some("Billing".into()),
            generation: 1,
            created_by: Some(user("olga")),
            created_at: noon(),
        },
        WebhookEndpointEvent::WebhookEndpointChanged {
            url: Some(Changed { from: "https://acme.test/1".into(), to: "https://acme.test/2".into() }),
            events: Some(Changed { from: vec!["*".into()], to: vec!["workspace.deleted".into()] }),
            description: Some(Changed { from: None, to: Some("Billing".into()) }),
        },
        WebhookEndpointEvent::WebhookEndpointSecretRotated { generation: 2, overlap_until: noon() + days(1) },
        WebhookEndpointEvent::WebhookEndpointEnabled,
        WebhookEndpointEvent::WebhookEndpointDisabled { because: Disabling::Failing },
        WebhookEndpointEvent::WebhookEndpointTested { delivery_id: api_key_id(8).0 },
        WebhookEndpointEvent::WebhookEndpointRedeliveryRequested {
            redelivery_id: api_key_id(9).0,
            from_seq: 3,
            to_seq: 5,
            delivery_id: None,
        },
        WebhookEndpointEvent::WebhookEndpointDeleted,
    ]);
}

#[test]
fn every_event_of_the_catalogue_keeps_its_shape() {
    assert_shapes(&[
        CatalogueEvent::PermissionRegistered {
            permission: permission("reports:export"),
            description: Some("Export reports".into()),
            granted_to: [Role::Member, Role::Moderator].into(),
        },
        CatalogueEvent::PermissionChanged {
            permission: permission("reports:export"),
            description: Some(Changed { from: Some("Export reports".into()), to: None }),
            granted_to: Some(Changed { from: [Role::Moderator].into(), to: [].into() }),
        },
        CatalogueEvent::PermissionWithdrawn { permission: permission("reports:export") },
    ]);
}

#[test]
fn every_event_of_a_user_keeps_its_shape() {
    assert_shapes(&[
        UserEvent::UserProvisioned {
            user_id: user("ada"),
            email: Some(email("ada@acme.test")),
            email_verified: true,
            name: Some("Ada".into()),
            created_at: noon(),
        },
        UserEvent::UserProfileChanged {
            user_id: user("ada"),
            email: Some(Changed { from: Some(email("ada@acme.test")), to: None }),
            email_verified: Some(Changed { from: true, to: false }),
            name: Some(Changed { from: None, to: Some("Ada L.".into()) }),
        },
        UserEvent::UserErasureStarted { user_id: user("ada") },
        UserEvent::UserErasureWithdrawn { user_id: user("ada") },
        UserEvent::UserErased { user_id: user("ada") },
    ]);
}

#[test]
fn every_event_of_a_session_keeps_its_shape() {
    assert_shapes(&[
        SessionEvent::SessionStarted {
            session_id: session_id(7),
            user_id: user("ada"),
            workspace_id: workspace_id(1),
            expires_at: noon() + minutes(720),
            started_at: noon(),
        },
        SessionEvent::SessionSwitched {
            user_id: user("ada"),
            workspace_id: Changed { from: workspace_id(1), to: workspace_id(2) },
            generation: 2,
            because: Switching::Chosen,
            switched_at: noon(),
        },
        SessionEvent::SessionEnded { user_id: user("ada"), because: SessionEnding::SignedOut },
    ]);
}

#[test]
fn every_event_of_a_claim_keeps_its_shape() {
    assert_shapes(&[
        ClaimEvent::ClaimTaken { workspace_id: workspace_id(7) },
        ClaimEvent::ClaimReleased { workspace_id: workspace_id(7) },
    ]);
}

// The stream's type is half of its address.
#[test]
fn the_types_of_the_streams_never_change() {
    assert_eq!(
        [Workspace::TYPE, Membership::TYPE, Invitation::TYPE, Session::TYPE, User::TYPE, Claim::TYPE],
        ["Workspace", "Membership", "Invitation", "Session", "User", "Claim"]
    );
    assert_eq!(
        [ApiKey::TYPE, WebhookEndpoint::TYPE, Catalogue::TYPE],
        ["ApiKey", "WebhookEndpoint", "Catalogue"]
    );
    assert_eq!(Catalogue::home().to_string(), "74656e75-7265-5370-8000-6f7065726174");
}

#[test]
fn every_word_within_an_event_keeps_its_spelling() {
    assert_eq!(reads_back(&[Kind::Personal, Kind::Team]), r#"["personal","team"]"#);
    assert_eq!(reads_back(&[Ending::Deleted, Ending::OwnerErased]), r#"["deleted","owner_erased"]"#);
    assert_eq!(
        reads_back(&[
            MembershipEnding::Left,
            MembershipEnding::Removed,
            MembershipEnding::Expired,
            MembershipEnding::UserErased,
        ]),
        r#"["left","removed","expired","user_erased"]"#
    );
    assert_eq!(
        reads_back(&[Switching::Chosen, Switching::MembershipEnded]),
        r#"["chosen","membership_ended"]"#
    );
    assert_eq!(
        reads_back(&[SessionEnding::SignedOut, SessionEnding::UserErased]),
        r#"["signed_out","user_erased"]"#
    );
    assert_eq!(
        reads_back(&[Entrance::Created, Entrance::Added, Entrance::InviteCode { generation: 2 }]),
        r#"[{"kind":"created"},{"kind":"added"},{"kind":"invite_code","generation":2}]"#
    );
}

// Attack 41: what was left out when it was written is read as absent.
#[test]
fn an_event_with_nothing_in_its_optional_fields_says_nothing_of_them() {
    let deactivated = MembershipEvent::MembershipDeactivated { user_id: user("ada"), reason: None };
    assert_eq!(reads_back(&deactivated), r#"{"type":"MembershipDeactivated","user_id":"ada"}"#);
    let unchanged =
        UserEvent::UserProfileChanged { user_id: user("ada"), email: None, email_verified: None, name: None };
    assert_eq!(reads_back(&unchanged), r#"{"type":"UserProfileChanged","user_id":"ada"}"#);
    let unchanged = WorkspaceEvent::WorkspaceProfileChanged(ProfileChange::default());
    assert_eq!(reads_back(&unchanged), r#"{"type":"WorkspaceProfileChanged"}"#);
    let unchanged = WorkspaceEvent::RoleChanged { role: role_name("a"), change: RoleChange::default() };
    assert_eq!(reads_back(&unchanged), r#"{"type":"RoleChanged","role":"a"}"#);
    let unchanged = CatalogueEvent::PermissionChanged {
        permission: permission("reports:export"),
        description: None,
        granted_to: None,
    };
    assert_eq!(reads_back(&unchanged), r#"{"type":"PermissionChanged","permission":"reports:export"}"#);
}

// Attack 41: before there were keys, nobody wrote down that none was used.
#[test]
fn an_issuing_key_is_named_where_there_is_one_and_nowhere_else() {
    let issued = |issued_by_key| WorkspaceEvent::InviteCodeIssued {
        generation: 1,
        hash: "9f86d081".into(),
        role: Role::Member,
        max_uses: None,
        expires_at: None,
        issued_by: None,
        issued_by_key,
    };
    assert!(!reads_back(&issued(None)).contains("key"));
    assert!(reads_back(&issued(Some(api_key_id(7)))).contains(r#""issued_by_key":"00000000-"#));
    let invited = |invited_by_key| InvitationEvent::InvitationSent {
        invitation_id: invitation_id(7),
        email: email("bob@acme.test"),
        role: custom("billing"),
        invited_by: None,
        invited_by_key,
        expires_at: noon(),
        generation: 1,
        notify: true,
        created_at: noon(),
        mailing: Mailing::default(),
    };
    assert!(!reads_back(&invited(None)).contains("key"));
    assert!(reads_back(&invited(Some(api_key_id(7)))).contains(r#""invited_by_key":"00000000-"#));
}

// A cleared field is a change to nothing, and must not be read back as no change.
#[test]
fn a_field_that_was_cleared_reads_back_as_cleared() {
    let cleared = ProfileChange {
        phone: Some(Changed { from: Some("+49".into()), to: None }),
        slug: Some(Changed { from: None, to: None }),
        ..ProfileChange::default()
    };
    reads_back(&WorkspaceEvent::WorkspaceProfileChanged(cleared));
    let cleared =
        RoleChange { description: Some(Changed { from: Some("Pays".into()), to: None }), permissions: None };
    reads_back(&WorkspaceEvent::RoleChanged { role: role_name("billing"), change: cleared });
}

#[test]
fn an_instant_keeps_its_nanoseconds() {
    let since = noon() + crate::an_instant();
    reads_back(&WorkspaceEvent::WorkspaceSuspended { reason: None, since });
}

// Attack 40.
#[test]
fn an_unknown_event_is_an_error_and_never_skipped() {
    for text in [r#"{"type":"WorkspaceExploded"}"#, r#"{"type":"workspace_archived"}"#, "{}", "null"] {
        assert!(serde_json::from_str::<WorkspaceEvent>(text).is_err(), "{text}");
    }
}
