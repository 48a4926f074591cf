//! How many live streams this process keeps: not so many that they could starve it, nor all for one workspace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Feed;

/// One feed may take so much of all there are.
const SHARE: usize = 10;

#[derive(Debug)]
pub struct Seats {
    most: usize,
    most_each: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<Feed, usize>,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    Service,
    Feed,
}

/// A live stream's; free again when dropped.
#[derive(Debug)]
pub struct Seat {
    seats: Arc<Seats>,
    feed: Feed,
}

impl Seats {
    pub fn new(most: usize) -> Self {
        Self { most, most_each: (most / SHARE).max(1), taken: Mutex::default() }
    }

    pub fn take(self: &Arc<Self>, feed: Feed) -> Result<Seat, Full> {
        let mut taken = self.lock();
        if taken.each.get(&feed).is_some_and(|streams| *streams >= self.most_each) {
            return Err(Full::Feed);
        }
        if taken.all >= self.most {
            return Err(Full::Service);
        }
        taken.all += 1;
        *taken.each.entry(feed).or_default() += 1;
        gauge(taken.all);
        Ok(Seat { seats: self.clone(), feed })
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.lock().all
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        // Whatever panicked left at worst a seat that stays taken.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.all -= 1;
        if let Some(streams) = taken.each.get_mut(&self.feed) {
            *streams -= 1;
            if *streams == 0 {
                taken.each.remove(&self.feed);
            }
        }
        gauge(taken.all);
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn gauge(streams: usize) {
    metrics::gauge!("tenure_feed_streams").set(streams as f64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_aggregates::WorkspaceId;

    #[test]
    fn no_feed_takes_all_seats_and_a_left_one_is_free() {
        let seats = Arc::new(Seats::new(20));
        let feed = |n| Feed::Of(WorkspaceId(uuid::Uuid::from_u128(n)));
        let first = seats.take(feed(1)).unwrap();
        let _second = seats.take(feed(1)).unwrap();
        assert_eq!(seats.take(feed(1)).unwrap_err(), Full::Feed);
        let others: Vec<_> = (4..40).map_while(|n| seats.take(feed(n / 2)).ok()).collect();
        assert_eq!((others.len(), seats.taken()), (18, 20));
        assert_eq!(seats.take(Feed::Whole).unwrap_err(), Full::Service);
        drop(first);
        let _whole = seats.take(Feed::Whole).unwrap();
        drop(others);
        assert_eq!(seats.taken(), 2);
    }
}
