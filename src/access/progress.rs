//! How far along the log the index is, and when it was last known to be at its end.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};

/// More own stretches than that waiting is another process's feast: they are then read from the log like its own.
const MOST_OWN: usize = 1 << 16;
/// Before anything is loaded.
const NOWHERE: i64 = -1;

/// Position and heartbeat of the index.
#[derive(Debug)]
pub(super) struct Progress {
    position: watch::Sender<i64>,
    /// Stretches `(after, to]` that this process appended and the index has taken, ahead of its position.
    own: Mutex<VecDeque<(i64, i64)>>,
    started: Instant,
    /// Microseconds after `started` of the last instant at which nothing was missing; 0 before the first.
    beat: AtomicU64,
    nudge: Notify,
}

impl Progress {
    pub(super) fn new(started: Instant) -> Self {
        Self {
            position: watch::channel(NOWHERE).0,
            own: Mutex::default(),
            started,
            beat: AtomicU64::new(0),
            nudge: Notify::new(),
        }
    }

    /// Everything up to here is in the index; none before it is loaded.
    pub(super) fn position(&self) -> Option<i64> {
        Some(*self.position.borrow()).filter(|position| *position > NOWHERE)
    }

    pub(super) fn watch(&self) -> watch::Receiver<i64> {
        self.position.subscribe()
    }

    /// The index has everything up to `to`, and whatever of this process's own follows on it.
    pub(super) fn advance(&self, to: i64) {
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        self.move_on(&mut own, to);
    }

    /// This process appended `(after, to]`, and the index has it.
    pub(super) fn took_own(&self, after: i64, to: i64) {
        if to <= after {
            return;
        }
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.len() >= MOST_OWN {
            own.clear();
        }
        match own.back_mut() {
            Some(last) if last.1 == after => last.1 = to,
            _ => own.push_back((after, to)),
        }
        let position = *self.position.borrow();
        if position > NOWHERE {
            self.move_on(&mut own, position);
        }
    }

    /// The end of the stretch after the position that has to be read from the log, up to `head` at most.
    pub(super) fn unread(&self, head: i64) -> i64 {
        let own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        own.front().map_or(head, |(after, _)| head.min(*after))
    }

    fn move_on(&self, own: &mut VecDeque<(i64, i64)>, mut to: i64) {
        to = to.max(*self.position.borrow());
        while let Some((after, end)) = own.front()
            && *after <= to
        {
            to = to.max(*end);
            own.pop_front();
        }
        self.position.send_if_modified(|position| std::mem::replace(position, to) < to);
    }

    /// At `at`, before it looked where the log ended, the index lacked nothing that ended before.
    pub(super) fn beat(&self, at: Instant) {
        let micros = at.saturating_duration_since(self.started).as_micros();
        self.beat.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
    }

    /// How long ago nothing was missing; none if it never was so.
    pub(super) fn age(&self) -> Option<Duration> {
        let beat = self.beat.load(Ordering::Relaxed);
        (beat > 0).then(|| self.started.elapsed().saturating_sub(Duration::from_micros(beat)))
    }

    /// Somebody waits for a position: look now.
    pub(super) fn nudge(&self) {
        self.nudge.notify_one();
    }

    pub(super) async fn nudged(&self) {
        self.nudge.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_stretches_are_not_read_and_gaps_are() {
        let progress = Progress::new(Instant::now());
        progress.took_own(10, 12);
        assert_eq!(progress.position(), None);
        progress.advance(7);
        assert_eq!((progress.position(), progress.unread(20)), (Some(7), 10));
        progress.took_own(12, 13);
        progress.took_own(15, 16);
        progress.advance(10);
        assert_eq!((progress.position(), progress.unread(20)), (Some(13), 15));
        assert_eq!(progress.unread(14), 14);
        // What was read from the log before the appender told of it.
        progress.advance(18);
        assert_eq!((progress.position(), progress.unread(20)), (Some(18), 20));
        progress.took_own(17, 18);
        assert_eq!((progress.position(), progress.unread(20)), (Some(18), 20));
        progress.took_own(18, 21);
        assert_eq!(progress.position(), Some(21));
    }

    #[test]
    fn the_heart_never_beats_backwards() {
        let started = Instant::now();
        let progress = Progress::new(started);
        assert_eq!(progress.age(), None);
        progress.beat(started + Duration::from_hours(1));
        progress.beat(started);
        assert_eq!(progress.age(), Some(Duration::ZERO));
    }
}
