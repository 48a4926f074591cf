//! The decision as it was: the streams it rests on, folded up to a moment.

use tenure_aggregates::{Catalogue, Membership, MembershipId, UserId, Workspace, WorkspaceId};
use tenure_projections::Event;
use tenure_projections::states::Kind;

use super::decide::Streams;
use super::log::Loaded;
use crate::past::Past;
use crate::past::streams::StreamOf;
use crate::reads::Reads;
use crate::store::{Failure, StoreError};

impl Past {
    /// The three streams as they were.
    pub async fn streams(
        &self,
        reads: &Reads,
        workspace: WorkspaceId,
        user: &UserId,
    ) -> Result<Loaded, Failure> {
        let shared = self.shared(reads, workspace).await?;
        let mut tx = reads.log_of(workspace).await?;
        let id = MembershipId::of(workspace, user).to_string();
        let stream = StreamOf { id: &id, kept: Some((Kind::Membership, user.as_str())) };
        let membership = self.fold::<Membership>(&mut tx, stream, |event| match event {
            Event::Membership(event) => Some(event),
            _ => None,
        });
        let membership = membership.await?;
        tx.close().await.map_err(StoreError::from)?;
        Ok(Streams { membership, ..shared })
    }

    /// Those that everybody there shares; nobody's membership.
    pub async fn shared(&self, reads: &Reads, workspace: WorkspaceId) -> Result<Loaded, Failure> {
        let mut tx = reads.log_of(Catalogue::home()).await?;
        let home = Catalogue::home().to_string();
        let stream = StreamOf { id: &home, kept: None };
        let catalogue = self.fold::<Catalogue>(&mut tx, stream, |event| match event {
            Event::Catalogue(event) => Some(event),
            _ => None,
        });
        let catalogue = catalogue.await?;
        tx.close().await.map_err(StoreError::from)?;
        let mut tx = reads.log_of(workspace).await?;
        let id = workspace.to_string();
        let stream = StreamOf { id: &id, kept: Some((Kind::Workspace, &id)) };
        let of_workspace = self.fold::<Workspace>(&mut tx, stream, |event| match event {
            Event::Workspace(event) => Some(event),
            _ => None,
        });
        let of_workspace = of_workspace.await?;
        tx.close().await.map_err(StoreError::from)?;
        Ok(Streams { workspace: of_workspace, membership: std::sync::Arc::default(), catalogue })
    }
}
