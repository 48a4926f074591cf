//! Erasing a user: first the user stands still, then everything the user is part of is ended or handed on at once.
//!
//! The first step keeps the user from joining, creating or being given anything, so that the list of what they have,
//! once the read models have come to that position, is complete. It is withdrawn if something stands in the way.
//!
//! With the last step the user's key goes, and those of all invitations to an address that was theirs: the history
//! stays as it was written, and nobody can read in it who they were.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;
use tenure_aggregates::invitation::{self, InvitationCommand};
use tenure_aggregates::membership::MembershipCommand;
use tenure_aggregates::session::{Ending, SessionCommand};
use tenure_aggregates::user::{self, UserCommand};
use tenure_aggregates::values::Email;
use tenure_aggregates::workspace::{Kind, WorkspaceCommand};
use tenure_aggregates::{
    Invitation, Membership, MembershipId, Session, SessionId, User, UserId, Workspace, WorkspaceId,
    membership, workspace,
};
use tenure_projections::members::find;
use tenure_projections::sessions;
use tenure_projections::users::{SwitcherRow, workspaces_of};

use super::Precondition;
use super::members::change;
use super::workspaces::{end, transfer};
use crate::data_keys::AddressedInvitation;
use crate::reads::Reads;
use crate::resources::Answer;
use crate::store::idempotency::RequestKey;
use crate::store::origin::{Actor, Origin};
use crate::store::retry::{Command, Done};
use crate::store::{Committed, Failure, Refusal, Store, StoreError, UnitOfWork};

/// What is to become of a workspace whose owner is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Delete,
    TransferTo(UserId),
}

/// Erases a user; `owned` says what becomes of the shared workspaces they own.
#[derive(Debug, Clone)]
pub struct EraseUser {
    pub user_id: UserId,
    pub owned: BTreeMap<WorkspaceId, Fate>,
    pub reads: Reads,
}

impl EraseUser {
    pub async fn run(
        self,
        store: &Store,
        origin: Arc<Origin>,
        key: Option<Arc<RequestKey>>,
        precondition: Precondition,
    ) -> Result<Done, Failure> {
        if let Some(key) = key.as_deref()
            && let Some(done) = store.kept(key).await?
        {
            return Ok(done);
        }
        // What can be refused at once is refused before anything is written.
        may_erase(origin.actor.as_ref(), &self.user_id)?;
        let rows = self.memberships(None).await?;
        self.check(&rows)?;
        self.check_heirs(&rows).await?;
        let step = Step { user_id: self.user_id.clone(), what: UserCommand::StartErasure, precondition };
        let started = store.run(&step, origin.clone(), None, crate::clock::now).await?;
        let finish = async {
            let rows = self.memberships(Some(started.committed.position)).await?;
            self.check(&rows)?;
            let sessions = self.sessions(started.committed.position).await?;
            let (addresses, invitations) = self.addressed(store).await?;
            let (user_id, owned) = (self.user_id.clone(), self.owned.clone());
            let finish = Finish { user_id, rows, sessions, owned, addresses, invitations };
            store.run(&finish, origin.clone(), key, crate::clock::now).await
        };
        match finish.await {
            Err(Failure::Refused(refusal)) => {
                withdraw(store, origin, self.user_id).await?;
                Err(refusal.into())
            }
            other => other,
        }
    }

    async fn memberships(&self, position: Option<i64>) -> Result<Vec<SwitcherRow>, Failure> {
        let home = WorkspaceId::personal(&self.user_id);
        let mut tx = self.reads.personal(home, position).await?;
        Ok(workspaces_of(&mut tx, crate::clock::now()).await.map_err(StoreError::from)?)
    }

    async fn sessions(&self, position: i64) -> Result<Vec<SessionId>, Failure> {
        let mut tx = self.reads.personal(WorkspaceId::personal(&self.user_id), Some(position)).await?;
        let live = sessions::live(&mut tx, crate::clock::now()).await.map_err(StoreError::from)?;
        Ok(live.into_iter().map(SessionId).collect())
    }

    /// The addresses that are the user's own, and the invitations sent there.
    async fn addressed(&self, store: &Store) -> Result<(BTreeSet<Email>, Vec<AddressedInvitation>), Failure> {
        let home = WorkspaceId::personal(&self.user_id).to_string();
        let addresses = user::verified_addresses(&store.loader().history::<User>(&home).await?);
        let mut invitations = Vec::new();
        for email in &addresses {
            invitations.extend(store.vault().invitations_to(email).await?);
        }
        Ok((addresses, invitations))
    }

    /// What would be refused at the end is refused before the beginning, unless it changes meanwhile.
    async fn check_heirs(&self, rows: &[SwitcherRow]) -> Result<(), Failure> {
        for row in rows {
            let Some(Fate::TransferTo(heir)) = self.owned.get(&WorkspaceId(row.workspace_id)) else {
                continue;
            };
            match (row.suspended, row.archived) {
                (true, _) => return Err(workspace::Refusal::Suspended.into()),
                (false, true) => return Err(workspace::Refusal::Archived.into()),
                (false, false) => {}
            }
            let mut tx = self.reads.workspace(WorkspaceId(row.workspace_id), None).await?;
            let member = find(&mut tx, heir.as_str(), crate::clock::now()).await.map_err(StoreError::from)?;
            if *heir == self.user_id || member.is_none_or(|member| member.status != "active") {
                return Err(membership::Refusal::NotActive.into());
            }
        }
        Ok(())
    }

