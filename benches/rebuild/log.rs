//! The log read alone: in order, opened and decoded, as a rebuild reads it, and nothing done with it.

use std::path::Path;
use std::time::Instant;

use futures::TryStreamExt;
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tenure::data_keys::Vault;
use tenure::database::{Role, pool};
use tenure::projector::ahead;
use tenure::secrets::MasterKeys;

use super::Passed;
use crate::load::median;

/// The median of the rounds, in events a second.
pub(super) async fn per_second(database: &PgConnectOptions, keys: &Path, rounds: usize) -> f64 {
    let (projector, keeper) = (pool(database, Role::Projector, 1), pool(database, Role::Keeper, 2));
    let masters = MasterKeys::load_or_create(&keys.join("master.key")).expect("the master key");
    let (vault, _) = Vault::open(keeper.clone(), masters).await.expect("the keys");
    let mut rates = Vec::new();
    for _ in 0..rounds {
        rates.push(read(&projector, &vault).await.per_second());
    }
    projector.close().await;
    keeper.close().await;
    median(rates)
}

async fn read(projector: &PgPool, vault: &Vault) -> Passed {
    let begun = Instant::now();
    let mut stretches = ahead::events(projector, vault, 0).await.expect("a connection");
    let mut events = 0;
    while let Some(stretch) = stretches.try_next().await.expect("events") {
        events = stretch.last().map_or(events, |event| event.position);
    }
    Passed { events, took: begun.elapsed() }
}
