//! Finds out which workspaces the attempts are about, and writes those on workspaces that there are.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::TimeDelta;
use cqrs_es::Aggregate;
use sqlx::PgPool;
use tenure_aggregates::{Claim, Invitation, WorkspaceId};
use tenure_projections::attempts::{self, Attempt as Row};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tally::{Counted, Key, Rows, Waiting};
use super::{Action, Message, Place};
use crate::data_keys::{self, ATTEMPT, Owner, Vault};
use crate::store::origin::{Actor, OPERATOR};
use crate::{clock, ids};

/// How long an attempt waits at most until it can be read.
const EVERY: Duration = Duration::from_secs(1);
/// How long it waits for the read models.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often what is old is looked for.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// How long attempts are kept.
const KEPT: TimeDelta = TimeDelta::days(400);

pub(super) struct Writer {
    projector: PgPool,
    vault: Vault,
    applied: watch::Receiver<i64>,
    waiting: Waiting,
    rows: Rows,
}

impl Writer {
    pub(super) fn new(projector: PgPool, vault: Vault, applied: watch::Receiver<i64>) -> Self {
        Self { projector, vault, applied, waiting: Waiting::default(), rows: Rows::default() }
    }

    /// Runs until told to stop; what is noted by then is written.
    pub(super) async fn run(mut self, mut noted: mpsc::Receiver<Message>, stop: CancellationToken) {
        let mut due = tokio::time::interval(EVERY);
        let mut forget = tokio::time::interval(FORGET_EVERY);
        due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = noted.recv() => match message {
                    Some(message) => self.take(message).await,
                    None => return,
                },
                _ = due.tick() => self.write().await,
                _ = forget.tick() => self.forget().await,
                () = stop.cancelled() => break,
            }
        }
        while let Ok(message) = noted.try_recv() {
            self.take(message).await;
        }
        self.write().await;
    }

    async fn take(&mut self, message: Message) {
        match message {
            Message::Attempt(noted) => self.waiting.note(*noted),
            Message::Settle(tell) => {
                self.write().await;
                let _ = tell.send(());
            }
        }
    }

    async fn write(&mut self) {
        if let Err(error) = self.try_write().await {
            tracing::warn!(%error, "refused attempts could not be written; trying again later");
        }
    }

    async fn try_write(&mut self) -> Result<(), sqlx::Error> {
        if !self.waiting.is_empty() {
            // A workspace that was made just before is to be there.
            let (applied, seen) = (&mut self.applied, self.waiting.position());
            let _ = tokio::time::timeout(PATIENCE, applied.wait_for(|applied| *applied >= seen)).await;
            let workspaces = self.workspaces().await?;
            for (key, counted) in self.waiting.take() {
                let Some(workspace) = workspaces.get(&key.place) else { continue };
                let key = self.rows.own_or_rest(*workspace, key);
                if !self.rows.count(&key, &counted) {
                    let mut row = row(*workspace, &key, &counted);
                    row.origin = self.sealed_origin(&row, &counted).await;
                    self.rows.begin(key, row);
                }
            }
        }
        let due = self.rows.due();
        if !due.is_empty() {
            attempts::write(&self.projector, &due).await?;
        }
        self.rows.written(clock::now());
        Ok(())
    }

    /// The workspaces that there are of those the attempts are about.
    async fn workspaces(&self) -> Result<HashMap<Place, WorkspaceId>, sqlx::Error> {
        let mut found: HashMap<Place, Uuid> = HashMap::new();
        let mut streams = Vec::new();
        for place in self.waiting.places() {
            match place {
                Place::Workspace(workspace) => drop(found.insert(place.clone(), workspace.0)),
                Place::Invitation(id) => streams.push((Invitation::TYPE, id.to_string())),
                Place::InviteCode(hash) => streams.push((Claim::TYPE, Claim::invite_code(hash))),
            }
        }
        if !streams.is_empty() {
            let homes = attempts::homes(&self.projector, &streams).await?;
            let homes: HashMap<_, _> = homes.into_iter().map(|(kind, id, home)| ((kind, id), home)).collect();
            for place in self.waiting.places() {
                let stream = match place {
                    Place::Workspace(_) => continue,
                    Place::Invitation(id) => (Invitation::TYPE.to_owned(), id.to_string()),
                    Place::InviteCode(hash) => (Claim::TYPE.to_owned(), Claim::invite_code(hash)),
                };
                if let Some(home) = homes.get(&stream) {
                    found.insert(place.clone(), *home);
                }
            }
        }
        let asked: Vec<Uuid> = found.values().copied().collect::<HashSet<_>>().into_iter().collect();
        let there: HashSet<Uuid> = attempts::existing(&self.projector, &asked).await?.into_iter().collect();
        let there = found.into_iter().filter(|(_, workspace)| there.contains(workspace));
        Ok(there.map(|(place, workspace)| (place, WorkspaceId(workspace))).collect())
    }

    /// From where the first attempt came: sealed with the key of whoever it was, else of the workspace; so it goes when
    /// either goes. Without a key it is not written down.
    async fn sealed_origin(&self, row: &Row, counted: &Counted) -> Option<String> {
        if row.action == Action::Omitted.as_str() {
            return None;
        }
        let origin = &counted.first.origin;
        let owners = [origin.user().map(WorkspaceId::personal), Some(WorkspaceId(row.workspace_id))];
        let attempt = row.attempt_id.to_string();
        let place = place_of(row.workspace_id, &attempt);
        for owner in owners.into_iter().flatten() {
            match self.vault.live_key(Owner::Workspace(owner)).await {
                Ok(Some(key)) => {
                    return data_keys::origin(
                        &key,
                        place,
                        origin.ip.as_deref(),
                        origin.user_agent.as_deref(),
                    );
                }
                Ok(None) => {}
                Err(error) => tracing::warn!(%error, "the origin of a refused attempt could not be sealed"),
            }
        }
        None
    }

    async fn forget(&self) {
        if let Err(error) = attempts::forget(&self.projector, clock::now() - KEPT).await {
            tracing::warn!(%error, "old refused attempts could not be forgotten; trying again later");
        }
    }
}

