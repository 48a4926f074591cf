//! Poison: an event a projection cannot apply parks its workspace in that projection, in order; all others go on.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use sqlx::{Connection, PgConnection, PgPool};
use tenure_aggregates::{Time, WorkspaceId};
use tenure_projections::projection::named;
use tenure_projections::{Opened, Recorded, Undecodable};
use uuid::Uuid;

use super::checkpoint::{Lane, State, lock, wait_for_live};
use super::error::{Error, poison};
use super::reader;
use crate::data_keys::Vault;

impl Lane {
    /// Of a stretch, what this lane has yet to apply: no earlier events, and none of a workspace that waits.
    pub(super) fn due<'a>(&self, events: &'a [Recorded]) -> Cow<'a, [Recorded]> {
        let due = &events[events.partition_point(|event| event.position <= self.position)..];
        let waits = |event: &Recorded| {
            self.parked.get(&event.workspace_id.into()).is_some_and(|at| event.position >= *at)
        };
        if self.parked.is_empty() || !due.iter().any(waits) {
            return Cow::Borrowed(due);
        }
        Cow::Owned(due.iter().filter(|event| !waits(event)).cloned().collect())
    }

    /// Applies what can be applied: halves the stretch until single events are left that cannot, and parks those.
    pub(super) async fn apply_around_poison(
        &mut self,
        conn: &mut PgConnection,
        events: &[Recorded],
        now: Time,
    ) -> Result<(), Error> {
        let mut pieces = vec![events];
        while let Some(piece) = pieces.pop() {
            let due = self.due(piece);
            if due.is_empty() {
                continue;
            }
            let mut savepoint = conn.begin().await?;
            match self.projection.apply(&mut savepoint, &due).await {
                Ok(()) => savepoint.commit().await?,
                Err(error) if !poison(&error) => return Err(error.into()),
                Err(error) => {
                    savepoint.rollback().await?;
                    if let [event] = &*due {
                        self.park(conn, event.workspace_id, event.position, &error.to_string(), now).await?;
                    } else {
                        let (first, second) = piece.split_at(piece.len() / 2);
                        pieces.extend([second, first]);
                    }
                }
            }
        }
        Ok(())
    }

    /// Parks the workspaces whose events cannot be read.
    pub(super) async fn park_undecodable(
        &mut self,
        conn: &mut PgConnection,
        undecodable: &[Undecodable],
        now: Time,
    ) -> Result<(), Error> {
        for event in undecodable {
            if event.position > self.position && !self.parked.contains_key(&event.workspace_id.into()) {
                self.park(&mut *conn, event.workspace_id, event.position, &event.to_string(), now).await?;
            }
        }
        Ok(())
    }

    async fn park(
        &mut self,
        conn: &mut PgConnection,
        workspace: WorkspaceId,
        position: i64,
        error: &str,
        now: Time,
    ) -> Result<(), Error> {
        sqlx::query!(
            "insert into projection_parked (workspace_id, name, generation, position, error, parked_at)
             values ($1, $2, $3, $4, $5, $6)",
            workspace.0,
            self.projection.name,
            self.generation,
            position,
            error,
            now
        )
        .execute(conn)
        .await?;
        self.parked.insert(workspace.into(), position);
        tracing::error!(
            projection = self.projection.name,
            %workspace,
            position,
            error,
            "an event could not be applied: its workspace is parked in this read model until somebody mends it"
        );
        Ok(())
    }
}

/// Who waits in the live read models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// From which position on a workspace is not shown, in the read model that stopped first.
    pub workspaces: HashMap<Uuid, i64>,
    /// How many workspaces wait, by read model.
    pub models: BTreeMap<String, i64>,
}

impl<'a> FromIterator<(&'a str, Uuid, i64)> for Waiting {
    fn from_iter<I: IntoIterator<Item = (&'a str, Uuid, i64)>>(parked: I) -> Self {
        let mut waiting = Self::default();
        for (model, workspace, position) in parked {
            let first = waiting.workspaces.entry(workspace).or_insert(position);
            *first = position.min(*first);
            *waiting.models.entry(model.to_owned()).or_default() += 1;
        }
        waiting
    }
}

impl Waiting {
    pub(super) fn in_lanes(lanes: &[Lane]) -> Self {
        let of = |lane: &'_ Lane| {
            let name = lane.projection.name;
            let parked: Vec<_> = lane.parked.iter().map(|(workspace, at)| (name, *workspace, *at)).collect();
            parked
        };
        lanes.iter().flat_map(of).collect()
    }

    pub(super) async fn read(projector: &PgPool) -> Result<Self, sqlx::Error> {
        let parked = parked(projector).await?;
        Ok(parked.iter().map(|one| (one.name.as_str(), one.workspace_id, one.position)).collect())
    }

    /// Counted once per read model.
    pub fn total(&self) -> i64 {
        self.models.values().sum()
    }
}

/// A workspace that waits in a live read model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    pub name: String,
    pub workspace_id: Uuid,
    pub position: i64,
    pub error: String,
    pub parked_at: Time,
}

/// Every workspace that waits. Needs a pool of the projector's role.
pub async fn parked(projector: &PgPool) -> Result<Vec<Parked>, sqlx::Error> {
    sqlx::query_as!(
        Parked,
        "select p.name, p.workspace_id, p.position, p.error, p.parked_at
         from projection_parked p
         join projection_checkpoints c on c.name = p.name and c.generation = p.generation and c.state = 'live'
         order by p.parked_at, p.name, p.workspace_id"
    )
    .fetch_all(projector)
    .await
}

/// After a fix: applies what the workspace missed, in order, in one transaction, and lets it go on with the others.
/// Answers how many events that were. If it fails again, nothing has changed.
pub async fn retry_parked(
    projector: &PgPool,
    vault: &Vault,
    name: &str,
    workspace: WorkspaceId,
) -> Result<u64, Error> {
    let projection = named(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
    let workspace: Uuid = workspace.into();
    let mut tx = projector.begin().await?;
    wait_for_live(&mut tx, &[projection.name]).await?;
    let (lanes, _) = lock(&mut tx, State::Live, &[projection.name]).await?;
    let lane = lanes.into_iter().next();
    let waiting =
        lane.and_then(|lane| lane.parked.get(&workspace).map(|from| (lane.generation, *from, lane.position)));
    let not_parked = || Error::NotParked { name: name.to_owned(), workspace };
    let (generation, from, to) = waiting.ok_or_else(not_parked)?;
    let (mut after_seq, mut count) = (0, 0);
    loop {
        let rows = reader::of_workspace(&mut tx, workspace, after_seq, (from, to)).await?;
        let Some(last) = rows.last() else { break };
        after_seq = last.workspace_seq;
        let opened = vault.open_events(rows).await?;
        let events = opened.into_iter().map(Opened::decode).collect::<Result<Vec<_>, _>>()?;
        projection.apply(&mut tx, &events).await?;
        count += events.len() as u64;
    }
    sqlx::query!(
        "delete from projection_parked where workspace_id = $1 and name = $2 and generation = $3",
        workspace,
        name,
        generation
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    tracing::info!(projection = name, %workspace, events = count, "a parked workspace goes on");
    Ok(count)
}
