//! The command line: `tenure serve`, and what an operator needs beside it.

mod audit;
mod database;
mod deliveries;
mod master_key;
mod migrate;
mod operator_key;
mod projections;
mod rebuild;
mod replay;
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
  tenure deliveries --status failed             mail and webhooks that did not arrive, and why
  tenure audit export WORKSPACE -o log.ndjson   a workspace's audit log as a file
  tenure replay acme                            the history of a workspace, as a story
  tenure rebuild members                        rebuild a read model beside the live one
  tenure audit verify export.ndjson …           check an export against a signed checkpoint, offline

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

const REPLAY: &str = "\
Examples:
  tenure replay acme                                       by its slug
  tenure replay 0197a1c0-5b3e-7d4a-9c1e-2f60b4a7d911       by its id
  tenure replay acme --as-of 2026-05-31T23:59:59Z          up to the end of May, and how it stood then
  tenure replay acme --as-of 1204                          up to a position of the log
  tenure replay acme --json | jq 'select(.action == \"membership.started\")'

One line per event: when, its number in the workspace (#seq), who, and what. People are named as they
were called then. At the end: the workspace, its members, roles and open invitations.";

const DELIVERIES: &str = "\
Examples:
  tenure deliveries                                          the newest, and how much waits
  tenure deliveries --status failed --channel mail
  tenure deliveries --workspace 0197a1c0-5b3e-7d4a-9c1e-2f60b4a7d911 --json
  tenure deliveries show 5f0f7a52-3c58-5b0e-9a43-0d1c6a1d2b77
  tenure deliveries retry 5f0f7a52-3c58-5b0e-9a43-0d1c6a1d2b77
  tenure deliveries retry --status failed --channel webhook

What was delivered or given up is kept for 30 days.";

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
    /// Show mail and webhooks that wait, arrived or failed, and try them again
    #[command(after_help = DELIVERIES)]
    Deliveries(deliveries::Deliveries),
    /// Tell the history of a workspace, and how it ends
    #[command(after_help = REPLAY)]
    Replay {
        /// Its id, or its slug
        workspace: String,
        /// Stop at this position of the log, or at this instant (RFC 3339)
        #[arg(long, value_name = "POSITION|TIME")]
        as_of: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Rebuild read models beside the live ones, then swap
    #[command(after_help = "Examples:\n  tenure rebuild members\n  tenure rebuild --all")]
    Rebuild {
        /// Those that `tenure projections` lists
        #[arg(required_unless_present = "all")]
        names: Vec<String>,
        /// Every read model
        #[arg(long, conflicts_with = "names")]
        all: bool,
    },
    /// For auditors: export a workspace's history, and check it offline
    Audit {
        #[command(subcommand)]
        command: audit::AuditCommand,
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
    let settings =
        || Settings::read(&flags, cli.common.config.as_deref()).map_err(|error| anyhow::anyhow!("{error}"));
    match dispatch(cli.command, settings).await {
        Ok(status) => status,
        Err(error) => {
            eprintln!("tenure: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn dispatch(
    command: Command,
    settings: impl FnOnce() -> anyhow::Result<Settings>,
) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { .. } => serve::run(settings()?).await?,
        Command::Migrate => migrate::run(settings()?).await?,
        Command::OperatorKey { rotate } => operator_key::run(&settings()?, rotate)?,
        Command::MasterKey { task } => master_key::run(settings()?, task).await?,
        Command::Projections { retry_parked } => projections::run(settings()?, retry_parked).await?,
        Command::Deliveries(asked) => deliveries::run(settings()?, asked).await?,
        Command::Replay { workspace, as_of, json } => {
            replay::run(settings()?, replay::Replay { workspace, as_of, json }).await?;
        }
        Command::Rebuild { names, all } => rebuild::run(settings()?, names, all).await?,
        // Its exit status says more than that it failed, and it may have to do without settings.
        Command::Audit { command } => return Ok(audit::run(command, settings).await),
    }
    Ok(ExitCode::SUCCESS)
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
