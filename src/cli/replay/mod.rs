//! `tenure replay`: the history of a workspace as a readable story, and where it ends.

mod ending;
mod names;
mod words;

use std::io::{self, Write};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, bail};
use sqlx::PgPool;
use tenure_aggregates::values::Slug;
use tenure_aggregates::{Claim, Time, WorkspaceId};
use tenure_projections::recorded::Opened;
use tenure_projections::{Logged, Recorded, TenantTx, history};

use super::database::Database;
use crate::clock;
use crate::config::Settings;
use crate::data_keys::Vault;
use crate::database::{Role, migrate, pool};
use crate::past::{Moment, Past};
use crate::projector::status;
use crate::resources::HistoryEntry;
use names::Names;

/// How many events are read, told and forgotten at a time.
const CHUNK: i64 = 500;
/// How long the read models are waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be told.
#[derive(Debug)]
pub(super) struct Replay {
    /// Its id, or its slug.
    pub(super) workspace: String,
    pub(super) as_of: Option<String>,
    pub(super) json: bool,
}

/// The pools, a transaction of which sees one workspace, or all.
struct Pools {
    service: PgPool,
    projector: PgPool,
    keeper: PgPool,
}

pub(super) async fn run(settings: Settings, replay: Replay) -> anyhow::Result<()> {
    super::log_to_stderr(&settings)?;
    let database = Database::open(&settings, true).await?;
    let pools = Pools {
        service: pool(&database.options, Role::Service, 2),
        projector: pool(&database.options, Role::Projector, 2),
        keeper: pool(&database.options, Role::Keeper, 2),
    };
    let outcome = async {
        migrate(&database.options).await?;
        let vault = Vault::open(pools.keeper.clone(), settings.master_keys()?).await?.0;
        replay.tell(&pools, &vault, &mut anstream::stdout()).await
    };
    let outcome = outcome.await;
    pools.service.close().await;
    pools.projector.close().await;
    pools.keeper.close().await;
    database.close().await;
    // Whoever reads no further has read enough.
    match outcome {
        Err(error) if broken_pipe(&error) => Ok(()),
        other => other,
    }
}

fn broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

impl Replay {
    async fn tell(&self, pools: &Pools, vault: &Vault, out: &mut impl Write) -> anyhow::Result<()> {
        let until = self.until(&pools.projector).await?;
        let workspace = self.workspace(until, vault, &pools.projector).await?;
        let known = known(&pools.projector, until.position).await?;
        let (mut after, mut told) = (0, false);
        loop {
            let mut tx = TenantTx::begin(&pools.service, workspace).await?;
            let events = history::page(&mut tx, after, CHUNK).await?;
            tx.close().await?;
            let read = events.len();
            let events: Vec<Logged> =
                events.into_iter().filter(|event| event.position <= until.position).collect();
            let Some(last) = events.last() else { break };
            (after, told) = (last.workspace_seq, true);
            let whole = i64::try_from(read) == Ok(CHUNK) && events.len() == read;
            self.chunk(pools, vault, events, out).await?;
            if !whole {
                break;
            }
        }
        if !told {
            bail!("there was no workspace {} by then", self.workspace);
        }
        let then = Past { position: known, ..until }.seen(vault);
        let mut tx = TenantTx::begin(&pools.service, workspace).await?;
        if self.json {
            ending::json(&mut tx, then, out).await
        } else {
            ending::text(&mut tx, then, out).await
        }
    }

    /// The moment at which to stop: the end of the log, unless told.
    async fn until(&self, projector: &PgPool) -> anyhow::Result<Past> {
        let head: i64 =
            sqlx::query_scalar!("select position from log_head where id = 1").fetch_one(projector).await?;
        let Some(as_of) = &self.as_of else { return Ok(Past { position: head, now: clock::now() }) };
        let moment = Moment::parse(as_of)
            .with_context(|| format!("--as-of {as_of}: expected a position or an instant (RFC 3339)"))?;
        match moment {
            Moment::Position(position) if position > head => {
                bail!("--as-of {position} is ahead of the log, which ends at {head}")
            }
            Moment::Time(time) if time > clock::now() => bail!("--as-of {as_of} lies in the future"),
            moment => Ok(Past::of(moment, projector).await?),
        }
    }

    /// The workspace of that id, or the one that held that slug then.
    async fn workspace(&self, until: Past, vault: &Vault, projector: &PgPool) -> anyhow::Result<WorkspaceId> {
        if let Ok(id) = self.workspace.parse() {
            return Ok(WorkspaceId(id));
        }
        let holder = match Slug::parse(&self.workspace) {
            Ok(slug) => until.holder_of(&Claim::slug(&vault.slug_hash(&slug)), projector).await?,
            Err(_) => None,
        };
        holder.with_context(|| format!("no workspace had the slug {} by then", self.workspace))
    }

    async fn chunk(
        &self,
        pools: &Pools,
        vault: &Vault,
        events: Vec<Logged>,
        out: &mut impl Write,
    ) -> anyhow::Result<()> {
        let events = vault.open_events(events).await?.into_iter().map(Opened::decode);
        let events = events.collect::<Result<Vec<Recorded>, _>>()?;
        let mut text = Vec::new();
        if self.json {
            for event in &events {
                serde_json::to_writer(&mut text, &HistoryEntry::of(event)?)?;
                text.push(b'\n');
            }
        } else {
            let names = Names::of(&pools.projector, vault, &events).await?;
            for event in &events {
                line(&mut text, event, &names)?;
            }
        }
        out.write_all(&text)?;
        Ok(())
    }
}

/// Up to where the read model knows names and states: the position itself, after a moment where a server is at work.
async fn known(projector: &PgPool, until: i64) -> anyhow::Result<i64> {
    let begun = Instant::now();
    loop {
        let rows = status(projector).await?.into_iter();
        let live =
            rows.filter(|row| row.name == "states" && row.state == "live").map(|row| row.position).min();
        let known = live.unwrap_or(0);
        if known >= until {
            return Ok(until);
        }
        if begun.elapsed() > PATIENCE {
            tracing::warn!(
                position = known,
                "the read model `states` is behind: names, and how it ends, are as of that position"
            );
            return Ok(known);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `2026-05-04 10:00:00Z  #12  Ada (ada)  made Bob (bob) admin, was member`
fn line(text: &mut impl Write, event: &Recorded, names: &Names) -> anyhow::Result<()> {
    let (dim, bold) = (Style::new().dimmed(), AnsiColor::Cyan.on_default());
    let (time, seq) = (instant(event.recorded_at), event.workspace_seq);
    let (who, what) = (words::actor(event, names), words::event(event, names)?);
    writeln!(text, "{dim}{time}  #{seq:<5}{dim:#}  {bold}{who}{bold:#}  {what}")?;
    Ok(())
}

/// An instant as people read it, to the second.
fn instant(time: Time) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}
