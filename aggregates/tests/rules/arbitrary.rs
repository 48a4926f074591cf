//! Anything that might happen or be asked, from a small world, so that things meet.

mod access;
mod delivery;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tenure_aggregates::claim::{ClaimCommand, ClaimEvent};
use tenure_aggregates::event::Changed;
use tenure_aggregates::invitation::{
    InvitationCommand, InvitationEvent, MAX_LIFETIME, MIN_LIFETIME, Mailing,
};
use tenure_aggregates::membership::{
    Ending as MembershipEnding, Entrance, MembershipCommand, MembershipEvent,
};
use tenure_aggregates::session::{Ending as SessionEnding, SessionCommand, SessionEvent, Switching};
use tenure_aggregates::user::{Profile as UserProfile, UserCommand, UserEvent};
use tenure_aggregates::values::{Email, Slug};
use tenure_aggregates::workspace::{
    CustomRole, Ending, Kind, Profile, ProfileChange, RoleChange, Social, WorkspaceCommand, WorkspaceEvent,
};
use tenure_aggregates::{ApiKeyId, InvitationId, PermissionName, Role, RoleName, Time, UserId, WorkspaceId};

pub(crate) use access::*;
pub(crate) use delivery::*;

use crate::{
    api_key_id, days, email, invitation_id, minutes, noon, permission, role_name, session_id, user,
    workspace_id,
};

// ---- values

fn users() -> impl Strategy<Value = UserId> {
    select(vec!["olga", "ada", "mona"]).prop_map(user)
}

fn emails() -> impl Strategy<Value = Email> {
    select(vec!["ada@acme.test", "mona@acme.test"]).prop_map(email)
}

fn texts() -> impl Strategy<Value = String> {
    select(vec!["Acme", "Initech", "\u{202e}=1+1\r\n"]).prop_map(str::to_owned)
}

fn times() -> impl Strategy<Value = Time> {
    (0..6i64).prop_map(|n| noon() + minutes(n))
}

fn role_names() -> impl Strategy<Value = RoleName> + Clone {
    select(vec!["billing", "on-call"]).prop_map(role_name)
}

fn roles() -> impl Strategy<Value = Role> + Clone {
    let built_in = select(Role::BUILT_IN.to_vec());
    prop_oneof![2 => built_in, 1 => role_names().prop_map(Role::Custom)]
}

fn permission_names() -> impl Strategy<Value = PermissionName> + Clone {
    let names = ["members:read", "members:invite", "workspace:delete", "reports:read", "reports:export"];
    select(names.to_vec()).prop_map(permission)
}

fn permission_sets() -> impl Strategy<Value = BTreeSet<PermissionName>> + Clone {
    btree_set(permission_names(), 0..4)
}

fn api_keys() -> impl Strategy<Value = ApiKeyId> {
    (1..3u128).prop_map(api_key_id)
}

fn numbers() -> impl Strategy<Value = u32> {
    prop_oneof![0..4u32, Just(u32::MAX)]
}

fn workspaces() -> impl Strategy<Value = WorkspaceId> {
    (1..4u128).prop_map(workspace_id)
}

fn invitations() -> impl Strategy<Value = InvitationId> {
    (1..4u128).prop_map(invitation_id)
}

fn changed<T: Clone + std::fmt::Debug>(
    value: impl Strategy<Value = T> + Clone,
) -> impl Strategy<Value = Changed<T>> {
    (value.clone(), value).prop_map(|(from, to)| Changed { from, to })
}

/// One of the values, each made of fields drawn from their strategies.
macro_rules! any_of {
    ($(($($field:ident in $strategy:expr),*) => $value:expr),+ $(,)?) => {
        prop_oneof![$((Just(()), $($strategy,)*).prop_map(move |((), $($field,)*)| $value)),+]
    };
}
use any_of;

// ---- claim

pub(crate) fn claim_events() -> impl Strategy<Value = Vec<ClaimEvent>> {
    let event = any_of![
        (workspace_id in workspaces()) => ClaimEvent::ClaimTaken { workspace_id },
        (workspace_id in workspaces()) => ClaimEvent::ClaimReleased { workspace_id },
    ];
    vec(event, 0..20)
}

pub(crate) fn claim_commands() -> impl Strategy<Value = Vec<ClaimCommand>> {
    let command = any_of![
        (by in workspaces()) => ClaimCommand::Take { by },
        (by in workspaces()) => ClaimCommand::Release { by },
    ];
    vec(command, 0..20)
}

// ---- user

