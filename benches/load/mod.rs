//! Load: clients that ask, and what they measured.
//!
//! - [`closed`]: so many connections, each asking again as soon as it is answered, from a process of its own
//! - [`open`]: requests come at their own rate, whether or not the earlier ones are answered; also of its own
//! - [`inside`]: the same for code that is called in this process
//! - [`request`], [`answer`]: HTTP as far as those need it

pub mod answer;
pub mod closed;
pub mod inside;
pub mod open;
pub mod request;

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::report::Figure;

/// What one round came to.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Measured {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Measured {
    /// Of the latencies, in microseconds, of all that was done in a window.
    pub fn of(latencies: &Histogram<u64>, window: Duration) -> Self {
        let ms = |quantile| latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Self { per_second: latencies.len() as f64 / window.as_secs_f64(), p50_ms: ms(0.5), p99_ms: ms(0.99) }
    }

    /// Each figure's median over the rounds.
    pub fn median(rounds: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure).collect());
        Self {
            per_second: middle(|round| round.per_second),
            p50_ms: middle(|round| round.p50_ms),
            p99_ms: middle(|round| round.p99_ms),
        }
    }

    /// The same as a figure of the report's.
    pub fn figure(self, part: &'static str, case: impl Into<String>, subject: impl Into<String>) -> Figure {
        Figure::new(part, case, subject).rate(self.per_second).latency(self.p50_ms, self.p99_ms)
    }
}

/// The value in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// For latencies in microseconds, up to two minutes.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("sane bounds")
}

/// What took so long, in whole microseconds.
pub fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
