//! Entries of the audit log as `COPY` takes them.

use sqlx::PgConnection;

use super::fold::{entry, told};
use crate::copy::copy;
use crate::recorded::Recorded;

const TABLE: &str = "audit_log (workspace_id, workspace_seq, position, time, actor_type, actor_id, via, action, target_type,
    target_id, changes, reason, command, aggregate_type, aggregate_id, origin, request_id, correlation_id, causation_id)";

/// Each entry is made when its row is written, while PostgreSQL works on those before it.
pub(super) async fn copy_entries(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
    copy(conn, TABLE, 19, told(batch), |row, recorded| {
        let (entry, metadata) = (entry(recorded)?, &recorded.metadata);
        row.uuid(recorded.workspace_id.0)
            .number(recorded.workspace_seq)
            .number(recorded.position)
            .time(recorded.recorded_at)
            .text(metadata.actor_type.as_str())
            .maybe(metadata.actor_id.as_deref())
            .maybe(metadata.via.as_deref())
            .text(&entry.action)
            .text(entry.target_type)
            .text(&entry.target_id)
            .jsonb(entry.changes.get())
            .maybe(entry.reason.as_deref())
            .maybe(metadata.command.as_deref())
            .text(recorded.event.aggregate_type())
            .text(&recorded.aggregate_id)
            .maybe(entry.origin.as_deref())
            .maybe(metadata.request_id.as_deref())
            .maybe(metadata.correlation_id.as_deref())
            .maybe(metadata.causation_id.as_deref());
        Ok(())
    })
    .await
}
