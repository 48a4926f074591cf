//! Adding, changing, deactivating and removing members.

use std::sync::Arc;

use tenure_aggregates::membership::{Entrance, MembershipCommand, Standing};
use tenure_aggregates::user::Profile;
use tenure_aggregates::workspace::Details;
use tenure_aggregates::{
    Membership, MembershipId, Permission, Role, Time, User, UserId, Workspace, WorkspaceId, membership,
    workspace,
};

use super::Precondition;
use super::authorize::{self, Acting, active_user, ahead_of_membership, ahead_of_user, authority_and};
use crate::resources::{self, Answer};
use crate::store::append::CounterMove;
use crate::store::retry::Command;
use crate::store::{Ahead, Committed, Failure, UnitOfWork};

/// Lets a membership decide, and moves the workspace's seats with it.
pub async fn change(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    workspace: &Workspace,
    user: &UserId,
    command: MembershipCommand,
) -> Result<Arc<Membership>, Failure> {
    let stream = MembershipId::of(id, user).to_string();
    let before = unit.load::<Membership>(id, &stream).await?.takes_seat();
    let after = unit.execute::<Membership>(id, &stream, command).await?;
    let seats = i32::from(after.takes_seat()) - i32::from(before);
    if seats != 0 {
        let limit = workspace.living()?.seats_limit;
        let seats_limit = (seats > 0).then(|| i32::try_from(limit).unwrap_or(i32::MAX));
        unit.move_counters(CounterMove { workspace: id.0, seats, seats_limit, ..CounterMove::default() });
    }
    Ok(after)
}

/// Makes a user a member.
pub async fn join(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    workspace: &Workspace,
    user: &UserId,
    role: Role,
    expires_at: Option<Time>,
    through: Entrance,
) -> Result<Arc<Membership>, Failure> {
    let start =
        MembershipCommand::Start { user_id: user.clone(), role, expires_at, through, now: unit.now() };
    change(unit, id, workspace, user, start).await
}

/// Answers with the member as the command leaves it.
pub fn describe(
    unit: &UnitOfWork,
    id: WorkspaceId,
    details: &Details,
    state: &Membership,
    profile: Option<&Profile>,
    status: u16,
) -> Result<Answer, Failure> {
    let terms = state.terms().ok_or(membership::Refusal::NotFound)?;
    let is_owner = details.owner_id == terms.user_id;
    let standing = state.standing(unit.now());
    let body = resources::Member::from_state(id, terms, standing, profile, is_owner, unit.now());
    let sequence = unit.sequence_of::<Membership>(&MembershipId::of(id, &terms.user_id).to_string());
    Answer::of(status, sequence, &body)
}

/// Adds a provisioned user directly, or brings an existing membership to the given role and end.
#[derive(Debug, Clone)]
pub struct AddMember {
    pub workspace: WorkspaceId,
    pub user_id: UserId,
    pub role: Option<Role>,
    pub expires_at: Option<Option<Time>>,
    pub precondition: Precondition,
}

impl Command for AddMember {
    const NAME: &'static str = "AddMember";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let acting = authority_and(&mut unit, id, shown(id, &self.user_id)).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersInvite)?;
        let before = authorize::membership(&mut unit, id, &self.user_id).await?;
        let stream = MembershipId::of(id, &self.user_id).to_string();
        self.precondition.check::<Membership>(&unit, &stream)?;
        workspace.writable()?;
        let present = matches!(before.standing(unit.now()), Standing::Active | Standing::Deactivated);
        if present {
            acting.require(Permission::MembersUpdate)?;
            let edit = EditMember {
                workspace: id,
                user_id: self.user_id.clone(),
                role: self.role.clone(),
                expires_at: self.expires_at,
                precondition: Precondition::None,
            };
            return edit.apply(unit, &acting, &before).await;
        }
        let role = self.role.clone().unwrap_or_default();
        acting.require_grant(&role)?;
        workspace.joinable()?;
        let profile = active_user(&mut unit, &self.user_id).await?;
        let expires_at = self.expires_at.flatten();
        let state = join(&mut unit, id, workspace, &self.user_id, role, expires_at, Entrance::Added).await?;
        let answer = describe(&unit, id, workspace.living()?, &state, Some(&profile), 201)?;
        unit.commit(answer.at(format!("/v1/workspaces/{id}/members/{}", encode(&self.user_id))).to_text()?)
            .await
    }
}

/// What is loaded of a member who is shown in the answer.
fn shown(id: WorkspaceId, user: &UserId) -> [Ahead; 2] {
    [ahead_of_membership(id, user), ahead_of_user(user)]
}

