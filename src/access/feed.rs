//! Keeps the index at the end of the log: reads what other processes commit, and notes when nothing was missing.
//!
//! Stretches that this process appended itself are in the index already and are not read. Where an event follows on
//! what is known of a membership, the aggregate's own fold goes on from there; any other stream that matters is loaded
//! anew. What cannot be read makes its workspace unknown here, so that the log is asked, and the log is right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection, PgPool};
use tenure_aggregates::user::UserEvent;
use tenure_aggregates::workspace::WorkspaceEvent;
use tenure_aggregates::{
    ApiKey, ApiKeyId, Catalogue, Membership, MembershipId, User, UserId, Workspace, WorkspaceId,
};
use tenure_projections::recorded::member;
use tenure_projections::{Event, Recorded, Undecodable};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Access;
use super::load::{NotLoaded, load};
use crate::projector::{listen, reader};
use crate::store::{Store, StoreError};

/// How often it looks where the log ends when nobody says anything.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The shortest time from one look to the next because of something heard. Most of it is this process's own.
const BREATH: Duration = Duration::from_millis(5);
/// The wait after something failed.
const PAUSE: Duration = Duration::from_millis(250);
/// The wait for read models that are about to begin.
const SOON: Duration = Duration::from_millis(10);
/// A database that has not answered for so long is given up, and connected to again.
const STALLED: Duration = Duration::from_secs(2);

/// The task that feeds the index.
#[derive(Debug)]
pub struct Feed {
    access: Arc<Access>,
    /// Of the projector's role: reads the log and the read models of all workspaces.
    pool: PgPool,
    store: Store,
}

/// Why the index cannot be kept up.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Stream(#[from] StoreError),
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
    #[error("the database does not answer")]
    Stalled,
    #[error("positions after {0} are missing from the log")]
    Hole(i64),
}

/// A stream that has to be loaded anew.
enum Stale {
    Workspace,
    Membership(MembershipId),
    Catalogue,
    ApiKey(ApiKeyId),
    User,
}

impl Feed {
    /// Starts loading and following. `pool` gives one connection away for good, the listener's.
    pub fn spawn(
        access: Arc<Access>,
        pool: PgPool,
        store: Store,
        stopping: CancellationToken,
    ) -> JoinHandle<()> {
        let feed = Self { access, pool, store };
        tokio::spawn(async move {
            let heard = Notify::new();
            tokio::select! {
                () = feed.follow(&heard) => {}
                () = listen(&feed.pool, &heard) => {}
                () = stopping.cancelled() => {}
            }
        })
    }

