//! Fills the index from the read models, in one snapshot and one stream; the feed goes on from its position.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::TryStreamExt;
use sqlx::types::Json;
use sqlx::{Executor, PgConnection};
use tenure_aggregates::api_key::{Secret, Terms};
use tenure_aggregates::membership;
use tenure_aggregates::workspace::{CustomRole, Status};
use tenure_aggregates::{
    ApiKey, ApiKeyId, Catalogue, Membership, MembershipId, PermissionName, RoleName, Time, UserId,
    WorkspaceId,
};
use tenure_projections::projection::named;
use uuid::Uuid;

use super::Access;
use super::api_keys::Held;
use super::feed::{Error, within};
use crate::store::loader::Loader;

/// The read models it is loaded from.
const MODELS: [&str; 4] = ["workspaces", "members", "api_keys", USERS];
const USERS: &str = "users";
const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

/// Why there is nothing to load from, yet or until somebody acts.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotLoaded {
    #[error("the read models have not begun")]
    NotBegun,
    #[error("the read model {0} was written by another version: rebuild it")]
    OtherVersion(String),
}

/// Loads everything and says how long it took.
pub(super) async fn load(conn: &mut PgConnection, access: &Access, loader: &Loader) -> Result<(), Error> {
    let started = Instant::now();
    access.index.clear();
    access.api_keys.clear();
    within(conn.execute(BEGIN)).await?;
    let position = position(conn).await?;
    room(conn, access).await?;
    workspaces(conn, access).await?;
    members(conn, access).await?;
    api_keys(conn, access).await?;
    addresses(conn, access).await?;
    parked(conn, access).await?;
    within(conn.execute("ROLLBACK")).await?;
    let catalogue = within(loader.load::<Catalogue>(&Catalogue::home().to_string())).await?;
    access.index.put_catalogue(catalogue.sequence, &catalogue.state);
    access.progress.advance(position);
    tracing::info!(
        memberships = access.index.memberships(),
        workspaces = access.index.workspaces(),
        position,
        seconds = started.elapsed().as_secs_f64(),
        "the access index is loaded"
    );
    Ok(())
}

/// Where the read models stand; the hindmost, since what is older than a row is ignored.
async fn position(conn: &mut PgConnection) -> Result<i64, Error> {
    let rows = within(
        sqlx::query!(
            "select name, version, position from projection_checkpoints where state = 'live' and name = any($1)",
            &MODELS as _
        )
        .fetch_all(conn),
    )
    .await?;
    let current = |name: &str, version| named(name).is_some_and(|model| model.version == version);
    if let Some(other) = rows.iter().find(|row| !current(&row.name, row.version)) {
        return Err(NotLoaded::OtherVersion(other.name.clone()).into());
    }
    if rows.len() < MODELS.len() {
        return Err(NotLoaded::NotBegun.into());
    }
    Ok(rows.iter().map(|row| row.position).min().unwrap_or_default())
}

/// For as many as PostgreSQL takes there to be.
async fn room(conn: &mut PgConnection, access: &Access) -> Result<(), Error> {
    let estimate = sqlx::query_as(
        "select greatest(w.reltuples, 0)::bigint, greatest(m.reltuples, 0)::bigint
         from pg_class w, pg_class m where w.oid = 'workspaces'::regclass and m.oid = 'members'::regclass",
    );
    let (workspaces, memberships): (i64, i64) = within(estimate.fetch_one(conn)).await?;
    let count = |number: i64| usize::try_from(number).unwrap_or_default();
    access.index.reserve(count(workspaces), count(memberships));
    Ok(())
}

async fn workspaces(conn: &mut PgConnection, access: &Access) -> Result<(), Error> {
    let mut rows = sqlx::query!(
        r#"select workspace_id, owner_id, suspended_since is not null as "suspended!", archived, sequence,
                  roles as "roles: Json<BTreeMap<RoleName, CustomRole>>"
           from workspaces"#
    )
    .fetch(conn);
    while let Some(row) = within(rows.try_next()).await? {
        let id = WorkspaceId(row.workspace_id);
        match UserId::parse(&row.owner_id) {
            Ok(owner) => {
                let status = Status::of(row.suspended, row.archived);
                access.index.put_living(id, row.sequence, &owner, status, &row.roles.0);
            }
            Err(_) => access.index.put_unknown(id),
        }
    }
    Ok(())
}

