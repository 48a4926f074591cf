//! How events become audit entries.

use std::fmt::{self, Write};

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sqlx::PgConnection;
use tenure_aggregates::catalogue::CatalogueEvent;
use tenure_aggregates::workspace::WorkspaceEvent;

use super::action;
use super::copied::copy_entries;
use crate::projection::Projection;
use crate::recorded::{Event, Recorded, member, user};
use crate::rows::column;

/// The projection `audit_log`.
#[derive(Debug)]
pub struct AuditLog;

impl Projection for AuditLog {
    const NAME: &'static str = "audit_log";
    const VERSION: i32 = 2;
    const TABLES: &'static [&'static str] = &["audit_log"];

    const KEYS_LAST: bool = true;

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let entries = told(batch).into_iter().map(entry).collect::<Result<Vec<_>, _>>()?;
        insert(conn, &entries.iter().collect::<Vec<_>>()).await?;
        forget_attempts(conn, batch).await
    }

    async fn fill(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        copy_entries(conn, batch).await?;
        forget_attempts(conn, batch).await
    }
}

/// The events that have an entry: a claim only keeps a name to one holder.
pub(super) fn told(batch: &[Recorded]) -> Vec<&Recorded> {
    batch.iter().filter(|recorded| !matches!(recorded.event, Event::Claim(_))).collect()
}

pub(super) fn entry(recorded: &Recorded) -> Result<Described<'_>, sqlx::Error> {
    describe(recorded, recorded.stored())
}

/// What an event says as an entry of the audit log.
#[derive(Debug)]
pub struct Described<'a> {
    pub recorded: &'a Recorded,
    pub action: String,
    pub target_type: &'static str,
    pub target_id: String,
    /// `{field: {from, to}}`
    pub changes: Box<RawValue>,
    pub reason: Option<String>,
    /// From where the request came, sealed.
    pub origin: Option<String>,
}

impl Described<'_> {
    /// The changes, to be looked into.
    pub fn changes(&self) -> Value {
        serde_json::from_str(self.changes.get()).unwrap_or_default()
    }
}

/// Fields that tell who or what an entry is about, or that nobody may read again.
const NOT_A_CHANGE: [&str; 11] = [
    "type",
    "user_id",
    "invitation_id",
    "session_id",
    "key_id",
    "endpoint_id",
    "role_name",
    "permission",
    "hash",
    "reason",
    "because",
];

/// An event as an entry; `event` is the recorded one, opened or as it is stored. Fails only if it cannot be written as
/// JSON.
pub fn describe<'a>(recorded: &'a Recorded, event: &Event) -> Result<Described<'a>, sqlx::Error> {
    let text = match event {
        Event::User(event) => serde_json::to_string(event),
        Event::Workspace(event) => serde_json::to_string(event),
        Event::Membership(event) => serde_json::to_string(event),
        Event::Invitation(event) => serde_json::to_string(event),
        Event::Session(event) => serde_json::to_string(event),
        Event::ApiKey(event) => serde_json::to_string(event),
        Event::WebhookEndpoint(event) => serde_json::to_string(event),
        Event::Catalogue(event) => serde_json::to_string(event),
        Event::Claim(event) => serde_json::to_string(event),
    };
    let encode = |error: serde_json::Error| sqlx::Error::Encode(error.into());
    let text = text.map_err(encode)?;
    let Fields(fields) = serde_json::from_str(&text).map_err(encode)?;
    let name = recorded.event.name();
    let reason = fields.iter().find(|(field, _)| ["reason", "because"].contains(field));
    let reason = reason.and_then(|(_, value)| serde_json::from_str(value.get()).ok());
    let (target_type, target_id) = target(recorded);
    Ok(Described {
        recorded,
        action: action(recorded.event.aggregate_type(), name),
        target_type,
        target_id,
        changes: changes(name, &fields).map_err(encode)?,
        reason,
        origin: origin(recorded),
    })
}

/// From where the request came: sealed, but for events that are older than the keys.
fn origin(recorded: &Recorded) -> Option<String> {
    let metadata = &recorded.metadata;
    if metadata.origin.is_some() || metadata.ip.is_none() && metadata.user_agent.is_none() {
        return metadata.origin.clone();
    }
    Some(json!({"ip": metadata.ip, "user_agent": metadata.user_agent}).to_string())
}

/// What or whom an event is about.
pub fn target(recorded: &Recorded) -> (&'static str, String) {
    let workspace = || recorded.workspace_id.to_string();
    match &recorded.event {
        Event::Workspace(_) if recorded.event.name().starts_with("InviteCode") => {
            ("invite_code", workspace())
        }
        Event::Workspace(
            WorkspaceEvent::RoleDefined { role, .. }
            | WorkspaceEvent::RoleChanged { role, .. }
            | WorkspaceEvent::RoleDeleted { role, .. },
        ) => ("role", role.to_string()),
        Event::Workspace(_) => ("workspace", workspace()),
        Event::Membership(event) => ("membership", member(event).as_str().to_owned()),
        Event::Invitation(_) => ("invitation", recorded.aggregate_id.clone()),
        Event::Session(_) => ("session", recorded.aggregate_id.clone()),
        Event::User(event) => ("user", user(event).as_str().to_owned()),
        Event::ApiKey(_) => ("api_key", recorded.aggregate_id.clone()),
        Event::WebhookEndpoint(_) => ("webhook_endpoint", recorded.aggregate_id.clone()),
        Event::Catalogue(event) => ("permission", permission(event).to_owned()),
        Event::Claim(_) => ("claim", recorded.aggregate_id.clone()),
    }
}

