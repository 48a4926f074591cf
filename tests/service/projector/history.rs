//! Random histories: commands drawn at random, decided by the real aggregates.

use std::collections::{BTreeMap, HashMap};

use chrono::Duration;
use serde::Serialize;
use serde_json::json;
use tenure_aggregates::api_key::ApiKeyCommand as KC;
use tenure_aggregates::catalogue::CatalogueCommand as CC;
use tenure_aggregates::event::EventName;
use tenure_aggregates::invitation::InvitationCommand as IC;
use tenure_aggregates::membership::{Entrance, MembershipCommand as MC};
use tenure_aggregates::session::SessionCommand as SC;
use tenure_aggregates::user::UserCommand as UC;
use tenure_aggregates::values::Email;
use tenure_aggregates::webhook_endpoint::WebhookEndpointCommand as HC;
use tenure_aggregates::workspace::{Kind, Profile, WorkspaceCommand as WC};
use tenure_aggregates::{
    ApiKey, ApiKeyId, Catalogue, Invitation, InvitationId, Membership, MembershipId, Role, Session,
    SessionId, Time, User, UserId, WebhookEndpoint, WebhookEndpointId, Workspace, WorkspaceId,
};
use tenure_projections::{Logged, Recorded};
use uuid::Uuid;

pub struct History {
    random: u64,
    pub now: Time,
    pub users: BTreeMap<UserId, User>,
    pub workspaces: BTreeMap<WorkspaceId, Workspace>,
    pub memberships: BTreeMap<(WorkspaceId, UserId), Membership>,
    pub invitations: BTreeMap<(WorkspaceId, InvitationId), Invitation>,
    pub sessions: BTreeMap<(WorkspaceId, SessionId), Session>,
    pub api_keys: BTreeMap<(WorkspaceId, ApiKeyId), ApiKey>,
    pub webhook_endpoints: BTreeMap<(WorkspaceId, WebhookEndpointId), WebhookEndpoint>,
    catalogues: BTreeMap<WorkspaceId, Catalogue>,
    pub events: Vec<Logged>,
    workspace_seqs: HashMap<Uuid, i64>,
    sequences: HashMap<String, i64>,
}

