//! Creating, changing, handing over, suspending, archiving and deleting workspaces.

use tenure_aggregates::membership::{Entrance, MembershipCommand, Standing};
use tenure_aggregates::values::Slug;
use tenure_aggregates::workspace::{Details, Kind, Profile, Social, WorkspaceCommand};
use tenure_aggregates::{
    Claim, Membership, MembershipId, Permission, Role, UserId, Workspace, WorkspaceId, membership,
};

use super::Precondition;
use super::authorize::{active_user, authority};
use super::members::join;
use crate::resources::{self, Answer};
use crate::store::append::CounterMove;
use crate::store::retry::Command;
use crate::store::{Committed, Failure, Refusal, UnitOfWork};
use tenure_aggregates::claim::ClaimCommand;

/// Creates a team workspace under an id made for it.
#[derive(Debug, Clone)]
pub struct CreateWorkspace {
    pub id: WorkspaceId,
    /// Only the service may name an owner other than the acting user, and must name one if nobody acts.
    pub owner_id: Option<UserId>,
    pub profile: Profile,
    pub precondition: Precondition,
}

impl Command for CreateWorkspace {
    const NAME: &'static str = "CreateWorkspace";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let owner = self.owner(&unit)?;
        active_user(&mut unit, &owner).await?;
        self.precondition.check_new()?;
        let stream = self.id.to_string();
        unit.begin_stream::<Workspace>(&stream);
        unit.begin_stream::<Membership>(&MembershipId::of(self.id, &owner).to_string());
        let create = WorkspaceCommand::Create {
            kind: Kind::Team,
            owner_id: owner.clone(),
            profile: self.profile.clone(),
            now: unit.now(),
        };
        let workspace = unit.execute::<Workspace>(self.id, &stream, create).await?;
        if let Some(slug) = &self.profile.slug {
            take_slug(&mut unit, self.id, slug).await?;
        }
        join(&mut unit, self.id, &workspace, &owner, Role::Owner, None, Entrance::Created).await?;
        let answer = describe(&unit, self.id, workspace.living()?, 201).await?;
        unit.commit(answer.at(format!("/v1/workspaces/{}", self.id)).to_text()?).await
    }
}

impl CreateWorkspace {
    fn owner(&self, unit: &UnitOfWork) -> Result<UserId, Failure> {
        match (unit.origin().user(), &self.owner_id) {
            (Some(actor), Some(named)) if actor != named => Err(denied()),
            (Some(actor), _) => Ok(actor.clone()),
            (None, _) if unit.origin().api_key().is_some() => Err(denied()),
            (None, Some(named)) => Ok(named.clone()),
            (None, None) => {
                let mut refusal = Refusal::new("validation_failed", "Say who is to own the workspace.");
                refusal.pointer = Some("/owner_id");
                Err(refusal.into())
            }
        }
    }
}

fn denied() -> Failure {
    let detail = "A user creates workspaces for nobody but themselves, and a key for nobody.";
    let mut refusal = Refusal::new("permission_denied", detail);
    refusal.permission = Some("operator");
    refusal.into()
}

/// Changes to a workspace's profile and settings: `None` leaves a field as it is.
#[derive(Debug, Clone)]
pub struct ChangeWorkspace {
    pub id: WorkspaceId,
    pub name: Option<String>,
    pub slug: Option<Option<Slug>>,
    pub description: Option<Option<String>>,
    pub image_url: Option<Option<String>>,
    pub website: Option<Option<String>>,
    pub phone: Option<Option<String>>,
    pub social: SocialChange,
    pub seats_limit: Option<u32>,
    pub plan: Option<String>,
    pub precondition: Precondition,
}

/// Changes to the social profiles, each on its own.
#[derive(Debug, Clone, Default)]
pub struct SocialChange {
    pub x: Option<Option<String>>,
    pub facebook: Option<Option<String>>,
    pub linkedin: Option<Option<String>>,
    pub instagram: Option<Option<String>>,
    pub github: Option<Option<String>>,
}

