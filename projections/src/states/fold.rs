//! How events become states: each event adds the state it leads to, and nothing is ever changed.

use std::any::Any;
use std::collections::{BTreeSet, HashMap, HashSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::PgConnection;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::membership::{Entrance, MembershipEvent};
use tenure_aggregates::session::SessionEvent;
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_aggregates::{Invitation, Membership, Time, User, Workspace, WorkspaceId};
use uuid::Uuid;

use super::write::{Changed, Joined, Row};
use super::{Counters, Kind, Visit, write};
use crate::newborn::newborn;
use crate::projection::Projection;
use crate::recorded::{Event, Recorded, member, user};

/// The projection `states`.
#[derive(Debug)]
pub struct States;

impl Projection for States {
    const NAME: &'static str = "states";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["states", "joined_workspaces"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let fold = Fold::of(conn, batch).await?;
        write::insert(conn, &fold.rows).await?;
        fold.join_and_spread(conn).await
    }

    async fn fill(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let fold = Fold::of(conn, batch).await?;
        write::copy(conn, &fold.rows).await?;
        fold.join_and_spread(conn).await
    }
}

type Key = (Uuid, Kind, String);

struct Fold {
    latest: HashMap<Key, Latest>,
    rows: Vec<Row>,
    joined: Vec<Joined>,
    changed: Vec<Changed>,
}

/// The last state there is of something, and the life it belongs to.
pub(super) struct Latest {
    pub(super) since_position: i64,
    pub(super) sorted_by: Time,
    pub(super) state: Known,
}

/// A state as it was stored, or as this batch has folded it.
pub(super) enum Known {
    Stored(String),
    Folded(Box<dyn Any + Send + Sync>),
}

impl Known {
    fn state<S: Clone + DeserializeOwned + 'static>(&self) -> Result<S, sqlx::Error> {
        match self {
            Self::Stored(text) => {
                serde_json::from_str(text).map_err(|error| sqlx::Error::Decode(error.into()))
            }
            Self::Folded(state) => {
                let state = state.downcast_ref::<S>().cloned();
                state.ok_or_else(|| sqlx::Error::Decode("a state of another kind".into()))
            }
        }
    }
}

/// What an event makes of a state.
struct Next<'a, S> {
    kind: Kind,
    id: &'a str,
    /// Set where a life begins: what lists sort by.
    begins: Option<Time>,
    gone: fn(&S) -> bool,
}

/// What the fold of an event needs the last state of, as far as any can be stored: of what begins with it there is none.
fn needed(recorded: &Recorded, newborn: &HashSet<WorkspaceId>) -> impl Iterator<Item = Key> + use<> {
    let workspace: Uuid = recorded.workspace_id.into();
    let event = recorded.stored();
    let own = match event {
        Event::Workspace(_) => Some((Kind::Workspace, workspace.to_string())),
        Event::Membership(event) => Some((Kind::Membership, member(event).as_str().to_owned())),
        Event::Invitation(_) => Some((Kind::Invitation, recorded.aggregate_id.clone())),
        Event::User(event) => Some((Kind::User, user(event).as_str().to_owned())),
        Event::Session(_)
        | Event::ApiKey(_)
        | Event::WebhookEndpoint(_)
        | Event::Catalogue(_)
        | Event::Claim(_) => None,
    };
    let counts = matches!(
        event,
        Event::Membership(_)
            | Event::Workspace(
                WorkspaceEvent::InviteCodeIssued { .. } | WorkspaceEvent::InviteCodeDisabled { .. }
            )
    );
    let own = own.filter(|_| !recorded.begins());
    let counters = (counts && !newborn.contains(&recorded.workspace_id))
        .then(|| (Kind::Counters, workspace.to_string()));
    own.into_iter().chain(counters).map(move |(kind, id)| (workspace, kind, id))
}

