//! The decision as it was: the streams folded up to a position or an instant.

use std::sync::Arc;

use cqrs_es::Aggregate;
use sqlx::PgPool;
use tenure_aggregates::{Catalogue, Membership, MembershipId, Time, UserId, Workspace, WorkspaceId};
use tenure_projections::{Event, Logged, TenantTx};

use super::decide::Streams;
use super::log::Loaded;
use crate::reads::Reads;
use crate::store::{Failure, Refusal, StoreError};

/// Up to where the log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Position(i64),
    Time(Time),
}

/// A moment of the log that has been, and what the clock said at it.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    moment: Moment,
    /// What has run out by then, has run out.
    pub now: Time,
}

impl Past {
    /// Refuses what lies in the future. `projector` is a pool of the projector's role: an instant belongs to no tenant.
    pub async fn at(moment: Moment, reads: &Reads, projector: &PgPool, now: Time) -> Result<Self, Failure> {
        match moment {
            Moment::Time(time) if time > now => {
                let detail = "as_of lies in the future.";
                Err(Refusal { pointer: Some("/context/as_of"), ..Refusal::new("validation_failed", detail) }
                    .into())
            }
            Moment::Time(time) => Ok(Self { moment, now: time }),
            Moment::Position(position) => {
                reads.check_position(position).await?;
                let recorded =
                    sqlx::query_scalar!("select recorded_at from events where position = $1", position)
                        .fetch_optional(projector)
                        .await
                        .map_err(StoreError::from)?;
                Ok(Self { moment, now: recorded.unwrap_or(Time::UNIX_EPOCH) })
            }
        }
    }

    /// The three streams as they were.
    pub async fn streams(
        &self,
        reads: &Reads,
        workspace: WorkspaceId,
        user: &UserId,
    ) -> Result<Loaded, Failure> {
        let mut tx = reads.log_of(Catalogue::home()).await?;
        let home = Catalogue::home().to_string();
        let catalogue = self.fold::<Catalogue>(&mut tx, &home, |event| match event {
            Event::Catalogue(event) => Some(event),
            _ => None,
        });
        let catalogue = catalogue.await?;
        tx.close().await.map_err(StoreError::from)?;
        let mut tx = reads.log_of(workspace).await?;
        let id = workspace.to_string();
        let of_workspace = self.fold::<Workspace>(&mut tx, &id, |event| match event {
            Event::Workspace(event) => Some(event),
            _ => None,
        });
        let of_workspace = of_workspace.await?;
        let id = MembershipId::of(workspace, user).to_string();
        let membership = self.fold::<Membership>(&mut tx, &id, |event| match event {
            Event::Membership(event) => Some(event),
            _ => None,
        });
        let membership = membership.await?;
        tx.close().await.map_err(StoreError::from)?;
        Ok(Streams { workspace: of_workspace, membership, catalogue })
    }

    async fn fold<A: Aggregate>(
        &self,
        tx: &mut TenantTx,
        id: &str,
        own: fn(Event) -> Option<A::Event>,
    ) -> Result<Arc<A>, StoreError> {
        let mut state = A::default();
        for logged in self.stream(tx, A::TYPE, id).await? {
            let recorded = logged.decode()?;
            if let Some(event) = own(recorded.event) {
                state.apply(event);
            }
        }
        Ok(Arc::new(state))
    }

    async fn stream(
        &self,
        tx: &mut TenantTx,
        aggregate_type: &str,
        id: &str,
    ) -> Result<Vec<Logged>, sqlx::Error> {
        let workspace = tx.workspace().0;
        let (position, time) = self.bounds();
        sqlx::query_as!(
            Logged,
            r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                      event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
               from events
               where workspace_id = $1 and aggregate_type = $2 and aggregate_id = $3 and position <= $4
                 and ($5::timestamptz is null or recorded_at <= $5)
               order by sequence"#,
            workspace,
            aggregate_type,
            id,
            position,
            time
        )
        .fetch_all(tx.connection())
        .await
    }

    /// The highest position, and the latest instant if there is one, that count.
    pub(super) fn bounds(&self) -> (i64, Option<Time>) {
        match self.moment {
            Moment::Position(position) => (position, None),
            Moment::Time(time) => (i64::MAX, Some(time)),
        }
    }
}
