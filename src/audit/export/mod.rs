//! The audit log as a file: chunk by chunk, so that memory does not grow with it.
//!
//! # Layout
//! - [`Chunk`] (here): some lines, and where to go on; [`Format`] and [`Encoder`]: lines to bytes
//! - `ndjson.rs`: entries as the list shows them, each with its proof leaf; `csv.rs`: for a spreadsheet, which it cannot
//!   make calculate; `parquet.rs`: for whoever has many; `columns.rs`: what is in a column of the last two
//!
//! Without filter an export is exactly the workspace's history, every event of it, so that it can be verified. Refused
//! attempts are no part of the history: they come only when they are asked for.

mod columns;
mod csv;
mod ndjson;
mod parquet;

use serde_json::{Map, Value};
use tenure_projections::audit_log::{Filter, action, describe};
use tenure_projections::leaf::leaf;
use tenure_projections::recorded::{Logged, Metadata, Opened};
use tenure_projections::{TenantTx, proofs};

use super::timeline::{self, At, Item};
use crate::data_keys::Vault;
use crate::resources::{AuditEntry, Outcome};
use crate::store::StoreError;

/// How many lines are read at a time.
pub const CHUNK: i64 = 500;

/// One line of an export.
#[derive(Debug)]
pub struct Line {
    pub entry: AuditEntry,
    /// Of an event, what its proof is about.
    pub leaf: Option<Leaf>,
}

/// What the proof of an event is about.
#[derive(Debug)]
pub struct Leaf {
    workspace_seq: i64,
    text: String,
    /// What the tree holds for it, in hexadecimal; nothing yet if the tree has not come to it.
    hash: Option<String>,
}

/// What is exported.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub filter: Filter,
    /// None for what was done and what was refused.
    pub outcome: Option<Outcome>,
}

/// Some lines, and the place of the last of them.
#[derive(Debug)]
pub struct Chunk {
    pub lines: Vec<Line>,
    pub last: At,
    /// Whether there was nothing more to read.
    pub is_last: bool,
}

impl Chunk {
    /// Reads on after a place, at most so many lines.
    pub async fn read(
        tx: &mut TenantTx,
        vault: &Vault,
        wanted: &Wanted,
        after: At,
        limit: i64,
    ) -> Result<Self, StoreError> {
        let items = timeline::oldest(tx, &wanted.filter, wanted.outcome, after, limit).await?;
        let last = items.last().map_or(after, |item| item.0);
        let is_last = i64::try_from(items.len()).is_ok_and(|read| read < limit);
        let mut lines = lines(vault, items.into_iter().map(|item| item.1)).await?;
        add_hashes(tx, &mut lines).await?;
        Ok(Self { lines, last, is_last })
    }
}

/// What the tree holds for each event; it is not computed anew, so that a changed leaf shows.
async fn add_hashes(tx: &mut TenantTx, lines: &mut [Line]) -> Result<(), StoreError> {
    let mut leaves: Vec<&mut Leaf> = lines.iter_mut().filter_map(|line| line.leaf.as_mut()).collect();
    let seqs: Vec<i64> = leaves.iter().map(|leaf| leaf.workspace_seq).collect();
    let hashes = proofs::leaf_hashes(tx, &seqs).await?;
    for leaf in &mut leaves {
        leaf.hash = hashes
            .get(&leaf.workspace_seq)
            .map(|hash| hash.0.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat());
    }
    Ok(())
}

/// Opens what is sealed; the order stays.
async fn lines(vault: &Vault, items: impl Iterator<Item = Item<Logged>>) -> Result<Vec<Line>, StoreError> {
    let (mut order, mut events, mut attempts) = (Vec::new(), Vec::new(), Vec::new());
    for item in items {
        order.push(matches!(item, Item::Done(_)));
        match item {
            Item::Done(event) => events.push(event),
            Item::Refused(attempt) => attempts.push(*attempt),
        }
    }
    let mut events = vault.open_events(events).await?.into_iter();
    let mut attempts = timeline::refused(vault, attempts).await?.into_iter();
    let mut lines = Vec::with_capacity(order.len());
    for is_event in order {
        if is_event {
            lines.extend(events.next().map(line).transpose()?);
        } else {
            lines.extend(attempts.next().map(|entry| Line { entry, leaf: None }));
        }
    }
    Ok(lines)
}

/// An event that this program cannot read stands in the export all the same, with what can be said of it.
fn line(event: Opened) -> Result<Line, StoreError> {
    let (workspace_seq, text) = (event.logged.workspace_seq, leaf(&event.logged));
    let leaf = Some(Leaf { workspace_seq, text, hash: None });
    let logged = event.logged.clone();
    let entry = match event.decode() {
        Ok(recorded) => describe(&recorded, &recorded.event)?.into(),
        Err(_) => undecodable(&logged),
    };
    Ok(Line { entry, leaf })
}

fn undecodable(event: &Logged) -> AuditEntry {
    let metadata: Option<Metadata> = serde_json::from_str(&event.metadata).ok();
    let kind = metadata.as_ref().map_or("unknown", |metadata| metadata.actor_type.as_str());
    AuditEntry::unread(
        event,
        kind,
        metadata.as_ref().and_then(|metadata| metadata.actor_id.clone()),
        action(&event.aggregate_type, &event.event_type),
        Value::Object(Map::new()),
    )
}

/// What the file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    #[default]
    Ndjson,
    Csv,
    Parquet,
}

impl Format {
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Ndjson, Self::Csv, Self::Parquet].into_iter().find(|format| format.extension() == text)
    }

    /// Its name, and how its files' names end.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Parquet => "parquet",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

/// Turns lines into the bytes of a file.
#[derive(Debug)]
pub enum Encoder {
    Ndjson,
    /// Whether the header is still to be written.
    Csv(bool),
    Parquet(Box<parquet::Groups>),
}

impl Encoder {
    /// From the beginning of a file.
    pub fn begin(format: Format) -> Result<Self, StoreError> {
        Ok(match format {
            Format::Ndjson => Self::Ndjson,
            Format::Csv => Self::Csv(true),
            Format::Parquet => Self::Parquet(Box::new(parquet::Groups::new()?)),
        })
    }

    /// To go on with a file that begins already; none can be gone on with that ends with an index.
    pub fn resume(format: Format) -> Option<Self> {
        match format {
            Format::Ndjson => Some(Self::Ndjson),
            Format::Csv => Some(Self::Csv(false)),
            Format::Parquet => None,
        }
    }

    /// The bytes of these lines, as far as they are due.
    pub fn encode(&mut self, lines: Vec<Line>) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Ndjson => ndjson::encode(&lines),
            Self::Csv(header) => csv::encode(&lines, std::mem::take(header)),
            Self::Parquet(groups) => groups.add(lines),
        }
    }

    /// What remains to be written at the end of the file.
    pub fn end(self) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Ndjson => Ok(Vec::new()),
            Self::Csv(header) => csv::encode(&[], header),
            Self::Parquet(groups) => groups.end(),
        }
    }
}

fn internal(error: impl std::fmt::Display) -> StoreError {
    StoreError::Internal(error.to_string())
}