/// A user id as it stands in a path.
fn encode(user: &UserId) -> String {
    percent_encoding::utf8_percent_encode(user.as_str(), percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Changes a member's role, end, or both.
#[derive(Debug, Clone)]
pub struct EditMember {
    pub workspace: WorkspaceId,
    pub user_id: UserId,
    pub role: Option<Role>,
    pub expires_at: Option<Option<Time>>,
    pub precondition: Precondition,
}

impl Command for EditMember {
    const NAME: &'static str = "EditMember";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let acting = authority_and(&mut unit, self.workspace, shown(self.workspace, &self.user_id)).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersUpdate)?;
        let before = authorize::membership(&mut unit, self.workspace, &self.user_id).await?;
        let stream = MembershipId::of(self.workspace, &self.user_id).to_string();
        self.precondition.check::<Membership>(&unit, &stream)?;
        workspace.writable()?;
        self.apply(unit, &acting, &before).await
    }
}

impl EditMember {
    async fn apply(
        &self,
        mut unit: UnitOfWork,
        acting: &Acting,
        before: &Membership,
    ) -> Result<Committed, Failure> {
        let (id, now) = (self.workspace, unit.now());
        let workspace = &acting.workspace;
        acting.require_not_above(before, &self.user_id)?;
        let owner = workspace.owner() == Some(&self.user_id);
        let mut after = Arc::new(before.clone());
        if let Some(role) = &self.role {
            // The owner's own role is the workspace's to change; whoever asks for it again asks for nothing.
            if !(owner && *role == Role::Owner) {
                let command = MembershipCommand::ChangeRole { role: role.clone(), owner, now };
                if !owner {
                    acting.require_grant(role)?;
                }
                after = change(&mut unit, id, workspace, &self.user_id, command).await?;
            }
        }
        if let Some(expires_at) = self.expires_at {
            let command = MembershipCommand::ChangeExpiry { expires_at, owner, now };
            after = change(&mut unit, id, workspace, &self.user_id, command).await?;
        }
        finish(unit, id, workspace, &self.user_id, before, &after).await
    }
}

/// Takes a member's access away without ending the membership, or gives it back.
#[derive(Debug, Clone)]
pub struct SwitchMember {
    pub workspace: WorkspaceId,
    pub user_id: UserId,
    pub active: bool,
    pub reason: Option<String>,
    pub precondition: Precondition,
}

impl Command for SwitchMember {
    const NAME: &'static str = "SwitchMember";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let acting = authority_and(&mut unit, id, shown(id, &self.user_id)).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersUpdate)?;
        let before = authorize::membership(&mut unit, id, &self.user_id).await?;
        self.precondition.check::<Membership>(&unit, &MembershipId::of(id, &self.user_id).to_string())?;
        workspace.writable()?;
        acting.require_not_above(&before, &self.user_id)?;
        let now = unit.now();
        let owner = workspace.owner() == Some(&self.user_id);
        let command = if self.active {
            MembershipCommand::Reactivate { now }
        } else {
            MembershipCommand::Deactivate { reason: self.reason.clone(), owner, now }
        };
        let after = change(&mut unit, id, workspace, &self.user_id, command).await?;
        finish(unit, id, workspace, &self.user_id, &before, &after).await
    }
}

/// Ends a membership; ending one's own is leaving.
#[derive(Debug, Clone)]
pub struct RemoveMember {
    pub workspace: WorkspaceId,
    pub user_id: UserId,
    pub precondition: Precondition,
}

impl Command for RemoveMember {
    const NAME: &'static str = "RemoveMember";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let acting = authority_and(&mut unit, id, [ahead_of_membership(id, &self.user_id)]).await?;
        let workspace = &acting.workspace;
        let leaving = unit.origin().user() == Some(&self.user_id);
        if !leaving {
            acting.require(Permission::MembersRemove)?;
        }
        let before = authorize::membership(&mut unit, id, &self.user_id).await?;
        self.precondition.check::<Membership>(&unit, &MembershipId::of(id, &self.user_id).to_string())?;
        workspace.writable()?;
        if !leaving {
            acting.require_not_above(&before, &self.user_id)?;
        }
        let owner = workspace.owner() == Some(&self.user_id);
        let now = unit.now();
        let command = if leaving {
            MembershipCommand::Leave { owner, now }
        } else {
            MembershipCommand::Remove { owner }
        };
        change(&mut unit, id, workspace, &self.user_id, command).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

/// Records that a membership's end has come, so that its seat is free.
#[derive(Debug, Clone)]
pub struct RecordExpiry {
    pub workspace: WorkspaceId,
    pub user_id: UserId,
}

impl Command for RecordExpiry {
    const NAME: &'static str = "RecordExpiry";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let workspace = unit.load::<Workspace>(id, &id.to_string()).await?;
        if workspace.living()?.owner_id == self.user_id {
            return Err(membership::Refusal::OwnerRequired.into());
        }
        let now = unit.now();
        change(&mut unit, id, &workspace, &self.user_id, MembershipCommand::Expire { now }).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

async fn finish(
    mut unit: UnitOfWork,
    id: WorkspaceId,
    workspace: &Workspace,
    user: &UserId,
    before: &Membership,
    after: &Membership,
) -> Result<Committed, Failure> {
    let home = WorkspaceId::personal(user);
    let profile = unit.peek::<User>(home, &home.to_string()).await?;
    let details = workspace.living().map_err(|_| workspace::Refusal::NotFound)?;
    let mut answer = describe(&unit, id, details, after, profile.active().ok(), 200)?;
    if before == after {
        // Nothing changed, so neither did the time of the last change; the read model knows it.
        answer.body = None;
    }
    unit.commit(answer.to_text()?).await
}
