//! Who acts, and what that one may do here: decided on streams the commit depends on, so that it holds at the very
//! position of the command's events.

use std::sync::Arc;

use tenure_aggregates::user::Profile;
use tenure_aggregates::{
    ApiKey, ApiKeyId, Authority, Catalogue, Membership, MembershipId, Permission, Role, User, UserId,
    Workspace, WorkspaceId, authority, workspace,
};

use crate::store::origin::Actor;
use crate::store::{Ahead, Failure, Refusal, UnitOfWork};

/// A workspace, and what the one who acts may do in it.
#[derive(Debug, Clone)]
pub struct Acting {
    pub workspace: Arc<Workspace>,
    pub authority: Authority,
    catalogue: Arc<Catalogue>,
}

impl Acting {
    pub fn require(&self, permission: Permission) -> Result<(), authority::Refusal> {
        self.authority.require(permission)
    }

    /// The role must exist here, and be none above the actor's own.
    pub fn require_grant(&self, role: &Role) -> Result<(), Failure> {
        self.workspace.known_role(role)?;
        Ok(self.authority.require_grant(role, &self.workspace.rights_of(role, &self.catalogue))?)
    }

    /// Whoever stands above the actor is not the actor's to change. The owner is left to the rules of ownership.
    pub fn require_not_above(&self, membership: &Membership, user: &UserId) -> Result<(), Failure> {
        match self.workspace.effective_role(membership, user) {
            Some(Role::Owner) | None => Ok(()),
            Some(role) => {
                let rights = self.workspace.rights_of(&role, &self.catalogue);
                Ok(self.authority.require_grant(&role, &rights)?)
            }
        }
    }
}

/// The workspace and the actor's authority in it. A workspace the actor has nothing to do with looks as if there were
/// none.
pub async fn authority(unit: &mut UnitOfWork, id: WorkspaceId) -> Result<Acting, Failure> {
    authority_and(unit, id, []).await
}

/// The same; what the command goes on to load is read beside it.
pub async fn authority_and(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    also: impl IntoIterator<Item = Ahead>,
) -> Result<Acting, Failure> {
    // A credential that opens another workspace only: this one looks as if there were none.
    if !unit.origin().opens(id) {
        return Err(workspace::Refusal::NotFound.into());
    }
    let mut ahead = vec![Ahead::of::<Workspace>(&id.to_string())];
    match &unit.origin().actor {
        Some(Actor::User(user)) => ahead.push(ahead_of_membership(id, user)),
        Some(Actor::ApiKey { id: key, .. }) => ahead.push(Ahead::of::<ApiKey>(&key.to_string())),
        Some(Actor::Service | Actor::System) | None => {}
    }
    ahead.extend(also);
    unit.read_ahead(ahead).await;
    let workspace = match unit.load::<Workspace>(id, &id.to_string()).await {
        Err(failure) if failure.is_unreadable() && is_stranger(unit, id).await? => {
            return Err(workspace::Refusal::NotFound.into());
        }
        loaded => loaded?,
    };
    workspace.living()?;
    let acting = match unit.origin().actor.clone() {
        Some(Actor::Service | Actor::System) => {
            Acting { workspace, authority: Authority::Service, catalogue: Arc::default() }
        }
        Some(Actor::User(user)) => of_user(unit, id, workspace, &user).await?,
        Some(Actor::ApiKey { id: key, workspace: home }) if home == id => {
            of_key(unit, id, workspace, key).await?
        }
        Some(Actor::ApiKey { .. }) | None => return Err(workspace::Refusal::NotFound.into()),
    };
    if acting.authority == Authority::Stranger {
        return Err(workspace::Refusal::NotFound.into());
    }
    Ok(acting)
}

/// Whether the one who acts has never had anything to do with this workspace.
async fn is_stranger(unit: &mut UnitOfWork, id: WorkspaceId) -> Result<bool, Failure> {
    match unit.origin().actor.clone() {
        Some(Actor::User(user)) => Ok(*membership(unit, id, &user).await? == Membership::Never),
        Some(Actor::ApiKey { workspace, .. }) => Ok(workspace != id),
        Some(Actor::Service | Actor::System) => Ok(false),
        None => Ok(true),
    }
}