pub(crate) fn user_events() -> impl Strategy<Value = Vec<UserEvent>> {
    use UserEvent as E;
    let event = any_of![
        (user_id in users(), email in option::of(emails()), email_verified in any::<bool>(),
         name in option::of(texts()), created_at in times()) =>
            E::UserProvisioned { user_id, email, email_verified, name, created_at },
        (user_id in users(), email in option::of(option::of(emails()).prop_map(|to| Changed { from: None, to })),
         email_verified in option::of(any::<bool>().prop_map(|to| Changed { from: !to, to })),
         name in option::of(option::of(texts()).prop_map(|to| Changed { from: None, to }))) =>
            E::UserProfileChanged { user_id, email, email_verified, name },
        (user_id in users()) => E::UserErasureStarted { user_id },
        (user_id in users()) => E::UserErasureWithdrawn { user_id },
        (user_id in users()) => E::UserErased { user_id },
    ];
    vec(event, 0..20)
}

pub(crate) fn user_commands() -> impl Strategy<Value = Vec<UserCommand>> {
    use UserCommand as C;
    let provision = any_of![
        (email in option::of(option::of(emails())), email_verified in option::of(any::<bool>()),
         name in option::of(option::of(texts())), now in times()) =>
            C::Provision { user_id: user("ada"), email, email_verified, name, now },
    ];
    let command =
        prop_oneof![4 => provision, 1 => select(vec![C::StartErasure, C::WithdrawErasure, C::Erase])];
    vec(command, 0..20)
}

// ---- membership

fn entrances() -> impl Strategy<Value = Entrance> {
    any_of![
        () => Entrance::Created,
        () => Entrance::Added,
        (invitation_id in invitations()) => Entrance::Invitation { invitation_id },
        (generation in numbers()) => Entrance::InviteCode { generation },
    ]
}

pub(crate) fn membership_events() -> impl Strategy<Value = Vec<MembershipEvent>> {
    use MembershipEnding as Why;
    use MembershipEvent as E;
    let endings = select(vec![Why::Left, Why::Removed, Why::Expired, Why::UserErased]);
    let expiry = (option::of(times()), option::of(times())).prop_map(|(from, to)| Changed { from, to });
    let role = (roles(), roles()).prop_map(|(from, to)| Changed { from, to });
    let event = any_of![
        (user_id in users(), role in roles(), expires_at in option::of(times()), through in entrances(),
         joined_at in times()) =>
            E::MembershipStarted { user_id, role, expires_at, through, joined_at },
        (user_id in users(), role in role) => E::MembershipRoleChanged { user_id, role },
        (user_id in users(), expires_at in expiry) => E::MembershipExpiryChanged { user_id, expires_at },
        (user_id in users(), reason in option::of(texts())) => E::MembershipDeactivated { user_id, reason },
        (user_id in users()) => E::MembershipReactivated { user_id },
        (user_id in users(), because in endings) => E::MembershipEnded { user_id, because },
    ];
    vec(event, 0..20)
}

pub(crate) fn membership_command(owner: bool) -> impl Strategy<Value = MembershipCommand> {
    use MembershipCommand as C;
    any_of![
        (role in roles(), expires_at in option::of(times()), through in entrances(), now in times()) =>
            C::Start { user_id: user("ada"), role, expires_at, through, now },
        (role in roles(), now in times()) => C::ChangeRole { role, owner, now },
        (expires_at in option::of(times()), now in times()) => C::ChangeExpiry { expires_at, owner, now },
        (role in roles()) => C::ReplaceRole { role },
        () => C::Crown,
        () => C::Uncrown,
        (reason in option::of(texts()), now in times()) => C::Deactivate { reason, owner, now },
        (now in times()) => C::Reactivate { now },
        (now in times()) => C::Leave { owner, now },
        () => C::Remove { owner },
        (now in times()) => C::Expire { now },
        () => C::Erase,
    ]
}

pub(crate) fn membership_commands() -> impl Strategy<Value = Vec<MembershipCommand>> {
    vec(any::<bool>().prop_flat_map(membership_command), 0..20)
}

// ---- invitation

fn lifetimes() -> impl Strategy<Value = TimeDelta> {
    select(vec![minutes(4), MIN_LIFETIME, days(7), MAX_LIFETIME, days(91)])
}

fn profiles() -> impl Strategy<Value = UserProfile> {
    (users(), option::of(emails()), any::<bool>()).prop_map(|(user_id, email, email_verified)| UserProfile {
        user_id,
        email,
        email_verified,
        name: None,
        created_at: noon(),
    })
}