    fn check(&self, rows: &[SwitcherRow]) -> Result<(), Failure> {
        let shared = |row: &&SwitcherRow| row.is_owner && row.kind == "team";
        let owned: Vec<&SwitcherRow> = rows.iter().filter(shared).collect();
        let undecided: Vec<_> = owned
            .iter()
            .filter(|row| !self.owned.contains_key(&WorkspaceId(row.workspace_id)))
            .map(|row| json!({"workspace_id": row.workspace_id, "name": row.name}))
            .collect();
        if !undecided.is_empty() {
            let detail =
                "This user owns shared workspaces: say for each whether it is deleted or whom it goes to.";
            return Err(Refusal::new("owns_workspaces", detail).with("workspaces", undecided.into()).into());
        }
        let foreign = self.owned.keys().find(|id| !owned.iter().any(|row| row.workspace_id == id.0));
        if let Some(id) = foreign {
            let mut refusal = Refusal::new("validation_failed", format!("The user does not own {id}."));
            refusal.pointer = Some("/owned");
            return Err(refusal.into());
        }
        Ok(())
    }
}

/// Gives a user whose erasure did not come to its end back to themselves.
pub async fn withdraw(store: &Store, origin: Arc<Origin>, user_id: UserId) -> Result<Done, Failure> {
    let step = Step { user_id, what: UserCommand::WithdrawErasure, precondition: Precondition::None };
    store.run(&step, origin, None, crate::clock::now).await
}

/// One step on the user's own stream.
struct Step {
    user_id: UserId,
    what: UserCommand,
    precondition: Precondition,
}

impl Command for Step {
    const NAME: &'static str = "EraseUser";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        may_erase(unit.origin().actor.as_ref(), &self.user_id)?;
        let home = WorkspaceId::personal(&self.user_id);
        let user = unit.load::<User>(home, &home.to_string()).await?;
        // An erasure that a crash cut off is gone on with by the repeated request, which still names what it saw first.
        if !matches!(*user, User::Erasing(_)) {
            self.precondition.check::<User>(&unit, &home.to_string())?;
        }
        unit.execute::<User>(home, &home.to_string(), self.what.clone()).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

struct Finish {
    user_id: UserId,
    rows: Vec<SwitcherRow>,
    sessions: Vec<SessionId>,
    owned: BTreeMap<WorkspaceId, Fate>,
    addresses: BTreeSet<Email>,
    invitations: Vec<AddressedInvitation>,
}

impl Command for Finish {
    const NAME: &'static str = "EraseUser";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        may_erase(unit.origin().actor.as_ref(), &self.user_id)?;
        let home = WorkspaceId::personal(&self.user_id);
        for session in &self.sessions {
            let end = SessionCommand::End { because: Ending::UserErased };
            unit.execute::<Session>(home, &session.to_string(), end).await?;
        }
        for row in &self.rows {
            let id = WorkspaceId(row.workspace_id);
            let workspace = unit.load::<Workspace>(id, &id.to_string()).await?;
            let Ok(details) = workspace.living() else { continue };
            let owner = details.owner_id == self.user_id;
            match self.owned.get(&id) {
                _ if !owner || details.kind == Kind::Personal => {}
                // Nobody inherits from themselves.
                Some(Fate::TransferTo(heir)) if *heir == self.user_id => {
                    return Err(membership::Refusal::NotActive.into());
                }
                Some(Fate::TransferTo(heir)) => drop(transfer(&mut unit, id, &workspace, heir).await?),
                Some(Fate::Delete) | None => {
                    end(&mut unit, id, details, WorkspaceCommand::EndWithOwner).await?;
                }
            }
            if details.kind == Kind::Personal && owner {
                continue;
            }
            let stream = MembershipId::of(id, &self.user_id).to_string();
            if unit.load::<Membership>(id, &stream).await?.terms().is_some() {
                change(&mut unit, id, &workspace, &self.user_id, MembershipCommand::Erase).await?;
            }
        }
        let personal = unit.load::<Workspace>(home, &home.to_string()).await?;
        if let Ok(details) = personal.living() {
            end(&mut unit, home, details, WorkspaceCommand::EndWithOwner).await?;
        }
        for sent in &self.invitations {
            revoke_open(&mut unit, sent).await?;
        }
        for email in &self.addresses {
            unit.destroy_keys_to(email);
        }
        unit.execute::<User>(home, &home.to_string(), UserCommand::Erase).await?;
        unit.destroy_keys_of(home);
        unit.commit(Answer::no_content().to_text()?).await
    }
}

/// An invitation that nobody can accept any more is open no longer.
async fn revoke_open(unit: &mut UnitOfWork, sent: &AddressedInvitation) -> Result<(), Failure> {
    let (workspace, id) = (WorkspaceId(sent.workspace), sent.invitation.to_string());
    if matches!(*unit.load::<Invitation>(workspace, &id).await?, invitation::Invitation::Pending(_)) {
        let revoke = InvitationCommand::Revoke { now: unit.now() };
        unit.execute::<Invitation>(workspace, &id, revoke).await?;
    }
    Ok(())
}

/// Users may erase themselves, and the service anybody; to other users there is no such user.
fn may_erase(actor: Option<&Actor>, user: &UserId) -> Result<(), Failure> {
    match actor {
        Some(Actor::Service | Actor::System) => Ok(()),
        Some(Actor::User(actor)) if actor == user => Ok(()),
        Some(Actor::User(_) | Actor::ApiKey { .. }) | None => Err(user::Refusal::NotFound.into()),
    }
}
