//! Read models from zero: the log read alone, all read models in one pass, each alone, beside stock's replay.
//!
//! Each round times the whole command: tables made, filled, indexed, analysed and swapped in.

mod log;
mod stock;

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tenure::clock;
use tenure::data_keys::Vault;
use tenure::database::{Role, migrate, pool};
use tenure::projector::rebuild;
use tenure::secrets::MasterKeys;
use tenure_projections::ALL;

use crate::history::{self, Shape};
use crate::load::median;
use crate::plan::{Part, Plan};
use crate::postgres::{Postgres, checkpoint};
use crate::report::{Figure, Goal, Report, TENURE};

const STOCK: &str = "stock cqrs-es, a view per aggregate";
const ALL_OF_THEM: &str = "all read models";

/// So many events, taken through in so long.
pub(super) struct Passed {
    pub events: i64,
    pub took: Duration,
}

impl Passed {
    fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }
}

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let postgres = Postgres::start();
    let largest = plan.sizes.events.iter().copied().find(|events| *events > 0).unwrap_or(1_000_000);
    for events in [largest / 10, largest] {
        at_size(plan, &postgres, events, events == largest, report).await;
    }
    postgres.stop();
}

async fn at_size(plan: &Plan, postgres: &Postgres, events: u64, in_full: bool, report: &mut Report) {
    let database = postgres.database("bench").await;
    migrate(&database).await.expect("migrated");
    let keys = tempfile::tempdir().expect("a directory");
    history::write(&database, keys.path(), Shape::of(events / 10, events)).await;
    let part = Part::Rebuild.name();
    let figure =
        |case: &str, subject: &str, rate: f64| Figure::new(part, case, subject).at_size(events).rate(rate);
    if in_full {
        let few = if plan.quick { 2_000 } else { 20_000 };
        let passed = stock::replay(&database, few).await;
        report.add(figure(ALL_OF_THEM, STOCK, passed.per_second()));
    }
    let read = log::per_second(&database, keys.path(), plan.rounds).await;
    report.add(figure("the log read in order, decoded", TENURE, read).goal(Goal::PerSecond(500_000.0)));
    let all: Vec<&str> = ALL.iter().map(|projection| projection.name).collect();
    let together = timed(&database, keys.path(), &all, plan.rounds).await;
    report.add(figure(ALL_OF_THEM, TENURE, together).goal(Goal::PerSecond(40_000.0)));
    for name in all.into_iter().filter(|_| in_full) {
        let alone = timed(&database, keys.path(), &[name], plan.rounds).await;
        report.add(figure(&format!("{name} alone"), TENURE, alone).goal(Goal::PerSecond(100_000.0)));
    }
}

/// The median of the rounds, in events a second.
async fn timed(database: &PgConnectOptions, keys: &Path, names: &[&str], rounds: usize) -> f64 {
    let mut rates = Vec::new();
    for _ in 0..rounds {
        rates.push(once(database, keys, names).await.per_second());
    }
    median(rates)
}

async fn once(database: &PgConnectOptions, keys: &Path, names: &[&str]) -> Passed {
    let owner = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.clone());
    let (projector, keeper) = (pool(database, Role::Projector, 12), pool(database, Role::Keeper, 4));
    let masters = MasterKeys::load_or_create(&keys.join("master.key")).expect("the master key");
    let (vault, _) = Vault::open(keeper.clone(), masters).await.expect("the keys");
    checkpoint(database).await;
    let (begun, mut events) = (Instant::now(), 0);
    rebuild(&owner, &projector, &vault, clock::now, names, |progress| events = progress.position)
        .await
        .expect("rebuilt");
    let took = begun.elapsed();
    for pool in [owner, projector, keeper] {
        pool.close().await;
    }
    Passed { events, took }
}