fn permission(event: &CatalogueEvent) -> &str {
    match event {
        CatalogueEvent::PermissionRegistered { permission, .. }
        | CatalogueEvent::PermissionChanged { permission, .. }
        | CatalogueEvent::PermissionWithdrawn { permission } => permission.as_str(),
    }
}

/// What begins something sets its fields from nothing; any other event says itself what changed from what.
fn changes(name: &str, fields: &[(&str, &RawValue)]) -> Result<Box<RawValue>, serde_json::Error> {
    let begins = matches!(
        name,
        "UserProvisioned"
            | "WorkspaceCreated"
            | "MembershipStarted"
            | "InvitationSent"
            | "InviteCodeIssued"
            | "SessionStarted"
            | "RoleDefined"
            | "PermissionRegistered"
            | "ApiKeyCreated"
            | "ApiKeyRotated"
            | "ApiKeyUsedFromNewNetwork"
            | "WebhookEndpointCreated"
            | "WebhookEndpointSecretRotated"
            | "WebhookEndpointTested"
            | "WebhookEndpointRedeliveryRequested"
    );
    let mut changes = String::from("{");
    for (field, value) in fields.iter().filter(|(field, _)| !NOT_A_CHANGE.contains(field)) {
        let value = value.get();
        let comma = if changes.len() > 1 { "," } else { "" };
        if begins && !["null", "{}"].contains(&value) {
            write!(changes, r#"{comma}"{field}":{{"from":null,"to":{value}}}"#)
        } else if !begins && is_changed(value) {
            write!(changes, r#"{comma}"{field}":{value}"#)
        } else {
            continue;
        }
        .map_err(serde::ser::Error::custom)?;
    }
    changes.push('}');
    RawValue::from_string(changes)
}

/// Whether the value is a `Changed<T>`.
fn is_changed(value: &str) -> bool {
    let is_one = |Fields(parts): Fields<'_>| {
        parts.len() == 2 && ["from", "to"].iter().all(|name| parts.iter().any(|(part, _)| part == name))
    };
    value.starts_with('{') && serde_json::from_str(value).is_ok_and(is_one)
}

/// The fields of an event in their order, their values still text. The names are ours and have no escapes.
struct Fields<'a>(Vec<(&'a str, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EventFields)
    }
}

struct EventFields;

impl<'de> Visitor<'de> for EventFields {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an event, which is an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(16);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Fields(fields))
    }
}

/// What was refused in a workspace goes with it; what comes too late for this, with the next look at what is old.
async fn forget_attempts(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
    let deleted = |recorded: &&Recorded| {
        matches!(recorded.event, Event::Workspace(WorkspaceEvent::WorkspaceDeleted { .. }))
    };
    let deleted: Vec<_> = batch.iter().filter(deleted).map(|recorded| recorded.workspace_id.0).collect();
    if !deleted.is_empty() {
        sqlx::query!("delete from refused_attempts where workspace_id = any($1)", &deleted)
            .execute(conn)
            .await?;
    }
    Ok(())
}

async fn insert(conn: &mut PgConnection, rows: &[&Described<'_>]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into audit_log (workspace_id, workspace_seq, position, time, actor_type, actor_id, via, action,
             target_type, target_id, changes, reason, command, aggregate_type, aggregate_id, origin, request_id,
             correlation_id, causation_id)
         select * from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::timestamptz[], $5::text[], $6::text[],
             $7::text[], $8::text[], $9::text[], $10::text[], $11::jsonb[], $12::text[], $13::text[], $14::text[],
             $15::text[], $16::text[], $17::text[], $18::text[], $19::text[])",
        &column(rows, |row| row.recorded.workspace_id.0),
        &column(rows, |row| row.recorded.workspace_seq),
        &column(rows, |row| row.recorded.position),
        &column(rows, |row| row.recorded.recorded_at),
        &column(rows, |row| row.recorded.metadata.actor_type.as_str()) as _,
        &column(rows, |row| row.recorded.metadata.actor_id.as_deref()) as _,
        &column(rows, |row| row.recorded.metadata.via.as_deref()) as _,
        &column(rows, |row| row.action.as_str()) as _,
        &column(rows, |row| row.target_type) as _,
        &column(rows, |row| row.target_id.as_str()) as _,
        &column(rows, |row| sqlx::types::Json(&row.changes)) as _,
        &column(rows, |row| row.reason.as_deref()) as _,
        &column(rows, |row| row.recorded.metadata.command.as_deref()) as _,
        &column(rows, |row| row.recorded.event.aggregate_type()) as _,
        &column(rows, |row| row.recorded.aggregate_id.as_str()) as _,
        &column(rows, |row| row.origin.as_deref()) as _,
        &column(rows, |row| row.recorded.metadata.request_id.as_deref()) as _,
        &column(rows, |row| row.recorded.metadata.correlation_id.as_deref()) as _,
        &column(rows, |row| row.recorded.metadata.causation_id.as_deref()) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
