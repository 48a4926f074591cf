//! `tenure projections`: where every read model stands.

use sqlx::PgPool;
use tenure_aggregates::WorkspaceId;

use super::database::Database;
use crate::config::Settings;
use crate::data_keys::Vault;
use crate::database::{Role, migrate, pool};
use crate::projector::{parked, retry_parked, status};

pub(super) async fn run(settings: Settings, retry: bool) -> anyhow::Result<()> {
    super::log_to_stderr(&settings)?;
    let database = Database::open(&settings, true).await?;
    let projector = pool(&database.options, Role::Projector, 2);
    let keeper = pool(&database.options, Role::Keeper, 2);
    let outcome = async {
        migrate(&database.options).await?;
        if !retry {
            return show(&projector).await;
        }
        let vault = Vault::open(keeper.clone(), settings.master_keys()?).await?.0;
        retry_all(&projector, &vault).await
    };
    let outcome = outcome.await;
    projector.close().await;
    keeper.close().await;
    database.close().await;
    outcome
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
async fn show(projector: &PgPool) -> anyhow::Result<()> {
    println!(
        "{:<12} {:>10} {:<8} {:>7} {:>12} {:>8} {:>6}  moved at",
        "read model", "generation", "state", "version", "position", "lag", "parked"
    );
    for row in status(projector).await? {
        println!(
            "{:<12} {:>10} {:<8} {:>7} {:>12} {:>8} {:>6}  {}",
            row.name,
            row.generation,
            row.state,
            row.version,
            row.position,
            row.lag,
            row.parked,
            row.moved_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
        );
    }
    for stopped in parked(projector).await? {
        println!(
            "parked: {} of workspace {} at position {}: {}",
            stopped.name, stopped.workspace_id, stopped.position, stopped.error
        );
    }
    Ok(())
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
async fn retry_all(projector: &PgPool, vault: &Vault) -> anyhow::Result<()> {
    let waiting = parked(projector).await?;
    if waiting.is_empty() {
        println!("Nothing is parked.");
    }
    let mut failed = 0;
    for stopped in &waiting {
        let (name, workspace) = (&stopped.name, stopped.workspace_id);
        match retry_parked(projector, vault, name, WorkspaceId(workspace)).await {
            Ok(applied) => println!("{name} of workspace {workspace}: {applied} events applied."),
            // One that is still ill keeps no other from going on.
            Err(error) => {
                failed += 1;
                println!("{name} of workspace {workspace}: still parked: {error}");
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {} are still parked", waiting.len());
    Ok(())
}
