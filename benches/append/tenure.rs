//! Tenure's own writer: a unit of work on the full schema.

use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tenure::data_keys::Vault;
use tenure::database::{Role, migrate, pool};
use tenure::overload::Pressure;
use tenure::secrets::{MasterKey, MasterKeys};
use tenure::store::append::CounterMove;
use tenure::store::idempotency::{KeyScope, RequestKey};
use tenure::store::origin::Actor;
use tenure::store::retry::Command;
use tenure::store::{Committed, Failure, Origin, Store, UnitOfWork};
use tenure_aggregates::membership::MembershipCommand;
use tenure_aggregates::{Membership, UserId, WorkspaceId};
use uuid::Uuid;

use super::commands::{change, start};
use super::{HOT, Mode, Round};
use crate::load::Measured;
use crate::load::inside::drive;
use crate::postgres::checkpoint;

/// How many streams are brought into memory at once.
const AT_ONCE: usize = 64;

/// One membership's command, as the members of a workspace issue them.
struct Write {
    workspace: WorkspaceId,
    stream: String,
    new: bool,
    command: MembershipCommand,
}

impl Command for Write {
    const NAME: &'static str = "Write";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        if self.new {
            unit.begin_stream::<Membership>(&self.stream);
            unit.move_counters(CounterMove {
                workspace: self.workspace.0,
                seats: 1,
                ..CounterMove::default()
            });
        }
        unit.execute::<Membership>(self.workspace, &self.stream, self.command.clone()).await?;
        unit.commit(r#"{"status":204}"#.to_owned()).await
    }
}

/// Looks at a membership, which brings its state into memory.
struct Look(WorkspaceId, String);

impl Command for Look {
    const NAME: &'static str = "Look";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        unit.load::<Membership>(self.0, &self.1).await?;
        unit.commit(String::new()).await
    }
}

/// A log, and what opens it.
pub(super) struct Log {
    pub database: PgConnectOptions,
    masters: MasterKeys,
}

impl Log {
    /// Empty, in a database that is.
    pub(super) async fn create(database: PgConnectOptions) -> Self {
        migrate(&database).await.expect("migrated");
        let log = Self { database, masters: MasterKeys::of(vec![MasterKey::random()]) };
        // Makes the root key: a log that is full before it has one belongs to an older master.
        Opened::on(&log).await.close().await;
        log
    }
}

/// A store on a log, and what it holds on to.
struct Opened {
    store: Store,
    origin: Arc<Origin>,
    pools: [PgPool; 2],
}

impl Opened {
    async fn on(log: &Log) -> Self {
        let (appender, keeper) =
            (pool(&log.database, Role::Appender, 16), pool(&log.database, Role::Keeper, 4));
        let (vault, _) = Vault::open(keeper.clone(), log.masters.clone()).await.expect("the keys");
        let store =
            Store::open(appender.clone(), vault, Arc::new(()), Pressure::default()).await.expect("the log");
        let user = UserId::parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("an id");
        let actor = Some(Actor::User(user));
        let origin = Arc::new(Origin { actor, via: Some("operator".into()), ..Origin::default() });
        Self { store, origin, pools: [appender, keeper] }
    }

    async fn write(&self, write: &Write) {
        self.store.run(write, self.origin.clone(), None, tenure::clock::now).await.expect("written");
    }

    /// Every client has a share of the streams.
    async fn look_at(&self, streams: &[(WorkspaceId, String)]) {
        let shares = streams.chunks(streams.len().div_ceil(AT_ONCE).max(1)).map(async |share| {
            for (workspace, stream) in share {
                let look = Look(*workspace, stream.clone());
                self.store.run(&look, self.origin.clone(), None, tenure::clock::now).await.expect("seen");
            }
        });
        futures::future::join_all(shares).await;
    }

    async fn close(self) {
        self.store.close().await;
        for pool in self.pools {
            pool.close().await;
        }
    }
}

/// One stream of so many events, so that others can be made like it.
pub(super) async fn write_stream(log: &Log, events: u64) {
    let opened = Opened::on(log).await;
    let (workspace, stream) = (WorkspaceId(tenure::ids::new_v7()), tenure::ids::new_v7().to_string());
    for n in 0..events {
        let command = if n == 0 { start() } else { change(0, n) };
        opened.write(&Write { workspace, stream: stream.clone(), new: n == 0, command }).await;
    }
    opened.close().await;
}

pub(super) async fn run(log: &Log, round: &Round, keyed: bool) -> Measured {
    let opened = Opened::on(log).await;
    let hot: Arc<Vec<(WorkspaceId, String)>> = Arc::new(
        (0..HOT)
            .map(|_| (WorkspaceId(tenure::ids::new_v7()), Uuid::from_u128(rand::random()).to_string()))
            .collect(),
    );
    for (workspace, stream) in &*hot {
        let write = Write { workspace: *workspace, stream: stream.clone(), new: true, command: start() };
        opened.write(&write).await;
    }
    if round.mode == Mode::Warm {
        opened.look_at(&round.streams).await;
    }
    checkpoint(&log.database).await;
    let (store, origin) = (opened.store.clone(), opened.origin.clone());
    let (mode, streams, next) = (round.mode, round.streams.clone(), round.next());
    let measured = drive(round.clients, round.window, move |client, n| {
        let (store, origin) = (store.clone(), origin.clone());
        let (workspace, stream) = match mode {
            Mode::New => (hot[client % HOT].0, Uuid::from_u128(rand::random()).to_string()),
            Mode::Hot => hot[client % HOT].clone(),
            Mode::Warm | Mode::Cold => streams[next()].clone(),
        };
        let new = mode == Mode::New;
        let key = keyed.then(|| request_key(workspace));
        async move {
            let command = if new { start() } else { change(client, n) };
            let write = Write { workspace, stream, new, command };
            store.run(&write, origin, key, tenure::clock::now).await.expect("no conflict reaches a client");
        }
    })
    .await;
    opened.close().await;
    measured
}

fn request_key(workspace: WorkspaceId) -> Arc<RequestKey> {
    let key = Uuid::from_u128(rand::random()).to_string();
    let scope = KeyScope { workspace: workspace.0, principal: "user:bench".into(), key };
    Arc::new(RequestKey::new(scope, [7; 32]))
}
