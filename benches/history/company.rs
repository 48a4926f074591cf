//! What happens in one team workspace: it is made, people are invited and come, and then their roles change.

use cqrs_es::Aggregate;
use rand::Rng;
use rand::rngs::SmallRng;
use tenure::data_keys::{DataKey, Owner};
use tenure_aggregates::claim::ClaimEvent;
use tenure_aggregates::event::Changed;
use tenure_aggregates::invitation::{DEFAULT_LIFETIME, InvitationEvent, Mailing};
use tenure_aggregates::membership::{Entrance, MembershipEvent};
use tenure_aggregates::values::{Email, Slug};
use tenure_aggregates::workspace::{Kind, Profile, Social, TEAM_SEATS, WorkspaceEvent};
use tenure_aggregates::{Claim, Invitation, Membership, MembershipId, Role, UserId, Workspace, WorkspaceId};

use super::record::{At, Person, Recorder};
use super::{invitation, workspace};

/// A workspace whose story goes on.
pub(super) struct Company {
    number: u64,
    id: WorkspaceId,
    key: DataKey,
    owner: Person,
    members: Vec<Member>,
    invited: u64,
}

struct Member {
    user: UserId,
    role: Role,
    is_away: bool,
    sequence: i64,
}

impl Company {
    /// Somebody makes it, and the service gives it seats.
    pub fn found(recorder: &mut Recorder<'_>, number: u64, owner: Person, seats: u32) -> Self {
        let id = workspace(number);
        let stream = id.to_string();
        let key = recorder.new_key(Owner::Workspace(id), None);
        let slug = Slug::parse(&format!("company-{number}")).expect("a slug");
        let mut command = recorder.by(&owner, "CreateWorkspace");
        let profile = Profile {
            name: format!("Company {number}"),
            slug: Some(slug.clone()),
            website: Some(format!("https://company-{number}.example.com")),
            social: Social { github: Some(format!("company-{number}")), ..Social::default() },
            ..Profile::default()
        };
        let created = WorkspaceEvent::WorkspaceCreated {
            kind: Kind::Team,
            owner_id: owner.id.clone(),
            profile,
            seats_limit: TEAM_SEATS,
            created_at: command.now,
        };
        command.event(Workspace::TYPE, &At { workspace: id, id: &stream, sequence: 1, key: &key }, &created);
        let claim = Claim::slug(&command.slug_hash(&slug));
        let taken = ClaimEvent::ClaimTaken { workspace_id: id };
        command.event(Claim::TYPE, &At { workspace: id, id: &claim, sequence: 1, key: &key }, &taken);
        let mut this = Self { number, id, key, owner: owner.clone(), members: vec![], invited: 0 };
        this.join(&mut command, owner.id, Role::Owner, Entrance::Created);
        let mut command = recorder.by_service(this.key.clone(), "ChangeWorkspace");
        let seats = WorkspaceEvent::WorkspaceSeatsLimitChanged {
            seats_limit: Changed { from: TEAM_SEATS, to: seats },
        };
        command.event(
            Workspace::TYPE,
            &At { workspace: id, id: &stream, sequence: 2, key: &this.key },
            &seats,
        );
        this
    }

    fn join(
        &mut self,
        command: &mut super::record::Command<'_, '_>,
        user: UserId,
        role: Role,
        through: Entrance,
    ) {
        let id = MembershipId::of(self.id, &user).to_string();
        let started = MembershipEvent::MembershipStarted {
            user_id: user.clone(),
            role: role.clone(),
            expires_at: None,
            through,
            joined_at: command.now,
        };
        let at = At { workspace: self.id, id: &id, sequence: 1, key: &self.key };
        command.event(Membership::TYPE, &at, &started);
        command.seats(self.id, 1);
        self.members.push(Member { user, role, is_away: false, sequence: 1 });
    }

    /// The service puts somebody in.
    pub fn add(&mut self, recorder: &mut Recorder<'_>, user: UserId) {
        let mut command = recorder.by_service(self.key.clone(), "AddMember");
        self.join(&mut command, user, Role::Member, Entrance::Added);
    }

