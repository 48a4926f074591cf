//! Who acts, and what that one may do here: decided on streams the commit depends on, so that it holds at the very
//! position of the command's events.

use std::sync::Arc;

use tenure_aggregates::user::Profile;
use tenure_aggregates::{
    Authority, Membership, MembershipId, Permission, Role, User, UserId, Workspace, WorkspaceId, workspace,
};

use crate::store::origin::Actor;
use crate::store::{Failure, Refusal, UnitOfWork};

/// The workspace and the actor's authority in it. A workspace the actor has nothing to do with looks as if there were
/// none.
pub async fn authority(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
) -> Result<(Arc<Workspace>, Authority), Failure> {
    // A credential that opens another workspace only: this one looks as if there were none.
    if !unit.origin().opens(id) {
        return Err(workspace::Refusal::NotFound.into());
    }
    let workspace = unit.load::<Workspace>(id, &id.to_string()).await?;
    workspace.living()?;
    let authority = match unit.origin().actor.clone() {
        Some(Actor::Service | Actor::System) => Authority::Service,
        Some(Actor::User(user)) => {
            let membership = membership(unit, id, &user).await?;
            Authority::of(&workspace, &membership, &user, unit.now())
        }
        None => Authority::Stranger,
    };
    if authority == Authority::Stranger {
        return Err(workspace::Refusal::NotFound.into());
    }
    Ok((workspace, authority))
}

pub async fn membership(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    user: &UserId,
) -> Result<Arc<Membership>, Failure> {
    unit.load::<Membership>(id, &MembershipId::of(id, user).to_string()).await
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
    workspace: &Workspace,
    issuer: Option<&UserId>,
    role: Role,
) -> Result<(), Failure> {
    let Some(issuer) = issuer else { return Ok(()) };
    let membership = membership(unit, id, issuer).await?;
    let authority = Authority::of(workspace, &membership, issuer, unit.now());
    if authority.require(Permission::MembersInvite).is_ok() && authority.require_grant(role).is_ok() {
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

/// Only the operator's service itself may do this.
pub fn require_service(unit: &UnitOfWork) -> Result<(), Failure> {
    match unit.origin().actor {
        Some(Actor::Service | Actor::System) => Ok(()),
        Some(Actor::User(_)) | None => Err(tenure_aggregates::authority::Refusal::ServiceOnly.into()),
    }
}