impl Command for ChangeWorkspace {
    const NAME: &'static str = "ChangeWorkspace";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let acting = authority(&mut unit, self.id).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::WorkspaceUpdate)?;
        if self.seats_limit.is_some() || self.plan.is_some() {
            acting.authority.require_service()?;
        }
        let stream = self.id.to_string();
        self.precondition.check::<Workspace>(&unit, &stream)?;
        let before = workspace.writable()?;
        let profile = self.apply(before.profile.clone());
        if profile.slug != before.profile.slug {
            if let Some(slug) = &before.profile.slug {
                release_slug(&mut unit, self.id, slug).await?;
            }
            if let Some(slug) = &profile.slug {
                take_slug(&mut unit, self.id, slug).await?;
            }
        }
        let mut after =
            unit.execute::<Workspace>(self.id, &stream, WorkspaceCommand::ChangeProfile { profile }).await?;
        if let Some(limit) = self.seats_limit {
            after = unit
                .execute::<Workspace>(self.id, &stream, WorkspaceCommand::ChangeSeatsLimit { limit })
                .await?;
            // Whoever has a seat keeps it: the limit does not go below what is used.
            let seats_limit = Some(i32::try_from(limit).unwrap_or(i32::MAX));
            unit.move_counters(CounterMove { workspace: self.id.0, seats_limit, ..CounterMove::default() });
        }
        finish(unit, self.id, workspace, &after).await
    }
}

impl ChangeWorkspace {
    fn apply(&self, mut profile: Profile) -> Profile {
        fn set<T: Clone>(field: &mut T, change: Option<&T>) {
            if let Some(value) = change {
                field.clone_from(value);
            }
        }
        set(&mut profile.name, self.name.as_ref());
        set(&mut profile.slug, self.slug.as_ref());
        set(&mut profile.description, self.description.as_ref());
        set(&mut profile.image_url, self.image_url.as_ref());
        set(&mut profile.website, self.website.as_ref());
        set(&mut profile.phone, self.phone.as_ref());
        let Social { x, facebook, linkedin, instagram, github } = &mut profile.social;
        set(x, self.social.x.as_ref());
        set(facebook, self.social.facebook.as_ref());
        set(linkedin, self.social.linkedin.as_ref());
        set(instagram, self.social.instagram.as_ref());
        set(github, self.social.github.as_ref());
        profile
    }
}

/// Hands a workspace to another active member; the old owner stays, as admin.
#[derive(Debug, Clone)]
pub struct TransferOwnership {
    pub id: WorkspaceId,
    pub to: UserId,
    pub precondition: Precondition,
}

impl Command for TransferOwnership {
    const NAME: &'static str = "TransferOwnership";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let acting = authority(&mut unit, self.id).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::WorkspaceTransfer)?;
        self.precondition.check::<Workspace>(&unit, &self.id.to_string())?;
        let after = transfer(&mut unit, self.id, workspace, &self.to).await?;
        finish(unit, self.id, workspace, &after).await
    }
}

/// Moves the ownership in one unit: the workspace's one owner, and both members' roles.
pub async fn transfer(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    workspace: &Workspace,
    to: &UserId,
) -> Result<std::sync::Arc<Workspace>, Failure> {
    let details = workspace.writable()?;
    let from = details.owner_id.clone();
    let (to_stream, from_stream) =
        (MembershipId::of(id, to).to_string(), MembershipId::of(id, &from).to_string());
    let handed = unit
        .execute::<Workspace>(id, &id.to_string(), WorkspaceCommand::TransferOwnership { to: to.clone() })
        .await?;
    if *to == from {
        return Ok(handed);
    }
    let heir = unit.load::<Membership>(id, &to_stream).await?;
    if heir.standing(unit.now()) != Standing::Active || active_user(unit, to).await.is_err() {
        return Err(membership::Refusal::NotActive.into());
    }
    unit.execute::<Membership>(id, &to_stream, MembershipCommand::Crown).await?;
    unit.execute::<Membership>(id, &from_stream, MembershipCommand::Uncrown).await?;
    Ok(handed)
}

