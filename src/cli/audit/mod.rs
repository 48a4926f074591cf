//! `tenure audit`: for auditors, who carry a history out and check it elsewhere.

mod checker;
#[cfg(test)]
mod checker_tests;
mod checkpoints;
mod export;
mod export_line;
mod file;
mod finding;
mod stored_log;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use uuid::Uuid;

use crate::config::Settings;

#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Write a workspace's audit log to a file
    #[command(after_help = export::EXAMPLES)]
    Export(export::Export),
    /// Check an export, or the log itself, against signed checkpoints
    #[command(after_help = VERIFY)]
    Verify(VerifyArgs),
}

const VERIFY: &str = "\
Examples:
  tenure audit verify export.ndjson --checkpoint now.txt --key \"$(cat tenure.vkey)\"
  tenure audit verify export.ndjson --checkpoint now.txt --key \"$(cat tenure.vkey)\" \\
      --earlier may.txt --earlier june.txt
  tenure audit verify --workspace 01890000-0000-7000-8000-000000000000 --checkpoint now.txt --key …

Works offline: with an export, neither data directory nor database is looked for. Checkpoints that
you kept narrow down where a changed history was changed; hashes that you kept with one (--hashes)
name the very entry. Each --earlier must be the beginning of this history.

Exit status: 0 verified, 1 not what was signed, 2 unusable input.";

#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    /// An export of a workspace's events, as NDJSON with a leaf in every line
    #[arg(value_name = "EXPORT", required_unless_present = "workspace")]
    export: Option<PathBuf>,
    /// Check the log and the tree in the database instead of an export
    #[arg(long, value_name = "ID", conflicts_with = "export")]
    workspace: Option<Uuid>,
    /// The signed checkpoint that covers what is checked
    #[arg(long, value_name = "FILE", required_unless_present = "workspace", requires = "key")]
    checkpoint: Option<PathBuf>,
    /// The verifier key that you pinned
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
    /// A checkpoint that you kept from before; as often as you like
    #[arg(long, value_name = "FILE", requires = "checkpoint")]
    earlier: Vec<PathBuf>,
    /// Leaf hashes that you kept, in hexadecimal, one a line
    #[arg(long, value_name = "FILE")]
    hashes: Option<PathBuf>,
}

/// Something that is neither good nor bad: it cannot be judged.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unusable(String);

/// Runs a command of `tenure audit`; settings are read only by what needs them.
#[allow(clippy::print_stderr, reason = "this is where errors meet the person who typed")]
pub(super) async fn run(
    command: AuditCommand,
    settings: impl FnOnce() -> anyhow::Result<Settings>,
) -> ExitCode {
    let outcome = match command {
        AuditCommand::Export(export) => export.run(settings).await.map(|()| true),
        AuditCommand::Verify(args) => verify::run(&args, settings).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("tenure: {error:#}");
            ExitCode::from(2)
        }
    }
}
