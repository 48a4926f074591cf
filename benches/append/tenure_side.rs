//! Tenure's own writer: a unit of work on the full schema.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Executor};
use tenure::data_keys::Vault;
use tenure::database::{Role, migrate, options_of, pool};
use tenure::secrets::{MasterKey, MasterKeys};
use tenure::store::appender::CounterMove;
use tenure::store::idempotency::{KeyScope, RequestKey};
use tenure::store::origin::Actor;
use tenure::store::retry::Command;
use tenure::store::{Committed, Failure, Origin, Store, UnitOfWork};
use tenure_aggregates::membership::MembershipCommand;
use tenure_aggregates::{Membership, UserId, WorkspaceId};
use uuid::Uuid;

use crate::drive::{Figures, drive};
use crate::stock::{change, start};
use crate::{HOT, Mode};

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

pub(crate) async fn run(url: &str, mode: Mode, clients: usize, window: Duration, keyed: bool) -> Figures {
    let admin = options_of(url).expect("a URL");
    let mut connection = admin.connect().await.expect("a connection");
    connection.execute("drop database if exists bench with (force)").await.expect("dropped");
    connection.execute("create database bench").await.expect("created");
    let database = admin.database("bench");
    migrate(&database).await.expect("migrated");
    connection.execute("checkpoint").await.expect("a checkpoint");
    connection.close().await.expect("closed");
    let appender = pool(&database, Role::Appender, 16);
    let keeper = pool(&database, Role::Keeper, 4);
    let masters = MasterKeys::of(vec![MasterKey::random()]);
    let (vault, _) = Vault::open(keeper.clone(), masters).await.expect("the keys");
    let store = Store::open(appender.clone(), vault, Arc::new(())).await.expect("the log");
    let user = UserId::parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("an id");
    let origin = Arc::new(Origin {
        actor: Some(Actor::User(user)),
        via: Some("operator".into()),
        ..Origin::default()
    });
    let workspaces: Arc<Vec<WorkspaceId>> =
        Arc::new((0..HOT).map(|_| WorkspaceId(tenure::ids::new_v7())).collect());
    for (at, workspace) in workspaces.iter().enumerate() {
        let write = Write { workspace: *workspace, stream: format!("hot-{at}"), new: true, command: start() };
        store.run(&write, origin.clone(), None, tenure::clock::now).await.expect("a stream");
    }
    let running = store.clone();
    let figures = drive(clients, window, move |client, n| {
        let (store, origin) = (running.clone(), origin.clone());
        let at = client % HOT;
        let workspace = workspaces[at];
        async move {
            let write = match mode {
                Mode::New => {
                    let stream = Uuid::from_u128(rand::random()).to_string();
                    Write { workspace, stream, new: true, command: start() }
                }
                Mode::Hot => {
                    Write { workspace, stream: format!("hot-{at}"), new: false, command: change(client, n) }
                }
            };
            let key = keyed.then(|| {
                let key = Uuid::from_u128(rand::random()).to_string();
                let scope = KeyScope { workspace: workspace.0, principal: "user:bench".into(), key };
                Arc::new(RequestKey::new(scope, [7; 32]))
            });
            store.run(&write, origin, key, tenure::clock::now).await.expect("no conflict reaches a client");
        }
    })
    .await;
    store.close().await;
    appender.close().await;
    keeper.close().await;
    figures
}
