//! The text of an event that is hashed to prove it.

use chrono::SecondsFormat;
use tenure_projections::recorded::Logged;

/// Nothing but payload and metadata can hold anything unexpected, and those are JSON of one line.
pub(super) fn leaf(event: &Logged) -> String {
    format!(
        "tenure leaf v1\n{}\n{}\n{}\n{}/{}/{}\n{}/{}\n{}\n{}\n{}",
        event.workspace_id,
        event.workspace_seq,
        event.position,
        event.aggregate_type,
        event.aggregate_id,
        event.sequence,
        event.event_type,
        event.event_version,
        event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        event.metadata,
        event.payload
    )
}
