//! Where an endpoint's deliveries go, as the webhook channel has come along the log.
//!
//! The URL is sealed under a key derived from the root key, not under the workspace's: the end of a workspace destroys
//! that one, and is still to be told.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::{PgConnection, PgPool};
use tenure_aggregates::Time;
use uuid::Uuid;

use crate::data_keys::{decrypt, encrypt};
use crate::secrets::RootKey;
use crate::store::StoreError;

/// Seals the URLs of targets.
#[derive(Clone)]
pub struct TargetKey([u8; 32]);

impl std::fmt::Debug for TargetKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TargetKey([redacted])")
    }
}

impl From<&RootKey> for TargetKey {
    fn from(root: &RootKey) -> Self {
        Self(root.derive("tenure webhook target key v1"))
    }
}

impl TargetKey {
    fn seal(&self, endpoint: Uuid, url: &str) -> String {
        URL_SAFE_NO_PAD.encode(encrypt(&self.0, endpoint.as_bytes(), url.as_bytes()))
    }

    fn open(&self, endpoint: Uuid, sealed: &str) -> Option<String> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        String::from_utf8(decrypt(&self.0, endpoint.as_bytes(), &bytes)?).ok()
    }
}

/// An endpoint, as its deliveries find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub workspace: Uuid,
    pub endpoint: Uuid,
    pub url: String,
    /// The patterns of what is delivered.
    pub events: Vec<String>,
    /// Which secret signs.
    pub generation: u32,
    /// Until when the secret before it signs, too.
    pub previous_until: Option<Time>,
    pub enabled: bool,
    /// Nothing is delivered of what happened before.
    pub created_position: i64,
    /// Its workspace is gone: only what is pending is delivered.
    pub closing: bool,
    /// Since when every attempt has failed.
    pub failing_since: Option<Time>,
}

struct Row {
    workspace_id: Uuid,
    endpoint_id: Uuid,
    url: String,
    events: Vec<String>,
    generation: i32,
    previous_until: Option<Time>,
    enabled: bool,
    created_position: i64,
    closing: bool,
    failing_since: Option<Time>,
}

impl Row {
    fn open(self, key: &TargetKey) -> Result<Target, StoreError> {
        let url = key.open(self.endpoint_id, &self.url);
        let url = url.ok_or_else(|| {
            StoreError::Corrupt(format!("where webhook endpoint {} is cannot be opened", self.endpoint_id))
        })?;
        Ok(Target {
            workspace: self.workspace_id,
            endpoint: self.endpoint_id,
            url,
            events: self.events,
            generation: u32::try_from(self.generation).unwrap_or_default(),
            previous_until: self.previous_until,
            enabled: self.enabled,
            created_position: self.created_position,
            closing: self.closing,
            failing_since: self.failing_since,
        })
    }
}

impl Target {
    /// The generations whose secrets sign at an instant, the present one first.
    pub fn signing(&self, now: Time) -> impl Iterator<Item = u32> {
        let previous = self.previous_until.filter(|until| *until > now);
        std::iter::once(self.generation).chain(previous.and(self.generation.checked_sub(1)))
    }

    /// The target of an endpoint; none once it is deleted.
    pub async fn load(
        projector: &PgPool,
        key: &TargetKey,
        workspace: Uuid,
        endpoint: Uuid,
    ) -> Result<Option<Self>, StoreError> {
        let row = sqlx::query_as!(
            Row,
            "select workspace_id, endpoint_id, url, events, generation, previous_until, enabled, created_position,
                    closing, failing_since
             from webhook_targets where workspace_id = $1 and endpoint_id = $2",
            workspace,
            endpoint
        )
        .fetch_optional(projector)
        .await?;
        row.map(|row| row.open(key)).transpose()
    }

    /// Notes that an attempt failed; returns since when all have.
    pub async fn failed(&self, projector: &PgPool, at: Time) -> Result<Time, StoreError> {
        let since = sqlx::query_scalar!(
            "update webhook_targets set failing_since = coalesce(failing_since, $3)
             where workspace_id = $1 and endpoint_id = $2 returning failing_since",
            self.workspace,
            self.endpoint,
            at
        )
        .fetch_optional(projector)
        .await?;
        Ok(since.flatten().unwrap_or(at))
    }

    /// Notes that an attempt succeeded.
    pub async fn succeeded(&self, projector: &PgPool) -> Result<(), StoreError> {
        if self.failing_since.is_none() {
            return Ok(());
        }
        sqlx::query!(
            "update webhook_targets set failing_since = null where workspace_id = $1 and endpoint_id = $2",
            self.workspace,
            self.endpoint
        )
        .execute(projector)
        .await?;
        Ok(())
    }
}

/// The targets of these workspaces.
pub(super) async fn of_workspaces(
    conn: &mut PgConnection,
    key: &TargetKey,
    workspaces: &[Uuid],
) -> Result<Vec<Target>, StoreError> {
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, endpoint_id, url, events, generation, previous_until, enabled, created_position,
                closing, failing_since
         from webhook_targets where workspace_id = any($1)",
        workspaces
    )
    .fetch_all(conn)
    .await?;
    rows.into_iter().map(|row| row.open(key)).collect()
}

/// Stores a target as it is now. How its deliveries fare is kept, unless it was enabled anew.
pub(super) async fn put(
    conn: &mut PgConnection,
    key: &TargetKey,
    target: &Target,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into webhook_targets (workspace_id, endpoint_id, url, events, generation, previous_until, enabled,
                                      created_position, closing)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (workspace_id, endpoint_id) do update
         set url = excluded.url, events = excluded.events, generation = excluded.generation,
             previous_until = excluded.previous_until, closing = excluded.closing, enabled = excluded.enabled,
             failing_since = case when excluded.enabled and not webhook_targets.enabled then null
                                  else webhook_targets.failing_since end",
        target.workspace,
        target.endpoint,
        key.seal(target.endpoint, &target.url),
        &target.events,
        i32::try_from(target.generation).unwrap_or(i32::MAX),
        target.previous_until,
        target.enabled,
        target.created_position,
        target.closing
    )
    .execute(conn)
    .await?;
    Ok(())
}

pub(super) async fn delete(
    conn: &mut PgConnection,
    workspace: Uuid,
    endpoint: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from webhook_targets where workspace_id = $1 and endpoint_id = $2",
        workspace,
        endpoint
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets the targets of deleted workspaces that have nothing left to deliver; returns how many.
pub async fn forget_closed(projector: &PgPool) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from webhook_targets t
         where closing and not exists (select from deliveries d
                                       where d.workspace_id = t.workspace_id and d.lane = t.endpoint_id
                                         and d.next_attempt_at is not null)"
    )
    .execute(projector)
    .await?;
    Ok(done.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_opens_for_its_endpoint_only() {
        let key = TargetKey([3; 32]);
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let sealed = key.seal(one, "https://acme.test/hooks");
        assert!(!sealed.contains("acme"));
        assert_eq!(key.open(one, &sealed).as_deref(), Some("https://acme.test/hooks"));
        assert_eq!(key.open(other, &sealed), None);
        assert_eq!(TargetKey([4; 32]).open(one, &sealed), None);
    }
}
