//! Which webhooks an event asks for, and where they go: the endpoints are folded here in the order of the log, so that
//! each event goes to those that were listening when it happened.

use std::collections::HashMap;

use sqlx::PgConnection;
use tenure_aggregates::personal::ERASED;
use tenure_aggregates::webhook_endpoint::WebhookEndpointEvent;
use tenure_aggregates::{Time, WebhookEndpoint};
use tenure_projections::audit_log::action;
use tenure_projections::{Event, Logged};
use uuid::Uuid;

use super::fan_out::Error;
use super::rows::{Happening, Planned, insert};
use super::target::{self, Target, TargetKey};
use super::{Channel, Trigger, repeated};
use crate::data_keys::Vault;
use crate::feeds::Types;

/// What it works with.
pub(super) struct Pipe<'a> {
    pub vault: &'a Vault,
    pub key: &'a TargetKey,
}

/// An event, without what it says.
struct Row {
    position: i64,
    workspace_id: Uuid,
    workspace_seq: i64,
    aggregate_type: String,
    event_type: String,
}

impl Row {
    fn happening(&self) -> Happening {
        Happening { workspace: self.workspace_id, workspace_seq: self.workspace_seq, position: self.position }
    }

    /// What it is called outside.
    fn action(&self) -> String {
        action(&self.aggregate_type, &self.event_type)
    }
}

/// Targets by workspace and endpoint, as they stand at some position.
#[derive(Default)]
struct Targets {
    of: HashMap<Uuid, HashMap<Uuid, Target>>,
    /// Those that are not stored as they are.
    changed: Vec<(Uuid, Uuid)>,
}

impl Pipe<'_> {
    /// Writes down the webhooks that the events of a stretch ask for; returns whether there were any.
    pub(super) async fn write(
        &self,
        conn: &mut PgConnection,
        after: i64,
        to: i64,
        now: Time,
    ) -> Result<bool, Error> {
        let rows = listened_to(&mut *conn, after, to).await?;
        if rows.is_empty() {
            return Ok(false);
        }
        let workspaces: Vec<Uuid> = rows.iter().map(|row| row.workspace_id).collect();
        let mut targets = Targets::default();
        for target in target::of_workspaces(&mut *conn, self.key, &workspaces).await? {
            targets.of.entry(target.workspace).or_default().insert(target.endpoint, target);
        }
        let mut own = self.endpoint_events(&mut *conn, after, to).await?;
        let mut planned = Vec::new();
        for row in rows {
            let mut told = Vec::new();
            if let Some((endpoint, event)) = own.remove(&row.position) {
                told = self.of_endpoint(&mut *conn, &mut targets, &row, endpoint, &event, now).await?;
            }
            // Whoever is tried out hears of it as a test, and not once more as something that happened.
            let tested =
                told.iter().find(|planned| planned.trigger == Trigger::Test).map(|planned| planned.lane);
            let listening = targets.listening(&row);
            planned.extend(listening.into_iter().filter(|planned| Some(planned.lane) != tested));
            planned.append(&mut told);
            if row.event_type == "WorkspaceDeleted" {
                targets.close(row.workspace_id);
            }
        }
        insert(&mut *conn, Channel::Webhook, &planned, now).await?;
        targets.store(conn, self.key).await?;
        Ok(!planned.is_empty())
    }

    /// The events of endpoints themselves, opened, by position.
    async fn endpoint_events(
        &self,
        conn: &mut PgConnection,
        after: i64,
        to: i64,
    ) -> Result<HashMap<i64, (Uuid, WebhookEndpointEvent)>, Error> {
        let rows = sqlx::query_as!(
            Logged,
            r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                      event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
               from events where position > $1 and position <= $2 and aggregate_type = 'WebhookEndpoint'"#,
            after,
            to
        )
        .fetch_all(conn)
        .await?;
        let mut events = HashMap::new();
        for opened in self.vault.open_events(rows).await? {
            let position = opened.logged.position;
            match opened.decode() {
                Ok(recorded) => {
                    if let (Ok(endpoint), Event::WebhookEndpoint(event)) =
                        (recorded.aggregate_id.parse(), recorded.event)
                    {
                        events.insert(position, (endpoint, event));
                    }
                }
                Err(error) => {
                    tracing::error!(position, %error, "what became of a webhook endpoint cannot be read: it stays as it was");
                }
            }
        }
        Ok(events)
    }

    /// What an event of an endpoint's own asks for, and what it makes of the endpoint.
    async fn of_endpoint(
        &self,
        conn: &mut PgConnection,
        targets: &mut Targets,
        row: &Row,
        endpoint: Uuid,
        event: &WebhookEndpointEvent,
        now: Time,
    ) -> Result<Vec<Planned>, Error> {
        use WebhookEndpointEvent as E;
        let of = row.happening();
        match event {
            E::WebhookEndpointTested { delivery_id } => {
                let known = targets.get(of.workspace, endpoint).is_some();
                let test = Planned {
                    id: *delivery_id,
                    trigger: Trigger::Test,
                    ..webhook(of, endpoint, row.action())
                };
                Ok(known.then_some(test).into_iter().collect())
            }
            E::WebhookEndpointRedeliveryRequested { redelivery_id, from_seq, to_seq, delivery_id } => {
                let Some(target) = targets.get(of.workspace, endpoint) else { return Ok(vec![]) };
                // One that was named was delivered before, whatever is asked for by now.
                let types = if delivery_id.is_some() { Types::default() } else { types(target) };
                let rows = stretch(conn, of.workspace, *from_seq, *to_seq).await?;
                Ok(again(rows, endpoint, *redelivery_id, &types))
            }
            E::WebhookEndpointDisabled { .. } | E::WebhookEndpointDeleted => {
                targets.evolve(of, endpoint, event);
                cancel(conn, of.workspace, endpoint, now).await?;
                Ok(vec![])
            }
            _ => {
                targets.evolve(of, endpoint, event);
                Ok(vec![])
            }
        }
    }
}