/// One step in a workspace's life.
#[derive(Debug, Clone)]
pub enum Step {
    Suspend { reason: Option<String> },
    Resume { reason: Option<String> },
    Archive,
    Restore,
}

#[derive(Debug, Clone)]
pub struct ChangeLifecycle {
    pub id: WorkspaceId,
    pub step: Step,
    pub precondition: Precondition,
}

impl Command for ChangeLifecycle {
    const NAME: &'static str = "ChangeLifecycle";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let acting = authority(&mut unit, self.id).await?;
        let workspace = &acting.workspace;
        match self.step {
            Step::Suspend { .. } | Step::Resume { .. } => acting.authority.require_service()?,
            Step::Archive | Step::Restore => acting.require(Permission::WorkspaceDelete)?,
        }
        let stream = self.id.to_string();
        self.precondition.check::<Workspace>(&unit, &stream)?;
        let command = match self.step.clone() {
            Step::Suspend { reason } => WorkspaceCommand::Suspend { reason, now: unit.now() },
            Step::Resume { reason } => WorkspaceCommand::Resume { reason },
            Step::Archive => WorkspaceCommand::Archive,
            Step::Restore => WorkspaceCommand::Restore,
        };
        let after = unit.execute::<Workspace>(self.id, &stream, command).await?;
        finish(unit, self.id, workspace, &after).await
    }
}

/// Ends a workspace for every read and command; its history stays.
#[derive(Debug, Clone)]
pub struct DeleteWorkspace {
    pub id: WorkspaceId,
    pub precondition: Precondition,
}

impl Command for DeleteWorkspace {
    const NAME: &'static str = "DeleteWorkspace";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let acting = authority(&mut unit, self.id).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::WorkspaceDelete)?;
        self.precondition.check::<Workspace>(&unit, &self.id.to_string())?;
        end(&mut unit, self.id, workspace.living()?, WorkspaceCommand::Delete).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

/// Ends a workspace, gives back what it claimed and destroys its keys.
pub async fn end(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    details: &Details,
    command: WorkspaceCommand,
) -> Result<(), Failure> {
    unit.execute::<Workspace>(id, &id.to_string(), command).await?;
    if let Some(slug) = &details.profile.slug {
        release_slug(unit, id, slug).await?;
    }
    if let Some(code) = &details.invite_code {
        release(unit, id, &Claim::invite_code(&code.hash)).await?;
    }
    unit.destroy_keys_of(id);
    Ok(())
}

async fn take_slug(unit: &mut UnitOfWork, id: WorkspaceId, slug: &Slug) -> Result<(), Failure> {
    let claim = unit.claim_on(slug);
    unit.execute::<Claim>(id, &claim, ClaimCommand::Take { by: id }).await.map(drop)
}

async fn release_slug(unit: &mut UnitOfWork, id: WorkspaceId, slug: &Slug) -> Result<(), Failure> {
    let claim = unit.claim_on(slug);
    release(unit, id, &claim).await
}

pub async fn release(unit: &mut UnitOfWork, id: WorkspaceId, claim: &str) -> Result<(), Failure> {
    unit.execute::<Claim>(id, claim, ClaimCommand::Release { by: id }).await.map(drop)
}

/// Answers with the workspace as the command leaves it.
async fn describe(
    unit: &UnitOfWork,
    id: WorkspaceId,
    details: &Details,
    status: u16,
) -> Result<Answer, Failure> {
    let counters = unit.counters(id).await?;
    let body = resources::Workspace::from_state(id, details, counters, unit.now());
    Answer::of(status, unit.sequence_of::<Workspace>(&id.to_string()), &body)
}

async fn finish(
    unit: UnitOfWork,
    id: WorkspaceId,
    before: &Workspace,
    after: &Workspace,
) -> Result<Committed, Failure> {
    let mut answer = describe(&unit, id, after.living()?, 200).await?;
    if before == after {
        // Nothing changed, so neither did the time of the last change; the read model knows it.
        answer.body = None;
    }
    unit.commit(answer.to_text()?).await
}
