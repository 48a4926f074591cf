//! Who a user id was, as of the event that names it.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgPool;
use tenure_aggregates::invitation::InvitationEvent;
use tenure_aggregates::session::SessionEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_aggregates::{User, UserId, WorkspaceId};
use tenure_projections::recorded::{ActorType, member, user};
use tenure_projections::{Event, Recorded, states};

use crate::data_keys::Vault;
use crate::past::resources::{opened, user_stream};

/// The names that a few events mention, by user id and position.
pub(super) struct Names(HashMap<(String, i64), String>);

impl Names {
    pub(super) async fn of(projector: &PgPool, vault: &Vault, events: &[Recorded]) -> anyhow::Result<Self> {
        let asked: BTreeSet<(String, i64)> = events
            .iter()
            .flat_map(|event| mentioned(event).into_iter().map(|user| (user.to_string(), event.position)))
            .collect();
        let asked: Vec<states::UserAt> = asked
            .into_iter()
            .filter_map(|(user_id, position)| {
                let personal = WorkspaceId::personal(&UserId::parse(&user_id).ok()?).0;
                Some(states::UserAt { personal, user_id, position })
            })
            .collect();
        let found = states::users_at(projector, &asked).await?;
        let known = asked.iter().zip(&found).filter_map(|(asked, state)| Some((asked, state.as_deref()?)));
        let known: Vec<_> = known.collect();
        let states: Vec<_> =
            known.iter().map(|(asked, state)| (user_stream(&asked.user_id), *state)).collect();
        let states = opened::<User>(vault, "User", &states).await?;
        let mut names = HashMap::new();
        for ((asked, _), state) in known.iter().zip(states) {
            if let Some(name) = state.profile().and_then(|profile| profile.name.clone()) {
                names.insert((asked.user_id.clone(), asked.position), name);
            }
        }
        Ok(Self(names))
    }

    /// `Ada Lovelace (ada)`, or the bare id where there is no other name.
    pub(super) fn who(&self, user_id: &str, position: i64) -> String {
        match self.0.get(&(user_id.to_owned(), position)) {
            Some(name) if name != user_id => format!("{name} ({user_id})"),
            Some(_) | None => user_id.to_owned(),
        }
    }
}

/// The users an event mentions.
fn mentioned(event: &Recorded) -> Vec<UserId> {
    let mut users: Vec<UserId> = match &event.event {
        Event::User(event) => vec![user(event).clone()],
        Event::Membership(event) => vec![member(event).clone()],
        Event::Workspace(WorkspaceEvent::WorkspaceCreated { owner_id, .. }) => vec![owner_id.clone()],
        Event::Workspace(WorkspaceEvent::WorkspaceOwnershipTransferred { owner_id }) => {
            vec![owner_id.from.clone(), owner_id.to.clone()]
        }
        Event::Invitation(InvitationEvent::InvitationAccepted { user_id })
        | Event::Session(
            SessionEvent::SessionStarted { user_id, .. }
            | SessionEvent::SessionSwitched { user_id, .. }
            | SessionEvent::SessionEnded { user_id, .. },
        ) => vec![user_id.clone()],
        _ => vec![],
    };
    if event.metadata.actor_type == ActorType::User {
        users.extend(event.metadata.actor_id.as_deref().and_then(|id| UserId::parse(id).ok()));
    }
    users
}
