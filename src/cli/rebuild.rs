//! `tenure rebuild`: fills read models anew beside the live ones, then swaps.

use std::io::IsTerminal;
use std::time::Instant;

use anyhow::bail;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::postgres::PgPoolOptions;
use tenure_projections::projection::{ALL, named};

use super::database::Database;
use crate::clock;
use crate::config::Settings;
use crate::data_keys::Vault;
use crate::database::{Role, migrate, pool};
use crate::projector::{Progress, rebuild};

pub(super) async fn run(settings: Settings, names: Vec<String>, all: bool) -> anyhow::Result<()> {
    super::log_to_stderr(&settings)?;
    let names: Vec<&str> = if all {
        ALL.iter().map(|projection| projection.name).collect()
    } else {
        names.iter().map(String::as_str).collect()
    };
    if let Some(unknown) = names.iter().find(|name| named(name).is_none()) {
        let known: Vec<&str> = ALL.iter().map(|projection| projection.name).collect();
        bail!("there is no read model {unknown}; there are {}", known.join(", "));
    }
    let database = Database::open(&settings, true).await?;
    let owner = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.options.clone());
    let projector = pool(&database.options, Role::Projector, 2);
    let keeper = pool(&database.options, Role::Keeper, 2);
    let outcome = async {
        migrate(&database.options).await?;
        let vault = Vault::open(keeper.clone(), settings.master_keys()?).await?.0;
        let mut shown = Shown::new();
        rebuild(&owner, &projector, &vault, clock::now, &names, |progress| shown.at(progress)).await?;
        shown.done(&names);
        Ok(())
    };
    let outcome = outcome.await;
    owner.close().await;
    projector.close().await;
    keeper.close().await;
    database.close().await;
    outcome
}

/// A bar on a terminal, plain lines elsewhere.
struct Shown {
    bar: Option<ProgressBar>,
    begun: Instant,
    said: Instant,
    position: i64,
}

impl Shown {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events  {per_sec}  {eta} left");
            ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, begun: Instant::now(), said: Instant::now(), position: 0 }
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    fn at(&mut self, progress: Progress) {
        self.position = progress.position;
        if let Some(bar) = &self.bar {
            bar.set_length(progress.head.unsigned_abs());
            bar.set_position(progress.position.unsigned_abs());
        } else if self.said.elapsed().as_secs() >= 2 {
            println!("{} of {} events", progress.position, progress.head);
            self.said = Instant::now();
        }
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    fn done(&self, names: &[&str]) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        println!(
            "Rebuilt {} from {} events in {:.1?}.",
            names.join(", "),
            self.position,
            self.begun.elapsed()
        );
    }
}
