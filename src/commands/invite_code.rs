//! Joining by invite code: issue or rotate, disable, join.

use tenure_aggregates::claim::ClaimCommand;
use tenure_aggregates::membership::Entrance;
use tenure_aggregates::workspace::{self, WorkspaceCommand};
use tenure_aggregates::{Claim, Membership, MembershipId, Permission, Role, Time, Workspace, WorkspaceId};
use uuid::Uuid;

use super::Precondition;
use super::authorize::{Issuer, acting_user, active_user, authority, membership, still_permitted};
use super::members::{self, join};
use super::workspaces::release;
use crate::resources::{self, Answer, Secret};
use crate::store::append::CounterMove;
use crate::store::retry::Command;
use crate::store::{Committed, Failure, UnitOfWork};

/// Issues a workspace's invite code; the one before it is dead from that position on.
#[derive(Debug, Clone)]
pub struct IssueCode {
    pub workspace: WorkspaceId,
    /// From which, with a key outside the database, the code is made again for a replayed request.
    pub nonce: Uuid,
    pub hash: String,
    pub role: Role,
    pub max_uses: Option<u32>,
    pub expires_at: Option<Time>,
    pub precondition: Precondition,
}

impl Command for IssueCode {
    const NAME: &'static str = "IssueInviteCode";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let acting = authority(&mut unit, id).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersInvite)?;
        acting.require_grant(&self.role)?;
        self.precondition.check::<Workspace>(&unit, &id.to_string())?;
        let details = workspace.joinable()?;
        if let Some(old) = &details.invite_code {
            release(&mut unit, id, &Claim::invite_code(&old.hash)).await?;
        }
        let issue = WorkspaceCommand::IssueInviteCode {
            hash: self.hash.clone(),
            role: self.role.clone(),
            max_uses: self.max_uses,
            expires_at: self.expires_at,
            issued_by: unit.origin().user().cloned(),
            issued_by_key: unit.origin().api_key(),
            now: unit.now(),
        };
        let after = unit.execute::<Workspace>(id, &id.to_string(), issue).await?;
        unit.execute::<Claim>(id, &Claim::invite_code(&self.hash), ClaimCommand::Take { by: id }).await?;
        unit.move_counters(CounterMove { workspace: id.0, code_reset: true, ..CounterMove::default() });
        let code = after.living()?.invite_code.as_ref().ok_or(workspace::Refusal::CodeInvalid)?;
        let body = resources::InviteCode::from_state(code, 0);
        let secret = Secret::InviteCode { at: String::new(), workspace: id.0, nonce: self.nonce };
        let answer =
            Answer::of(200, unit.sequence_of::<Workspace>(&id.to_string()), &body)?.with_secret(secret);
        unit.commit(answer.to_text()?).await
    }
}

/// Disables a workspace's invite code.
#[derive(Debug, Clone)]
pub struct DisableCode {
    pub workspace: WorkspaceId,
    pub precondition: Precondition,
}

impl Command for DisableCode {
    const NAME: &'static str = "DisableInviteCode";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let acting = authority(&mut unit, id).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersInvite)?;
        self.precondition.check::<Workspace>(&unit, &id.to_string())?;
        if let Some(code) = &workspace.writable()?.invite_code {
            release(&mut unit, id, &Claim::invite_code(&code.hash)).await?;
        }
        unit.execute::<Workspace>(id, &id.to_string(), WorkspaceCommand::DisableInviteCode).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

/// Joins as the acting user with a code, known here by its hash alone.
#[derive(Debug, Clone)]
pub struct JoinByCode {
    pub hash: String,
    /// On the membership, which there may have been before.
    pub precondition: Precondition,
}

impl Command for JoinByCode {
    const NAME: &'static str = "JoinByCode";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let user = acting_user(&unit)?;
        let profile = active_user(&mut unit, &user).await?;
        let (claim, _) = unit.locate::<Claim>(&Claim::invite_code(&self.hash)).await?;
        let id = claim.holder().ok_or(workspace::Refusal::CodeInvalid)?;
        let workspace = unit.load::<Workspace>(id, &id.to_string()).await?;
        let code = workspace.redeem_code(&self.hash, unit.now())?.clone();
        membership(&mut unit, id, &user).await?;
        self.precondition.check::<Membership>(&unit, &MembershipId::of(id, &user).to_string())?;
        let issuer = Issuer { user: code.issued_by.as_ref(), key: code.issued_by_key };
        still_permitted(&mut unit, id, &workspace, issuer, &code.role).await?;
        let through = Entrance::InviteCode { generation: code.generation };
        let member = join(&mut unit, id, &workspace, &user, code.role.clone(), None, through).await?;
        unit.move_counters(CounterMove {
            workspace: id.0,
            code_uses: 1,
            code_limit: code.max_uses.map(|max| i32::try_from(max).unwrap_or(i32::MAX)),
            ..CounterMove::default()
        });
        let answer = members::describe(&unit, id, workspace.living()?, &member, Some(&profile), 200)?;
        unit.commit(answer.to_text()?).await
    }
}
