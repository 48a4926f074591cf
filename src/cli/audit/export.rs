//! `tenure audit export`: a workspace's audit log as a file, read from the database itself.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{bail, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use sqlx::PgPool;
use tenure_aggregates::WorkspaceId;
use tenure_projections::{TenantTx, history};
use uuid::Uuid;

use super::file::{Destination, Stopped};
use crate::audit::export::{CHUNK, Chunk, Encoder, Format, Wanted};
use crate::audit::timeline::At;
use crate::cli::database::Database;
use crate::config::Settings;
use crate::data_keys::Vault;
use crate::database::{Role, migrate, pool};
use crate::resources::Outcome;

pub(super) const EXAMPLES: &str = "\
Examples:
  tenure audit export 0198c5f2-… --output acme.ndjson            every event, as the proofs need it
  tenure audit export 0198c5f2-… --output acme.ndjson --resume   go on where it stopped, or with what is new
  tenure audit export 0198c5f2-… --format csv --output acme.csv
  tenure audit export 0198c5f2-… --format parquet --output acme.parquet
  tenure audit export 0198c5f2-… --after 12000 | jq .action
  tenure audit export 0198c5f2-… --attempts                      with what was refused

Until it is complete, the file is called FILE.partial.";

#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The workspace's id
    workspace: Uuid,
    /// What the file is to be
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Only what stands after this `workspace_seq`
    #[arg(long, value_name = "SEQ", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    after: i64,
    /// Also what was refused; such lines are no part of the history that can be verified
    #[arg(long)]
    attempts: bool,
    /// Where to write it [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Go on with a file that is there, after its last whole line
    #[arg(long, requires = "output", conflicts_with_all = ["after", "attempts"])]
    resume: bool,
}

impl Export {
    pub(super) async fn run(self, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<()> {
        let settings = settings()?;
        crate::cli::log_to_stderr(&settings)?;
        ensure!(!self.resume || self.format != Format::Parquet, "a Parquet file cannot be gone on with");
        let database = Database::open(&settings, true).await?;
        let service = pool(&database.options, Role::Service, 2);
        let keeper = pool(&database.options, Role::Keeper, 2);
        let outcome = async {
            migrate(&database.options).await?;
            let vault = Vault::open(keeper.clone(), settings.master_keys()?).await?.0;
            self.export(&service, &vault).await
        };
        let outcome = outcome.await;
        service.close().await;
        keeper.close().await;
        database.close().await;
        outcome
    }

    async fn export(&self, service: &PgPool, vault: &Vault) -> anyhow::Result<()> {
        let workspace = WorkspaceId(self.workspace);
        let mut tx = TenantTx::begin(service, workspace).await?;
        let head = history::end(&mut tx).await?;
        tx.close().await?;
        if head == 0 {
            bail!("there is no workspace {workspace}");
        }
        let mut destination = match &self.output {
            Some(path) => Destination::file(path, self.format, self.resume)?,
            None => Destination::stdout(),
        };
        let Stopped { after, is_begun } = destination.stopped;
        let encoder = match Encoder::resume(self.format).filter(|_| is_begun) {
            Some(encoder) => encoder,
            None => Encoder::begin(self.format)?,
        };
        let after = if self.resume { after } else { self.after };
        let mut shown = Shown::new(after, head, self.output.is_some());
        self.write((service, vault), workspace, encoder, after, &mut destination, &mut shown).await?;
        destination.complete()?;
        shown.done(self.output.as_deref());
        Ok(())
    }

    async fn write(
        &self,
        (service, vault): (&PgPool, &Vault),
        workspace: WorkspaceId,
        mut encoder: Encoder,
        after: i64,
        destination: &mut Destination,
        shown: &mut Shown,
    ) -> anyhow::Result<()> {
        let outcome = if self.attempts { None } else { Some(Outcome::Done) };
        let wanted = Wanted { outcome, ..Wanted::default() };
        let mut at = At::event(after);
        loop {
            let mut tx = TenantTx::begin(service, workspace).await?;
            let chunk = Chunk::read(&mut tx, vault, &wanted, at, CHUNK).await?;
            tx.close().await?;
            at = chunk.last;
            shown.at(at.workspace_seq, chunk.lines.len());
            destination.write_all(&encoder.encode(chunk.lines)?)?;
            if chunk.is_last {
                return Ok(destination.write_all(&encoder.end()?)?);
            }
        }
    }
}

/// A bar on a terminal, plain lines elsewhere; what goes to standard output is left alone.
struct Shown {
    bar: Option<ProgressBar>,
    /// Whether there is a place for plain lines.
    plain: bool,
    begun: Instant,
    said: Instant,
    head: i64,
    lines: usize,
}

impl Shown {
    fn new(after: i64, head: i64, plain: bool) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = ProgressStyle::with_template("{bar:40} {pos}/{len} events  {per_sec}  {eta} left");
            let bar = ProgressBar::new(head.unsigned_abs());
            bar.set_position(after.unsigned_abs());
            bar.reset_eta();
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self { bar, plain, begun: Instant::now(), said: Instant::now(), head, lines: 0 }
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    fn at(&mut self, workspace_seq: i64, lines: usize) {
        self.lines += lines;
        if let Some(bar) = &self.bar {
            bar.set_length(self.head.max(workspace_seq).unsigned_abs());
            bar.set_position(workspace_seq.unsigned_abs());
        } else if self.plain && self.said.elapsed().as_secs() >= 2 {
            println!("{workspace_seq} of {} events", self.head.max(workspace_seq));
            self.said = Instant::now();
        }
    }

    #[allow(clippy::print_stdout, reason = "this is what the command is for")]
    fn done(&self, output: Option<&std::path::Path>) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Some(path) = output {
            println!("{} lines in {} after {:.1?}.", self.lines, path.display(), self.begun.elapsed());
        }
    }
}
