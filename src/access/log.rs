//! The decision on the log itself: slower, and always right. Where it cannot be asked, nothing is allowed.

use std::sync::Arc;
use std::time::Duration;

use tenure_aggregates::{
    Catalogue, Membership, MembershipId, PermissionName, Time, UserId, Workspace, WorkspaceId,
};

use super::decide::{Reason, Streams};
use super::index::Question;
use crate::store::loader::Loader;
use crate::store::{Failure, StoreError};

/// Longer than a loaded database takes for three streams, and shorter than anybody waits for a decision.
const PATIENCE: Duration = Duration::from_secs(3);

/// The three streams, as the log has them.
pub type Loaded = Streams<Arc<Workspace>, Arc<Membership>, Arc<Catalogue>>;

/// Cheap to clone.
#[derive(Debug, Clone)]
pub struct Log {
    loader: Loader,
}

impl Log {
    pub fn new(loader: Loader) -> Self {
        Self { loader }
    }

    pub async fn decide(&self, question: &Question<'_>, now: Time) -> Result<Reason, Failure> {
        // What is no user's id is no member's.
        let Ok(user) = UserId::parse(question.user) else { return Ok(Reason::NotAMember) };
        let streams = self.streams(question.workspace, &user).await?;
        Ok(streams.decide(&user, PermissionName::parse(question.permission).ok().as_ref(), now))
    }

    /// The streams that decide what this user may do there.
    pub async fn streams(&self, workspace: WorkspaceId, user: &UserId) -> Result<Loaded, Failure> {
        let (loader, membership) = (self.loader.clone(), MembershipId::of(workspace, user).to_string());
        bounded(async move {
            let (shared, membership) =
                tokio::join!(shared(&loader, workspace), loader.load::<Membership>(&membership));
            let membership = membership?;
            match shared {
                // To a stranger it looks as if there were none, whatever is wrong with it.
                Err(StoreError::Unreadable { .. } | StoreError::Corrupt(_)) if membership.sequence == 0 => {
                    Ok(Streams::default())
                }
                shared => Ok(Streams { membership: membership.seen_from(workspace).state, ..shared? }),
            }
        })
        .await
    }

    /// Those that everybody there shares; nobody's membership.
    pub async fn shared(&self, workspace: WorkspaceId) -> Result<Loaded, Failure> {
        let loader = self.loader.clone();
        bounded(async move { shared(&loader, workspace).await }).await
    }
}

async fn shared(loader: &Loader, workspace: WorkspaceId) -> Result<Loaded, StoreError> {
    let (workspace_id, catalogue_id) = (workspace.to_string(), Catalogue::home().to_string());
    let (of_workspace, catalogue) =
        tokio::try_join!(loader.load::<Workspace>(&workspace_id), loader.load::<Catalogue>(&catalogue_id))?;
    let workspace = of_workspace.seen_from(workspace).state;
    Ok(Streams { workspace, membership: Arc::default(), catalogue: catalogue.state })
}

/// In a task of its own: a query that is given up half-way must not leave its connection in disorder.
async fn bounded(
    load: impl Future<Output = Result<Loaded, StoreError>> + Send + 'static,
) -> Result<Loaded, Failure> {
    match tokio::time::timeout(PATIENCE, tokio::spawn(load)).await {
        Ok(Ok(streams)) => Ok(streams?),
        Ok(Err(_)) => Err(StoreError::Unavailable("shutting down".to_owned()).into()),
        Err(_) => Err(StoreError::Unavailable("the event log does not answer".to_owned()).into()),
    }
}