impl Targets {
    fn get(&self, workspace: Uuid, endpoint: Uuid) -> Option<&Target> {
        self.of.get(&workspace)?.get(&endpoint)
    }

    /// Those that want to be told of an event.
    fn listening(&self, row: &Row) -> Vec<Planned> {
        let Some(targets) = self.of.get(&row.workspace_id) else { return vec![] };
        let action = row.action();
        let listens = |target: &&Target| {
            let open = target.enabled && !target.closing && target.created_position < row.position;
            open && types(target).takes_action(&action)
        };
        let listening = targets.values().filter(listens);
        listening.map(|target| webhook(row.happening(), target.endpoint, action.clone())).collect()
    }

    fn evolve(&mut self, of: Happening, endpoint: Uuid, event: &WebhookEndpointEvent) {
        use WebhookEndpointEvent as E;
        let targets = self.of.entry(of.workspace).or_default();
        self.changed.push((of.workspace, endpoint));
        if let E::WebhookEndpointCreated { .. } = event {
            targets.extend(begin(of, endpoint, event).map(|target| (endpoint, target)));
        } else if let E::WebhookEndpointDeleted = event {
            targets.remove(&endpoint);
        } else if let Some(target) = targets.get_mut(&endpoint) {
            change(target, event);
        }
    }

    fn close(&mut self, workspace: Uuid) {
        for target in self.of.get_mut(&workspace).into_iter().flat_map(HashMap::values_mut) {
            target.closing = true;
            self.changed.push((workspace, target.endpoint));
        }
    }

    async fn store(mut self, conn: &mut PgConnection, key: &TargetKey) -> Result<(), sqlx::Error> {
        self.changed.sort_unstable();
        self.changed.dedup();
        for (workspace, endpoint) in &self.changed {
            match self.get(*workspace, *endpoint) {
                Some(target) => target::put(&mut *conn, key, target).await?,
                None => target::delete(&mut *conn, *workspace, *endpoint).await?,
            }
        }
        Ok(())
    }
}

