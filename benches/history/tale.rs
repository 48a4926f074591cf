//! What happens, command by command: workspaces are founded one after the other, some hundred of them are at it at once,
//! and the large one is at it all along.

use cqrs_es::Aggregate;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tenure::data_keys::{Owner, Vault};
use tenure_aggregates::membership::{Entrance, MembershipEvent};
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::values::Email;
use tenure_aggregates::workspace::{Kind, PERSONAL_SEATS, Profile, WorkspaceEvent};
use tenure_aggregates::{Membership, MembershipId, Role, User, UserId, Workspace, WorkspaceId};

use super::company::Company;
use super::copy::Sender;
use super::record::{At, End, Person, Recorder};
use super::{LARGE, Shape, members_of, switcher, user};

/// Workspaces that are at it at once.
const AT_ONCE: u64 = 256;
/// Events of a user's provisioning, of a founding, and of an invitation that is accepted.
const PROVISIONED: u64 = 3;
const FOUNDED: u64 = 4;
const INVITED: u64 = 3;
/// Of two invitations in vain, one is revoked.
const IN_VAIN: u64 = 3;

const FIRST_NAMES: [&str; 8] = ["Ada", "Bob", "Chidi", "Dora", "Emeka", "Fatima", "Grace", "Haruki"];
const LAST_NAMES: [&str; 8] =
    ["Lovelace", "Okafor", "Nakamura", "García", "Müller", "Hopper", "Kowalska", "Ng"];

/// A company and what is still to happen in it.
struct Story {
    company: Company,
    /// Users still to be invited.
    to_come: std::vec::IntoIter<u64>,
    in_vain: u64,
    to_do: u64,
}

struct Tale<'a> {
    recorder: Recorder<'a>,
    shape: Shape,
    random: SmallRng,
    /// Every user there is so far, by number.
    people: Vec<Person>,
    switcher: Person,
    large: Story,
    /// What happens in a workspace beyond the coming of its members.
    to_do: u64,
}

/// Writes it all down, in the order of the log.
pub(super) fn tell(vault: &Vault, shape: Shape, rows: Sender) -> End {
    let mut recorder = Recorder::new(vault, rows, shape.events.max(least(&shape)));
    let owner = provision(&mut recorder, 0, user(0));
    let many = provision(&mut recorder, u64::MAX >> 1, switcher());
    let seats = u32::try_from(shape.large + 100).expect("not that many");
    let company = Company::found(&mut recorder, LARGE, owner.clone(), seats);
    let come: Vec<u64> = (1..shape.large.min(shape.users)).collect();
    let large = Story { company, to_come: come.into_iter(), in_vain: 2, to_do: shape.large_events };
    let rest = shape.events.saturating_sub(least(&shape));
    let to_do = rest / shape.workspaces.max(1);
    let random = SmallRng::seed_from_u64(7);
    let mut tale = Tale { recorder, shape, random, people: vec![owner], switcher: many, large, to_do };
    tale.run();
    tale.recorder.close()
}

/// The events that the memberships take, and what the large one is to have.
fn least(shape: &Shape) -> u64 {
    let team = FOUNDED + IN_VAIN + (shape.members - 1) * INVITED;
    let large = FOUNDED + IN_VAIN + shape.large * INVITED + shape.large_events;
    (shape.users + 1) * PROVISIONED + shape.workspaces * team + large + shape.switcher
}

