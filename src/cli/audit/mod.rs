//! `tenure audit`: what an auditor needs, straight from the database.

mod export;
mod file;

use clap::Subcommand;

use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Write a workspace's audit log to a file
    #[command(after_help = export::EXAMPLES)]
    Export(export::Export),
}

pub(super) async fn run(command: Command, settings: Settings) -> anyhow::Result<()> {
    match command {
        Command::Export(export) => export.run(settings).await,
    }
}
