//! The requests on one connection, and how long there has been none.
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::server::ServerOptions;

/// Counts requests without waking anybody: whoever waits for the connection to be useless looks when it could be.
#[derive(Debug)]
pub(super) struct Traffic {
    opened: Instant,
    requests: AtomicUsize,
    /// When the last request ended, in nanoseconds after the opening; zero while none has.
    quiet_since: AtomicU64,
}

impl Traffic {
    pub(super) fn new() -> Self {
        Self { opened: Instant::now(), requests: AtomicUsize::new(0), quiet_since: AtomicU64::new(0) }
    }

    pub(super) fn enter(self: Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Ordering::Relaxed);
        InFlight(self)
    }

    pub(super) fn is_none(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0
    }

    /// Resolves once no request has been on the connection for its allotted time.
    pub(super) async fn none_for_too_long(&self, options: &ServerOptions) {
        loop {
            let now = Instant::now();
            // A request that ends after now has at least this long.
            let next_look = now + options.keep_alive;
            let end = self.end(options).unwrap_or(next_look);
            if end <= now {
                return;
            }
            sleep_until(end.min(next_look)).await;
        }
    }

    /// When the connection is useless unless a request comes; none while there is one.
    fn end(&self, options: &ServerOptions) -> Option<Instant> {
        if !self.is_none() {
            return None;
        }
        Some(match self.quiet_since.load(Ordering::Relaxed) {
            0 => self.opened + options.header_read_timeout,
            since => self.opened + Duration::from_nanos(since) + options.keep_alive,
        })
    }
}

/// One request, from its headers to the last byte of its response.
#[derive(Debug)]
pub(super) struct InFlight(Arc<Traffic>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.opened.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.0.quiet_since.store(since.max(1), Ordering::Relaxed);
        // Whoever sees that there is none sees since when.
        self.0.requests.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> ServerOptions {
        ServerOptions {
            header_read_timeout: Duration::from_millis(60),
            keep_alive: Duration::from_millis(20),
            ..ServerOptions::default()
        }
    }

    /// Whether the connection is given up by then.
    async fn given_up(traffic: &Traffic, within: Duration) -> bool {
        tokio::time::timeout(within, traffic.none_for_too_long(&options())).await.is_ok()
    }

    #[tokio::test]
    async fn a_connection_that_never_asked_has_as_long_as_its_first_headers_may_take() {
        let traffic = Traffic::new();
        assert!(given_up(&traffic, Duration::from_secs(10)).await);
        assert!(traffic.opened.elapsed() >= options().header_read_timeout);
    }

    #[tokio::test]
    async fn one_that_asked_has_its_keep_alive_after_the_last_answer() {
        let traffic = Arc::new(Traffic::new());
        let (first, second) = (traffic.clone().enter(), traffic.clone().enter());
        drop(first);
        assert!(!given_up(&traffic, Duration::from_millis(100)).await, "one is still on it");
        drop(second);
        let ended = Instant::now();
        assert!(given_up(&traffic, Duration::from_secs(10)).await);
        assert!(ended.elapsed() + Duration::from_millis(1) >= options().keep_alive);
        assert!(traffic.is_none());
    }
}