impl Tale<'_> {
    fn run(&mut self) {
        let mut under_way: Vec<Story> = Vec::new();
        let (mut next, last) = (1, self.shape.workspaces);
        let total = i64::try_from(self.shape.events.max(least(&self.shape))).expect("a number");
        let large_total = self.shape.large + self.shape.large_events;
        let mut large_done = 0;
        while next < last || !under_way.is_empty() {
            if next < last && (under_way.len() as u64) < AT_ONCE.min(last / 8 + 1) {
                under_way.push(self.founded(next));
                next += 1;
                continue;
            }
            let at = self.random.random_range(0..under_way.len());
            if !self.step(&mut under_way[at]) {
                under_way.swap_remove(at);
            }
            // The large one keeps pace with the log.
            let due = (large_total.cast_signed() * self.recorder.position() / total) as u64;
            while large_done < due && self.large_step() {
                large_done += 1;
            }
        }
        while self.large_step() {}
    }

    fn founded(&mut self, number: u64) -> Story {
        let members: Vec<u64> = members_of(&self.shape, number).collect();
        for member in &members {
            if *member == self.people.len() as u64 {
                let person = provision(&mut self.recorder, *member, user(*member));
                self.people.push(person);
            }
        }
        let owner = self.people[members[0] as usize].clone();
        let seats = self.shape.members as u32 + 5;
        let mut company = Company::found(&mut self.recorder, number, owner, seats);
        let every = (self.shape.workspaces / self.shape.switcher.max(1)).max(1);
        if number.is_multiple_of(every) && number / every <= self.shape.switcher {
            company.add(&mut self.recorder, self.switcher.id.clone());
        }
        let to_come: Vec<u64> = members.into_iter().skip(1).collect();
        // More in one, less in another.
        let to_do = if self.to_do == 0 { 0 } else { self.random.random_range(0..=self.to_do * 2) };
        Story { company, to_come: to_come.into_iter(), in_vain: 2, to_do }
    }

    /// Something happens in it; false if nothing is left.
    fn step(&mut self, story: &mut Story) -> bool {
        if let Some(user) = story.to_come.next() {
            story.company.invite(&mut self.recorder, &self.people[user as usize], &address(user));
        } else if story.in_vain > 0 {
            story.in_vain -= 1;
            story.company.invite_in_vain(&mut self.recorder, story.in_vain == 0);
        } else if story.to_do > 0 {
            story.to_do -= 1;
            story.company.go_on(&mut self.recorder, &mut self.random);
        } else {
            return false;
        }
        true
    }

    /// As [`Self::step`], of those who are there already.
    fn large_step(&mut self) -> bool {
        let Story { company, to_come, to_do, .. } = &mut self.large;
        let there = to_come.as_slice().first().filter(|user| **user < self.people.len() as u64).copied();
        // Of what happens, the coming of members is spread over all of it.
        let turn = to_come.len() as u64 * 2 >= *to_do
            || company.members() < 2
            || self.random.random_range(0..4) == 0;
        if let Some(user) = there.filter(|_| turn) {
            to_come.next();
            company.invite(&mut self.recorder, &self.people[user as usize], &address(user));
        } else if *to_do > 0 && company.members() > 1 {
            *to_do -= 1;
            company.go_on(&mut self.recorder, &mut self.random);
        } else if let Some(user) = there {
            to_come.next();
            company.invite(&mut self.recorder, &self.people[user as usize], &address(user));
        } else {
            return false;
        }
        true
    }
}

fn address(number: u64) -> Email {
    Email::parse(&format!("user-{number}@example.com")).expect("an address")
}

/// A user, with a personal workspace.
fn provision(recorder: &mut Recorder<'_>, number: u64, id: UserId) -> Person {
    let home = WorkspaceId::personal(&id);
    let key = recorder.new_key(Owner::Workspace(home), None);
    let (first, last) = (FIRST_NAMES[number as usize % 8], LAST_NAMES[number as usize / 8 % 8]);
    let name = format!("{first} {last} {number}");
    let stream = home.to_string();
    let at = At { workspace: home, id: &stream, sequence: 1, key: &key };
    let mut command = recorder.by_service(key.clone(), "ProvisionUser");
    let provisioned = UserEvent::UserProvisioned {
        user_id: id.clone(),
        email: Some(address(number)),
        email_verified: true,
        name: Some(name.clone()),
        created_at: command.now,
    };
    command.event(User::TYPE, &at, &provisioned);
    let created = WorkspaceEvent::WorkspaceCreated {
        kind: Kind::Personal,
        owner_id: id.clone(),
        profile: Profile { name, ..Profile::default() },
        seats_limit: PERSONAL_SEATS,
        created_at: command.now,
    };
    command.event(Workspace::TYPE, &at, &created);
    let membership = MembershipId::of(home, &id).to_string();
    let started = MembershipEvent::MembershipStarted {
        user_id: id.clone(),
        role: Role::Owner,
        expires_at: None,
        through: Entrance::Created,
        joined_at: command.now,
    };
    command.event(Membership::TYPE, &At { id: &membership, ..at }, &started);
    command.seats(home, 1);
    Person { id, number, key }
}
