//! A closed loop of so many clients in this process: a warm-up, then a measured window.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Measured, histogram, micros};

/// `command(client, n)` is one command, retried by itself until it has happened.
pub async fn drive<F, Fut>(clients: usize, window: Duration, command: F) -> Measured
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
                        latencies.saturating_record(micros(done - begun));
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
    Measured::of(&all, window)
}
