//! What is in each column of an export that has columns.

use chrono::{DateTime, Utc};

use crate::resources::AuditEntry;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Time,
    Text,
}

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Number(Option<i64>),
    Time(DateTime<Utc>),
    Text(Option<String>),
}

pub(super) const COLUMNS: [(&str, Kind); 21] = [
    ("position", Kind::Number),
    ("workspace_seq", Kind::Number),
    ("time", Kind::Time),
    ("outcome", Kind::Text),
    ("actor_type", Kind::Text),
    ("actor_id", Kind::Text),
    ("actor_via", Kind::Text),
    ("action", Kind::Text),
    ("target_type", Kind::Text),
    ("target_id", Kind::Text),
    ("changes", Kind::Text),
    ("reason", Kind::Text),
    ("command", Kind::Text),
    ("ip", Kind::Text),
    ("user_agent", Kind::Text),
    ("request_id", Kind::Text),
    ("correlation_id", Kind::Text),
    ("causation_id", Kind::Text),
    ("refusal_code", Kind::Text),
    ("refusal_permission", Kind::Text),
    ("refusal_count", Kind::Number),
];

/// In the order of [`COLUMNS`].
pub(super) fn cells(entry: AuditEntry) -> [Cell; COLUMNS.len()] {
    let (code, permission, count) = match entry.refusal {
        Some(refusal) => (Some(refusal.code), refusal.permission, Some(refusal.count)),
        None => (None, None, None),
    };
    let text = |text: String| Cell::Text(Some(text));
    [
        Cell::Number(Some(entry.position)),
        Cell::Number(Some(entry.workspace_seq)),
        Cell::Time(entry.time),
        text(entry.outcome.as_str().to_owned()),
        text(entry.actor.kind),
        Cell::Text(entry.actor.id),
        Cell::Text(entry.actor.via),
        text(entry.action),
        text(entry.target.kind),
        text(entry.target.id),
        text(entry.changes.to_string()),
        Cell::Text(entry.reason),
        Cell::Text(entry.command),
        Cell::Text(entry.origin.ip),
        Cell::Text(entry.origin.user_agent),
        Cell::Text(entry.origin.request_id),
        Cell::Text(entry.origin.correlation_id),
        Cell::Text(entry.origin.causation_id),
        Cell::Text(code),
        Cell::Text(permission),
        Cell::Number(count),
    ]
}