    /// The owner invites somebody, who comes.
    pub fn invite(&mut self, recorder: &mut Recorder<'_>, person: &Person, email: &Email) {
        let (sent, key) = self.send(recorder, email);
        let (id, mut command) = (sent.to_string(), recorder.by(person, "AcceptInvitation"));
        let accepted = InvitationEvent::InvitationAccepted { user_id: person.id.clone() };
        let at = At { workspace: self.id, id: &id, sequence: 2, key: &key };
        command.event(Invitation::TYPE, &at, &accepted);
        let through = Entrance::Invitation { invitation_id: sent };
        self.join(&mut command, person.id.clone(), Role::Member, through);
    }

    /// The owner invites somebody who does not answer, or whom the owner had rather not see after all.
    pub fn invite_in_vain(&mut self, recorder: &mut Recorder<'_>, is_revoked: bool) {
        let email = format!("nobody-{}-{}@example.com", self.number, self.invited);
        let (sent, key) = self.send(recorder, &Email::parse(&email).expect("an address"));
        if is_revoked {
            let (id, owner) = (sent.to_string(), self.owner.clone());
            let mut command = recorder.by(&owner, "RevokeInvitation");
            let at = At { workspace: self.id, id: &id, sequence: 2, key: &key };
            command.event(Invitation::TYPE, &at, &InvitationEvent::InvitationRevoked);
        }
    }

    fn send(
        &mut self,
        recorder: &mut Recorder<'_>,
        email: &Email,
    ) -> (tenure_aggregates::InvitationId, DataKey) {
        let sent = invitation(self.number, self.invited);
        self.invited += 1;
        let key = recorder.new_key(Owner::Invitation(self.id, sent), Some(email));
        let owner = self.owner.clone();
        let mut command = recorder.by(&owner, "SendInvitation");
        let event = InvitationEvent::InvitationSent {
            invitation_id: sent,
            email: email.clone(),
            role: Role::Member,
            invited_by: Some(owner.id),
            invited_by_key: None,
            expires_at: command.now + DEFAULT_LIFETIME,
            generation: 1,
            notify: true,
            created_at: command.now,
            mailing: Mailing::default(),
        };
        let id = sent.to_string();
        command.event(Invitation::TYPE, &At { workspace: self.id, id: &id, sequence: 1, key: &key }, &event);
        (sent, key)
    }

    /// Somebody's role changes, or they are away for a while.
    pub fn go_on(&mut self, recorder: &mut Recorder<'_>, random: &mut SmallRng) {
        let Some(last) = self.members.len().checked_sub(1).filter(|last| *last > 0) else { return };
        let member = &mut self.members[random.random_range(1..=last)];
        member.sequence += 1;
        let id = MembershipId::of(self.id, &member.user).to_string();
        let at = At { workspace: self.id, id: &id, sequence: member.sequence, key: &self.key };
        let user_id = member.user.clone();
        if member.is_away || random.random_range(0..12) == 0 {
            member.is_away = !member.is_away;
            let (event, seats) = if member.is_away {
                let reason = Some("on leave until further notice".to_owned());
                (MembershipEvent::MembershipDeactivated { user_id, reason }, -1)
            } else {
                (MembershipEvent::MembershipReactivated { user_id }, 1)
            };
            let mut command = recorder.by(&self.owner, "SwitchMember");
            command.event(Membership::TYPE, &at, &event);
            command.seats(self.id, seats);
            return;
        }
        let others = [Role::Member, Role::Moderator, Role::Admin];
        let to = others.into_iter().filter(|role| *role != member.role).nth(random.random_range(0..2));
        let to = to.expect("two others");
        let from = std::mem::replace(&mut member.role, to.clone());
        let event = MembershipEvent::MembershipRoleChanged { user_id, role: Changed { from, to } };
        recorder.by(&self.owner, "EditMember").event(Membership::TYPE, &at, &event);
    }

    pub fn members(&self) -> usize {
        self.members.len()
    }
}
