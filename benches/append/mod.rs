//! The writer below HTTP: Tenure's unit of work, stock postgres-es and a raw group commit, in one process on one
//! PostgreSQL.
//!
//! Tenure and stock run the same aggregate and record the same event: stock through `CqrsFramework::execute` on its own
//! schema, Tenure on the full one with workspace heads, seats, read-model notification and row level security. The
//! ceiling decides nothing and checks nothing.

mod ceiling;
mod commands;
mod stock;
mod tenure;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use tenure_aggregates::WorkspaceId;

use crate::load::Measured;
use crate::plan::{Part, Plan, order};
use crate::postgres::Postgres;
use crate::prefill::{self, STREAM, Template};
use crate::report::{Goal, Report, TENURE};

pub(crate) use stock::SCHEMA;

/// How many streams the hot mode has.
const HOT: usize = 64;
/// How many streams are small enough in number to be all in memory.
const WARM: usize = 10_000;
/// How many streams a log's own are taken from.
const STREAMS: u64 = 300_000;

const STOCK: &str = "stock postgres-es";
const KEYED: &str = "Tenure, idempotency key each";
const CEILING: &str = "raw group commit";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Every command begins a stream of its own.
    New,
    /// All commands share 64 streams.
    Hot,
    /// Another stream of ten events each time, whose state is in memory already.
    Warm,
    /// The same, but it has to be loaded.
    Cold,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::New => "new streams",
            Self::Hot => "64 hot streams",
            Self::Warm => "streams of 10 events, warm",
            Self::Cold => "streams of 10 events, cold",
        }
    }

    fn goals(self, subject: &str, clients: usize) -> Vec<Goal> {
        let times = |times: f64| Goal::TimesRateOf(STOCK.to_owned(), times);
        match (self, clients) {
            (Self::New, 256) => {
                let factor = if subject == KEYED { 8.0 } else { 10.0 };
                vec![times(factor), Goal::ShareOfP99Of(STOCK.to_owned(), 0.2)]
            }
            (Self::New, 1) => vec![times(3.0)],
            (Self::Hot, 256) => vec![times(30.0), Goal::P99Ms(20.0)],
            (Self::Warm, 256) => vec![times(8.0)],
            (Self::Cold, 256) => vec![times(4.0)],
            _ => Vec::new(),
        }
    }
}

/// What one round of one subject does.
struct Round {
    mode: Mode,
    clients: usize,
    window: Duration,
    /// Streams of the log's own, for the modes that go on with some.
    streams: Arc<Vec<(WorkspaceId, String)>>,
}

impl Round {
    /// One of the streams after the other.
    fn next(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let (next, length) = (AtomicUsize::new(rand::random_range(0..STREAMS as usize)), self.streams.len());
        move || next.fetch_add(1, Ordering::Relaxed) % length.max(1)
    }
}

struct Databases {
    tenure: tenure::Log,
    stock: PgConnectOptions,
}

pub(crate) async fn run(plan: &Plan, report: &mut Report) {
    let postgres = Postgres::start();
    let template = template(&postgres).await;
    for &size in &plan.sizes.events {
        let databases = databases(&postgres, &template, size).await;
        let streams = prefill::streams(&databases.stock, size, STREAMS).await;
        for mode in [Mode::New, Mode::Hot, Mode::Warm, Mode::Cold] {
            let streams = match mode {
                Mode::New | Mode::Hot => Vec::new(),
                Mode::Warm => streams.iter().take(WARM).cloned().collect(),
                Mode::Cold => streams.clone(),
            };
            if matches!(mode, Mode::Warm | Mode::Cold) && streams.is_empty() {
                continue;
            }
            let streams = Arc::new(streams);
            for &clients in &plan.connections {
                let window = Duration::from_secs_f64(plan.seconds);
                let round = Round { mode, clients, window, streams: streams.clone() };
                compare(&databases, &round, size, plan.rounds, report).await;
            }
        }
    }
    postgres.stop();
}

/// One case at one size: everybody in turns.
async fn compare(databases: &Databases, round: &Round, size: u64, rounds: usize, report: &mut Report) {
    let subjects = [STOCK, TENURE, KEYED, CEILING];
    let mut measured: Vec<Vec<Measured>> = vec![Vec::new(); subjects.len()];
    for n in 0..rounds {
        for at in order(&[0, 1, 2, 3], n) {
            let one = match subjects[at] {
                STOCK => stock::run(&databases.stock, round).await,
                CEILING => ceiling::run(&databases.stock, round).await,
                subject => tenure::run(&databases.tenure, round, subject == KEYED).await,
            };
            measured[at].push(one);
        }
    }
    for (subject, rounds) in subjects.into_iter().zip(&measured) {
        let case = format!("{}, {} in flight", round.mode.name(), round.clients);
        let mut figure = Measured::median(rounds).figure(Part::Append.name(), case, subject).at_size(size);
        if subject == TENURE || subject == KEYED {
            for goal in round.mode.goals(subject, round.clients) {
                figure = figure.goal(goal);
            }
        }
        report.add(figure);
    }
}

/// Ten events as Tenure writes them.
async fn template(postgres: &Postgres) -> Template {
    let log = tenure::Log::create(postgres.database("template").await).await;
    tenure::write_stream(&log, STREAM).await;
    Template::of(&log.database).await
}

/// Logs of so many events: Tenure's, stock's, and the ceiling's beside stock's.
async fn databases(postgres: &Postgres, template: &Template, size: u64) -> Databases {
    let tenure = tenure::Log::create(postgres.database("bench").await).await;
    let stock = postgres.database("stock").await;
    stock::create(&stock).await;
    ceiling::create(&stock).await;
    prefill::tenure(&tenure.database, template, size).await;
    prefill::stock(&stock, template, size, "events", false).await;
    prefill::stock(&stock, template, size, "ceiling", true).await;
    Databases { tenure, stock }
}
