//! Inviting by e-mail: send, send again, revoke, accept, decline.

use std::sync::Arc;

use chrono::Duration;
use serde_json::{Value, json};
use tenure_aggregates::invitation::{self, InvitationCommand, Mailing};
use tenure_aggregates::membership::{Entrance, Standing};
use tenure_aggregates::values::Email;
use tenure_aggregates::{
    Invitation, InvitationId, Permission, Role, Time, UserId, Workspace, WorkspaceId, membership, workspace,
};
use tenure_projections::members::find_by_email;

use super::Precondition;
use super::authorize::{
    Acting, Issuer, acting_user, active_user, ahead_of_membership, ahead_of_user, authority,
    membership as membership_of, require_no_key, still_permitted,
};
use super::members::{self, join};
use crate::access::Access;
use crate::reads::Reads;
use crate::resources::{self, Answer, Secret};
use crate::store::retry::Command;
use crate::store::{Ahead, Committed, Failure, StoreError, UnitOfWork};

/// One invitation to be sent, under an id made for it.
#[derive(Debug, Clone)]
pub struct NewInvitation {
    pub id: InvitationId,
    pub email: Email,
    pub role: Role,
    pub lifetime: Duration,
    pub notify: bool,
    pub mailing: Mailing,
}

/// Who belongs to a workspace, by address.
#[derive(Debug, Clone)]
pub struct Roster {
    pub reads: Reads,
    pub access: Arc<Access>,
}

impl Roster {
    /// Whether somebody with this address is a member who counts. An address that is nobody's at all, as most are that
    /// are invited, is not looked up.
    async fn has_active(&self, workspace: WorkspaceId, email: &Email, now: Time) -> Result<bool, Failure> {
        if self.access.is_nobodys(email) {
            return Ok(false);
        }
        let mut tx = self.reads.members(workspace).await?;
        let known = find_by_email(&mut tx, email.as_str(), now).await.map_err(StoreError::from)?;
        Ok(known.iter().any(|member| member.status == "active"))
    }
}

/// Invites one address.
#[derive(Debug, Clone)]
pub struct Invite {
    pub workspace: WorkspaceId,
    pub invitation: NewInvitation,
    pub roster: Roster,
    pub precondition: Precondition,
}

impl Command for Invite {
    const NAME: &'static str = "SendInvitation";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let acting = authority(&mut unit, id).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersInvite)?;
        self.precondition.check_new()?;
        workspace.joinable()?;
        let new = &self.invitation;
        let body = invite(&mut unit, id, &acting, new, &self.roster).await?;
        let sequence = unit.sequence_of::<Invitation>(&new.id.to_string());
        let mut answer =
            Answer::of(201, sequence, &body)?.at(format!("/v1/workspaces/{id}/invitations/{}", new.id));
        if !new.notify {
            answer = answer.with_secret(token(new.id, 1, String::new()));
        }
        unit.commit(answer.to_text()?).await
    }
}

async fn invite(
    unit: &mut UnitOfWork,
    id: WorkspaceId,
    acting: &Acting,
    new: &NewInvitation,
    roster: &Roster,
) -> Result<resources::Invitation, Failure> {
    acting.require_grant(&new.role)?;
    let now = unit.now();
    if roster.has_active(id, &new.email, now).await? {
        return Err(membership::Refusal::AlreadyMember.into());
    }
    let stream = new.id.to_string();
    unit.begin_stream::<Invitation>(&stream);
    let send = InvitationCommand::Send {
        invitation_id: new.id,
        email: new.email.clone(),
        role: new.role.clone(),
        invited_by: unit.origin().user().cloned(),
        invited_by_key: unit.origin().api_key(),
        lifetime: new.lifetime,
        notify: new.notify,
        mailing: new.mailing.clone(),
        now,
    };
    let state = unit.execute::<Invitation>(id, &stream, send).await?;
    let body = resources::Invitation::from_state(id, new.id, &state, now);
    let body = body.ok_or(invitation::Refusal::NotFound)?;
    Ok(if new.notify { body.being_sent(now) } else { body })
}

fn token(id: InvitationId, generation: u32, at: String) -> Secret {
    Secret::InvitationToken { at, invitation: id.0, generation }
}

/// Invites up to 500 addresses, each with its own outcome; what can be sent is sent together.
#[derive(Debug, Clone)]
pub struct InviteBatch {
    pub workspace: WorkspaceId,
    /// In the order of the request; what was malformed carries its problem already.
    pub items: Vec<Result<NewInvitation, Value>>,
    pub roster: Roster,
    pub precondition: Precondition,
}

