//! Idempotency keys: the same request again gets the same answer, another request with the same key gets none.

use sqlx::PgPool;
use uuid::Uuid;

use super::error::StoreError;
use super::unit_of_work::restamp;
use crate::data_keys::AnswerKey;

/// Where and whose a key is: a workspace (nil when the path names none), a principal, the key itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyScope {
    pub workspace: Uuid,
    pub principal: String,
    pub key: String,
}

/// A key as it came with a request.
#[derive(Debug, Clone)]
pub struct RequestKey {
    pub scope: KeyScope,
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

/// The answer kept for a key, if the key has been used.
pub async fn find(
    pool: &PgPool,
    answers: &AnswerKey,
    scope: &KeyScope,
) -> Result<Option<KeptAnswer>, StoreError> {
    let row = sqlx::query!(
        "select fingerprint, answer, position, recorded_at from idempotency where workspace_id = $1 and principal = $2 and key = $3",
        scope.workspace,
        scope.principal,
        scope.key
    )
    .fetch_optional(pool)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let opened = answers.open(scope, &row.answer);
    let (decided, answer) =
        opened.ok_or_else(|| StoreError::Corrupt("a kept answer was not sealed for its key".to_owned()))?;
    let answer = restamp(answer, decided, row.recorded_at);
    Ok(Some(KeptAnswer { fingerprint: row.fingerprint, answer, position: row.position }))
}

/// Forgets keys used before `before`.
pub async fn forget(pool: &PgPool, before: tenure_aggregates::Time) -> Result<u64, StoreError> {
    Ok(sqlx::query!("delete from idempotency where recorded_at < $1", before)
        .execute(pool)
        .await?
        .rows_affected())
}