fn mailings() -> impl Strategy<Value = Mailing> {
    let language = option::of("[a-z]{2}(-[A-Z]{2})?");
    (language, option::of("https://[a-z]{3}\\.test/"))
        .prop_map(|(language, accept_url)| Mailing { language, accept_url })
}

pub(crate) fn invitation_events() -> impl Strategy<Value = Vec<InvitationEvent>> {
    use InvitationEvent as E;
    let event = any_of![
        (invitation_id in invitations(), email in emails(), role in roles(), invited_by in option::of(users()),
         invited_by_key in option::of(api_keys()), expires_at in times(), generation in numbers(),
         notify in any::<bool>(), created_at in times(), mailing in mailings()) =>
            E::InvitationSent {
                invitation_id, email, role, invited_by, invited_by_key, expires_at, generation, notify, created_at,
                mailing,
            },
        (generation in numbers(), expires_at in times(), notify in any::<bool>(), mailing in mailings()) =>
            E::InvitationResent { generation, expires_at, notify, mailing },
        (user_id in users()) => E::InvitationAccepted { user_id },
        () => E::InvitationDeclined,
        () => E::InvitationRevoked,
        (role in changed(roles())) => E::InvitationRoleChanged { role },
    ];
    vec(event, 0..20)
}

pub(crate) fn invitation_commands() -> impl Strategy<Value = Vec<InvitationCommand>> {
    use InvitationCommand as C;
    let command = any_of![
        (email in emails(), role in roles(), invited_by in option::of(users()),
         invited_by_key in option::of(api_keys()), lifetime in lifetimes(), notify in any::<bool>(),
         mailing in mailings(), now in times()) =>
            C::Send {
                invitation_id: invitation_id(1), email, role, invited_by, invited_by_key, lifetime, notify, mailing,
                now,
            },
        (lifetime in lifetimes(), notify in any::<bool>(), mailing in mailings(), now in times()) =>
            C::Resend { lifetime, notify, mailing, now },
        (now in times()) => C::Revoke { now },
        (role in roles()) => C::ChangeRole { role },
        (generation in 0..4u32, profile in profiles(), now in times()) =>
            C::Accept { generation, profile, now },
        (generation in 0..4u32, profile in option::of(profiles()), now in times()) =>
            C::Decline { generation, profile, now },
    ];
    vec(command, 0..20)
}

// ---- session

fn switchings() -> impl Strategy<Value = Switching> {
    select(vec![Switching::Chosen, Switching::MembershipEnded])
}

fn session_endings() -> impl Strategy<Value = SessionEnding> {
    select(vec![SessionEnding::SignedOut, SessionEnding::UserErased])
}

pub(crate) fn session_events() -> impl Strategy<Value = Vec<SessionEvent>> {
    use SessionEvent as E;
    let workspace = (workspaces(), workspaces()).prop_map(|(from, to)| Changed { from, to });
    let event = any_of![
        (user_id in users(), workspace_id in workspaces(), expires_at in times(), started_at in times()) =>
            E::SessionStarted { session_id: session_id(1), user_id, workspace_id, expires_at, started_at },
        (user_id in users(), workspace_id in workspace, generation in numbers(), because in switchings(),
         switched_at in times()) =>
            E::SessionSwitched { user_id, workspace_id, generation, because, switched_at },
        (user_id in users(), because in session_endings()) => E::SessionEnded { user_id, because },
    ];
    vec(event, 0..20)
}

pub(crate) fn session_commands() -> impl Strategy<Value = Vec<SessionCommand>> {
    use SessionCommand as C;
    let start = any_of![
        (workspace_id in workspaces(), now in times()) => C::Start {
            session_id: session_id(1), user_id: user("ada"), workspace_id, lifetime: minutes(4), now,
        },
    ];
    let switch = any_of![
        (workspace_id in workspaces(), because in switchings(), now in times()) =>
            C::Switch { workspace_id, because, now },
    ];
    let end = session_endings().prop_map(|because| C::End { because });
    vec(prop_oneof![2 => start, 8 => switch, 1 => end], 0..20)
}

// ---- workspace

fn kinds() -> impl Strategy<Value = Kind> {
    select(vec![Kind::Personal, Kind::Team])
}

fn slugs() -> impl Strategy<Value = Slug> {
    select(vec!["acme", "initech"]).prop_map(|slug| Slug::parse(slug).unwrap())
}

fn workspace_profiles() -> impl Strategy<Value = Profile> + Clone {
    let text = || option::of(texts().boxed());
    (texts().boxed(), option::of(slugs().boxed()), text(), text(), text()).prop_map(
        |(name, slug, description, website, github)| Profile {
            name,
            slug,
            description,
            website,
            social: Social { github, ..Social::default() },
            ..Profile::default()
        },
    )
}

