//! The workspaces that begin within a batch: nothing of them can be stored yet, so nothing needs to be looked for.

use std::collections::HashSet;

use tenure_aggregates::WorkspaceId;
use tenure_aggregates::workspace::WorkspaceEvent;

use crate::recorded::{Event, Recorded};

/// The first event of its stream: a workspace that is created once more has rows of the life before.
pub(crate) fn newborn(batch: &[Recorded]) -> HashSet<WorkspaceId> {
    let created = |recorded: &&Recorded| {
        matches!(recorded.event, Event::Workspace(WorkspaceEvent::WorkspaceCreated { .. }))
    };
    let born = batch.iter().filter(created).filter(|recorded| recorded.begins());
    born.map(|recorded| recorded.workspace_id).collect()
}
