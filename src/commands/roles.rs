//! A workspace's own roles: define, change, delete.

use std::collections::BTreeSet;

use tenure_aggregates::invitation::InvitationCommand;
use tenure_aggregates::membership::MembershipCommand;
use tenure_aggregates::workspace::{self, RoleDefinition, WorkspaceCommand};
use tenure_aggregates::{
    Invitation, Membership, MembershipId, Permission, PermissionName, Rights, Role, RoleName, UserId,
    Workspace, WorkspaceId,
};
use tenure_projections::{invitations, members};
use uuid::Uuid;

use super::Precondition;
use super::authorize::{authority, catalogue};
use crate::reads::Reads;
use crate::resources::{self, Answer};
use crate::store::retry::Command;
use crate::store::{Committed, Failure, Refusal, StoreError, UnitOfWork};

/// So many members and invitations can be moved to another role at once.
const MAX_HOLDERS: usize = 2_000;

/// Defines a role of the workspace's own, or brings it to what is given.
#[derive(Debug, Clone)]
pub struct DefineRole {
    pub workspace: WorkspaceId,
    pub role: RoleName,
    pub description: Option<String>,
    pub permissions: BTreeSet<PermissionName>,
    pub precondition: Precondition,
}

impl Command for DefineRole {
    const NAME: &'static str = "DefineRole";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.workspace.to_string());
        let acting = authority(&mut unit, id).await?;
        acting.require(Permission::RolesManage)?;
        self.precondition.check::<Workspace>(&unit, &stream)?;
        let before = acting.workspace.writable()?.roles.get(&self.role);
        if let Some(before) = before {
            // Whoever could not give the role away has no say in what it is.
            acting.authority.require_rights(&Rights::of_names(&before.permissions))?;
        }
        acting.authority.require_rights(&Rights::of_names(&self.permissions))?;
        require_known(&mut unit, &self.permissions).await?;
        let definition =
            RoleDefinition { description: self.description.clone(), permissions: self.permissions.clone() };
        let define = WorkspaceCommand::DefineRole { role: self.role.clone(), definition };
        let after = unit.execute::<Workspace>(id, &stream, define).await?;
        let role = after.living()?.roles.get(&self.role).ok_or(workspace::Refusal::RoleNotFound)?;
        let status = if before.is_some() { 200 } else { 201 };
        let body = resources::Role::custom(self.role.as_str(), role);
        let answer = Answer::of(status, unit.sequence_of::<Workspace>(&stream), &body)?;
        unit.commit(answer.to_text()?).await
    }
}

/// Every permission must be one of Tenure's own, or registered by the operator.
pub async fn require_known(
    unit: &mut UnitOfWork,
    permissions: &BTreeSet<PermissionName>,
) -> Result<(), Failure> {
    let products: Vec<_> = permissions.iter().filter(|name| name.built_in().is_none()).collect();
    if products.is_empty() {
        return Ok(());
    }
    let catalogue = catalogue(unit).await?;
    let Some(unknown) = products.into_iter().find(|name| !catalogue.knows(name)) else { return Ok(()) };
    let mut refusal = Refusal::new("validation_failed", format!("There is no permission {unknown}."));
    refusal.pointer = Some("/permissions");
    Err(refusal.into())
}

/// Deletes a role of the workspace's own. Whoever holds it, or is invited to it, gets the replacement.
#[derive(Debug, Clone)]
pub struct DeleteRole {
    pub workspace: WorkspaceId,
    pub role: RoleName,
    pub replacement: Option<Role>,
    pub reads: Reads,
    pub precondition: Precondition,
}

/// Who holds a role, as the read models tell it of a history that ends at `workspace_seq`.
struct Holders {
    workspace_seq: i64,
    members: Vec<String>,
    invitations: Vec<Uuid>,
}

impl Command for DeleteRole {
    const NAME: &'static str = "DeleteRole";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, stream) = (self.workspace, self.workspace.to_string());
        let acting = authority(&mut unit, id).await?;
        acting.require(Permission::RolesManage)?;
        self.precondition.check::<Workspace>(&unit, &stream)?;
        let role = acting.workspace.writable()?.roles.get(&self.role);
        let role = role.ok_or(workspace::Refusal::RoleNotFound)?;
        acting.authority.require_rights(&Rights::of_names(&role.permissions))?;
        if let Some(replacement) = &self.replacement {
            acting.require_grant(replacement)?;
        }
        let holders = self.holders().await?;
        let delete = WorkspaceCommand::DeleteRole {
            role: self.role.clone(),
            replacement: self.replacement.clone(),
            in_use: !(holders.members.is_empty() && holders.invitations.is_empty()),
        };
        unit.execute::<Workspace>(id, &stream, delete).await?;
        if let Some(replacement) = &self.replacement {
            move_holders(&mut unit, id, &holders, replacement).await?;
        }
        // Nobody may have been given the role since the read models were looked at.
        unit.require_untouched(id, holders.workspace_seq);
        unit.commit(Answer::no_content().to_text()?).await
    }
}

impl DeleteRole {
    async fn holders(&self) -> Result<Holders, Failure> {
        let (workspace_seq, position) = self.reads.end_of(self.workspace).await?;
        let mut tx = self.reads.workspace(self.workspace, Some(position)).await?;
        let limit = i64::try_from(MAX_HOLDERS).unwrap_or(i64::MAX) + 1;
        let role = self.role.as_str();
        let members = members::holders(&mut tx, role, limit).await.map_err(StoreError::from)?;
        let invitations = invitations::promised(&mut tx, role, limit).await.map_err(StoreError::from)?;
        if members.len() + invitations.len() > MAX_HOLDERS {
            let detail = format!(
                "More than {MAX_HOLDERS} hold this role or are invited to it: give some another first."
            );
            return Err(Refusal::new("role_in_use", detail).into());
        }
        Ok(Holders { workspace_seq, members, invitations })
    }
}

async fn move_holders(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    holders: &Holders,
    replacement: &Role,
) -> Result<(), Failure> {
    for member in &holders.members {
        let user = UserId::parse(member).map_err(|error| StoreError::Corrupt(error.to_string()))?;
        let replace = MembershipCommand::ReplaceRole { role: replacement.clone() };
        unit.execute::<Membership>(id, &MembershipId::of(id, &user).to_string(), replace).await?;
    }
    for invitation in &holders.invitations {
        let change = InvitationCommand::ChangeRole { role: replacement.clone() };
        unit.execute::<Invitation>(id, &invitation.to_string(), change).await?;
    }
    Ok(())
}