async fn members(conn: &mut PgConnection, access: &Access) -> Result<(), Error> {
    let mut rows = sqlx::query!(
        "select workspace_id, user_id, recorded_role, deactivated, joined_at, expires_at, sequence from members"
    )
    .fetch(conn);
    while let Some(row) = within(rows.try_next()).await? {
        let workspace = WorkspaceId(row.workspace_id);
        let (Ok(user_id), Ok(role)) = (UserId::parse(&row.user_id), row.recorded_role.parse()) else {
            access.index.put_unknown(workspace);
            continue;
        };
        let id = MembershipId::of(workspace, &user_id);
        let terms = membership::Terms { user_id, role, joined_at: row.joined_at, expires_at: row.expires_at };
        let state = if row.deactivated { Membership::Deactivated(terms) } else { Membership::Active(terms) };
        access.index.put_membership(id, row.sequence, &state);
    }
    Ok(())
}

struct KeyRow {
    workspace_id: Uuid,
    key_id: Uuid,
    name: String,
    hint: String,
    hash: String,
    previous_hash: Option<String>,
    previous_until: Option<Time>,
    permissions: Vec<String>,
    expires_at: Option<Time>,
    networks: Vec<String>,
    networks_seen: Vec<String>,
    created_by: Option<String>,
    revoked_at: Option<Time>,
    sequence: i64,
    created_at: Time,
}

async fn api_keys(conn: &mut PgConnection, access: &Access) -> Result<(), Error> {
    let mut rows = sqlx::query_as!(
        KeyRow,
        "select workspace_id, key_id, name, hint, hash, previous_hash, previous_until, permissions, expires_at,
                networks, networks_seen, created_by, revoked_at, sequence, created_at from api_keys"
    )
    .fetch(conn);
    while let Some(row) = within(rows.try_next()).await? {
        access.api_keys.put(row.into_held());
    }
    Ok(())
}

impl KeyRow {
    fn into_held(self) -> Held {
        let (id, workspace, sequence) =
            (ApiKeyId(self.key_id), WorkspaceId(self.workspace_id), self.sequence);
        let key = if self.revoked_at.is_some() { ApiKey::Revoked } else { ApiKey::Active(self.into_terms()) };
        Held { id, workspace, sequence, key: Arc::new(key) }
    }

    fn into_terms(self) -> Terms {
        // The hint of the secret before is kept nowhere; nobody asks for it.
        let previous = self.previous_hash.zip(self.previous_until);
        Terms {
            name: self.name,
            secret: Secret { hash: self.hash, hint: self.hint },
            previous: previous.map(|(hash, until)| (Secret { hash, hint: String::new() }, until)),
            // A name that is none allows nothing.
            permissions: self
                .permissions
                .iter()
                .filter_map(|name| PermissionName::parse(name).ok())
                .collect(),
            expires_at: self.expires_at,
            networks: self.networks,
            networks_seen: self.networks_seen.into_iter().collect(),
            created_by: self.created_by.and_then(|user| UserId::parse(&user).ok()),
            created_at: self.created_at,
        }
    }
}

async fn addresses(conn: &mut PgConnection, access: &Access) -> Result<(), Error> {
    let mut rows =
        sqlx::query_scalar!(r#"select email as "email!" from users where email is not null"#).fetch(conn);
    while let Some(address) = within(rows.try_next()).await? {
        access.addresses.put(&address);
    }
    Ok(())
}

/// What a read model could not be told of must be asked of the log.
async fn parked(conn: &mut PgConnection, access: &Access) -> Result<(), Error> {
    let parked =
        sqlx::query!("select name, workspace_id from projection_parked where name = any($1)", &MODELS as _);
    for row in within(parked.fetch_all(conn)).await? {
        access.index.put_unknown(WorkspaceId(row.workspace_id));
        if row.name == USERS {
            access.addresses.miss();
        }
    }
    Ok(())
}