impl Command for InviteBatch {
    const NAME: &'static str = "SendInvitations";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let id = self.workspace;
        let acting = authority(&mut unit, id).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersInvite)?;
        self.precondition.check_new()?;
        workspace.joinable()?;
        let mut outcomes = Vec::with_capacity(self.items.len());
        let mut secrets = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            let new = match item {
                Ok(new) => new,
                Err(problem) => {
                    outcomes.push(json!({"index": index, "status": 400, "problem": problem}));
                    continue;
                }
            };
            match invite(&mut unit, id, &acting, new, &self.roster).await {
                Ok(body) => {
                    if !new.notify {
                        secrets.push(token(new.id, 1, format!("/items/{index}/invitation")));
                    }
                    outcomes.push(json!({"index": index, "status": 201, "invitation": body}));
                }
                Err(Failure::Refused(refusal)) => {
                    let (status, problem) = crate::http::problem::of_item(&refusal);
                    outcomes.push(json!({"index": index, "status": status, "problem": problem}));
                }
                Err(other) => return Err(other),
            }
        }
        let body = json!({"items": outcomes});
        let answer =
            Answer { status: 200, etag: None, location: None, body: None, secrets }.with_body(&body)?;
        unit.commit(answer.to_text()?).await
    }
}

/// Sends an invitation again with a new token; the old one is dead.
#[derive(Debug, Clone)]
pub struct Resend {
    pub workspace: WorkspaceId,
    pub id: InvitationId,
    pub lifetime: Duration,
    pub notify: bool,
    /// What is not said stays as it was.
    pub mailing: Mailing,
    pub precondition: Precondition,
}

impl Command for Resend {
    const NAME: &'static str = "ResendInvitation";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let acting = authority(&mut unit, self.workspace).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersInvite)?;
        let stream = self.id.to_string();
        let before = unit.load::<Invitation>(self.workspace, &stream).await?;
        let offer = before.offer().ok_or(invitation::Refusal::NotFound)?;
        self.precondition.check::<Invitation>(&unit, &stream)?;
        workspace.joinable()?;
        acting.require_grant(&offer.role)?;
        let resend = InvitationCommand::Resend {
            lifetime: self.lifetime,
            notify: self.notify,
            mailing: self.mailing.clone(),
            now: unit.now(),
        };
        let state = unit.execute::<Invitation>(self.workspace, &stream, resend).await?;
        let body = resource(&unit, self.workspace, self.id, &state)?;
        let body = if self.notify { body.being_sent(unit.now()) } else { body };
        let mut answer = Answer::of(200, unit.sequence_of::<Invitation>(&stream), &body)?;
        if let (false, Some(offer)) = (self.notify, state.offer()) {
            answer = answer.with_secret(token(self.id, offer.generation, String::new()));
        }
        unit.commit(answer.to_text()?).await
    }
}

/// Takes an invitation back.
#[derive(Debug, Clone)]
pub struct Revoke {
    pub workspace: WorkspaceId,
    pub id: InvitationId,
    pub precondition: Precondition,
}

impl Command for Revoke {
    const NAME: &'static str = "RevokeInvitation";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let acting = authority(&mut unit, self.workspace).await?;
        let workspace = &acting.workspace;
        acting.require(Permission::MembersInvite)?;
        let stream = self.id.to_string();
        let before = unit.load::<Invitation>(self.workspace, &stream).await?;
        before.offer().ok_or(invitation::Refusal::NotFound)?;
        self.precondition.check::<Invitation>(&unit, &stream)?;
        workspace.writable()?;
        let revoke = InvitationCommand::Revoke { now: unit.now() };
        let state = unit.execute::<Invitation>(self.workspace, &stream, revoke).await?;
        let mut answer = describe(&unit, self.workspace, self.id, &state)?;
        if before == state {
            answer.body = None;
        }
        unit.commit(answer.to_text()?).await
    }
}

fn describe(
    unit: &UnitOfWork,
    workspace: WorkspaceId,
    id: InvitationId,
    state: &Invitation,
) -> Result<Answer, Failure> {
    let body = resource(unit, workspace, id, state)?;
    Answer::of(200, unit.sequence_of::<Invitation>(&id.to_string()), &body)
}

fn resource(
    unit: &UnitOfWork,
    workspace: WorkspaceId,
    id: InvitationId,
    state: &Invitation,
) -> Result<resources::Invitation, Failure> {
    let body = resources::Invitation::from_state(workspace, id, state, unit.now());
    Ok(body.ok_or(invitation::Refusal::NotFound)?)
}

/// What an authentic token speaks of.
#[derive(Debug, Clone, Copy)]
pub struct OpenedToken {
    pub id: InvitationId,
    pub generation: u32,
}

impl OpenedToken {
    /// The invitation's workspace, which `joining` is about to join. A token of an invitation or a workspace that is gone
    /// is worth nothing.
    async fn locate(
        self,
        unit: &mut UnitOfWork,
        joining: Option<&UserId>,
    ) -> Result<(WorkspaceId, Arc<Workspace>), Failure> {
        let (state, home) = unit.locate::<Invitation>(&self.id.to_string()).await?;
        state.redeemable(self.generation)?;
        let home = home.ok_or(invitation::Refusal::TokenInvalid)?;
        if let Some(user) = joining {
            let inviter = state.offer().and_then(|offer| offer.invited_by.as_ref());
            let people = inviter.into_iter().chain([user]).map(|user| ahead_of_membership(home, user));
            unit.read_ahead(people.chain([Ahead::of::<Workspace>(&home.to_string())])).await;
        }
        let workspace = unit.load::<Workspace>(home, &home.to_string()).await?;
        workspace.living().map_err(|_| invitation::Refusal::TokenInvalid)?;
        Ok((home, workspace))
    }
}

