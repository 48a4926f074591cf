//! Compares Tenure's appender with the stock postgres-es writer, in one run, on one PostgreSQL.
//!
//! `cargo bench --bench append` (options: `-- --seconds 2 --rounds 3 --concurrency 1,16,64,256`). Both sides run the
//! same aggregate and record the same event: stock through `CqrsFramework::execute` on its own schema, Tenure through a
//! unit of work on the full schema with workspace heads, seats, read-model notification and row level security. Rounds
//! are interleaved, every second one in reverse; the table shows medians and the ratio to stock.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people who measure: it stops at the first thing that is wrong"
)]
#![allow(unreachable_pub, reason = "one program: nothing is reachable from outside")]

mod drive;
mod stock;
mod tenure_side;

use std::collections::BTreeMap;
use std::time::Duration;

use drive::Figures;
use tenure::embedded_postgres::{EmbeddedPostgres, Options};

/// As the server has it; both sides run in this process.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Every command begins a stream of its own.
    New,
    /// All commands share 64 streams.
    Hot,
}

/// How many streams the hot mode has.
pub const HOT: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Writer {
    Stock,
    Tenure,
    /// With an idempotency key on every command.
    TenureKeyed,
}

struct Plan {
    seconds: f64,
    rounds: usize,
    concurrency: Vec<usize>,
}

impl Plan {
    fn from_args() -> Self {
        let args: Vec<String> = std::env::args().collect();
        let value = |name: &str| args.iter().position(|arg| arg == name).and_then(|at| args.get(at + 1));
        Self {
            seconds: value("--seconds").and_then(|text| text.parse().ok()).unwrap_or(2.0),
            rounds: value("--rounds").and_then(|text| text.parse().ok()).unwrap_or(3),
            concurrency: value("--concurrency").map_or_else(
                || vec![1, 16, 64, 256],
                |text| text.split(',').filter_map(|one| one.parse().ok()).collect(),
            ),
        }
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(run(Plan::from_args()));
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
    let mut server = EmbeddedPostgres::start(options).expect("a PostgreSQL");
    let url = server.url("postgres");
    let mut figures: BTreeMap<(Mode, usize, Writer), Vec<Figures>> = BTreeMap::new();
    for mode in [Mode::New, Mode::Hot] {
        for &concurrency in &plan.concurrency {
            for round in 0..plan.rounds {
                let mut writers = vec![Writer::Stock, Writer::Tenure, Writer::TenureKeyed];
                if round % 2 == 1 {
                    writers.reverse();
                }
                for writer in writers {
                    let seconds = Duration::from_secs_f64(plan.seconds);
                    let measured = match writer {
                        Writer::Stock => stock::run(&url, mode, concurrency, seconds).await,
                        Writer::Tenure => tenure_side::run(&url, mode, concurrency, seconds, false).await,
                        Writer::TenureKeyed => tenure_side::run(&url, mode, concurrency, seconds, true).await,
                    };
                    eprintln!("{mode:?} {concurrency:>4} {writer:?} {measured}");
                    figures.entry((mode, concurrency, writer)).or_default().push(measured);
                }
            }
        }
    }
    print_table(&figures);
    server.stop();
}

fn print_table(figures: &BTreeMap<(Mode, usize, Writer), Vec<Figures>>) {
    println!(
        "| streams | in flight | writer | commands/s | p50 ms | p99 ms | commands vs stock | p99 vs stock |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for ((mode, concurrency, writer), runs) in figures {
        let this = Figures::median(runs);
        let stock = Figures::median(&figures[&(*mode, *concurrency, Writer::Stock)]);
        let writer = match writer {
            Writer::Stock => "stock postgres-es",
            Writer::Tenure => "Tenure",
            Writer::TenureKeyed => "Tenure, idempotency key each",
        };
        let streams = match mode {
            Mode::New => "new",
            Mode::Hot => "64 hot",
        };
        println!(
            "| {streams} | {concurrency} | {writer} | {:.0} | {:.2} | {:.2} | {:.1}× | {:.2}× |",
            this.per_second,
            this.p50_ms,
            this.p99_ms,
            this.per_second / stock.per_second,
            this.p99_ms / stock.p99_ms
        );
    }
}
