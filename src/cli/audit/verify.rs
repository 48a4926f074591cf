//! `tenure audit verify`: whether a history is the one that was signed, and if not, where it is not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tenure_aggregates::WorkspaceId;
use tenure_projections::proofs::Hash;

use super::checker::{Checker, Entry, Verified};
use super::checkpoints::{Checkpoints, Distrust};
use super::export_line::{ExportLine, parse_hash};
use super::finding::{Finding, Place, Wrong};
use super::{Unusable, VerifyArgs, stored_log};
use crate::checkpoints::VerifierKey;
use crate::cli::database::Database;
use crate::config::Settings;
use crate::database::{Role, pool};

/// Longer than any line of an export, and short enough to be held.
const LONGEST_LINE: u64 = 16 << 20;

/// Whether all is well. An error is what could not be judged.
pub(super) async fn run(
    args: &VerifyArgs,
    settings: impl FnOnce() -> anyhow::Result<Settings>,
) -> anyhow::Result<bool> {
    let checkpoints = match checkpoints(args)? {
        Ok(checkpoints) => checkpoints,
        Err(distrust) => return Ok(say_bad(&distrust)),
    };
    let hashes = args.hashes.as_deref().map(read_hashes).transpose()?;
    let mut checker = Checker::new(checkpoints.clone());
    let outcome = match (&args.export, args.workspace) {
        (Some(file), _) => check_export(file, hashes.as_deref(), &mut checker)?,
        (None, Some(workspace)) => {
            let workspace = WorkspaceId(workspace);
            if checkpoints.workspace.is_some_and(|other| other != workspace) {
                anyhow::bail!(Unusable("the checkpoint is of another workspace".to_owned()));
            }
            check_database(&settings()?, workspace, &mut checker).await?
        }
        (None, None) => anyhow::bail!(Unusable("there is nothing to check".to_owned())),
    };
    let vouched = checker.vouched();
    let outcome = outcome.and_then(|()| checker.finish());
    Ok(match outcome {
        Ok(verified) if verified.size == 0 => anyhow::bail!(Unusable("there is no entry in it".to_owned())),
        Ok(verified) => say_good(args, &checkpoints, &verified),
        Err(finding) => {
            say_bad(&finding);
            say_vouched(&checkpoints, vouched)
        }
    })
}

fn checkpoints(args: &VerifyArgs) -> anyhow::Result<Result<Checkpoints, Distrust>> {
    let Some(checkpoint) = &args.checkpoint else { return Ok(Ok(Checkpoints::default())) };
    let key = VerifierKey::parse(args.key.as_deref().unwrap_or_default())?;
    let files: Vec<&Path> = std::iter::once(checkpoint).chain(&args.earlier).map(PathBuf::as_path).collect();
    Checkpoints::read(&key, &files)
}

fn check_export(
    file: &Path,
    hashes: Option<&[Hash]>,
    checker: &mut Checker,
) -> anyhow::Result<Result<(), Finding>> {
    let name = file.display();
    let mut reader = BufReader::new(File::open(file).with_context(|| name.to_string())?);
    let mut bytes = Vec::new();
    for number in 1.. {
        bytes.clear();
        let read = reader.by_ref().take(LONGEST_LINE).read_until(b'\n', &mut bytes);
        if read.with_context(|| name.to_string())? == 0 {
            break;
        }
        let mut entry = match ExportLine::parse(&bytes) {
            Ok(line) => line.entry(number),
            // What has not even a first entry is something else.
            Err(error) if number == 1 => anyhow::bail!(Unusable(format!("{name} is no export: {error}"))),
            Err(error) => {
                let place = Place::Entry { seq: number, line: Some(number) };
                return Ok(Err(Finding { place, what: Wrong::Unreadable(error.to_string()) }));
            }
        };
        keep(&mut entry, hashes);
        if let Err(finding) = checker.push(&entry) {
            return Ok(Err(finding));
        }
    }
    Ok(Ok(()))
}

/// Hashes that the auditor kept count for more than those that came with the export.
fn keep(entry: &mut Entry, hashes: Option<&[Hash]>) {
    if let Some(hashes) = hashes {
        let at = usize::try_from(entry.seq.saturating_sub(1)).unwrap_or(usize::MAX);
        entry.tree = hashes.get(at).map(|hash| vec![*hash]);
    }
}

fn read_hashes(file: &Path) -> anyhow::Result<Vec<Hash>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let hashes = text.lines().enumerate().map(|(at, line)| {
        let unusable = || Unusable(format!("{}, line {}: this is no hash", file.display(), at + 1));
        parse_hash(line.trim()).ok_or_else(unusable)
    });
    Ok(hashes.collect::<Result<_, _>>()?)
}

async fn check_database(
    settings: &Settings,
    workspace: WorkspaceId,
    checker: &mut Checker,
) -> anyhow::Result<Result<(), Finding>> {
    let database = Database::open(settings, true).await?;
    let service = pool(&database.options, Role::Service, 1);
    let outcome = stored_log::check(&service, workspace, checker).await;
    service.close().await;
    database.close().await;
    Ok(outcome?)
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn say_good(args: &VerifyArgs, checkpoints: &Checkpoints, verified: &Verified) -> bool {
    let Verified { size, root, last } = verified;
    let subject = match &args.export {
        Some(file) => file.display().to_string(),
        None => "the log in the database".to_owned(),
    };
    if let (Some(workspace), Some(key)) = (checkpoints.workspace, args.key.as_deref()) {
        println!("Verified: {subject} holds {size} entries of workspace {workspace},");
        println!("  all of them, in order and unchanged, as signed by {}.", key.trim());
    } else {
        println!("{subject}: {size} entries, and the tree fits them.");
        println!("  Nothing from outside vouches for either: give a checkpoint that you kept.");
    }
    println!("  root {root}");
    for checkpoint in &checkpoints.all {
        println!("  {}: {} entries, the beginning of this history", checkpoint.name, checkpoint.size);
    }
    if let Some((position, time)) = last {
        println!("  the last one is of {}, at position {position}", time.to_rfc3339());
    }
    true
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn say_bad(finding: &impl std::fmt::Display) -> bool {
    println!("NOT VERIFIED: {finding}");
    false
}

#[allow(clippy::print_stdout, reason = "this is what the command is for")]
fn say_vouched(checkpoints: &Checkpoints, vouched: u64) -> bool {
    match checkpoints.all.iter().find(|checkpoint| checkpoint.size == vouched) {
        Some(checkpoint) => println!("  Entries 1 to {vouched} are as signed in {}.", checkpoint.name),
        None => println!("  No earlier checkpoint vouches for what is before it."),
    }
    false
}
