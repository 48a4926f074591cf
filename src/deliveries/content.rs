//! The event a delivery tells of, with what is sealed in it opened; what was erased since reads so.

use sqlx::PgPool;
use tenure_projections::{Logged, Opened};

use crate::data_keys::Vault;
use crate::store::StoreError;

/// The event at a position. `projector` reads the log of all tenants.
pub async fn event_at(projector: &PgPool, vault: &Vault, position: i64) -> Result<Opened, StoreError> {
    let row = sqlx::query_as!(
        Logged,
        r#"select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                  event_version, payload::text as "payload!", metadata::text as "metadata!", recorded_at
           from events where position = $1"#,
        position
    )
    .fetch_one(projector)
    .await?;
    let opened = vault.open_events(vec![row]).await?;
    opened.into_iter().next().ok_or_else(|| StoreError::Internal("an event was lost on the way".to_owned()))
}
