//! A closed loop of so many clients: a warm-up, then a measured window.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Figures {
    /// Each figure's median over the rounds.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            per_second: middle(|f| f.per_second),
            p50_ms: middle(|f| f.p50_ms),
            p99_ms: middle(|f| f.p99_ms),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.0}/s  p50 {:>8.2} ms  p99 {:>8.2} ms", self.per_second, self.p50_ms, self.p99_ms)
    }
}

/// `command(client, n)` is one command, retried by itself until it has happened.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
pub(crate) async fn drive<F, Fut>(clients: usize, window: Duration, command: F) -> Figures
where
    F: Fn(usize, u64) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + Send,
{
    let command = Arc::new(command);
    let from = Instant::now() + window / 4;
    let to = from + window;
    let tasks: Vec<_> = (0..clients)
        .map(|client| {
            let command = command.clone();
            tokio::spawn(async move {
                let mut latencies = histogram();
                for n in 0.. {
                    let begun = Instant::now();
                    if begun >= to {
                        break;
                    }
                    command(client, n).await;
                    let done = Instant::now();
                    if begun >= from && done < to {
                        let micros = u64::try_from((done - begun).as_micros()).unwrap_or(u64::MAX);
                        latencies.saturating_record(micros);
                    }
                }
                latencies
            })
        })
        .collect();
    let mut all = histogram();
    for task in tasks {
        all.add(task.await.expect("a client")).expect("the same bounds");
    }
    let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1000.0;
    Figures { per_second: all.len() as f64 / window.as_secs_f64(), p50_ms: ms(0.5), p99_ms: ms(0.99) }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("sane bounds")
}
