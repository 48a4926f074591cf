//! The index against the aggregates' own word, over random histories, however they reach it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use strum::IntoEnumIterator;
use tenure_aggregates::catalogue::CatalogueCommand;
use tenure_aggregates::membership::{Entrance, MembershipCommand};
use tenure_aggregates::workspace::{CustomRole, Kind, Profile, WorkspaceCommand};
use tenure_aggregates::{
    Authority, Catalogue, Membership, MembershipId, Permission, PermissionName, Role, RoleName, Time, UserId,
    Workspace, WorkspaceId,
};
use uuid::Uuid;

use super::super::decide::Streams;
use super::super::entries::SEQUENCE;
use super::*;

const USERS: [&str; 5] = ["ada", "bob", "carol", "dave", "erin"];
const PRODUCT: [&str; 3] = ["records:read", "records:write", "records:purge"];
const WORKSPACE: WorkspaceId = WorkspaceId(Uuid::from_u128(0x0193_5b3c_0000_7000_8000_0000_0000_0001));

fn noon() -> Time {
    Time::from_timestamp(1_800_000_000, 0).unwrap()
}

/// A workspace, its memberships and the catalogue, as their streams say.
#[derive(Clone, Default)]
struct World {
    workspace: (i64, Workspace),
    memberships: BTreeMap<&'static str, (i64, Membership)>,
    catalogue: (i64, Catalogue),
}

/// One state a stream has been in.
#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "few, and short-lived")]
enum Put {
    Workspace(i64, Workspace),
    Membership(&'static str, i64, Membership),
    Catalogue(i64, Catalogue),
}

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn membership(name: &str) -> MembershipId {
    MembershipId::of(WORKSPACE, &user(name))
}

impl World {
    /// Does something at random, if the rules let it; every state any stream has been in goes to `puts`. Memberships'
    /// events go to `index` as the feed would bring them.
    fn step(&mut self, random: &mut SmallRng, puts: &mut Vec<Put>, index: &Index) {
        let who = *USERS.choose(random).unwrap();
        match random.random_range(0..10) {
            0..=5 => self.change_membership(random, who, puts, index),
            6..=8 => {
                let command = workspace_command(random, who);
                for event in self.workspace.1.decide(command).unwrap_or_default() {
                    let state = std::mem::take(&mut self.workspace.1).evolve(event);
                    self.workspace = (self.workspace.0 + 1, state);
                    puts.push(Put::Workspace(self.workspace.0, self.workspace.1.clone()));
                }
            }
            _ => {
                let command = catalogue_command(random);
                for event in self.catalogue.1.decide(command).unwrap_or_default() {
                    let state = std::mem::take(&mut self.catalogue.1).evolve(event);
                    self.catalogue = (self.catalogue.0 + 1, state);
                    puts.push(Put::Catalogue(self.catalogue.0, self.catalogue.1.clone()));
                }
            }
        }
    }

    fn change_membership(
        &mut self,
        random: &mut SmallRng,
        who: &'static str,
        puts: &mut Vec<Put>,
        index: &Index,
    ) {
        let command = membership_command(random, who);
        let (sequence, state) = self.memberships.entry(who).or_default();
        for event in state.decide(command).unwrap_or_default() {
            *sequence += 1;
            // One in five is lost on its way: then what comes after leaves a gap.
            if random.random_bool(0.8)
                && index.membership_event(membership(who), *sequence, &user(who), &event).is_err()
            {
                index.put_membership(membership(who), *sequence, &state.clone().evolve(event.clone()));
            }
            *state = std::mem::take(state).evolve(event);
            puts.push(Put::Membership(who, *sequence, state.clone()));
        }
        index.put_membership(membership(who), *sequence, state);
    }

