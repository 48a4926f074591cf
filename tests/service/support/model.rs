//! A small pure model of tenancy: it takes the log event by event, in the order of positions, and fails at the first
//! one that was not legal where it stands. It shares no code with the aggregates' own folds.

use std::collections::{BTreeMap, BTreeSet};

use tenure_aggregates::claim::ClaimEvent;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::membership::{Ending, Entrance, MembershipEvent};
use tenure_aggregates::session::{Ending as SessionEnding, SessionEvent, Switching};
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::workspace::{self, Kind, WorkspaceEvent};
use tenure_aggregates::{Role, Time, UserId, WorkspaceId};
use tenure_projections::recorded::{ActorType, Event, Recorded};
use uuid::Uuid;

use super::{TestService, log};

#[derive(Debug, Default)]
pub struct Model {
    pub spaces: BTreeMap<Uuid, Space>,
    pub users: BTreeMap<String, bool>,
    pub claims: BTreeMap<String, Uuid>,
    pub invitations: BTreeMap<String, Invited>,
    /// The sessions that have not ended: whose, and where.
    pub sessions: BTreeMap<String, (String, Uuid)>,
    /// What holds only until the unit of work at hand is through.
    unit: Unit,
}

#[derive(Debug, Clone)]
pub struct Space {
    pub kind: Kind,
    pub owner: String,
    pub limit: u32,
    pub suspended: bool,
    pub archived: bool,
    pub deleted: bool,
    pub members: BTreeMap<String, Member>,
    pub code: Option<Code>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    pub role: Role,
    pub active: bool,
    pub expires_at: Option<Time>,
}

#[derive(Debug, Clone)]
pub struct Code {
    generation: u32,
    role: Role,
    max_uses: Option<u32>,
    uses: u32,
    expires_at: Option<Time>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Invited {
    pub workspace: Uuid,
    pub role: Role,
    pub status: &'static str,
}

#[derive(Debug, Default, Clone)]
struct Unit {
    request: Option<String>,
    /// The actor's role in each workspace before the unit began.
    roles: BTreeMap<Uuid, Option<Role>>,
    touched: BTreeSet<Uuid>,
    deleted: BTreeSet<Uuid>,
    accepted: BTreeSet<String>,
    transferred: bool,
}

/// Replays the service's log; fails at the first illegal event.
pub async fn replay(service: &TestService) -> Model {
    let mut model = Model::default();
    for event in log::events(service).await {
        model.take(&event);
    }
    model.settle();
    model
}

impl Member {
    fn is_active(&self, now: Time) -> bool {
        self.active && self.expires_at.is_none_or(|end| now < end)
    }
}

impl Space {
    pub fn seats(&self) -> usize {
        self.members.values().filter(|member| member.active).count()
    }

    pub fn status(&self) -> &'static str {
        match (self.suspended, self.archived) {
            (true, _) => "suspended",
            (false, true) => "archived",
            (false, false) => "active",
        }
    }
}

impl Model {
    pub fn space(&self, id: &str) -> &Space {
        &self.spaces[&id.parse::<Uuid>().unwrap()]
    }

    fn take(&mut self, at: &Recorded) {
        if at.metadata.request_id.is_none() || at.metadata.request_id != self.unit.request {
            self.settle();
            let actor = at.metadata.actor_id.as_deref().filter(|_| at.metadata.actor_type == ActorType::User);
            let roles = self.spaces.iter().map(|(id, space)| {
                let member = actor.and_then(|actor| space.members.get(actor)).filter(|member| member.active);
                (*id, member.map(|member| member.role.clone()))
            });
            self.unit =
                Unit { request: at.metadata.request_id.clone(), roles: roles.collect(), ..Unit::default() };
        }
        let id = at.workspace_id.0;
        self.unit.touched.insert(id);
        match &at.event {
            Event::User(event) => self.user(event, at),
            Event::Workspace(event) => self.workspace(id, event, at),
            Event::Membership(event) => self.membership(id, event, at),
            Event::Invitation(event) => self.invitation(id, event, at),
            Event::Session(event) => self.session(id, event, at),
            Event::Claim(event) => self.claim(id, event, at),
            Event::ApiKey(_) | Event::WebhookEndpoint(_) => self.allowed(id, &Role::Admin, at),
            Event::Catalogue(_) => Self::by_service(at),
        }
    }

