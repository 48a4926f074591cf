//! What Tenure does by itself: records expiries that have come, withdraws erasures that were cut off, forgets
//! idempotency keys and deliveries that are old and consumers whose workspace is gone, writes down when API keys were last used.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use sqlx::PgPool;
use tenure_aggregates::{Time, UserId, WorkspaceId};
use tenure_projections::consumers::forget_deleted_after;
use tenure_projections::members::expired;
use tenure_projections::users::stuck_in_erasure;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::erasure::withdraw;
use super::members::RecordExpiry;
use crate::clock;
use crate::deliveries::{gauges, queue, target};
use crate::feeds::lag::Lags;
use crate::key_ring::KeyRing;
use crate::store::{Failure, Origin, Store, StoreError, idempotency};

/// How often expiries are looked for. Only the seat waits for it: access ends at the instant itself.
const EVERY: Duration = Duration::from_secs(30);
/// How many expiries are recorded in one go.
const AT_ONCE: i64 = 500;
/// An erasure that began longer ago was cut off: by a crash, or an outage.
const ERASURE_TAKES: TimeDelta = TimeDelta::minutes(2);
/// How long an idempotency key is kept.
const KEYS_KEPT: TimeDelta = TimeDelta::hours(48);
/// How long what was delivered, or given up, is kept.
const DELIVERIES_KEPT: TimeDelta = TimeDelta::days(30);

/// What it works with.
#[derive(Debug)]
pub struct Upkeep {
    pub store: Store,
    /// Reads the members of all tenants.
    pub projector: PgPool,
    pub key_ring: Arc<KeyRing>,
    pub lags: Lags,
}

impl Upkeep {
    /// Runs until told to stop.
    pub async fn run(self, stop: CancellationToken) {
        let mut due = tokio::time::interval(EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // Up to where consumers were looked at: some in every round, so that none takes long.
        let mut looked_at = Uuid::nil();
        loop {
            tokio::select! {
                _ = due.tick() => {}
                () = stop.cancelled() => break,
            }
            self.round(&mut looked_at).await;
        }
        self.write_uses().await;
    }

    async fn round(&self, looked_at: &mut Uuid) {
        let Self { store, projector, .. } = self;
        if let Err(error) = record_expiries(store, projector, None).await {
            tracing::warn!(?error, "expiries could not be recorded; trying again later");
        }
        if let Err(error) = withdraw_erasures(store, projector, clock::now() - ERASURE_TAKES).await {
            tracing::warn!(?error, "erasures that were cut off could not be withdrawn; trying again later");
        }
        if let Err(error) = idempotency::forget(&store.pool, clock::now() - KEYS_KEPT).await {
            tracing::warn!(%error, "old idempotency keys could not be forgotten; trying again later");
        }
        match forget_deleted_after(projector, *looked_at).await {
            Ok((_, last)) => *looked_at = last.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, "consumers of deleted workspaces could not be forgotten; trying again later");
            }
        }
        if let Err(error) = queue::forget_before(projector, clock::now() - DELIVERIES_KEPT).await {
            tracing::warn!(%error, "old deliveries could not be forgotten; trying again later");
        }
        if let Err(error) = target::forget_closed(projector).await {
            tracing::warn!(%error, "endpoints of deleted workspaces could not be forgotten; trying again later");
        }
        if let Err(error) = gauges::measure(projector, clock::now()).await {
            tracing::warn!(%error, "what waits to be delivered could not be measured; trying again later");
        }
        if let Err(error) = self.lags.measure(projector).await {
            tracing::warn!(%error, "how far consumers are behind could not be measured; trying again later");
        }
        self.write_uses().await;
    }

    async fn write_uses(&self) {
        if let Err(error) = self.key_ring.write_uses().await {
            tracing::warn!(%error, "the last uses of API keys could not be written; trying again later");
        }
    }
}

/// Records the expiries that have come, in one workspace or in all; returns how many.
pub async fn record_expiries(
    store: &Store,
    projector: &PgPool,
    workspace: Option<WorkspaceId>,
) -> Result<usize, Failure> {
    let due = expired(projector, workspace, clock::now(), AT_ONCE).await.map_err(StoreError::from)?;
    let mut recorded = 0;
    for membership in due {
        let Ok(user_id) = UserId::parse(&membership.user_id) else { continue };
        let command = RecordExpiry { workspace: WorkspaceId(membership.workspace_id), user_id };
        match store.run(&command, Arc::new(Origin::system()), None, clock::now).await {
            Ok(_) => recorded += 1,
            // Gone meanwhile, or an owner, whose membership does not run out.
            Err(Failure::Refused(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(recorded)
}

/// Withdraws the erasures that began before `before` and never ended; whoever asked may ask again.
pub async fn withdraw_erasures(store: &Store, projector: &PgPool, before: Time) -> Result<usize, Failure> {
    let stuck = stuck_in_erasure(projector, before, AT_ONCE).await.map_err(StoreError::from)?;
    let mut withdrawn = 0;
    for user in stuck {
        let Ok(user_id) = UserId::parse(&user) else { continue };
        match withdraw(store, Arc::new(Origin::system()), user_id).await {
            Ok(_) => withdrawn += 1,
            Err(Failure::Refused(_)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(withdrawn)
}