    /// What the aggregates say, for every user and permission at an instant.
    fn holds(&self, index: &Index, now: Time, after: &str) -> BTreeSet<&'static str> {
        let mut reasons = BTreeSet::new();
        let own = Permission::catalogue().map(PermissionName::from);
        let product = PRODUCT.into_iter().map(|name| PermissionName::parse(name).unwrap());
        let names: Vec<PermissionName> = own.chain(product).collect();
        for who in USERS {
            let none = Membership::default();
            let of = self.memberships.get(who).map_or(&none, |(_, state)| state);
            let authority = Authority::of(&self.workspace.1, of, &user(who), &self.catalogue.1, now);
            let status = self.workspace.1.living().ok().map(tenure_aggregates::workspace::Details::status);
            for name in &names {
                let held = match &authority {
                    Authority::Member { rights, .. } => rights.allows_name(name, &self.catalogue.1),
                    _ => false,
                };
                let expected = held && status.is_some_and(|status| status.permits(name.as_str()));
                let question = Question { workspace: WORKSPACE, user: who, permission: name.as_str() };
                let reason = index.decide(&question, now).unwrap();
                assert_eq!(reason.allows(), expected, "{who} {name} {reason:?} {authority:?} {after}");
                let streams = Streams {
                    workspace: Arc::new(self.workspace.1.clone()),
                    membership: Arc::new(of.clone()),
                    catalogue: Arc::new(self.catalogue.1.clone()),
                };
                assert_eq!(streams.decide(&user(who), Some(name), now), reason, "{who} {name} {after}");
                reasons.insert(reason.as_str());
            }
        }
        reasons
    }
}

impl Put {
    fn into(self, index: &Index) {
        match self {
            Self::Workspace(sequence, state) => index.put_workspace(WORKSPACE, sequence, &state),
            Self::Membership(who, sequence, state) => index.put_membership(membership(who), sequence, &state),
            Self::Catalogue(sequence, state) => index.put_catalogue(sequence, &state),
        }
    }
}

fn role(random: &mut SmallRng) -> Role {
    let names = ["member", "moderator", "admin", "owner", "editor", "viewer"];
    names.choose(random).unwrap().parse().unwrap()
}

fn membership_command(random: &mut SmallRng, who: &str) -> MembershipCommand {
    use MembershipCommand as C;
    let (now, owner) = (noon(), random.random_bool(0.3));
    let expires_at = random.random_bool(0.5).then(|| now + TimeDelta::hours(random.random_range(1..4)));
    match random.random_range(0..9) {
        0..=2 => {
            C::Start { user_id: user(who), role: role(random), expires_at, through: Entrance::Added, now }
        }
        3 => C::ChangeRole { role: role(random), owner, now },
        4 => C::ChangeExpiry { expires_at, owner, now },
        5 => C::Deactivate { reason: None, owner, now },
        6 => C::Reactivate { now },
        7 => C::Crown,
        _ => C::Remove { owner: false },
    }
}

fn workspace_command(random: &mut SmallRng, who: &str) -> WorkspaceCommand {
    use WorkspaceCommand as C;
    let create =
        C::Create { kind: Kind::Team, owner_id: user(who), profile: Profile::default(), now: noon() };
    let name = RoleName::parse(["editor", "viewer"].choose(random).unwrap()).unwrap();
    match random.random_range(0..40) {
        0..=9 => create,
        10..=15 => C::TransferOwnership { to: user(who) },
        16..=18 => C::Suspend { reason: None, now: noon() },
        19..=22 => C::Resume { reason: None },
        23..=24 => C::Archive,
        25..=27 => C::Restore,
        28..=35 => {
            let names = Permission::catalogue().map(PermissionName::from);
            let names = names.chain(PRODUCT.into_iter().map(|name| PermissionName::parse(name).unwrap()));
            let permissions: BTreeSet<_> = names.filter(|_| random.random_bool(0.3)).collect();
            C::DefineRole { role: name, definition: CustomRole { description: None, permissions } }
        }
        36..=38 => C::DeleteRole { role: name, replacement: None, in_use: false },
        _ => C::Delete,
    }
}

fn catalogue_command(random: &mut SmallRng) -> CatalogueCommand {
    let permission = PermissionName::parse(PRODUCT.choose(random).unwrap()).unwrap();
    if random.random_bool(0.2) {
        return CatalogueCommand::Withdraw { permission };
    }
    let below_admin = [Role::Member, Role::Moderator];
    let granted_to = below_admin.into_iter().filter(|_| random.random_bool(0.5)).collect();
    CatalogueCommand::Register { permission, description: None, granted_to }
}

