//! The table of wrapped keys, as the keeper reads it. New ones and destroyed ones are written by the append.

use sqlx::PgPool;
use tenure_aggregates::InvitationId;
use uuid::Uuid;

use super::wrapped::{Unwrapped, WrappedKey, unwrap, wrap};
use super::{Owner, root};
use crate::secrets::MasterKeys;
use crate::store::StoreError;

/// How many keys are wrapped anew in one transaction.
const REWRAPPED: i64 = 1_000;

pub(super) struct Row {
    pub key_id: Uuid,
    pub wrapped: Option<Vec<u8>>,
    pub wrapped_by: Vec<u8>,
}

/// An invitation to some address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressedInvitation {
    pub workspace: Uuid,
    pub invitation: Uuid,
}

pub(super) async fn find(pool: &PgPool, ids: &[Uuid]) -> Result<Vec<Row>, StoreError> {
    Ok(sqlx::query_as!(Row, "select key_id, wrapped, wrapped_by from data_keys where key_id = any($1)", ids)
        .fetch_all(pool)
        .await?)
}

/// The newest key of an owner that was not destroyed.
pub(super) async fn live(pool: &PgPool, owner: Owner) -> Result<Option<Row>, StoreError> {
    let workspace = owner.workspace().0;
    // Two statements, so that each is a probe: what may or may not be null is not looked up in an index.
    let row = match owner {
        Owner::Workspace(_) => {
            sqlx::query_as!(
                Row,
                "select key_id, wrapped, wrapped_by from data_keys
                 where workspace_id = $1 and invitation_id is null and wrapped is not null
                 order by key_id desc limit 1",
                workspace
            )
            .fetch_optional(pool)
            .await?
        }
        Owner::Invitation(_, InvitationId(invitation)) => {
            sqlx::query_as!(
                Row,
                "select key_id, wrapped, wrapped_by from data_keys
                 where workspace_id = $1 and invitation_id = $2 and wrapped is not null
                 order by key_id desc limit 1",
                workspace,
                invitation
            )
            .fetch_optional(pool)
            .await?
        }
    };
    Ok(row)
}

pub(super) async fn invitations_to(
    pool: &PgPool,
    address_hash: &[u8; 32],
) -> Result<Vec<AddressedInvitation>, StoreError> {
    Ok(sqlx::query_as!(
        AddressedInvitation,
        r#"select workspace_id as workspace, invitation_id as "invitation!" from data_keys
           where address_hash = $1 and invitation_id is not null order by key_id"#,
        address_hash.as_slice()
    )
    .fetch_all(pool)
    .await?)
}

pub(super) async fn invitations_in(
    pool: &PgPool,
    workspace: Uuid,
    address_hash: &[u8; 32],
) -> Result<Vec<Uuid>, StoreError> {
    Ok(sqlx::query_scalar!(
        r#"select invitation_id as "invitation!" from data_keys
           where workspace_id = $1 and address_hash = $2 and invitation_id is not null order by key_id"#,
        workspace,
        address_hash.as_slice()
    )
    .fetch_all(pool)
    .await?)
}

/// How many keys, the root key counted, a master key wraps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapping {
    pub master: Vec<u8>,
    pub keys: i64,
}

/// Which master keys are in use.
pub async fn wrappings(pool: &PgPool) -> Result<Vec<Wrapping>, StoreError> {
    Ok(sqlx::query_as!(
        Wrapping,
        r#"select wrapped_by as "master!", count(*) as "keys!"
           from (select wrapped_by from data_keys where wrapped is not null union all select wrapped_by from root_key) w
           group by wrapped_by order by wrapped_by"#
    )
    .fetch_all(pool)
    .await?)
}

/// Wraps every key that an earlier master key wraps with the current one; returns how many. `progress` hears how many
/// are done.
pub async fn rewrap(
    pool: &PgPool,
    masters: &MasterKeys,
    mut progress: impl FnMut(u64),
) -> Result<u64, StoreError> {
    root::rewrap(pool, masters).await?;
    let (mut done, mut after) = (0, Uuid::nil());
    let current = masters.current().id();
    loop {
        let rows = sqlx::query_as!(
            Row,
            "select key_id, wrapped, wrapped_by from data_keys
             where key_id > $1 and wrapped is not null and wrapped_by <> $2 order by key_id limit $3",
            after,
            current.as_slice(),
            REWRAPPED
        )
        .fetch_all(pool)
        .await?;
        let Some(last) = rows.last() else { return Ok(done) };
        after = last.key_id;
        let (mut ids, mut wrapped) = (Vec::new(), Vec::new());
        for row in rows {
            let Some(stored) = row.wrapped else { continue };
            let stored = WrappedKey { wrapped: stored, wrapped_by: row.wrapped_by };
            let Unwrapped::Key(secret) = unwrap(masters, row.key_id.as_bytes(), &stored) else {
                return Err(StoreError::Corrupt(format!(
                    "data key {} is wrapped by a master key that is not at hand, or was tampered with",
                    row.key_id
                )));
            };
            ids.push(row.key_id);
            wrapped.push(wrap(masters.current(), row.key_id.as_bytes(), &secret).wrapped);
        }
        // One destroyed meanwhile stays destroyed.
        sqlx::query!(
            "update data_keys d set wrapped = k.wrapped, wrapped_by = $3
             from unnest($1::uuid[], $2::bytea[]) k (key_id, wrapped)
             where d.key_id = k.key_id and d.wrapped is not null",
            &ids,
            &wrapped,
            current.as_slice()
        )
        .execute(pool)
        .await?;
        done += u64::try_from(ids.len()).unwrap_or_default();
        progress(done);
    }
}
