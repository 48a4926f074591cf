//! The checkpoints an auditor brings, once their signatures were found genuine.

use std::path::Path;

use tenure_aggregates::WorkspaceId;
use tenure_projections::proofs::Hash;

use super::Unusable;
use crate::checkpoints::VerifierKey;
use crate::checkpoints::verifier_key::Untrusted;

/// What a signature vouches for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Trusted {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) root: Hash,
}

/// Checkpoints of one workspace, smallest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Checkpoints {
    pub(super) workspace: Option<WorkspaceId>,
    pub(super) all: Vec<Trusted>,
}

/// A file that is not what it should be, or two that the signer cannot both have meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Distrust {
    #[error("{0}: {1}")]
    Untrusted(String, Untrusted),
    #[error(
        "{0} and {1} are both signed and of the same size, but have different roots: two histories were signed"
    )]
    TwoHistories(String, String),
}

impl Checkpoints {
    /// Reads files and opens them with the key; the first covers what is checked. What is signed wrongly is a finding;
    /// what cannot be a checkpoint of the log in question is unusable.
    pub(super) fn read(key: &VerifierKey, files: &[&Path]) -> anyhow::Result<Result<Self, Distrust>> {
        let mut opened = Self::default();
        for file in files {
            let name = file.display().to_string();
            let bytes = std::fs::read(file).map_err(|error| Unusable(format!("{name}: {error}")))?;
            match key.open(&bytes) {
                Ok((workspace, checkpoint)) => {
                    if opened.workspace.is_some_and(|other| other != workspace) {
                        anyhow::bail!(Unusable(format!("{name} is a checkpoint of another workspace")));
                    }
                    opened.workspace = Some(workspace);
                    let (size, root) = (checkpoint.size(), *checkpoint.hash());
                    opened.all.push(Trusted { name, size, root });
                }
                Err(error @ (Untrusted::Malformed | Untrusted::AnotherLog(_))) => {
                    anyhow::bail!(Unusable(format!("{name}: {error}")))
                }
                Err(error) => return Ok(Err(Distrust::Untrusted(name, error))),
            }
        }
        let covered = opened.all.first().map_or(0, |first| first.size);
        if let Some(larger) = opened.all.iter().find(|checkpoint| checkpoint.size > covered) {
            anyhow::bail!(Unusable(format!("{} is no earlier checkpoint: it covers more", larger.name)));
        }
        Ok(opened.sorted())
    }

    pub(super) fn sorted(mut self) -> Result<Self, Distrust> {
        self.all.sort_by_key(|checkpoint| checkpoint.size);
        for pair in self.all.windows(2) {
            if pair[0].size == pair[1].size && pair[0].root != pair[1].root {
                return Err(Distrust::TwoHistories(pair[0].name.clone(), pair[1].name.clone()));
            }
        }
        Ok(self)
    }
}