impl Fold {
    async fn of(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Self, sqlx::Error> {
        let mut fold = Self::load(conn, batch).await?;
        for recorded in batch {
            fold.event(recorded)?;
        }
        Ok(fold)
    }

    async fn join_and_spread(&self, conn: &mut PgConnection) -> Result<(), sqlx::Error> {
        write::join(conn, &self.joined).await?;
        write::spread_profiles(conn, &self.changed).await
    }

    async fn load(conn: &mut PgConnection, batch: &[Recorded]) -> Result<Self, sqlx::Error> {
        let newborn = newborn(batch);
        let keys: BTreeSet<Key> = batch.iter().flat_map(|recorded| needed(recorded, &newborn)).collect();
        let latest = write::load(conn, keys).await?;
        Ok(Self { latest, rows: vec![], joined: vec![], changed: vec![] })
    }

    fn event(&mut self, recorded: &Recorded) -> Result<(), sqlx::Error> {
        match recorded.stored() {
            Event::Workspace(event) => self.workspace(recorded, event),
            Event::Membership(event) => self.membership(recorded, event),
            Event::Invitation(event) => {
                let begins = match event {
                    InvitationEvent::InvitationSent { created_at, .. } => Some(*created_at),
                    _ => None,
                };
                let next =
                    Next { kind: Kind::Invitation, id: &recorded.aggregate_id, begins, gone: |_| false };
                self.evolve(recorded, &next, |state: Invitation| state.evolve(event.clone())).map(drop)
            }
            Event::User(event) => self.user(recorded, event),
            Event::Session(event) => self.session(recorded, event),
            Event::ApiKey(_) | Event::WebhookEndpoint(_) | Event::Catalogue(_) | Event::Claim(_) => Ok(()),
        }
    }

    fn workspace(&mut self, recorded: &Recorded, event: &WorkspaceEvent) -> Result<(), sqlx::Error> {
        let id = recorded.workspace_id.to_string();
        let begins = match event {
            WorkspaceEvent::WorkspaceCreated { created_at, .. } => Some(*created_at),
            _ => None,
        };
        let next = Next {
            kind: Kind::Workspace,
            id: &id,
            begins,
            gone: |state: &Workspace| *state == Workspace::Deleted,
        };
        self.evolve(recorded, &next, |state| state.evolve(event.clone()))?;
        match event {
            WorkspaceEvent::InviteCodeIssued { generation, .. } => self.count(recorded, |counters| {
                Counters { code_generation: *generation, code_uses: 0, ..counters }
            }),
            WorkspaceEvent::InviteCodeDisabled { .. } => {
                self.count(recorded, |counters| Counters { code_uses: 0, code_generation: 0, ..counters })
            }
            _ => Ok(()),
        }
    }

    fn membership(&mut self, recorded: &Recorded, event: &MembershipEvent) -> Result<(), sqlx::Error> {
        let user_id = member(event);
        let begins = match event {
            MembershipEvent::MembershipStarted { joined_at, .. } => Some(*joined_at),
            _ => None,
        };
        let next = Next {
            kind: Kind::Membership,
            id: user_id.as_str(),
            begins,
            gone: |state: &Membership| state.terms().is_none(),
        };
        let (before, after) =
            self.evolve(recorded, &next, |state: Membership| state.evolve(event.clone()))?;
        let mut redeemed = None;
        if let MembershipEvent::MembershipStarted { through, .. } = event {
            let (personal, workspace_id) = (WorkspaceId::personal(user_id).0, recorded.workspace_id.0);
            let (user_id, position) = (user_id.as_str().to_owned(), recorded.position);
            let first = recorded.begins();
            self.joined.push(Joined { personal, workspace_id, user_id, position, first });
            if let Entrance::InviteCode { generation } = through {
                redeemed = Some(*generation);
            }
        }
        let seats = i32::from(after.takes_seat()) - i32::from(before.takes_seat());
        if seats == 0 && redeemed.is_none() {
            return Ok(());
        }
        self.count(recorded, |counters| {
            let used = redeemed.is_some_and(|generation| generation == counters.code_generation);
            Counters {
                seats_used: counters.seats_used + seats,
                code_uses: counters.code_uses + i32::from(used),
                ..counters
            }
        })
    }

    fn user(&mut self, recorded: &Recorded, event: &UserEvent) -> Result<(), sqlx::Error> {
        let user_id = user(event);
        let begins = match event {
            UserEvent::UserProvisioned { created_at, .. } => Some(*created_at),
            _ => None,
        };
        let next = Next {
            kind: Kind::User,
            id: user_id.as_str(),
            begins,
            gone: |state: &User| *state == User::Erased,
        };
        self.evolve(recorded, &next, |state: User| state.evolve(event.clone()))?;
        let (personal, user_id) = (recorded.workspace_id.0, user_id.as_str().to_owned());
        self.changed.push(Changed { personal, user_id, position: recorded.position });
        Ok(())
    }

    /// A session went to a workspace: what the switcher shows of it.
    fn session(&mut self, recorded: &Recorded, event: &SessionEvent) -> Result<(), sqlx::Error> {
        let Some((workspace, at)) = crate::users::entered(event) else { return Ok(()) };
        let id = workspace.to_string();
        let next = Next { kind: Kind::Visit, id: &id, begins: Some(at), gone: |_: &Visit| false };
        self.evolve(recorded, &next, |_: Visit| Visit { at: Some(at) }).map(drop)
    }

    fn count(
        &mut self,
        recorded: &Recorded,
        change: impl FnOnce(Counters) -> Counters,
    ) -> Result<(), sqlx::Error> {
        let id = recorded.workspace_id.to_string();
        let next = Next { kind: Kind::Counters, id: &id, begins: None, gone: |_: &Counters| false };
        self.evolve(recorded, &next, change).map(drop)
    }

    /// The state before and after the event, which adds a row.
    fn evolve<S>(
        &mut self,
        recorded: &Recorded,
        next: &Next<'_, S>,
        change: impl FnOnce(S) -> S,
    ) -> Result<(S, S), sqlx::Error>
    where
        S: Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static,
    {
        let key = (recorded.workspace_id.0, next.kind, next.id.to_owned());
        let latest = self.latest.get(&key);
        let before: S = latest.map(|latest| latest.state.state()).transpose()?.unwrap_or_default();
        let (since_position, sorted_by) = match (next.begins, latest) {
            (Some(at), _) => (recorded.position, at),
            (None, Some(latest)) => (latest.since_position, latest.sorted_by),
            (None, None) => (recorded.position, recorded.recorded_at),
        };
        let after = change(before.clone());
        let state = serde_json::to_string(&after).map_err(|error| sqlx::Error::Encode(error.into()))?;
        self.rows.push(Row {
            workspace_id: recorded.workspace_id.0,
            kind: next.kind,
            id: next.id.to_owned(),
            from_position: recorded.position,
            since_position,
            sequence: recorded.sequence,
            recorded_at: recorded.recorded_at,
            sorted_by,
            gone: (next.gone)(&after),
            state,
        });
        let state = Known::Folded(Box::new(after.clone()));
        self.latest.insert(key, Latest { since_position, sorted_by, state });
        Ok((before, after))
    }
}
