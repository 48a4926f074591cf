//! A large history, real-shaped, written straight into the log: users with names and addresses, workspaces, invitations
//! sent and accepted, members whose roles change, sealed as the product seals and with the metadata it writes.
//!
//! # Layout
//! - here: how large it is, who is in it, and what is done in which order
//! - [`tale`]: what happens, command by command; [`company`]: what happens in one workspace
//! - [`record`]: a command's events as rows of the log; [`copy`]: rows on their way into PostgreSQL
//! - [`filled`]: databases of each size that is planned
//!
//! Many workspaces are at it at once, so that each one's events lie scattered over the log as in a real one. The read
//! models are then filled by the product's own rebuild. What commands keep beside the log and forget after two days
//! (idempotency keys), and what is not there yet (deliveries), is not made up.

mod company;
mod copy;
pub mod filled;
mod record;
mod tale;

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};
use tenure::clock;
use tenure::data_keys::Vault;
use tenure::database::{Role, migrate, pool};
use tenure::projector::rebuild;
use tenure::secrets::MasterKeys;
use tenure_aggregates::{InvitationId, UserId, WorkspaceId};
use tenure_projections::ALL;
use uuid::Uuid;

/// The workspace of most members, and with the longest audit log.
const LARGE: u64 = 0;

/// How large a history is. Of the memberships, a quarter are those of users in their personal workspaces.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub users: u64,
    /// Team workspaces, the large one among them.
    pub workspaces: u64,
    /// Members of each team workspace but the large one.
    pub members: u64,
    /// Members of the large one.
    pub large: u64,
    /// Events in the large one alone, beyond what its members' coming takes.
    pub large_events: u64,
    /// Workspaces of the one user who is in many.
    pub switcher: u64,
    /// Events all told, about; never fewer than so many memberships take.
    pub events: u64,
}

impl Shape {
    /// So many memberships, about, and so many events.
    pub fn of(memberships: u64, events: u64) -> Self {
        let (users, members) = (memberships / 4, 10);
        let large = memberships / 50;
        let workspaces = (memberships - users - large) / members;
        let switcher = (workspaces - 1).min(500);
        Self { users, workspaces, members, large, large_events: events / 50, switcher, events }
    }
}

/// The user of that number.
pub fn user(number: u64) -> UserId {
    UserId::parse(&format!("user-{number:08}")).expect("an id")
}

/// The user who is in many workspaces.
pub fn switcher() -> UserId {
    UserId::parse("user-of-many").expect("an id")
}

/// The team workspace of that number; 0 is the large one.
pub fn workspace(number: u64) -> WorkspaceId {
    WorkspaceId(in_order(1, number, 0))
}

pub fn large() -> WorkspaceId {
    workspace(LARGE)
}

/// An invitation of that workspace.
fn invitation(workspace: u64, number: u64) -> InvitationId {
    InvitationId(in_order(2, workspace, number))
}

/// An id as the product makes them, ordered by time, that can be told again from these numbers.
fn in_order(kind: u64, one: u64, other: u64) -> Uuid {
    let mut random = [0; 10];
    let mixed = (kind << 60 | one << 24 | other).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    random[..8].copy_from_slice(&mixed.to_be_bytes());
    random[8..].copy_from_slice(&(other as u16).to_be_bytes());
    uuid::Builder::from_unix_timestamp_millis(1_735_689_600_000 + one * 37 + other, &random).into_uuid()
}

/// The members of a team workspace but the large one, its owner first.
pub fn members_of(shape: &Shape, workspace: u64) -> impl Iterator<Item = u64> {
    let first = (workspace - 1) * shape.members;
    let users = shape.users;
    (first..first + shape.members).map(move |slot| slot % users)
}

/// How much was written or taken through, and in how long.
#[derive(Debug, Clone, Copy)]
pub struct Done {
    pub events: u64,
    pub took: Duration,
}

impl Done {
    pub fn per_second(&self) -> f64 {
        self.events as f64 / self.took.as_secs_f64()
    }
}

/// A history in a database of its own.
#[derive(Debug, Clone, Copy)]
pub struct History {
    pub shape: Shape,
    pub written: Done,
    /// All read models together.
    pub rebuilt: Done,
}

/// Fills an empty database; `keys` is the directory its server is to keep its keys in.
pub async fn fill(database: &PgConnectOptions, keys: &Path, shape: Shape) -> History {
    migrate(database).await.expect("migrated");
    let written = write(database, keys, shape).await;
    eprintln!("{} events written, {:.0}/s", written.events, written.per_second());
    let rebuilt = fill_read_models(database, keys).await;
    eprintln!("{} events in all read models, {:.0}/s", rebuilt.events, rebuilt.per_second());
    let mut owner = database.connect().await.expect("a connection");
    owner.execute("vacuum analyze").await.expect("tidied up");
    owner.execute("checkpoint").await.expect("tidied up");
    owner.close().await.expect("closed");
    History { shape, written, rebuilt }
}

/// Writes the log alone.
pub async fn write(database: &PgConnectOptions, keys: &Path, shape: Shape) -> Done {
    let begun = Instant::now();
    let (keeper, vault) = vault(database, keys).await;
    let mut owner = database.connect().await.expect("a connection");
    let indexes = copy::without_indexes(&mut owner, "events").await;
    let (sender, rows) = copy::channel();
    let telling = tokio::task::spawn_blocking(move || tale::tell(&vault, shape, sender));
    copy::receive(database, rows).await;
    let end = telling.await.expect("told");
    eprintln!("{:.0} events/s before the indexes", end.position as f64 / begun.elapsed().as_secs_f64());
    indexes.make(&mut owner).await;
    ends_here(&mut owner, &end).await;
    owner.execute("analyze events").await.expect("analysed");
    owner.close().await.expect("closed");
    keeper.close().await;
    Done { events: end.position.unsigned_abs(), took: begun.elapsed() }
}

async fn vault(database: &PgConnectOptions, keys: &Path) -> (sqlx::PgPool, Vault) {
    let keeper = pool(database, Role::Keeper, 4);
    let masters = MasterKeys::load_or_create(&keys.join("master.key")).expect("the master key");
    let (vault, _) = Vault::open(keeper.clone(), masters).await.expect("the keys");
    (keeper, vault)
}

/// The log ends here, and whatever goes out begins after it.
async fn ends_here(owner: &mut PgConnection, end: &record::End) {
    sqlx::query("update log_head set position = $1, recorded_at = $2")
        .bind(end.position)
        .bind(end.recorded_at)
        .execute(&mut *owner)
        .await
        .expect("the head");
    sqlx::query("update delivery_checkpoints set position = $1")
        .bind(end.position)
        .execute(owner)
        .await
        .expect("the checkpoints");
}

/// The product's own rebuild of all read models.
async fn fill_read_models(database: &PgConnectOptions, keys: &Path) -> Done {
    let owner = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.clone());
    let projector = pool(database, Role::Projector, 12);
    let (keeper, vault) = vault(database, keys).await;
    let names: Vec<&str> = ALL.iter().map(|projection| projection.name).collect();
    sqlx::raw_sql("checkpoint").execute(&owner).await.expect("a checkpoint");
    let (begun, mut events) = (Instant::now(), 0);
    let progress = |progress: tenure::projector::rebuild::Progress| events = progress.position;
    rebuild(&owner, &projector, &vault, clock::now, &names, progress).await.expect("rebuilt");
    let took = begun.elapsed();
    for pool in [owner, projector, keeper] {
        pool.close().await;
    }
    Done { events: i64::unsigned_abs(events), took }
}
