//! The command line: `tenure serve`, and what an operator needs beside it.

mod database;
mod master_key;
mod migrate;
mod operator_key;
mod projections;
mod rebuild;
mod serve;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Flags, Settings};

/// Who belongs to which workspace, in which role, since when and by whose hand.
#[derive(Debug, Parser)]
#[command(name = "tenure", version, about, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  tenure serve                                  run on its own PostgreSQL, data under ./.tenure
  tenure serve --listen 0.0.0.0:7373            listen on every address
  tenure serve --database-url postgres://…      run on a PostgreSQL of yours (15 or later)
  tenure operator-key                           show the operator key
  tenure operator-key --rotate                  replace it
  tenure master-key rotate                      wrap every key in the database with a new master key
  tenure projections                            position, lag and parked workspaces of every read model
  tenure rebuild members                        rebuild a read model beside the live one

Settings come from flags, then TENURE_* environment variables, then tenure.toml.";

const SERVE: &str = "\
Examples:
  tenure serve
  TENURE_LISTEN=127.0.0.1:8080 tenure serve --data-dir /var/lib/tenure
  TENURE_RATE_LIMITS='token=30/100, code=10/50' TENURE_TRUSTED_PROXIES=10.0.0.0/8 tenure serve

Rate limits are requests per minute with one credential / from one address (IPv6: /64), on the
routes of a class: token (120/1200), code (60/600), invitation (600/6000), session (240/2400).
`off` turns all off. Every process counts by itself. Behind a proxy, name its network: otherwise
all its clients have one address, the proxy's.";

const MASTER_KEY: &str = "\
Examples:
  tenure master-key status
  tenure master-key rotate
  tenure master-key retire";

#[derive(Debug, Args)]
struct Common {
    /// Where keys and, without a database URL, the database are kept [default: ./.tenure]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// A PostgreSQL 15 or later; without one Tenure runs its own
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Settings file [default: tenure.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the HTTP API
    #[command(after_help = SERVE)]
    Serve {
        /// Where to listen [default: 127.0.0.1:7373]
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
    },
    /// Prepare a database, or say which rights are missing
    #[command(after_help = "Example:\n  tenure migrate --database-url postgres://tenure@db.example/tenure")]
    Migrate,
    /// Show the operator key, or replace it
    #[command(after_help = "Examples:\n  tenure operator-key\n  tenure operator-key --rotate")]
    OperatorKey {
        /// Make a new key; the old one is dead within a second
        #[arg(long)]
        rotate: bool,
    },
    /// Show, rotate or retire the master keys, which wrap the keys in the database
    #[command(after_help = MASTER_KEY)]
    MasterKey {
        #[command(subcommand)]
        task: master_key::Task,
    },
    /// Show position, lag and parked workspaces of every read model
    #[command(after_help = "Examples:\n  tenure projections\n  tenure projections --retry-parked")]
    Projections {
        /// Try parked workspaces again, from the event that stopped them
        #[arg(long)]
        retry_parked: bool,
    },
    /// Rebuild read models beside the live ones, then swap
    #[command(after_help = "Examples:\n  tenure rebuild members\n  tenure rebuild --all")]
    Rebuild {
        /// workspaces, members, invitations, users or `audit_log`
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Every read model
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
}

/// Runs what the command line says.
#[allow(clippy::print_stderr, reason = "this is where errors meet the person who typed")]
pub async fn run() -> ExitCode {
    let cli = Cli::parse();
    let listen = match &cli.command {
        Command::Serve { listen } => listen.clone(),
        _ => None,
    };
    let flags = Flags { listen, data_dir: cli.common.data_dir, database_url: cli.common.database_url };
    let outcome = match Settings::read(&flags, cli.common.config.as_deref()) {
        Ok(settings) => dispatch(cli.command, settings).await,
        Err(error) => Err(anyhow::anyhow!("{error}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tenure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(command: Command, settings: Settings) -> anyhow::Result<()> {
    match command {
        Command::Serve { .. } => serve::run(settings).await,
        Command::Migrate => migrate::run(settings).await,
        Command::OperatorKey { rotate } => operator_key::run(&settings, rotate),
        Command::MasterKey { task } => master_key::run(settings, task).await,
        Command::Projections { retry_parked } => projections::run(settings, retry_parked).await,
        Command::Rebuild { names, all } => rebuild::run(settings, names, all).await,
    }
}

/// Logs go to standard error; what a command prints, to standard output.
fn log_to_stderr(settings: &Settings) -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log)
        .map_err(|error| anyhow::anyhow!("TENURE_LOG: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}