/// Lets the aggregate decide, takes its events, and folds them; a refusal leaves nothing.
macro_rules! execute {
    ($self:ident, $states:ident, $key:expr, $workspace:expr, $kind:literal, $id:expr, $command:expr) => {{
        let state = $self.$states.get(&$key).cloned().unwrap_or_default();
        let events = state.decide($command).unwrap_or_default();
        let mut state = state;
        for event in events {
            $self.record($workspace, $kind, $id.to_string(), &event);
            state = state.evolve(event);
        }
        $self.$states.insert($key, state);
    }};
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self {
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            now: Time::from_timestamp(1_790_000_000, 0).unwrap(),
            users: BTreeMap::new(),
            workspaces: BTreeMap::new(),
            memberships: BTreeMap::new(),
            invitations: BTreeMap::new(),
            sessions: BTreeMap::new(),
            api_keys: BTreeMap::new(),
            webhook_endpoints: BTreeMap::new(),
            catalogues: BTreeMap::new(),
            events: vec![],
            workspace_seqs: HashMap::new(),
            sequences: HashMap::new(),
        }
    }

    pub fn of(seed: u64, length: usize) -> Self {
        let mut history = Self::new(seed);
        while history.events.len() < length {
            history.something();
        }
        history
    }

    pub fn head(&self) -> i64 {
        i64::try_from(self.events.len()).unwrap()
    }

    pub fn decoded(&self) -> Vec<Recorded> {
        self.events.iter().map(|event| event.decode().unwrap()).collect()
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random >> 11).unwrap() % bound
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.below(from.len())].clone()) }
    }

    pub fn uuid(&mut self) -> Uuid {
        Uuid::from_u64_pair(self.below(usize::MAX) as u64, self.below(usize::MAX) as u64)
    }

    pub fn record(
        &mut self,
        workspace: WorkspaceId,
        kind: &str,
        aggregate_id: String,
        event: &(impl Serialize + EventName),
    ) {
        let payload = serde_json::to_string(event).unwrap();
        self.record_text(workspace, kind, aggregate_id, event.name(), payload);
    }

    pub fn record_text(
        &mut self,
        workspace: WorkspaceId,
        kind: &str,
        aggregate_id: String,
        event_type: &str,
        payload: String,
    ) {
        let position = self.head() + 1;
        let seq = self.workspace_seqs.entry(workspace.0).or_default();
        *seq += 1;
        let sequence = self.sequences.entry(format!("{kind} {aggregate_id}")).or_default();
        *sequence += 1;
        self.now += Duration::seconds(1);
        let metadata = json!({"workspace_id": workspace, "actor_type": "service", "request_id": "r"});
        self.events.push(Logged {
            position,
            workspace_id: workspace.0,
            workspace_seq: *seq,
            aggregate_type: kind.to_owned(),
            aggregate_id,
            sequence: *sequence,
            event_type: event_type.to_owned(),
            event_version: tenure_aggregates::upcast::current(event_type).to_string(),
            payload,
            metadata: metadata.to_string(),
            recorded_at: self.now,
        });
    }

    pub fn user(&mut self, id: &UserId, command: UC) {
        let home = WorkspaceId::personal(id);
        execute!(self, users, id.clone(), home, "User", home, command);
    }

    pub fn workspace(&mut self, id: WorkspaceId, command: WC) {
        execute!(self, workspaces, id, id, "Workspace", id, command);
    }

    pub fn member(&mut self, workspace: WorkspaceId, user: &UserId, command: MC) {
        let id = MembershipId::of(workspace, user);
        execute!(self, memberships, (workspace, user.clone()), workspace, "Membership", id, command);
    }

    pub fn invitation(&mut self, workspace: WorkspaceId, id: InvitationId, command: IC) {
        execute!(self, invitations, (workspace, id), workspace, "Invitation", id, command);
    }

    pub fn session(&mut self, user: &UserId, id: SessionId, command: SC) {
        let home = WorkspaceId::personal(user);
        execute!(self, sessions, (home, id), home, "Session", id, command);
    }

    pub fn api_key(&mut self, workspace: WorkspaceId, id: ApiKeyId, command: KC) {
        execute!(self, api_keys, (workspace, id), workspace, "ApiKey", id, command);
    }

    pub fn webhook_endpoint(&mut self, workspace: WorkspaceId, id: WebhookEndpointId, command: HC) {
        execute!(self, webhook_endpoints, (workspace, id), workspace, "WebhookEndpoint", id, command);
    }

    pub fn register(&mut self, command: CC) {
        let home = Catalogue::home();
        execute!(self, catalogues, home, home, "Catalogue", home, command);
    }

    pub fn catalogue(&self) -> Catalogue {
        self.catalogues.get(&Catalogue::home()).cloned().unwrap_or_default()
    }

    pub fn provision(&mut self) -> UserId {
        let id = UserId::parse(&format!("user-{}", self.users.len())).unwrap();
        let email = Email::parse(&format!("{id}@example.org")).unwrap();
        let now = self.now;
        let (email, name) = (Some(Some(email)), Some(Some(format!("Name of {id}"))));
        let user_id = id.clone();
        self.user(&id, UC::Provision { user_id, email, email_verified: Some(true), name, now });
        self.create(WorkspaceId::personal(&id), Kind::Personal, &id);
        id
    }

    pub fn create(&mut self, id: WorkspaceId, kind: Kind, owner: &UserId) {
        let now = self.now;
        let profile = Profile { name: format!("Space of {owner}"), ..Profile::default() };
        self.workspace(id, WC::Create { kind, owner_id: owner.clone(), profile, now });
        let (user_id, role, through) = (owner.clone(), Role::Owner, Entrance::Created);
        self.member(id, owner, MC::Start { user_id, role, expires_at: None, through, now });
    }

    pub fn create_team(&mut self, owner: &UserId) -> WorkspaceId {
        let id = WorkspaceId(self.uuid());
        self.create(id, Kind::Team, owner);
        id
    }

    pub fn join(&mut self, workspace: WorkspaceId, user: &UserId, role: Role) {
        let (now, user_id) = (self.now, user.clone());
        let through = Entrance::Added;
        self.member(workspace, user, MC::Start { user_id, role, expires_at: None, through, now });
    }
}