#[test]
fn over_random_histories_the_index_says_what_the_aggregates_say() {
    let mut reasons = BTreeSet::new();
    for seed in 0..60 {
        let mut random = SmallRng::seed_from_u64(seed);
        let (mut world, index, mut puts) = (World::default(), Index::default(), Vec::new());
        for step in 0..80 {
            let before = puts.len();
            world.step(&mut random, &mut puts, &index);
            for put in puts[before..].iter().filter(|put| !matches!(put, Put::Membership(..))) {
                put.clone().into(&index);
            }
            let now = noon() + TimeDelta::hours(random.random_range(0..4));
            reasons.extend(world.holds(&index, now, &format!("seed {seed}, step {step}")));
        }
        // In any order, and any state twice: the newest counts.
        let shuffled = Index::default();
        let again: Vec<_> = puts.choose_multiple(&mut random, puts.len() / 2).cloned().collect();
        puts.extend(again);
        puts.shuffle(&mut random);
        for put in puts {
            put.into(&shuffled);
        }
        world.holds(&shuffled, noon(), &format!("seed {seed}, shuffled"));
    }
    // Every reason there is was met; the one that hides things is the door's.
    let all: BTreeSet<_> =
        Reason::iter().map(Reason::as_str).filter(|reason| *reason != "not_found").collect();
    assert_eq!(reasons, all);
}

#[test]
fn what_ended_is_forgotten_only_when_nothing_older_can_come() {
    let index = Index::default();
    let started = MembershipCommand::Start {
        user_id: user("ada"),
        role: Role::Member,
        expires_at: None,
        through: Entrance::Added,
        now: noon(),
    };
    let event = Membership::default().decide(started).unwrap().remove(0);
    let active = Membership::default().evolve(event);
    index.put_membership(membership("ada"), 1, &active);
    index.put_membership(membership("ada"), 2, &Membership::Ended);
    index.put_membership(membership("ada"), 1, &active);
    index.forget_ended(Instant::now());
    assert_eq!(index.memberships(), 1, "the end is remembered");
    index.forget_ended(Instant::now() + REMEMBERED);
    assert_eq!(index.memberships(), 0);
    // One that began again meanwhile stays.
    index.put_membership(membership("ada"), 2, &Membership::Ended);
    index.put_membership(membership("ada"), 3, &active);
    index.forget_ended(Instant::now() + REMEMBERED);
    assert_eq!(index.memberships(), 1);
    // What a load that broke off has left is gone before the next.
    index.clear();
    assert_eq!(index.memberships(), 0);
    index.put_membership(membership("ada"), 1, &active);
    assert_eq!(index.memberships(), 1);
}

#[test]
fn entries_are_as_small_as_they_are_said_to_be() {
    assert_eq!(std::mem::size_of::<Member>(), 20);
    assert_eq!(std::mem::size_of::<Place>(), 32);
}

#[test]
fn a_place_tells_what_was_put_into_it() {
    let owner = MemberKey::of(membership("ada"));
    let statuses = [Status::Active, Status::Suspended, Status::Archived].map(Living::Is);
    for standing in statuses.into_iter().chain([Living::Deleted, Living::Unknown]) {
        for (sequence, kept) in [(0, 0), (7, 7), (i64::from(SEQUENCE), SEQUENCE), (i64::MAX, SEQUENCE)] {
            let place = Place::new(WORKSPACE, sequence, standing, owner);
            assert_eq!((place.sequence(), place.standing(), place.has_aside()), (kept, standing, false));
            let place = place.with_roles();
            assert_eq!((place.sequence(), place.standing(), place.has_aside()), (kept, standing, true));
        }
    }
}

#[test]
fn an_unknown_workspace_or_catalogue_is_not_decided_here() {
    let index = Index::default();
    let question = Question { workspace: WORKSPACE, user: "ada", permission: "workspace:read" };
    assert_eq!(index.decide(&question, noon()), Some(Reason::WorkspaceNotFound));
    index.put_unknown(WORKSPACE);
    assert_eq!(index.decide(&question, noon()), None);
    let (index, owner) = (Index::default(), user("ada"));
    index.put_living(WORKSPACE, 1, &owner, Status::Active, &BTreeMap::new());
    assert_eq!(index.decide(&question, noon()), Some(Reason::NotAMember));
    index.put_unknown(Catalogue::home());
    assert_eq!(index.decide(&question, noon()), None);
}
