//! What a run of the suite does: which parts, for how long, at which sizes.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// The parts, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The writer below HTTP, beside stock postgres-es and the raw ceiling.
    Append,
    /// Whole commands over HTTP, beside the same commands on stock cqrs-es.
    Commands,
    /// Access checks over HTTP, beside a look-up each and a server without a store.
    Checks,
    /// Lists, pages and switchers as the data grow.
    Reads,
    /// Read models from zero, beside stock's replay.
    Rebuild,
    /// Time to ready, and memory, as the data grow.
    Startup,
    /// As of a past position, in a small and a large workspace.
    Past,
    /// Past saturation, and one workspace far above its share.
    Overload,
    /// A large audit log in each format.
    Export,
    /// Bytes per event.
    Storage,
}

impl Part {
    /// As it is written on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Commands => "commands",
            Self::Checks => "checks",
            Self::Reads => "reads",
            Self::Rebuild => "rebuild",
            Self::Startup => "startup",
            Self::Past => "past",
            Self::Overload => "overload",
            Self::Export => "export",
            Self::Storage => "storage",
        }
    }
}

/// Measures Tenure beside its peers and its ceilings on this machine.
#[derive(Debug, Parser)]
#[command(name = "suite", after_help = "Example: cargo bench -- append checks --quick")]
struct Args {
    /// The parts to run; all of them when none is named.
    parts: Vec<Part>,
    /// Smaller sizes, one short round: minutes in place of hours, and rough.
    #[arg(long)]
    quick: bool,
    /// How long one measured window lasts.
    #[arg(long)]
    seconds: Option<f64>,
    /// How often each subject is measured; medians are reported.
    #[arg(long)]
    rounds: Option<usize>,
    /// How many commands or requests are in flight, one figure each.
    #[arg(long, value_delimiter = ',')]
    connections: Option<Vec<usize>>,
    /// How many events the log already holds, one figure each.
    #[arg(long, value_delimiter = ',')]
    events: Option<Vec<u64>>,
    /// How many memberships there already are, one figure each.
    #[arg(long, value_delimiter = ',')]
    memberships: Option<Vec<u64>>,
    /// Where the report goes.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Also writes the report into docs/performance/ and its tables into README.md.
    #[arg(long)]
    publish: bool,
    /// Cargo says so.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What a run does.
#[derive(Debug, Clone)]
pub struct Plan {
    pub parts: Vec<Part>,
    pub quick: bool,
    /// How long one measured window lasts, warm-up not counted.
    pub seconds: f64,
    pub rounds: usize,
    /// How many are in flight at once.
    pub connections: Vec<usize>,
    pub sizes: Sizes,
    pub out: PathBuf,
    pub publish: bool,
}

/// How much is there already when the measuring begins, smallest first.
#[derive(Debug, Clone)]
pub struct Sizes {
    /// Events in the log.
    pub events: Vec<u64>,
    pub memberships: Vec<u64>,
}

impl Plan {
    /// Of the program's arguments; ends the program if they are wrong.
    pub fn from_args() -> Self {
        Self::of(Args::parse())
    }

    fn of(args: Args) -> Self {
        let quick = args.quick;
        let events = if quick { vec![0, 100_000] } else { vec![0, 1_000_000, 10_000_000] };
        let memberships = if quick { vec![10_000, 100_000] } else { vec![10_000, 1_000_000] };
        let connections = if quick { vec![1, 64] } else { vec![1, 16, 64, 256] };
        let parts = if args.parts.is_empty() { Part::value_variants().to_vec() } else { args.parts };
        Self {
            parts,
            quick,
            seconds: args.seconds.unwrap_or(if quick { 0.5 } else { 2.0 }),
            rounds: args.rounds.unwrap_or(if quick { 1 } else { 3 }).max(1),
            connections: args.connections.unwrap_or(connections),
            sizes: Sizes {
                events: ascending(args.events.unwrap_or(events)),
                memberships: ascending(args.memberships.unwrap_or(memberships)),
            },
            out: args.out,
            publish: args.publish,
        }
    }
}

/// The subjects of one round: every second one goes through them in reverse.
pub fn order<T: Clone>(subjects: &[T], round: usize) -> Vec<T> {
    let mut order = subjects.to_vec();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn ascending(mut sizes: Vec<u64>) -> Vec<u64> {
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// Where the part of that name stands among all.
pub fn place(name: &str) -> usize {
    let parts = Part::value_variants();
    parts.iter().position(|part| part.name() == name).unwrap_or(parts.len())
}