fn place_of(workspace: Uuid, attempt: &str) -> data_keys::Place<'_> {
    data_keys::Place { workspace, aggregate_type: ATTEMPT, aggregate_id: attempt, sequence: 1, field: "" }
}

fn row(workspace: WorkspaceId, key: &Key, counted: &Counted) -> Row {
    let Counted { first, last_at, times, position } = counted;
    let is_omitted = key.action() == Action::Omitted;
    let origin = &first.origin;
    let (actor_type, actor_id) = match &origin.actor {
        _ if is_omitted => ("unknown", None),
        Some(Actor::User(user)) => ("user", Some(user.to_string())),
        Some(Actor::ApiKey { id, .. }) => ("api_key", Some(id.to_string())),
        Some(Actor::Service) => ("service", Some(OPERATOR.to_owned())),
        Some(Actor::System) | None => ("unknown", None),
    };
    let (target_type, target_id) = match (&first.place, first.key) {
        _ if is_omitted => ("workspace", workspace.to_string()),
        (_, Some(key)) => ("api_key", key.to_string()),
        (Place::Invitation(id), None) => ("invitation", id.to_string()),
        (Place::InviteCode(_), None) => ("invite_code", workspace.to_string()),
        (Place::Workspace(_), None) => ("workspace", workspace.to_string()),
    };
    let told = |text: &Option<String>| text.clone().filter(|_| !is_omitted);
    Row {
        workspace_id: workspace.0,
        attempt_id: ids::new_v7(),
        workspace_seq: 0,
        position: *position,
        first_at: first.at,
        last_at: *last_at,
        count: *times,
        action: key.action().as_str().to_owned(),
        actor_type: actor_type.to_owned(),
        actor_id,
        via: told(&origin.via),
        target_type: target_type.to_owned(),
        target_id,
        code: key.code().to_owned(),
        permission: told(&first.permission),
        command: first.command.filter(|_| !is_omitted).map(str::to_owned),
        origin: None,
        request_id: told(&origin.request_id),
        correlation_id: told(&origin.correlation_id),
    }
}