    /// What must hold between units of work.
    fn settle(&mut self) {
        for id in std::mem::take(&mut self.unit.touched) {
            let Some(space) = self.spaces.get(&id).filter(|space| !space.deleted) else { continue };
            let owners: Vec<_> =
                space.members.iter().filter(|(_, member)| member.role == Role::Owner).collect();
            assert_eq!(owners.len(), 1, "{id} has {} owners: {space:?}", owners.len());
            assert_eq!(*owners[0].0, space.owner, "{id} is owned by somebody else");
            assert!(owners[0].1.active, "the owner of {id} is no active member");
            assert_eq!(owners[0].1.expires_at, None, "the owner of {id} expires");
            assert!(space.seats() <= space.limit as usize, "{id} has more members than seats: {space:?}");
        }
        let claimed = self.claims.values().find(|id| self.spaces[*id].deleted);
        assert_eq!(claimed, None, "a deleted workspace claims something");
    }

    /// Whoever did it held a role that allows it, at this very position.
    fn allowed(&self, id: Uuid, lowest: &Role, at: &Recorded) {
        if at.metadata.actor_type == ActorType::User {
            let role = self.unit.roles.get(&id).cloned().flatten();
            assert!(role.as_ref() >= Some(lowest), "{role:?} is not {lowest}: {at:?}");
        }
    }

    fn by_service(at: &Recorded) {
        assert_eq!(at.metadata.actor_type, ActorType::Service, "{at:?}");
    }

    fn by(user: &str, at: &Recorded) {
        assert_eq!(at.metadata.actor_id.as_deref(), Some(user), "{at:?}");
    }

    /// A workspace that may be written to here.
    fn open(&mut self, id: Uuid, at: &Recorded) -> &mut Space {
        let space = self.spaces.get_mut(&id).unwrap_or_else(|| panic!("no such workspace: {at:?}"));
        assert!(!space.deleted, "after the deletion: {at:?}");
        assert!(!space.suspended, "while suspended: {at:?}");
        assert!(!space.archived, "while archived: {at:?}");
        space
    }

    fn living(&mut self, id: Uuid, at: &Recorded) -> &mut Space {
        let space = self.spaces.get_mut(&id).unwrap_or_else(|| panic!("no such workspace: {at:?}"));
        assert!(!space.deleted, "after the deletion: {at:?}");
        space
    }

    fn user(&mut self, event: &UserEvent, at: &Recorded) {
        match event {
            UserEvent::UserProvisioned { user_id, .. } => {
                Self::by_service(at);
                let before = self.users.insert(user_id.as_str().to_owned(), true);
                assert_eq!(before, None, "provisioned twice: {at:?}");
            }
            UserEvent::UserErased { user_id } => {
                self.users.insert(user_id.as_str().to_owned(), false);
            }
            UserEvent::UserProfileChanged { .. }
            | UserEvent::UserErasureStarted { .. }
            | UserEvent::UserErasureWithdrawn { .. } => {}
        }
    }

    fn workspace(&mut self, id: Uuid, event: &WorkspaceEvent, at: &Recorded) {
        use WorkspaceEvent as E;
        match event {
            E::WorkspaceCreated { kind, owner_id, seats_limit, .. } => {
                let space = Space {
                    kind: *kind,
                    owner: owner_id.as_str().to_owned(),
                    limit: *seats_limit,
                    suspended: false,
                    archived: false,
                    deleted: false,
                    members: BTreeMap::new(),
                    code: None,
                };
                assert!(self.spaces.insert(id, space).is_none(), "an id came back: {at:?}");
            }
            E::WorkspaceProfileChanged(_)
            | E::RoleDefined { .. }
            | E::RoleChanged { .. }
            | E::RoleDeleted { .. } => {
                self.allowed(id, &Role::Admin, at);
                self.open(id, at);
            }
            E::WorkspaceSeatsLimitChanged { seats_limit } => {
                Self::by_service(at);
                let space = self.open(id, at);
                assert_eq!(space.limit, seats_limit.from);
                space.limit = seats_limit.to;
                assert!(space.seats() <= space.limit as usize, "{at:?}");
            }
            E::WorkspaceOwnershipTransferred { owner_id } => {
                self.allowed(id, &Role::Owner, at);
                self.unit.transferred = true;
                let space = self.open(id, at);
                assert_eq!(space.owner, owner_id.from.as_str(), "{at:?}");
                assert!(space.members[owner_id.to.as_str()].active, "{at:?}");
                owner_id.to.as_str().clone_into(&mut space.owner);
            }
            E::WorkspaceDeleted { because } => {
                if *because == workspace::Ending::Deleted {
                    self.allowed(id, &Role::Owner, at);
                    assert!(!self.living(id, at).suspended, "{at:?}");
                }
                self.unit.deleted.insert(id);
                self.living(id, at).deleted = true;
            }
            E::InviteCodeIssued { .. } | E::InviteCodeDisabled { .. } => self.code(id, event, at),
            E::WorkspacePlanChanged { .. } => Self::by_service(at),
            _ => self.lifecycle(id, event, at),
        }
    }

