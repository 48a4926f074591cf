//! The outbox of a process: for each channel one who follows the log and one who carries what is due.

use std::sync::Arc;

use sqlx::PgPool;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::courier::Courier;
use super::fan_out::FanOut;
use super::queue::Queue;
use super::target::TargetKey;
use super::{Carrier, Times};
use crate::data_keys::Vault;
use crate::secrets::RootKey;

/// What the channels share, and what runs for them.
#[derive(Debug)]
pub struct Outbox {
    /// Reads and writes the deliveries of all tenants; a pool of their own, so that they never stand in the way of the
    /// read models.
    pub projector: PgPool,
    pub vault: Vault,
    pub target_key: TargetKey,
    pub times: Times,
    applied: watch::Receiver<i64>,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Outbox {
    pub fn new(
        projector: PgPool,
        vault: Vault,
        root: &RootKey,
        applied: watch::Receiver<i64>,
        times: Times,
        stop: CancellationToken,
    ) -> Self {
        let target_key = TargetKey::from(root);
        Self { projector, vault, target_key, times, applied, stop, tasks: Vec::new() }
    }

    /// Starts a channel; it runs until the service stops.
    pub fn start<C: Carrier>(&mut self, carrier: C) {
        let written = Arc::new(Notify::new());
        let fan_out = FanOut {
            channel: C::CHANNEL,
            projector: self.projector.clone(),
            vault: self.vault.clone(),
            target_key: self.target_key.clone(),
            applied: self.applied.clone(),
            written: written.clone(),
        };
        let queue = Queue { projector: self.projector.clone(), channel: C::CHANNEL, lease: self.times.lease };
        let courier = Courier::new(Arc::new(carrier), queue, written, self.times.pace);
        self.tasks.push(tokio::spawn(fan_out.run(self.stop.clone())));
        self.tasks.push(tokio::spawn(courier.run(self.stop.clone())));
    }

    /// Waits for their end, after the service was told to stop.
    pub async fn stopped(self) {
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a channel of deliveries ended badly");
            }
        }
    }
}
