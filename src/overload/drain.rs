//! How fast something that fills up empties, and so when it is worth coming again.

use std::time::{Duration, Instant};

/// How long is counted before a rate is made of it.
const WINDOW: Duration = Duration::from_secs(1);
/// Nobody is told to wait longer.
const LONGEST: f64 = 30.0;

/// Counts what goes out. Time is handed in.
#[derive(Debug)]
pub struct Drain {
    since: Instant,
    gone: u32,
    per_second: f64,
}

impl Drain {
    pub fn new(now: Instant) -> Self {
        Self { since: now, gone: 0, per_second: 0.0 }
    }

    /// So many have gone out just now.
    pub fn went(&mut self, count: usize, now: Instant) {
        self.gone = self.gone.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= WINDOW {
            self.per_second = f64::from(self.gone) / elapsed.as_secs_f64();
            (self.since, self.gone) = (now, 0);
        }
    }

    /// In how many whole seconds so many will have gone out, as things go; at least one. Where nothing moves, as long
    /// as that has been so.
    pub fn seconds(&self, waiting: usize, now: Instant) -> u64 {
        let elapsed = now.saturating_duration_since(self.since).as_secs_f64();
        let lately = f64::from(self.gone) / elapsed.max(0.001);
        let rate = if elapsed < WINDOW.as_secs_f64() { self.per_second.max(lately) } else { lately };
        let waiting = f64::from(u32::try_from(waiting).unwrap_or(u32::MAX));
        let seconds = if rate > 0.0 { waiting / rate } else { elapsed };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 30")]
        let whole = seconds.ceil().clamp(1.0, LONGEST) as u64;
        whole
    }
}

/// The same with some more at random, so that those who were turned away together do not come again together.
pub fn scattered(seconds: u64) -> u64 {
    seconds + fastrand::u64(0..=seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_the_queue_takes_to_empty() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut drain = Drain::new(start);
        drain.went(1_000, at(1_000));
        assert_eq!(drain.seconds(500, at(1_100)), 1);
        assert_eq!(drain.seconds(8_000, at(1_100)), 8);
        assert_eq!(drain.seconds(1_000_000, at(1_100)), 30, "and never longer than that");
    }

    #[test]
    fn where_nothing_moves_the_wait_grows_with_the_standstill() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut drain = Drain::new(start);
        drain.went(5_000, at(1));
        assert_eq!([2, 5, 11, 100].map(|second| drain.seconds(10, at(second))), [1, 4, 10, 30]);
    }

    #[test]
    fn the_scatter_is_at_most_as_long_again() {
        assert!((0..1_000).all(|_| (4..=8).contains(&scattered(4))));
    }
}
