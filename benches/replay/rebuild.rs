//! Rebuilding read models: all in one pass, and each alone. Each round times the whole command: tables made, filled,
//! indexed, analysed and swapped in.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tenure::clock;
use tenure::data_keys::Vault;
use tenure::database::{Role, pool};
use tenure::projector::rebuild;
use tenure::secrets::MasterKeys;
use tenure_projections::ALL;

use crate::Plan;

/// So many events, taken through in so long.
pub struct Line {
    pub what: String,
    pub events: i64,
    pub took: Duration,
}

impl Line {
    pub fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }
}

pub fn print(stock: &Line, rebuilt: &[Line]) {
    println!("| rebuild | events | events/s | vs stock |\n|---|---|---|---|");
    for line in std::iter::once(stock).chain(rebuilt) {
        let ratio = line.per_second() / stock.per_second();
        println!("| {} | {} | {:.0} | {ratio:.1}× |", line.what, line.events, line.per_second());
    }
    println!();
}

pub async fn measure(database: &PgConnectOptions, keys: &Path, plan: Plan) -> Vec<Line> {
    let all: Vec<&str> = ALL.iter().map(|projection| projection.name).collect();
    let mut lines = vec![timed(database, keys, "Tenure, all read models", &all, plan).await];
    for name in all {
        lines.push(timed(database, keys, &format!("Tenure, {name} alone"), &[name], plan).await);
    }
    lines
}

/// The median of the rounds.
async fn timed(database: &PgConnectOptions, keys: &Path, what: &str, names: &[&str], plan: Plan) -> Line {
    let mut runs = Vec::new();
    for _ in 0..plan.rounds.max(1) {
        runs.push(once(database, keys, names).await);
    }
    runs.sort_by_key(|(_, took)| *took);
    let (events, took) = runs[runs.len() / 2];
    let line = Line { what: what.to_owned(), events, took };
    eprintln!("{what}: {:.0} events/s", line.per_second());
    line
}

async fn once(database: &PgConnectOptions, keys: &Path, names: &[&str]) -> (i64, Duration) {
    let owner = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.clone());
    let projector = pool(database, Role::Projector, 12);
    let keeper = pool(database, Role::Keeper, 4);
    let masters = MasterKeys::load_or_create(&keys.join("master.key")).expect("the master key");
    let (vault, _) = Vault::open(keeper.clone(), masters).await.expect("the keys");
    sqlx::raw_sql("checkpoint").execute(&owner).await.expect("a checkpoint");
    let (begun, mut events) = (Instant::now(), 0);
    rebuild(&owner, &projector, &vault, clock::now, names, |progress| events = progress.position)
        .await
        .expect("rebuilt");
    let took = begun.elapsed();
    owner.close().await;
    projector.close().await;
    keeper.close().await;
    (events, took)
}