async fn of_user(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    workspace: Arc<Workspace>,
    user: &UserId,
) -> Result<Acting, Failure> {
    let membership = membership(unit, id, user).await?;
    // Only a role of the workspace's own can be less than a built-in one by a product's permission.
    let custom = membership.role().is_some_and(|role| role.custom().is_some());
    let catalogue = if custom { catalogue(unit).await? } else { Arc::default() };
    let authority = Authority::of(&workspace, &membership, user, &catalogue, unit.now());
    Ok(Acting { workspace, authority, catalogue })
}

async fn of_key(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    workspace: Arc<Workspace>,
    key: ApiKeyId,
) -> Result<Acting, Failure> {
    let key = unit.load::<ApiKey>(id, &key.to_string()).await?;
    let authority = Authority::of_key(&key, unit.now());
    Ok(Acting { workspace, authority, catalogue: catalogue(unit).await? })
}

/// Who issued an invitation or a code; neither, when it was the service itself.
#[derive(Debug, Clone, Copy)]
pub struct Issuer<'a> {
    pub user: Option<&'a UserId>,
    pub key: Option<ApiKeyId>,
}

/// The products' permissions as they stand at the commit.
pub async fn catalogue(unit: &mut UnitOfWork) -> Result<Arc<Catalogue>, Failure> {
    let home = Catalogue::home();
    unit.load::<Catalogue>(home, &home.to_string()).await
}

pub async fn membership(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    user: &UserId,
) -> Result<Arc<Membership>, Failure> {
    unit.load::<Membership>(id, &MembershipId::of(id, user).to_string()).await
}

/// What [`membership`] will load.
pub fn ahead_of_membership(id: WorkspaceId, user: &UserId) -> Ahead {
    Ahead::of::<Membership>(&MembershipId::of(id, user).to_string())
}

/// What [`active_user`] will load.
pub fn ahead_of_user(user: &UserId) -> Ahead {
    Ahead::of::<User>(&WorkspaceId::personal(user).to_string())
}

/// The profile of a provisioned user who is not being erased; the commit depends on it.
pub async fn active_user(unit: &mut UnitOfWork, user: &UserId) -> Result<Profile, Failure> {
    let home = WorkspaceId::personal(user);
    let state = unit.load::<User>(home, &home.to_string()).await?;
    Ok(state.active()?.clone())
}

/// An invitation or a code is worth what its issuer may still give: one since demoted or removed opens no door.
/// The service, which issues for nobody, always may.
pub async fn still_permitted(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    workspace: &Arc<Workspace>,
    issuer: Issuer<'_>,
    role: &Role,
) -> Result<(), Failure> {
    let acting = match issuer {
        Issuer { user: Some(user), .. } => of_user(unit, id, workspace.clone(), user).await?,
        Issuer { key: Some(key), .. } => of_key(unit, id, workspace.clone(), key).await?,
        Issuer { user: None, key: None } => return Ok(()),
    };
    if acting.require(Permission::MembersInvite).is_ok() && acting.require_grant(role).is_ok() {
        return Ok(());
    }
    let detail =
        "Whoever opened this door may no longer let people in with this role; ask for a new invitation.";
    Err(Refusal::new("inviter_not_permitted", detail).into())
}

/// The acting user, where only a user makes sense.
pub fn acting_user(unit: &UnitOfWork) -> Result<UserId, Failure> {
    unit.origin().user().cloned().ok_or_else(|| {
        let detail = "Only a user can do this: send Tenure-Actor, or that user's own token.";
        Refusal::new("actor_required", detail).into()
    })
}

/// A key is no person to whom a token was sent.
pub fn require_no_key(unit: &UnitOfWork) -> Result<(), Failure> {
    if unit.origin().api_key().is_some() { acting_user(unit).map(drop) } else { Ok(()) }
}

/// Only the operator's service itself may do this.
pub fn require_service(unit: &UnitOfWork) -> Result<(), Failure> {
    match unit.origin().actor {
        Some(Actor::Service | Actor::System) => Ok(()),
        Some(Actor::User(_) | Actor::ApiKey { .. }) | None => Err(authority::Refusal::ServiceOnly.into()),
    }
}