    fn lifecycle(&mut self, id: Uuid, event: &WorkspaceEvent, at: &Recorded) {
        use WorkspaceEvent as E;
        if matches!(event, E::WorkspaceSuspended { .. } | E::WorkspaceResumed { .. }) {
            Self::by_service(at);
        } else {
            self.allowed(id, &Role::Owner, at);
            assert!(!self.living(id, at).suspended, "{at:?}");
        }
        let space = self.living(id, at);
        let (field, to) = match event {
            E::WorkspaceSuspended { .. } => (&mut space.suspended, true),
            E::WorkspaceResumed { .. } => (&mut space.suspended, false),
            E::WorkspaceArchived => (&mut space.archived, true),
            E::WorkspaceRestored => (&mut space.archived, false),
            _ => panic!("unexpected {at:?}"),
        };
        assert_ne!(*field, to, "nothing changed: {at:?}");
        *field = to;
    }

    fn code(&mut self, id: Uuid, event: &WorkspaceEvent, at: &Recorded) {
        self.allowed(id, &Role::Admin, at);
        let space = self.open(id, at);
        match event {
            WorkspaceEvent::InviteCodeIssued { generation, role, max_uses, expires_at, .. } => {
                assert!(rank(role) < Role::Owner, "{at:?}");
                space.code = Some(Code {
                    generation: *generation,
                    role: role.clone(),
                    max_uses: *max_uses,
                    uses: 0,
                    expires_at: *expires_at,
                });
            }
            _ => assert!(space.code.take().is_some(), "{at:?}"),
        }
    }

    fn membership(&mut self, id: Uuid, event: &MembershipEvent, at: &Recorded) {
        use MembershipEvent as E;
        match event {
            E::MembershipStarted { user_id, role, expires_at, through, .. } => {
                self.start(id, user_id.as_str(), role.clone(), *expires_at, through, at);
            }
            E::MembershipRoleChanged { user_id, role } => {
                if !self.unit.transferred {
                    self.allowed(id, &Role::Admin.max(rank(&role.to)), at);
                    assert!(rank(&role.to) < Role::Owner && rank(&role.from) < Role::Owner, "{at:?}");
                }
                let member = self.open(id, at).members.get_mut(user_id.as_str());
                let member = member.unwrap_or_else(|| panic!("no member: {at:?}"));
                assert_eq!(member.role, role.from, "{at:?}");
                member.role = role.to.clone();
            }
            E::MembershipExpiryChanged { user_id, expires_at } => {
                let member = self.open(id, at).members.get_mut(user_id.as_str()).unwrap();
                assert_eq!(member.expires_at, expires_at.from, "{at:?}");
                member.expires_at = expires_at.to;
            }
            E::MembershipDeactivated { user_id, .. } | E::MembershipReactivated { user_id } => {
                self.allowed(id, &Role::Admin, at);
                let active = matches!(event, E::MembershipReactivated { .. });
                let member = self.open(id, at).members.get_mut(user_id.as_str()).unwrap();
                assert_ne!(member.active, active, "{at:?}");
                member.active = active;
            }
            E::MembershipEnded { user_id, because } => {
                match because {
                    Ending::Left => Self::by(user_id.as_str(), at),
                    Ending::Removed => self.allowed(id, &Role::Admin, at),
                    Ending::Expired | Ending::UserErased => {}
                }
                let space = match because {
                    Ending::Left | Ending::Removed => self.open(id, at),
                    Ending::Expired | Ending::UserErased => self.spaces.get_mut(&id).unwrap(),
                };
                assert!(space.deleted || space.owner != user_id.as_str(), "the owner went: {at:?}");
                assert!(space.members.remove(user_id.as_str()).is_some(), "no member: {at:?}");
            }
        }
    }

    fn start(
        &mut self,
        id: Uuid,
        user: &str,
        role: Role,
        expires_at: Option<Time>,
        through: &Entrance,
        at: &Recorded,
    ) {
        assert_eq!(self.users.get(user), Some(&true), "nobody joined: {at:?}");
        match through {
            Entrance::Created => assert_eq!(role, Role::Owner),
            Entrance::Added => self.allowed(id, &Role::Admin.max(rank(&role)), at),
            Entrance::Invitation { invitation_id } => {
                Self::by(user, at);
                let invited = &self.invitations[&invitation_id.to_string()];
                assert_eq!((invited.workspace, invited.role.clone()), (id, role.clone()), "{at:?}");
                assert!(self.unit.accepted.remove(&invitation_id.to_string()), "{at:?}");
            }
            Entrance::InviteCode { generation } => {
                Self::by(user, at);
                let code = self.open(id, at).code.as_mut().unwrap_or_else(|| panic!("no code: {at:?}"));
                assert_eq!((code.generation, code.role.clone()), (*generation, role.clone()), "{at:?}");
                code.uses += 1;
                assert!(code.max_uses.is_none_or(|max| code.uses <= max), "used up: {at:?}");
                assert!(code.expires_at.is_none_or(|end| end > at.recorded_at), "too late: {at:?}");
            }
        }
        let space = self.open(id, at);
        let member = Member { role, active: true, expires_at };
        assert_eq!(space.members.insert(user.to_owned(), member), None, "a member already: {at:?}");
        assert!(space.seats() <= space.limit as usize, "no seat left: {at:?}");
    }

