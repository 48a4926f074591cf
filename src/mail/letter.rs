//! What a mail says, looked up when it is sent; and whether there is still anything to say by then.

use std::sync::Arc;

use chrono::Datelike;
use serde::Serialize;
use sqlx::PgPool;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::invitation::{InvitationEvent, Offer};
use tenure_aggregates::membership::Standing;
use tenure_aggregates::personal::ERASED;
use tenure_aggregates::user::Profile;
use tenure_aggregates::webhook_endpoint::Disabling;
use tenure_aggregates::workspace::{Details, WorkspaceEvent};
use tenure_aggregates::{
    Invitation, InvitationId, Membership, MembershipId, Time, User, UserId, WebhookEndpoint, Workspace,
    WorkspaceId,
};
use tenure_projections::Event;

use super::harmless;
use super::kind::Kind;
use super::pages::Pages;
use crate::data_keys::Vault;
use crate::deliveries::{Due, content};
use crate::secrets::{InvitationTokenKey, invitation_token};
use crate::store::{Store, StoreError};

/// A mail before it is put into words.
#[derive(Debug, Clone, PartialEq)]
pub struct Letter {
    /// The address.
    pub to: String,
    /// As it was asked for.
    pub language: Option<String>,
    pub contents: Contents,
}

/// What the templates have to go by. Every text that somebody chose is harmless already.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Contents {
    pub workspace: Sender,
    #[serde(flatten)]
    pub says: Says,
}

/// In whose name it is written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sender {
    pub name: String,
    /// What stands where there is no logo.
    pub initial: String,
    /// An https address.
    pub logo: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Says {
    Invitation { inviter: Option<String>, role: String, expires: Day, link: String },
    InvitationRevoked {},
    OwnershipTransferred { is_new_owner: bool, new_owner: Option<String>, old_owner: Option<String> },
    MemberRemoved {},
    WorkspaceSuspended { reason: Option<String>, since: Day },
    WebhookDisabled { host: String, description: Option<String>, because: &'static str },
}

/// An instant in UTC, in parts, so that each language writes it in its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Day {
    pub year: i32,
    pub month: u32,
    pub day: u32,
    /// `14:05`.
    pub time: String,
    /// RFC 3339.
    pub iso: String,
}

impl Day {
    pub fn of(time: Time) -> Self {
        Self {
            year: time.year(),
            month: time.month(),
            day: time.day(),
            time: time.format("%H:%M").to_string(),
            iso: time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        }
    }
}

impl Contents {
    pub fn kind(&self) -> Kind {
        match self.says {
            Says::Invitation { .. } => Kind::Invitation,
            Says::InvitationRevoked {} => Kind::InvitationRevoked,
            Says::OwnershipTransferred { .. } => Kind::OwnershipTransferred,
            Says::MemberRemoved {} => Kind::MemberRemoved,
            Says::WorkspaceSuspended { .. } => Kind::WorkspaceSuspended,
            Says::WebhookDisabled { .. } => Kind::WebhookDisabled,
        }
    }

    /// The link with the token in it, if there is one.
    pub fn link(&self) -> Option<&str> {
        if let Says::Invitation { link, .. } = &self.says { Some(link) } else { None }
    }
}

