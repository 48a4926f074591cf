//! The workspaces that begin within a batch: nothing of them can be stored yet, so nothing needs to be looked for.

use std::collections::HashSet;

use tenure_aggregates::WorkspaceId;

use crate::recorded::{Event, Recorded};

pub(crate) fn newborn(batch: &[Recorded]) -> HashSet<WorkspaceId> {
    let born = batch.iter().filter(|recorded| recorded.begins());
    born.filter(|recorded| matches!(recorded.event, Event::Workspace(_)))
        .map(|recorded| recorded.workspace_id)
        .collect()
}