/// The target of a new endpoint; none if its workspace was erased before anybody came to it.
fn begin(of: Happening, endpoint: Uuid, created: &WebhookEndpointEvent) -> Option<Target> {
    let state = WebhookEndpoint::default().evolve(created.clone());
    let state = state.target().filter(|state| state.url != ERASED)?;
    Some(Target {
        workspace: of.workspace,
        endpoint,
        url: state.url.clone(),
        events: state.events.clone(),
        generation: state.generation,
        previous_until: None,
        enabled: true,
        created_position: of.position,
        closing: false,
        failing_since: None,
    })
}

fn change(target: &mut Target, event: &WebhookEndpointEvent) {
    use WebhookEndpointEvent as E;
    match event {
        E::WebhookEndpointChanged { url, events, .. } => {
            if let Some(url) = url.as_ref().filter(|url| url.to != ERASED) {
                target.url.clone_from(&url.to);
            }
            if let Some(events) = events {
                target.events.clone_from(&events.to);
            }
        }
        E::WebhookEndpointSecretRotated { generation, overlap_until } => {
            (target.generation, target.previous_until) = (*generation, Some(*overlap_until));
        }
        E::WebhookEndpointEnabled => target.enabled = true,
        E::WebhookEndpointDisabled { .. } => target.enabled = false,
        _ => {}
    }
}

fn types(target: &Target) -> Types {
    Types::parse(&target.events.join(",")).unwrap_or_default()
}

fn webhook(of: Happening, endpoint: Uuid, kind: String) -> Planned {
    Planned {
        of,
        id: Uuid::new_v5(&of.event_id(), endpoint.as_bytes()),
        lane: endpoint,
        kind,
        trigger: Trigger::Event,
        recipient: None,
        invitation: None,
        generation: None,
    }
}

fn again(rows: Vec<Row>, endpoint: Uuid, redelivery: Uuid, types: &Types) -> Vec<Planned> {
    let wanted = rows.into_iter().map(|row| (row.action(), row.happening()));
    let wanted = wanted.filter(|(action, _)| types.takes_action(action));
    let once_more = wanted.map(|(action, of)| Planned {
        id: repeated(redelivery, of.event_id()),
        trigger: Trigger::Redelivery,
        ..webhook(of, endpoint, action)
    });
    once_more.collect()
}

/// The events of a stretch that some endpoint may listen to, and those of endpoints themselves.
async fn listened_to(conn: &mut PgConnection, after: i64, to: i64) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select position, workspace_id, workspace_seq, aggregate_type, event_type from events e
         where position > $1 and position <= $2
           and (exists (select from webhook_targets t where t.workspace_id = e.workspace_id)
                or workspace_id in (select workspace_id from events
                                    where position > $1 and position <= $2 and aggregate_type = 'WebhookEndpoint'))
         order by position",
        after,
        to
    )
    .fetch_all(conn)
    .await
}

/// A stretch of a workspace's history.
async fn stretch(
    conn: &mut PgConnection,
    workspace: Uuid,
    from_seq: i64,
    to_seq: i64,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select position, workspace_id, workspace_seq, aggregate_type, event_type from events
         where workspace_id = $1 and workspace_seq >= $2 and workspace_seq <= $3
         order by workspace_seq",
        workspace,
        from_seq,
        to_seq
    )
    .fetch_all(conn)
    .await
}

/// Calls off what is pending for an endpoint; what was asked for as a test goes out.
async fn cancel(
    conn: &mut PgConnection,
    workspace: Uuid,
    endpoint: Uuid,
    now: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update deliveries set status = 'cancelled', next_attempt_at = null, reason = 'endpoint_disabled',
                               finished_at = $3
         where workspace_id = $1 and lane = $2 and status = 'pending' and trigger <> 'test'",
        workspace,
        endpoint,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}
