//! `tenure migrate`: prepares a database.

use super::database::Database;
use crate::config::Settings;
use crate::database::migrate;

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
pub(super) async fn run(settings: Settings) -> anyhow::Result<()> {
    super::log_to_stderr(&settings)?;
    let database = Database::open(&settings, true).await?;
    let outcome = migrate(&database.options).await;
    database.close().await;
    outcome?;
    println!("The database is ready.");
    Ok(())
}
