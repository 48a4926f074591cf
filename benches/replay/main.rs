//! Measures what a history costs to read again: rebuilding the read models, looking at the past, and exporting.
//!
//! `cargo bench --bench replay` (options: `-- --events 1000000 --stock-events 20000 --large 100000 --questions 500
//! --rounds 3 --parts rebuild,past,export`, or the same as `REPLAY_EVENTS`, …). It starts a PostgreSQL of its own with durable settings and lets
//! Tenure, as a process of its own, write a history over HTTP (see `history.rs`): companies, users, invitations,
//! memberships, roles. Then, on that log:
//! 1. all read models are rebuilt, each is rebuilt alone, and stock cqrs-es replays a part of the same events from its own
//!    table in the same database into a view per aggregate (`QueryReplay`, `GenericQuery`, `PostgresViewRepository`);
//! 2. a member, a page of members and an access check are asked for as of random positions in a workspace of 10 events
//!    and in a large one, in turns;
//! 3. the large workspace's audit log is exported in each format; the peak memory is that of the serving process.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people who measure: it stops at the first thing that is wrong"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]
#![allow(unreachable_pub, reason = "one program: nothing is reachable from outside")]

mod export;
mod history;
mod past;
mod rebuild;
mod server;
mod stock;

use sqlx::{ConnectOptions, Connection, Executor};
use tenure::database::options_of;
use tenure::embedded_postgres::{EmbeddedPostgres, Options};

use server::Server;

/// What a run does.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// In the whole log.
    pub events: i64,
    /// Of them, how many stock cqrs-es replays.
    pub stock_events: i64,
    /// In the large workspace.
    pub large: i64,
    /// How often each question about the past is asked.
    pub questions: usize,
    pub rounds: usize,
    pub rebuild: bool,
    pub past: bool,
    pub export: bool,
}

impl Plan {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let value = |name: &str| {
            let given =
                args.iter().position(|arg| *arg == format!("--{name}")).and_then(|at| args.get(at + 1));
            let variable = format!("REPLAY_{}", name.replace('-', "_").to_uppercase());
            given.cloned().or_else(|| std::env::var(variable).ok())
        };
        let number = |name: &str, default: i64| -> i64 {
            value(name).map_or(default, |text| text.parse().expect("a number"))
        };
        let count =
            |name: &str, default: i64| usize::try_from(number(name, default)).expect("a number of times");
        let parts = value("parts").unwrap_or_else(|| "rebuild,past,export".to_owned());
        let has = |part: &str| parts.split(',').any(|one| one == part);
        Self {
            rebuild: has("rebuild"),
            past: has("past"),
            export: has("export"),
            events: number("events", 1_000_000),
            stock_events: number("stock-events", 20_000),
            large: number("large", 100_000),
            questions: count("questions", 500),
            rounds: count("rounds", 3),
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime").block_on(run(Plan::from_args()));
}

async fn run(plan: Plan) {
    let data_dir = tempfile::tempdir().expect("a directory").keep();
    let settings = [("shared_buffers", "1GB"), ("max_wal_size", "8GB")];
    let options = Options {
        data_dir,
        durable: true,
        remove_on_exit: true,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        max_connections: 200,
    };
    let mut postgres = EmbeddedPostgres::start(options).expect("a PostgreSQL");
    let admin = options_of(&postgres.url("postgres")).expect("a URL");
    let mut connection = admin.connect().await.expect("a connection");
    connection.execute("create database bench").await.expect("created");
    connection.close().await.expect("closed");
    let database = admin.database("bench");

    let keys = tempfile::tempdir().expect("a directory");
    let server = Server::start(&postgres.url("bench"), keys.path());
    let history = history::write(&server, &database, plan).await;
    let (mut past, mut exports) = (None, None);
    if plan.past {
        past = Some(past::measure(&server, &history, plan).await);
    }
    if plan.export {
        exports = Some(export::measure(&server, &history, plan).await);
    }
    // It would go on with its own projector meanwhile.
    server.stop();
    if plan.rebuild {
        let stock = stock::replay(&database, plan).await;
        let rebuilt = rebuild::measure(&database, keys.path(), plan).await;
        rebuild::print(&stock, &rebuilt);
    }
    if let Some(past) = past {
        past.print();
    }
    if let Some(exports) = exports {
        export::print(&exports);
    }
    postgres.stop();
}