fn profile_changes() -> impl Strategy<Value = ProfileChange> {
    let profiles = changed(workspace_profiles());
    profiles.prop_map(|Changed { from, to }| ProfileChange {
        name: Changed::between(from.name, to.name),
        slug: Changed::between(from.slug, to.slug),
        description: Changed::between(from.description, to.description),
        website: Changed::between(from.website, to.website),
        social: Changed::between(from.social, to.social),
        ..ProfileChange::default()
    })
}

pub(crate) fn workspace_events() -> impl Strategy<Value = Vec<WorkspaceEvent>> {
    use WorkspaceEvent as E;
    let event = any_of![
        (kind in kinds(), owner_id in users(), profile in workspace_profiles(), seats_limit in numbers(),
         created_at in times()) =>
            E::WorkspaceCreated { kind, owner_id, profile, seats_limit, created_at },
        (change in profile_changes()) => E::WorkspaceProfileChanged(change),
        (from in numbers(), to in numbers()) =>
            E::WorkspaceSeatsLimitChanged { seats_limit: Changed { from, to } },
        (from in users(), to in users()) =>
            E::WorkspaceOwnershipTransferred { owner_id: Changed { from, to } },
        (reason in option::of(texts()), since in times()) => E::WorkspaceSuspended { reason, since },
        (reason in option::of(texts())) => E::WorkspaceResumed { reason },
        () => E::WorkspaceArchived,
        () => E::WorkspaceRestored,
        (because in select(vec![Ending::Deleted, Ending::OwnerErased])) => E::WorkspaceDeleted { because },
        (generation in numbers(), hash in texts(), role in roles(), max_uses in option::of(numbers()),
         expires_at in option::of(times()), issued_by in option::of(users()),
         issued_by_key in option::of(api_keys())) =>
            E::InviteCodeIssued { generation, hash, role, max_uses, expires_at, issued_by, issued_by_key },
        (generation in numbers()) => E::InviteCodeDisabled { generation },
    ];
    vec(prop_oneof![4 => event, 1 => role_events()], 0..20)
}

fn role_events() -> impl Strategy<Value = WorkspaceEvent> {
    use WorkspaceEvent as E;
    let description = option::of(changed(option::of(texts().boxed())));
    let permissions = option::of(changed(permission_sets()));
    any_of![
        (role in role_names(), definition in definitions()) => E::RoleDefined { role, definition },
        (role in role_names(), description in description, permissions in permissions) =>
            E::RoleChanged { role, change: RoleChange { description, permissions } },
        (role in role_names(), replacement in option::of(roles())) => E::RoleDeleted { role, replacement },
        (from in texts(), to in texts()) => E::WorkspacePlanChanged { plan: Changed { from, to } },
    ]
}

fn definitions() -> impl Strategy<Value = CustomRole> {
    (option::of(texts()), permission_sets())
        .prop_map(|(description, permissions)| CustomRole { description, permissions })
}

pub(crate) fn workspace_commands() -> impl Strategy<Value = Vec<WorkspaceCommand>> {
    use WorkspaceCommand as C;
    let create = any_of![
        (kind in kinds(), owner_id in users(), profile in workspace_profiles(), now in times()) =>
            C::Create { kind, owner_id, profile, now },
    ];
    let command = any_of![
        (profile in workspace_profiles()) => C::ChangeProfile { profile },
        (limit in numbers()) => C::ChangeSeatsLimit { limit },
        (to in users()) => C::TransferOwnership { to },
        (reason in option::of(texts()), now in times()) => C::Suspend { reason, now },
        (reason in option::of(texts())) => C::Resume { reason },
        () => C::Archive,
        () => C::Restore,
        (hash in texts(), role in roles(), max_uses in option::of(numbers()),
         expires_at in option::of(times()), issued_by in option::of(users()),
         issued_by_key in option::of(api_keys()), now in times()) =>
            C::IssueInviteCode { hash, role, max_uses, expires_at, issued_by, issued_by_key, now },
        () => C::DisableInviteCode,
    ];
    let role = any_of![
        (plan in texts()) => C::ChangePlan { plan },
        (role in role_names(), definition in definitions()) => C::DefineRole { role, definition },
        (role in role_names(), replacement in option::of(roles()), in_use in any::<bool>()) =>
            C::DeleteRole { role, replacement, in_use },
    ];
    let end = select(vec![C::Delete, C::EndWithOwner]);
    vec(prop_oneof![3 => create, 20 => command, 8 => role, 1 => end], 0..30)
}