    async fn follow(&self, heard: &Notify) {
        let mut said: Option<String> = None;
        loop {
            let lost = self.keep_up(heard, &mut said).await;
            self.gauge();
            if matches!(lost, Error::NotLoaded(NotLoaded::NotBegun)) {
                tokio::time::sleep(SOON).await;
                continue;
            }
            let lost = lost.to_string();
            // Once per trouble, not once per attempt.
            if said.as_ref() != Some(&lost) {
                tracing::warn!(error = %lost, "the access index falls behind; the log is asked instead");
                said = Some(lost);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Ends only with what went wrong.
    async fn keep_up(&self, heard: &Notify, said: &mut Option<String>) -> Error {
        let mut connection = match within(PgConnection::connect_with(&self.pool.connect_options())).await {
            Ok(connection) => connection,
            Err(error) => return error,
        };
        if !self.access.is_loaded()
            && let Err(error) = load(&mut connection, &self.access, self.store.loader()).await
        {
            let never = matches!(error, Error::NotLoaded(NotLoaded::OtherVersion(_)));
            self.access.settled.send_if_modified(|settled| never && !std::mem::replace(settled, true));
            return error;
        }
        loop {
            let looked = Instant::now();
            if let Err(error) = self.come_to_the_end(&mut connection).await {
                return error;
            }
            self.access.settled.send_if_modified(|settled| !std::mem::replace(settled, true));
            if said.take().is_some() {
                tracing::info!("the access index is up to date again");
            }
            self.gauge();
            tokio::select! {
                () = heard_since(heard, looked) => {}
                () = self.access.progress.nudged() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn come_to_the_end(&self, connection: &mut PgConnection) -> Result<(), Error> {
        let asked = Instant::now();
        let head = within(reader::head(connection)).await?;
        while let Some(position) = self.access.position().filter(|position| *position < head) {
            let to = self.access.progress.unread(head).min(position + reader::BATCH);
            let stretch = within(reader::range(connection, position, to)).await?;
            for event in &stretch.undecodable {
                self.doubt(event);
            }
            for event in &stretch.events {
                self.apply(event).await?;
            }
            self.access.progress.advance(stretch.end);
            if stretch.end < to {
                return Err(Error::Hole(stretch.end));
            }
        }
        self.access.progress.beat(asked);
        self.access.index.forget_ended(asked);
        Ok(())
    }

    fn doubt(&self, event: &Undecodable) {
        tracing::error!(%event, "an event cannot be read: what it concerns is asked of the log");
        self.access.index.put_unknown(event.workspace_id);
        self.access.addresses.miss();
    }

    async fn apply(&self, recorded: &Recorded) -> Result<(), Error> {
        let (workspace, sequence) = (recorded.workspace_id, recorded.sequence);
        if forgets(&recorded.event) {
            self.store.forget();
        }
        let id = || recorded.aggregate_id.parse().unwrap_or_default();
        let stale = match &recorded.event {
            Event::Membership(event) => {
                let (id, user): (_, &UserId) = (MembershipId(id()), member(event));
                match self.access.index.membership_event(id, sequence, user, event) {
                    Ok(()) => return Ok(()),
                    Err(_) => Stale::Membership(id),
                }
            }
            Event::Workspace(event @ WorkspaceEvent::WorkspaceCreated { .. }) => {
                let state = Workspace::default().evolve(event.clone());
                self.access.index.put_workspace(workspace, sequence, &state);
                return Ok(());
            }
            Event::Workspace(event) if matters(event) => Stale::Workspace,
            Event::Catalogue(_) => Stale::Catalogue,
            Event::ApiKey(_) => Stale::ApiKey(ApiKeyId(id())),
            Event::User(_) => Stale::User,
            Event::Workspace(_)
            | Event::Invitation(_)
            | Event::Session(_)
            | Event::WebhookEndpoint(_)
            | Event::Claim(_) => return Ok(()),
        };
        match self.load_anew(workspace, &stale).await {
            Err(Error::Stream(error @ (StoreError::Corrupt(_) | StoreError::Unreadable { .. }))) => {
                tracing::error!(%workspace, %error, "a stream cannot be read: its workspace is asked of the log");
                self.access.index.put_unknown(workspace);
                if matches!(stale, Stale::User) {
                    self.access.addresses.miss();
                }
                Ok(())
            }
            other => other,
        }
    }

    async fn load_anew(&self, workspace: WorkspaceId, stale: &Stale) -> Result<(), Error> {
        let index = &self.access.index;
        match stale {
            Stale::Workspace => {
                let loaded = within(self.store.loader().load::<Workspace>(&workspace.to_string())).await?;
                index.put_workspace(workspace, loaded.sequence, &loaded.state);
            }
            Stale::Membership(id) => {
                let loaded = within(self.store.loader().load::<Membership>(&id.to_string())).await?;
                index.put_membership(*id, loaded.sequence, &loaded.state);
            }
            Stale::Catalogue => {
                let loaded =
                    within(self.store.loader().load::<Catalogue>(&Catalogue::home().to_string())).await?;
                index.put_catalogue(loaded.sequence, &loaded.state);
            }
            Stale::ApiKey(id) => {
                let loaded = within(self.store.loader().load::<ApiKey>(&id.to_string())).await?;
                self.access.put_api_key(*id, workspace, loaded.sequence, loaded.state);
            }
            Stale::User => {
                let loaded = within(self.store.loader().load::<User>(&workspace.to_string())).await?;
                self.access.put_user(&loaded.state);
            }
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "figures for people")]
    fn gauge(&self) {
        let age = self.access.age().map_or(f64::INFINITY, |age| age.as_secs_f64());
        metrics::gauge!("tenure_access_age_seconds").set(age);
        metrics::gauge!("tenure_access_memberships").set(self.access.index.memberships() as f64);
    }
}

/// Something was appended, and the last look is a while ago.
async fn heard_since(heard: &Notify, looked: Instant) {
    tokio::time::sleep(BREATH.saturating_sub(looked.elapsed())).await;
    heard.notified().await;
}

/// Whether keys were destroyed with an event.
fn forgets(event: &Event) -> bool {
    matches!(
        event,
        Event::User(UserEvent::UserErased { .. }) | Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. })
    )
}

/// Whether an event of a workspace changes who may do what there.
fn matters(event: &WorkspaceEvent) -> bool {
    use WorkspaceEvent as E;
    match event {
        E::WorkspaceCreated { .. }
        | E::WorkspaceOwnershipTransferred { .. }
        | E::WorkspaceSuspended { .. }
        | E::WorkspaceResumed { .. }
        | E::WorkspaceArchived
        | E::WorkspaceRestored
        | E::WorkspaceDeleted { .. }
        | E::RoleDefined { .. }
        | E::RoleChanged { .. }
        | E::RoleDeleted { .. } => true,
        E::WorkspaceProfileChanged(_)
        | E::WorkspaceSeatsLimitChanged { .. }
        | E::WorkspacePlanChanged { .. }
        | E::InviteCodeIssued { .. }
        | E::InviteCodeDisabled { .. } => false,
    }
}

/// Waits for the database, but not for ever.
pub(super) async fn within<T, E>(answer: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    Error: From<E>,
{
    Ok(tokio::time::timeout(STALLED, answer).await.map_err(|_| Error::Stalled)??)
}
