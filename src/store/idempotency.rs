//! Idempotency keys: the same request again gets the same answer, another request with the same key gets none.

use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use super::error::StoreError;
use super::unit_of_work::restamp;
use crate::data_keys::{AnswerKey, is_sealed};

/// Where and whose a key is: a workspace (nil when the path names none), a principal, the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyScope {
    pub workspace: Uuid,
    pub principal: String,
    pub key: String,
}

/// A scope as the log's database names it: of fixed size, whatever the client chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId {
    pub workspace: Uuid,
    pub digest: Uuid,
}

/// A key as it came with a request.
#[derive(Debug, Clone)]
pub struct RequestKey {
    pub scope: KeyScope,
    pub id: KeyId,
    /// SHA-256 over method, path and body.
    pub fingerprint: [u8; 32],
}

/// What was answered when the key was first used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    pub fingerprint: Vec<u8>,
    pub answer: String,
    pub position: i64,
}

impl KeyScope {
    /// The first half of SHA-256 over the principal's length, the principal and the key.
    pub fn id(&self) -> KeyId {
        let mut digest = Sha256::new();
        digest.update((self.principal.len() as u64).to_be_bytes());
        digest.update(&self.principal);
        digest.update(&self.key);
        let whole: [u8; 32] = digest.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&whole[..16]);
        KeyId { workspace: self.workspace, digest: Uuid::from_bytes(half) }
    }
}

impl RequestKey {
    pub fn new(scope: KeyScope, fingerprint: [u8; 32]) -> Self {
        Self { id: scope.id(), scope, fingerprint }
    }
}

/// The answer kept for a key, if the key has been used.
pub async fn find(
    pool: &PgPool,
    answers: &AnswerKey,
    request: &RequestKey,
) -> Result<Option<KeptAnswer>, StoreError> {
    let row = sqlx::query!(
        "select fingerprint, answer, position, recorded_at from idempotency where workspace_id = $1 and digest = $2",
        request.id.workspace,
        request.id.digest
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let answer = if is_sealed(&row.answer) {
        let opened = answers.open(&request.scope, &row.answer);
        let (decided, answer) = opened
            .ok_or_else(|| StoreError::Corrupt("a kept answer was not sealed for its key".to_owned()))?;
        restamp(answer, decided, row.recorded_at)
    } else {
        // Kept by a version before there were keys.
        row.answer
    };
    Ok(Some(KeptAnswer { fingerprint: row.fingerprint, answer, position: row.position }))
}

/// Forgets keys used before `before`.
pub async fn forget(pool: &PgPool, before: tenure_aggregates::Time) -> Result<u64, StoreError> {
    Ok(sqlx::query!("delete from idempotency where recorded_at < $1", before)
        .execute(pool)
        .await?
        .rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(principal: &str, key: &str) -> Uuid {
        KeyScope { workspace: Uuid::nil(), principal: principal.to_owned(), key: key.to_owned() }.id().digest
    }

    #[test]
    fn where_the_principal_ends_and_the_key_begins_counts() {
        assert_ne!(digest("user:ada", "key"), digest("user:adak", "ey"));
        assert_ne!(digest("user:ada", "key"), digest("user:ada", "kez"));
        assert_eq!(digest("user:ada", "key"), digest("user:ada", "key"));
    }
}
