//! The products' permissions: the catalogue as it stands, in the installation's workspace.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use tenure_aggregates::catalogue::{CatalogueEvent, Entry};
use tenure_aggregates::{Catalogue, PermissionName, Role, Time};
use uuid::Uuid;

use crate::TenantTx;
use crate::projection::Projection;
use crate::recorded::{Event, Recorded};
use crate::rows::{Rows, column};

/// A permission that a product has registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductPermission {
    pub workspace_id: Uuid,
    pub permission: String,
    pub description: Option<String>,
    /// The built-in roles below admin that hold it.
    pub granted_to: Vec<String>,
    /// The catalogue's: the `ETag`.
    pub sequence: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// All there are, by name, in a transaction on the installation's workspace.
pub async fn list(tx: &mut TenantTx) -> Result<Vec<ProductPermission>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_as!(
        ProductPermission,
        "select workspace_id, permission, description, granted_to, sequence, created_at, updated_at
         from permissions where workspace_id = $1 order by permission",
        workspace
    )
    .fetch_all(tx.connection())
    .await
}

/// The same, as the rules know it.
pub async fn catalogue(tx: &mut TenantTx) -> Result<Catalogue, sqlx::Error> {
    let entries = list(tx).await?.into_iter().map(|row| {
        let name =
            PermissionName::parse(&row.permission).map_err(|error| sqlx::Error::Decode(error.into()))?;
        let granted_to = row.granted_to.iter().filter_map(|role| role.parse().ok()).collect();
        Ok((name, Entry { description: row.description, granted_to }))
    });
    Ok(Catalogue::from_entries(entries.collect::<Result<Vec<_>, sqlx::Error>>()?))
}

/// The projection `permissions`.
#[derive(Debug)]
pub struct Permissions;

impl Projection for Permissions {
    const NAME: &'static str = "permissions";
    const VERSION: i32 = 1;
    const TABLES: &'static [&'static str] = &["permissions"];

    async fn apply(conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        let mut rows = load(conn, batch).await?;
        for recorded in batch {
            if let Event::Catalogue(event) = &recorded.event {
                evolve(&mut rows, recorded, event);
            }
        }
        delete(conn, &rows.to_delete()).await?;
        upsert(conn, &rows.to_write()).await
    }
}

type Key = (Uuid, String);

fn key(row: &ProductPermission) -> Key {
    (row.workspace_id, row.permission.clone())
}

fn names(roles: &BTreeSet<Role>) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

fn key_of(recorded: &Recorded, event: &CatalogueEvent) -> Key {
    match event {
        CatalogueEvent::PermissionRegistered { permission, .. }
        | CatalogueEvent::PermissionChanged { permission, .. }
        | CatalogueEvent::PermissionWithdrawn { permission } => {
            (recorded.workspace_id.into(), permission.as_str().to_owned())
        }
    }
}

fn evolve(rows: &mut Rows<Key, ProductPermission>, recorded: &Recorded, event: &CatalogueEvent) {
    let key = key_of(recorded, event);
    match event {
        CatalogueEvent::PermissionRegistered { description, granted_to, .. } => {
            let row = ProductPermission {
                workspace_id: key.0,
                permission: key.1.clone(),
                description: description.clone(),
                granted_to: names(granted_to),
                sequence: 0,
                created_at: recorded.recorded_at,
                updated_at: recorded.recorded_at,
            };
            rows.put(key.clone(), row);
        }
        CatalogueEvent::PermissionChanged { description, granted_to, .. } => rows.change(&key, |row| {
            if let Some(description) = description {
                row.description.clone_from(&description.to);
            }
            if let Some(granted_to) = granted_to {
                row.granted_to = names(&granted_to.to);
            }
        }),
        CatalogueEvent::PermissionWithdrawn { .. } => rows.remove(&key),
    }
    rows.change(&key, |row| {
        row.sequence = recorded.sequence;
        row.updated_at = recorded.recorded_at;
    });
}

async fn load(
    conn: &mut PgConnection,
    batch: &[Recorded],
) -> Result<Rows<Key, ProductPermission>, sqlx::Error> {
    let of = |recorded: &Recorded| match &recorded.event {
        Event::Catalogue(event) => Some(key_of(recorded, event)),
        _ => None,
    };
    let keys: BTreeSet<Key> = batch.iter().filter_map(of).collect();
    if keys.is_empty() {
        return Ok(Rows::loaded([], key));
    }
    let (workspaces, permissions): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        ProductPermission,
        "select workspace_id, permission, description, granted_to, sequence, created_at, updated_at from permissions
         where (workspace_id, permission) in (select * from unnest($1::uuid[], $2::text[]))",
        &workspaces,
        &permissions
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, key))
}

async fn delete(conn: &mut PgConnection, keys: &[&Key]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from permissions
         where (workspace_id, permission) in (select * from unnest($1::uuid[], $2::text[]))",
        &column(keys, |(workspace, _)| *workspace),
        &column(keys, |(_, permission)| permission.as_str()) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Lists within lists do not fit `unnest`: the granted roles travel as one text.
async fn upsert(conn: &mut PgConnection, rows: &[&ProductPermission]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "insert into permissions (workspace_id, permission, description, granted_to, sequence, created_at, updated_at)
         select w, p, d, string_to_array(g, ','), s, c, u
         from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[],
                     $7::timestamptz[]) r (w, p, d, g, s, c, u)
         on conflict (workspace_id, permission) do update set
             description = excluded.description, granted_to = excluded.granted_to, sequence = excluded.sequence,
             created_at = excluded.created_at, updated_at = excluded.updated_at",
        &column(rows, |row| row.workspace_id),
        &column(rows, |row| row.permission.as_str()) as _,
        &column(rows, |row| row.description.as_deref()) as _,
        &column(rows, |row| row.granted_to.join(",")),
        &column(rows, |row| row.sequence),
        &column(rows, |row| row.created_at),
        &column(rows, |row| row.updated_at)
    )
    .execute(conn)
    .await?;
    Ok(())
}
