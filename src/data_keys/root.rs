//! The root key: what every other secret of the installation is derived from. It is stored, wrapped by the master key,
//! so that a new master key voids no invitation, session or cursor.

use sqlx::PgPool;

use super::wrapped::{Unwrapped, WrappedKey, unwrap, wrap};
use crate::secrets::random::random_bytes;
use crate::secrets::{MasterKeys, RootKey};
use crate::store::StoreError;

const IDENTITY: &[u8] = b"tenure root key";

/// Why there is no usable root key.
#[derive(Debug, thiserror::Error)]
pub enum RootKeyError {
    #[error(
        "this database belongs to another master key: bring the one it was started with (TENURE_MASTER_KEY_FILE or TENURE_MASTER_KEY)"
    )]
    OtherMaster,
    #[error("the root key in this database was tampered with")]
    Tampered,
    #[error("the root key cannot be read: {0}")]
    Database(#[from] sqlx::Error),
}

/// The root key of this database, made on the first start. `pool` logs in as the keeper's role.
///
/// A database that was in use before there was a root key goes on with what its secrets were derived from: the
/// master key itself.
pub async fn load_or_create(pool: &PgPool, masters: &MasterKeys) -> Result<RootKey, RootKeyError> {
    if let Some(stored) = stored(pool).await? {
        return open(masters, &stored);
    }
    let used: i64 = sqlx::query_scalar!("select position from log_head where id = 1").fetch_one(pool).await?;
    let root = if used > 0 { masters.current().as_root() } else { random_bytes() };
    let new = wrap(masters.current(), IDENTITY, &root);
    sqlx::query!(
        "insert into root_key (id, wrapped, wrapped_by) values (1, $1, $2) on conflict do nothing",
        new.wrapped,
        new.wrapped_by
    )
    .execute(pool)
    .await?;
    // Read back even when just made: whoever came first, every process goes on with the same.
    let stored = stored(pool).await?.ok_or(sqlx::Error::RowNotFound)?;
    open(masters, &stored)
}

fn open(masters: &MasterKeys, stored: &WrappedKey) -> Result<RootKey, RootKeyError> {
    match unwrap(masters, IDENTITY, stored) {
        Unwrapped::Key(root) => Ok(RootKey::of(root)),
        Unwrapped::OtherMaster => Err(RootKeyError::OtherMaster),
        Unwrapped::Tampered => Err(RootKeyError::Tampered),
    }
}

async fn stored(pool: &PgPool) -> Result<Option<WrappedKey>, sqlx::Error> {
    sqlx::query_as!(WrappedKey, "select wrapped, wrapped_by from root_key where id = 1")
        .fetch_optional(pool)
        .await
}

/// Wraps the root key with the current master key.
pub(super) async fn rewrap(pool: &PgPool, masters: &MasterKeys) -> Result<(), StoreError> {
    let Some(stored) = stored(pool).await? else { return Ok(()) };
    if stored.wrapped_by == masters.current().id() {
        return Ok(());
    }
    let Unwrapped::Key(root) = unwrap(masters, IDENTITY, &stored) else {
        return Err(StoreError::Corrupt(RootKeyError::OtherMaster.to_string()));
    };
    let new = wrap(masters.current(), IDENTITY, &root);
    sqlx::query!(
        "update root_key set wrapped = $1, wrapped_by = $2 where id = 1",
        new.wrapped,
        new.wrapped_by
    )
    .execute(pool)
    .await?;
    Ok(())
}
