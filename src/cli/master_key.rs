//! `tenure master-key`: which master keys are in use, a new one, and the end of old ones.
//!
//! A rotation puts a new key before the others in the file, then wraps every key in the database anew. Running servers
//! follow the file. Each step may be cut off and done again: the old keys stay until they are retired.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{bail, ensure};
use clap::Subcommand;
use indicatif::ProgressBar;
use sqlx::PgPool;

use super::database::Database;
use crate::config::Settings;
use crate::data_keys::{Vault, Wrapping, rewrap, wrappings};
use crate::database::{Role, migrate, pool};
use crate::secrets::MasterKeys;

/// Longer than a running server takes to see that the file changed, and to finish what it writes meanwhile.
const SETTLED: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, Subcommand)]
pub(super) enum Task {
    /// Show the master keys and how many keys each wraps
    #[command(after_help = "Example:\n  tenure master-key status")]
    Status,
    /// Make a new master key and wrap every key with it; goes on where an earlier rotation was cut off
    #[command(after_help = ROTATE)]
    Rotate,
    /// Remove the earlier master keys, once nothing is wrapped by them any more
    #[command(after_help = RETIRE)]
    Retire,
}

const ROTATE: &str = "\
Examples:
  tenure master-key rotate
  TENURE_MASTER_KEY=$new TENURE_PREVIOUS_MASTER_KEYS=$old tenure master-key rotate

Servers that run keep running: they see the new file within a second. Where the keys come from the
environment, restart the servers with the new key and the old one behind it first; this then wraps
everything with the new one. Back the new file up before you retire the old key.";

const RETIRE: &str = "\
Example:
  tenure master-key retire

A backup of the database from before the rotation needs the master key of that time: keep it as long
as the backup.";

pub(super) async fn run(settings: Settings, task: Task) -> anyhow::Result<()> {
    super::log_to_stderr(&settings)?;
    let database = Database::open(&settings, true).await?;
    let keeper = pool(&database.options, Role::Keeper, 2);
    let outcome = async {
        migrate(&database.options).await?;
        let masters = settings.master_keys()?;
        // Says so if this is not the database's master key.
        Vault::open(keeper.clone(), masters.clone()).await?;
        match task {
            Task::Status => show(&masters, &wrappings(&keeper).await?),
            Task::Rotate => rotate(&keeper, masters).await?,
            Task::Retire => retire(&keeper, masters).await?,
        }
        Ok(())
    };
    let outcome = outcome.await;
    keeper.close().await;
    database.close().await;
    outcome
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn show(masters: &MasterKeys, wrappings: &[Wrapping]) {
    for (at, key) in masters.all().iter().enumerate() {
        let of_key = wrappings.iter().find(|wrapping| wrapping.master == key.id());
        let state = if at == 0 { "current" } else { "earlier" };
        println!("{} {state}  wraps {} keys", hex(&key.id()), of_key.map_or(0, |wrapping| wrapping.keys));
    }
    for unknown in wrappings.iter().filter(|wrapping| masters.by_id(&wrapping.master).is_none()) {
        println!("{} missing  wraps {} keys", hex(&unknown.master), unknown.keys);
    }
}

/// How many keys are not wrapped by the current master key.
fn left(masters: &MasterKeys, wrappings: &[Wrapping]) -> i64 {
    let current = masters.current().id();
    wrappings.iter().filter(|wrapping| wrapping.master != current).map(|wrapping| wrapping.keys).sum()
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
async fn rotate(keeper: &PgPool, mut masters: MasterKeys) -> anyhow::Result<()> {
    let unfinished = left(&masters, &wrappings(keeper).await?);
    if unfinished > 0 {
        println!("{unfinished} keys are wrapped by an earlier master key; going on with these.");
    } else if let Some(file) = masters.file().map(PathBuf::from) {
        masters = MasterKeys::add_new(&file)?;
        println!("A new master key {} stands in {}.", hex(&masters.current().id()), file.display());
        // Not needed to be right: it spares the servers that run a second look at the file.
        tokio::time::sleep(SETTLED).await;
    } else {
        bail!(
            "the master key comes from the environment: put a new one into TENURE_MASTER_KEY and this one into \
             TENURE_PREVIOUS_MASTER_KEYS, restart the servers, and say this again"
        );
    }
    let bar = std::io::stderr().is_terminal().then(|| ProgressBar::new(unfinished.unsigned_abs()));
    let done = rewrap(keeper, &masters, |done| match &bar {
        Some(bar) => bar.set_position(done),
        None => println!("{done} keys"),
    });
    let done = done.await?;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    println!("{done} keys and the root key are wrapped by {}.", hex(&masters.current().id()));
    println!("Back the master key up; then `tenure master-key retire` removes the earlier ones.");
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
async fn retire(keeper: &PgPool, masters: MasterKeys) -> anyhow::Result<()> {
    let Some(file) = masters.file().map(PathBuf::from) else {
        bail!(
            "the master keys come from the environment: take the old ones out of TENURE_PREVIOUS_MASTER_KEYS"
        );
    };
    if masters.all().len() == 1 {
        println!("There is no earlier master key.");
        return Ok(());
    }
    refuse_if_needed(&masters, keeper).await?;
    // What a server was writing when the keys were counted is there by then.
    tokio::time::sleep(SETTLED).await;
    refuse_if_needed(&masters, keeper).await?;
    ensure!(MasterKeys::load_or_create(&file)? == masters, "{} was changed meanwhile", file.display());
    MasterKeys::keep_current(&file)?;
    println!("{} earlier master keys removed from {}.", masters.all().len() - 1, file.display());
    Ok(())
}

async fn refuse_if_needed(masters: &MasterKeys, keeper: &PgPool) -> anyhow::Result<()> {
    let left = left(masters, &wrappings(keeper).await?);
    ensure!(
        left == 0,
        "{left} keys are still wrapped by an earlier master key: `tenure master-key rotate` first"
    );
    Ok(())
}

fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}