/// Why there is no letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unwritten {
    /// There is nothing to say any more.
    Cancelled(&'static str),
    /// Not now.
    Waits(&'static str),
    Store(StoreError),
}

impl From<StoreError> for Unwritten {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

type Written<T> = Result<T, Unwritten>;

/// What letters are written from.
#[derive(Debug, Clone)]
pub struct Desk {
    pub store: Store,
    pub vault: Vault,
    /// Reads the log of all tenants.
    pub projector: PgPool,
    pub token_key: InvitationTokenKey,
}

impl Desk {
    /// The letter of a delivery, as things stood when it was taken or later.
    pub async fn write(&self, due: &Due, pages: &Pages, now: Time) -> Written<Letter> {
        let kind: Kind = due.kind.parse().map_err(|_| Unwritten::Cancelled("unknown_kind"))?;
        Writing { desk: self, end: due.log_end }.letter(kind, due, pages, now).await
    }
}

/// One letter being written, from a log that goes at least so far.
struct Writing<'a> {
    desk: &'a Desk,
    end: i64,
}

impl Writing<'_> {
    async fn letter(&self, kind: Kind, due: &Due, pages: &Pages, now: Time) -> Written<Letter> {
        let workspace = self.load::<Workspace>(due.workspace, &due.workspace.to_string()).await?;
        let home = workspace.living().map_err(|_| Unwritten::Cancelled("workspace_deleted"))?;
        let (to, language, says) = match kind {
            Kind::Invitation => self.invitation(due, home, pages, now).await?,
            Kind::InvitationRevoked => self.revoked(due).await?,
            _ => {
                let recipient = self.recipient(due).await?;
                let says = self.notice(kind, due, &workspace, home, &recipient, now).await?;
                (address(&recipient)?, None, says)
            }
        };
        Ok(Letter { to, language, contents: Contents { workspace: sender(home), says } })
    }

    async fn invitation(
        &self,
        due: &Due,
        home: &Details,
        pages: &Pages,
        now: Time,
    ) -> Written<(String, Option<String>, Says)> {
        let id = due.invitation.ok_or(Unwritten::Cancelled("invitation_missing"))?;
        let state = self.load::<Invitation>(due.workspace, &id.to_string()).await?;
        let offer = state.offer().ok_or(Unwritten::Cancelled("invitation_missing"))?;
        // Whatever event a delivery tells of, there has been one token only.
        if offer.generation > 1 && self.generation(due).await? != offer.generation {
            return Err(Unwritten::Cancelled("sent_again"));
        }
        match state.status(now) {
            "pending" => {}
            "revoked" => return Err(Unwritten::Cancelled("invitation_revoked")),
            "expired" => return Err(Unwritten::Cancelled("invitation_expired")),
            _ => return Err(Unwritten::Cancelled("invitation_answered")),
        }
        let to = invited(offer)?;
        if home.suspension.is_some() {
            return Err(Unwritten::Waits("workspace_suspended"));
        }
        if home.archived {
            return Err(Unwritten::Waits("workspace_archived"));
        }
        let inviter = match &offer.invited_by {
            Some(user) => self.name(user).await?,
            None => None,
        };
        let token = invitation_token::issue(&self.desk.token_key, id.0, offer.generation);
        let says = Says::Invitation {
            inviter,
            role: harmless::line(offer.role.as_str()),
            expires: Day::of(offer.expires_at),
            link: pages.link(offer.mailing.accept_url.as_deref(), &token),
        };
        Ok((to, offer.mailing.language.clone(), says))
    }

    /// Which token the mail was to carry.
    async fn generation(&self, due: &Due) -> Written<u32> {
        match self.event(due).await? {
            Event::Invitation(
                InvitationEvent::InvitationSent { generation, .. }
                | InvitationEvent::InvitationResent { generation, .. },
            ) => Ok(generation),
            _ => Err(Unwritten::Cancelled("unknown_kind")),
        }
    }

    async fn revoked(&self, due: &Due) -> Written<(String, Option<String>, Says)> {
        let id = due.invitation.ok_or(Unwritten::Cancelled("invitation_missing"))?;
        let state = self.load::<Invitation>(due.workspace, &id.to_string()).await?;
        let Invitation::Revoked(offer) = &*state else {
            return Err(Unwritten::Cancelled("invitation_missing"));
        };
        let to = invited(offer)?;
        match self.invitation_arrived(due.workspace, id).await? {
            Some(true) => Ok((to, offer.mailing.language.clone(), Says::InvitationRevoked {})),
            Some(false) => Err(Unwritten::Cancelled("invitation_not_sent")),
            // It is on its way this very moment, or about to be cancelled.
            None => Err(Unwritten::Waits("invitation_pending")),
        }
    }

    /// Whether a mail brought the invitation; none while that is not settled.
    async fn invitation_arrived(&self, workspace: WorkspaceId, id: InvitationId) -> Written<Option<bool>> {
        let found = sqlx::query!(
            r#"select coalesce(bool_or(status = 'delivered'), false) as "delivered!",
                      coalesce(bool_or(status = 'pending'), false) as "pending!"
               from deliveries
               where workspace_id = $1 and invitation_id = $2 and channel = 'mail' and kind = 'invitation'"#,
            workspace.0,
            id.0
        )
        .fetch_one(&self.desk.projector)
        .await
        .map_err(StoreError::from)?;
        Ok(if found.delivered { Some(true) } else { (!found.pending).then_some(false) })
    }

    /// What is told to somebody who has been a member.
    async fn notice(
        &self,
        kind: Kind,
        due: &Due,
        workspace: &Workspace,
        home: &Details,
        recipient: &Profile,
        now: Time,
    ) -> Written<Says> {
        let membership = MembershipId::of(due.workspace, &recipient.user_id).to_string();
        let membership = self.load::<Membership>(due.workspace, &membership).await?;
        let active = membership.standing(now) == Standing::Active;
        match kind {
            Kind::MemberRemoved if active => Err(Unwritten::Cancelled("member_again")),
            Kind::MemberRemoved => Ok(Says::MemberRemoved {}),
            Kind::OwnershipTransferred => self.transfer(due, recipient).await,
            Kind::WorkspaceSuspended if workspace.owner() != Some(&recipient.user_id) => {
                Err(Unwritten::Cancelled("no_longer_owner"))
            }
            Kind::WorkspaceSuspended => {
                let suspension = home.suspension.as_ref().ok_or(Unwritten::Cancelled("workspace_resumed"))?;
                let reason = suspension.reason.as_deref().filter(|reason| *reason != ERASED);
                Ok(Says::WorkspaceSuspended {
                    reason: reason.map(harmless::line),
                    since: Day::of(suspension.since),
                })
            }
            Kind::WebhookDisabled if !active => Err(Unwritten::Cancelled("no_longer_member")),
            Kind::WebhookDisabled => self.disabled(due).await,
            Kind::Invitation | Kind::InvitationRevoked => Err(Unwritten::Cancelled("unknown_kind")),
        }
    }

    async fn transfer(&self, due: &Due, recipient: &Profile) -> Written<Says> {
        let Event::Workspace(WorkspaceEvent::WorkspaceOwnershipTransferred { owner_id }) =
            self.event(due).await?
        else {
            return Err(Unwritten::Cancelled("unknown_kind"));
        };
        Ok(Says::OwnershipTransferred {
            is_new_owner: recipient.user_id == owner_id.to,
            new_owner: self.name(&owner_id.to).await?,
            old_owner: self.name(&owner_id.from).await?,
        })
    }

    async fn disabled(&self, due: &Due) -> Written<Says> {
        let event = content::event_at(&self.desk.projector, &self.desk.vault, due.position).await?;
        let state = self.load::<WebhookEndpoint>(due.workspace, &event.logged.aggregate_id).await?;
        let target = state.target().ok_or(Unwritten::Cancelled("endpoint_deleted"))?;
        let because = match target.disabled {
            Some(Disabling::Gone) => "gone",
            Some(Disabling::Failing) => "failing",
            Some(Disabling::Requested) | None => return Err(Unwritten::Cancelled("endpoint_changed")),
        };
        // What follows the host may be secret.
        let host = url::Url::parse(&target.url).ok().and_then(|url| url.host_str().map(str::to_owned));
        Ok(Says::WebhookDisabled {
            host: harmless::line(&host.unwrap_or_default()),
            description: target.description.as_deref().map(harmless::line),
            because,
        })
    }

    async fn event(&self, due: &Due) -> Written<Event> {
        let opened = content::event_at(&self.desk.projector, &self.desk.vault, due.position).await?;
        let recorded = opened.decode().map_err(|error| StoreError::Corrupt(error.to_string()))?;
        Ok(recorded.event)
    }

    /// Whom a notice goes to. Who was erased has no address, and gets none.
    async fn recipient(&self, due: &Due) -> Written<Profile> {
        let id = due.recipient.as_deref().and_then(|id| UserId::parse(id).ok());
        let id = id.ok_or(Unwritten::Cancelled("user_missing"))?;
        let user = self.user(&id).await?;
        user.active().cloned().map_err(|_| Unwritten::Cancelled("user_erased"))
    }

    async fn name(&self, user: &UserId) -> Written<Option<String>> {
        let user = self.user(user).await?;
        let name = user.active().ok().and_then(|profile| profile.name.clone());
        Ok(name.filter(|name| name != ERASED).map(|name| harmless::line(&name)))
    }

    async fn user(&self, id: &UserId) -> Written<Arc<User>> {
        let home = WorkspaceId::personal(id);
        self.load::<User>(home, &home.to_string()).await
    }

    async fn load<A: Stream + 'static>(&self, workspace: WorkspaceId, id: &str) -> Written<Arc<A>> {
        Ok(self.desk.store.no_older_than::<A>(id, self.end).await?.seen_from(workspace).state)
    }
}

fn sender(home: &Details) -> Sender {
    let name = harmless::line(&home.profile.name);
    let initial = name.chars().find(|letter| letter.is_alphanumeric());
    let logo = home.profile.image_url.clone().filter(|url| url.starts_with("https://"));
    Sender { initial: initial.into_iter().flat_map(char::to_uppercase).collect(), logo, name }
}

fn invited(offer: &Offer) -> Written<String> {
    let email = offer.email.as_str();
    if email == ERASED { Err(Unwritten::Cancelled("address_erased")) } else { Ok(email.to_owned()) }
}

fn address(recipient: &Profile) -> Written<String> {
    let email = recipient.email.as_ref().map(|email| email.as_str().to_owned());
    email.filter(|email| email != ERASED).ok_or(Unwritten::Cancelled("no_address"))
}