    fn invitation(&mut self, id: Uuid, event: &InvitationEvent, at: &Recorded) {
        self.open(id, at);
        if let InvitationEvent::InvitationSent { role, .. } = event {
            self.allowed(id, &Role::Admin.max(rank(role)), at);
            let invited = Invited { workspace: id, role: role.clone(), status: "pending" };
            assert_eq!(self.invitations.insert(at.aggregate_id.clone(), invited), None, "{at:?}");
            return;
        }
        let status = match event {
            InvitationEvent::InvitationAccepted { .. } => "accepted",
            InvitationEvent::InvitationDeclined => "declined",
            InvitationEvent::InvitationRevoked => "revoked",
            _ => "pending",
        };
        if matches!(status, "revoked" | "pending") {
            self.allowed(id, &Role::Admin, at);
        }
        if status == "accepted" {
            self.unit.accepted.insert(at.aggregate_id.clone());
        }
        let invited = self.invitations.get_mut(&at.aggregate_id).unwrap();
        assert_eq!((invited.workspace, invited.status), (id, "pending"), "{at:?}");
        invited.status = status;
    }

    fn session(&mut self, id: Uuid, event: &SessionEvent, at: &Recorded) {
        match event {
            SessionEvent::SessionStarted { session_id, user_id, workspace_id, .. } => {
                assert_eq!(session_id.to_string(), at.aggregate_id);
                assert_eq!(WorkspaceId::personal(user_id).0, id, "{at:?}");
                self.enters(user_id, workspace_id.0, at);
                let session = (user_id.as_str().to_owned(), workspace_id.0);
                let before = self.sessions.insert(at.aggregate_id.clone(), session);
                assert_eq!(before, None, "started twice: {at:?}");
            }
            SessionEvent::SessionSwitched { user_id, workspace_id, because, .. } => {
                self.enters(user_id, workspace_id.to.0, at);
                let session = self.sessions.get_mut(&at.aggregate_id).expect("a session");
                assert_eq!(*session, (user_id.as_str().to_owned(), workspace_id.from.0), "{at:?}");
                session.1 = workspace_id.to.0;
                if *because == Switching::MembershipEnded {
                    assert_eq!(workspace_id.to.0, id, "{at:?}");
                    let (space, user) = (&self.spaces[&workspace_id.from.0], user_id.as_str());
                    let member = space.members.get(user).filter(|member| member.is_active(at.recorded_at));
                    assert!(space.deleted || member.is_none(), "{at:?}");
                }
            }
            SessionEvent::SessionEnded { user_id, because } => {
                let (user, _) = self.sessions.remove(&at.aggregate_id).expect("a session");
                assert_eq!(user, user_id.as_str());
                assert!(*because == SessionEnding::UserErased || at.metadata.session_id.is_some(), "{at:?}");
            }
        }
    }

    /// Only an active member of a living workspace goes there.
    fn enters(&self, user: &UserId, workspace: Uuid, at: &Recorded) {
        assert_eq!(self.users.get(user.as_str()), Some(&true), "{at:?}");
        let space = &self.spaces[&workspace];
        assert!(!space.deleted, "{at:?}");
        assert!(space.members[user.as_str()].is_active(at.recorded_at), "{at:?}");
    }

    fn claim(&mut self, id: Uuid, event: &ClaimEvent, at: &Recorded) {
        match event {
            ClaimEvent::ClaimTaken { workspace_id } => {
                assert_eq!(workspace_id.0, id);
                let before = self.claims.insert(at.aggregate_id.clone(), id);
                assert_eq!(before, None, "claimed twice: {at:?}");
            }
            ClaimEvent::ClaimReleased { workspace_id } => {
                assert_eq!(workspace_id.0, id);
                assert_eq!(self.claims.remove(&at.aggregate_id), Some(id), "{at:?}");
                assert!(!self.spaces[&id].deleted || self.unit.deleted.contains(&id), "{at:?}");
            }
        }
    }
}

/// The built-in role a role is taken for; the model knows nothing of what a workspace's own roles allow.
fn rank(role: &Role) -> Role {
    if role.custom().is_some() { Role::Member } else { role.clone() }
}