/// Accepts as the acting user, who becomes a member.
#[derive(Debug, Clone)]
pub struct Accept {
    pub token: OpenedToken,
    /// On the invitation.
    pub precondition: Precondition,
}

impl Command for Accept {
    const NAME: &'static str = "AcceptInvitation";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let user = acting_user(&unit)?;
        unit.read_ahead([ahead_of_user(&user), Ahead::of::<Invitation>(&self.token.id.to_string())]).await;
        let profile = active_user(&mut unit, &user).await?;
        let (id, workspace) = self.token.locate(&mut unit, Some(&user)).await?;
        let stream = self.token.id.to_string();
        let before = unit.load::<Invitation>(id, &stream).await?;
        self.precondition.check::<Invitation>(&unit, &stream)?;
        let accept = InvitationCommand::Accept {
            generation: self.token.generation,
            profile: profile.clone(),
            now: unit.now(),
        };
        let after = unit.execute::<Invitation>(id, &stream, accept).await?;
        if before == after {
            // Accepted before by the same person: the same benign answer, as long as they still are a member.
            let member = membership_of(&mut unit, id, &user).await?;
            if member.standing(unit.now()) == Standing::Absent {
                return Err(invitation::Refusal::NotPending.into());
            }
            let mut answer = members::describe(&unit, id, workspace.living()?, &member, Some(&profile), 200)?;
            answer.body = None;
            return unit.commit(answer.to_text()?).await;
        }
        workspace.joinable()?;
        let offer = after.offer().ok_or(invitation::Refusal::TokenInvalid)?;
        let issuer = Issuer { user: offer.invited_by.as_ref(), key: offer.invited_by_key };
        still_permitted(&mut unit, id, &workspace, issuer, &offer.role).await?;
        let through = Entrance::Invitation { invitation_id: self.token.id };
        let member = join(&mut unit, id, &workspace, &user, offer.role.clone(), None, through).await?;
        let answer = members::describe(&unit, id, workspace.living()?, &member, Some(&profile), 200)?;
        unit.commit(answer.to_text()?).await
    }
}

/// Turns an invitation down: whoever holds its token may.
#[derive(Debug, Clone)]
pub struct Decline {
    pub token: OpenedToken,
    /// On the invitation.
    pub precondition: Precondition,
}

impl Command for Decline {
    const NAME: &'static str = "DeclineInvitation";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        require_no_key(&unit)?;
        let profile = match unit.origin().user().cloned() {
            Some(user) => Some(active_user(&mut unit, &user).await?),
            None => None,
        };
        let (id, workspace) = self.token.locate(&mut unit, None).await?;
        let stream = self.token.id.to_string();
        unit.load::<Invitation>(id, &stream).await?;
        self.precondition.check::<Invitation>(&unit, &stream)?;
        workspace.writable()?;
        let decline =
            InvitationCommand::Decline { generation: self.token.generation, profile, now: unit.now() };
        unit.execute::<Invitation>(id, &stream, decline).await?;
        unit.commit(Answer::no_content().to_text()?).await
    }
}

/// What the holder of a token may know: never more than the invitation says.
#[derive(Debug, Clone)]
pub struct Preview {
    pub token: OpenedToken,
}

impl Command for Preview {
    const NAME: &'static str = "PreviewInvitation";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        require_no_key(&unit)?;
        let (id, workspace) = self.token.locate(&mut unit, None).await?;
        let state = unit.load::<Invitation>(id, &self.token.id.to_string()).await?;
        let offer = state.offer().ok_or(invitation::Refusal::TokenInvalid)?;
        let details = workspace.living().map_err(|_| workspace::Refusal::NotFound)?;
        let invited_by = match &offer.invited_by {
            Some(user) => inviter_name(&mut unit, user).await?,
            None => None,
        };
        let body = resources::InvitationPreview {
            invitation_id: self.token.id.0,
            workspace: resources::PreviewedWorkspace {
                id: id.0,
                name: details.profile.name.clone(),
                slug: details.profile.slug.as_ref().map(|slug| slug.as_str().to_owned()),
                image_url: details.profile.image_url.clone(),
            },
            email: offer.email.as_str().to_owned(),
            role: offer.role.as_str().to_owned(),
            status: state.status(unit.now()).to_owned(),
            invited_by,
            expires_at: offer.expires_at,
        };
        let sequence = unit.sequence_of::<Invitation>(&self.token.id.to_string());
        unit.commit(Answer::of(200, sequence, &body)?.to_text()?).await
    }
}

/// Names are shown publicly (S4.38); nothing else of a user is.
async fn inviter_name(unit: &mut UnitOfWork, user: &UserId) -> Result<Option<String>, Failure> {
    let home = WorkspaceId::personal(user);
    let user = unit.peek::<tenure_aggregates::User>(home, &home.to_string()).await?;
    Ok(user.active().ok().and_then(|profile| profile.name.clone()))
}
