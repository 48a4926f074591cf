//! Starting, switching, renewing and ending sessions.

use std::sync::Arc;

use chrono::TimeDelta;
use tenure_aggregates::session::{Details, Ending, SessionCommand, Switching};
use tenure_aggregates::workspace::Details as WorkspaceDetails;
use tenure_aggregates::{Authority, Session, SessionId, UserId, Workspace, WorkspaceId, session, workspace};

use super::Precondition;
use super::authorize::{acting_user, active_user, catalogue, membership};
use crate::resources::{Answer, Entered, Fallback, Place};
use crate::store::retry::Command;
use crate::store::{Committed, Failure, Refusal, UnitOfWork};

/// Starts a session of the acting user, under an id made for it.
#[derive(Debug, Clone)]
pub struct StartSession {
    pub id: SessionId,
    /// The workspace asked for.
    pub wanted: Option<WorkspaceId>,
    /// Where the user's last session was last.
    pub last_used: Option<WorkspaceId>,
    pub lifetime: TimeDelta,
    pub precondition: Precondition,
}

impl Command for StartSession {
    const NAME: &'static str = "StartSession";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        if unit.origin().session.is_some() {
            return Err(Refusal::new("permission_denied", "A session starts no other session.").into());
        }
        let user = acting_user(&unit)?;
        active_user(&mut unit, &user).await?;
        self.precondition.check_new()?;
        let (place, fallback) = self.choose(&mut unit, &user).await?;
        let stream = self.id.to_string();
        unit.begin_stream::<Session>(&stream);
        let start = SessionCommand::Start {
            session_id: self.id,
            user_id: user.clone(),
            workspace_id: place.id,
            lifetime: self.lifetime,
            now: unit.now(),
        };
        let session = unit.execute::<Session>(WorkspaceId::personal(&user), &stream, start).await?;
        answer(unit, 201, self.id, &session, place, fallback).await
    }
}

impl StartSession {
    /// The workspace asked for; else the last one, if it is still open to the user; else the personal one.
    async fn choose(
        &self,
        unit: &mut UnitOfWork,
        user: &UserId,
    ) -> Result<(Entrance, Option<Fallback>), Failure> {
        if let Some(wanted) = self.wanted {
            return Ok((enter(unit, wanted, user).await?.ok_or(workspace::Refusal::NotFound)?, None));
        }
        if let Some(last) = self.last_used
            && let Some(place) = enter(unit, last, user).await?
        {
            return Ok((place, None));
        }
        Ok((home(unit, user).await?, self.last_used.map(Fallback::from)))
    }
}

/// Takes the session to another workspace; the credential it was asked with is dead from then on. Where it is already,
/// nothing changes.
#[derive(Debug, Clone)]
pub struct SwitchSession {
    pub to: WorkspaceId,
    pub precondition: Precondition,
}

impl Command for SwitchSession {
    const NAME: &'static str = "SwitchSession";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, user) = own_session(&unit)?;
        let stream = id.to_string();
        let personal = WorkspaceId::personal(&user);
        unit.load::<Session>(personal, &stream).await?;
        self.precondition.check::<Session>(&unit, &stream)?;
        let place = enter(&mut unit, self.to, &user).await?.ok_or(workspace::Refusal::NotFound)?;
        let switch =
            SessionCommand::Switch { workspace_id: self.to, because: Switching::Chosen, now: unit.now() };
        let session = unit.execute::<Session>(personal, &stream, switch).await?;
        answer(unit, 200, id, &session, place, None).await
    }
}

/// Looks where a session of the acting user stands, and takes it to the personal workspace if the user no longer is an
/// active member of the one it is in.
#[derive(Debug, Clone)]
pub struct RenewSession {
    pub id: SessionId,
}

impl Command for RenewSession {
    const NAME: &'static str = "RenewSession";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let user = acting_user(&unit)?;
        let (personal, stream) = (WorkspaceId::personal(&user), self.id.to_string());
        let session = unit.load::<Session>(personal, &stream).await?;
        let from = session.live(unit.now())?.workspace_id;
        if let Some(place) = enter(&mut unit, from, &user).await? {
            return answer(unit, 200, self.id, &session, place, None).await;
        }
        let place = home(&mut unit, &user).await?;
        let (because, now) = (Switching::MembershipEnded, unit.now());
        let switch = SessionCommand::Switch { workspace_id: place.id, because, now };
        let session = unit.execute::<Session>(personal, &stream, switch).await?;
        answer(unit, 200, self.id, &session, place, Some(Fallback::from(from))).await
    }
}

/// Ends the session: signing out.
#[derive(Debug, Clone)]
pub struct EndSession {
    pub precondition: Precondition,
}

impl Command for EndSession {
    const NAME: &'static str = "EndSession";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let (id, user) = own_session(&unit)?;
        let (personal, stream) = (WorkspaceId::personal(&user), id.to_string());
        unit.load::<Session>(personal, &stream).await?;
        self.precondition.check::<Session>(&unit, &stream)?;
        let end = SessionCommand::End { because: Ending::SignedOut };
        unit.execute::<Session>(personal, &stream, end).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

/// The session the actor acts in, and whose it is.
fn own_session(unit: &UnitOfWork) -> Result<(SessionId, UserId), Failure> {
    let user = acting_user(unit)?;
    let session = unit.origin().session.ok_or(session::Refusal::Over)?;
    Ok((session.id, user))
}

/// A workspace as an active member finds it.
struct Entrance {
    id: WorkspaceId,
    workspace: Arc<Workspace>,
    place: Place,
}

/// The workspace, if it lives and the user is an active member of it at this instant; the commit depends on it.
async fn enter(unit: &mut UnitOfWork, id: WorkspaceId, user: &UserId) -> Result<Option<Entrance>, Failure> {
    let workspace = unit.load::<Workspace>(id, &id.to_string()).await?;
    if workspace.living().is_err() {
        return Ok(None);
    }
    let membership = membership(unit, id, user).await?;
    let catalogue = catalogue(unit).await?;
    let authority = Authority::of(&workspace, &membership, user, &catalogue, unit.now());
    let Authority::Member { role, rights } = authority else { return Ok(None) };
    let permissions = rights.names(&catalogue).into_iter().map(String::from).collect();
    Ok(Some(Entrance { id, workspace, place: Place { role: role.into(), permissions } }))
}

async fn home(unit: &mut UnitOfWork, user: &UserId) -> Result<Entrance, Failure> {
    // Whoever has no personal workspace any more is being erased.
    Ok(enter(unit, WorkspaceId::personal(user), user).await?.ok_or(session::Refusal::Over)?)
}

/// Answers with the session in its workspace, and commits.
async fn answer(
    unit: UnitOfWork,
    status: u16,
    id: SessionId,
    session: &Session,
    at: Entrance,
    fallback: Option<Fallback>,
) -> Result<Committed, Failure> {
    let session: &Details = session.live(unit.now())?;
    let workspace: &WorkspaceDetails = at.workspace.living()?;
    let entered = Entered::new(id.0, session, workspace, at.place, fallback);
    let answer = Answer::of(status, unit.sequence_of::<Session>(&id.to_string()), &entered)?;
    unit.commit(answer.to_text()?).await
}
