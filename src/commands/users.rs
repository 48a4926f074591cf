//! Provisioning users, each with a personal workspace.

use tenure_aggregates::membership::Entrance;
use tenure_aggregates::user::UserCommand;
use tenure_aggregates::values::{Email, NAME_MAX};
use tenure_aggregates::workspace::{Kind, Profile, WorkspaceCommand};
use tenure_aggregates::{Role, User, UserId, Workspace, WorkspaceId};

use super::Precondition;
use super::authorize::require_service;
use super::members::join;
use crate::resources::{self, Answer};
use crate::store::retry::Command;
use crate::store::{Committed, Failure, UnitOfWork};

/// Provisions a user, or updates what is given; `None` leaves a field as it is.
#[derive(Debug, Clone)]
pub struct ProvisionUser {
    pub user_id: UserId,
    pub email: Option<Option<Email>>,
    pub email_verified: Option<bool>,
    pub name: Option<Option<String>>,
    pub precondition: Precondition,
}

impl Command for ProvisionUser {
    const NAME: &'static str = "ProvisionUser";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        require_service(&unit)?;
        let home = WorkspaceId::personal(&self.user_id);
        let stream = home.to_string();
        let before = unit.load::<User>(home, &stream).await?;
        self.precondition.check::<User>(&unit, &stream)?;
        let now = unit.now();
        let provision = UserCommand::Provision {
            user_id: self.user_id.clone(),
            email: self.email.clone(),
            email_verified: self.email_verified,
            name: self.name.clone(),
            now,
        };
        let user = unit.execute::<User>(home, &stream, provision).await?;
        let profile = user.active()?.clone();
        let new = *before == User::Missing;
        if new {
            let workspace = Profile { name: self.workspace_name(&profile), ..Profile::default() };
            let create = WorkspaceCommand::Create {
                kind: Kind::Personal,
                owner_id: self.user_id.clone(),
                profile: workspace,
                now,
            };
            let workspace = unit.execute::<Workspace>(home, &stream, create).await?;
            join(&mut unit, home, &workspace, &self.user_id, Role::Owner, None, Entrance::Created).await?;
        }
        let body = resources::User::from_state(&profile, now);
        let mut answer = Answer::of(if new { 201 } else { 200 }, unit.sequence_of::<User>(&stream), &body)?;
        if *before == *user {
            // Nothing changed, so neither did the time of the last change; the read model knows it.
            answer.body = None;
        }
        unit.commit(answer.to_text()?).await
    }
}

impl ProvisionUser {
    /// What a personal workspace is called at first: after its user.
    fn workspace_name(&self, profile: &tenure_aggregates::user::Profile) -> String {
        let name = profile.name.as_deref().or(profile.email.as_ref().map(Email::as_str));
        let name = name.unwrap_or(self.user_id.as_str());
        name.chars().take(NAME_MAX).collect()
    }
}
