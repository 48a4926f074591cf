//! A command again and again against fresh state, until it is accepted or refused.

use std::collections::hash_map::DefaultHasher;
use std::future::Future;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_aggregates::Time;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::Store;
use super::error::{Failure, Refusal, StoreError};
use super::idempotency::{self, RequestKey};
use super::origin::Origin;
use super::stream::StreamKey;
use super::unit_of_work::{Committed, Mode, UnitOfWork};
use crate::overload::Bound;

/// How often a command is decided before its client is told that others keep getting in the way.
const ATTEMPTS: u32 = 12;
/// How many lines there are to stand in for a contended stream.
const LINES: usize = 1024;
/// How many may stand in one; one more is turned away at once.
const LINE: usize = 256;

/// One command, which may have to be decided more than once.
pub trait Command: Send + Sync {
    /// What the log says was commanded, beside every event it led to.
    const NAME: &'static str;

    /// Decides on the state the unit loads; its last line is `unit.commit(..)`.
    fn decide(&self, unit: UnitOfWork) -> impl Future<Output = Result<Committed, Failure>> + Send;
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    pub committed: Committed,
    /// The answer is that of an earlier request with the same idempotency key.
    pub replayed: bool,
    /// Why the command would be refused now, where that is how the earlier request was found.
    pub refusal: Option<Refusal>,
}

/// Where commands line up behind one another once they have been in each other's way: then each finds the state the
/// one before it will leave, and a stream moves as often in a batch as there are commands on it.
#[derive(Debug)]
pub struct Queues(Vec<Line>);

#[derive(Debug, Default)]
struct Line {
    first: Arc<Mutex<()>>,
    standing: AtomicUsize,
}

/// One who stands in a line, until it is dropped.
struct Standing<'a>(&'a Line);

impl Default for Queues {
    fn default() -> Self {
        Self((0..LINES).map(|_| Line::default()).collect())
    }
}

impl Queues {
    /// Waits to be the first in line for the stream, unless too many do already.
    async fn line_up(&self, stream: &StreamKey) -> Result<OwnedMutexGuard<()>, StoreError> {
        let line = self.line(stream);
        let _standing = line.stand().ok_or_else(|| {
            Bound::Line.met();
            StoreError::Overloaded
        })?;
        Ok(line.first.clone().lock_owned().await)
    }

    /// Whether somebody stands in line for the stream, so that barging in would only make both lose time.
    pub(super) fn is_contended(&self, stream: &StreamKey) -> bool {
        self.line(stream).first.try_lock().is_err()
    }

    fn line(&self, stream: &StreamKey) -> &Line {
        let mut hasher = DefaultHasher::new();
        stream.hash(&mut hasher);
        #[allow(clippy::cast_possible_truncation, reason = "only the remainder counts")]
        let line = hasher.finish() as usize % self.0.len();
        &self.0[line]
    }
}

impl Line {
    fn stand(&self) -> Option<Standing<'_>> {
        let standing = Standing(self);
        (self.standing.fetch_add(1, Ordering::Relaxed) < LINE).then_some(standing)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.standing.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Store {
    /// Runs a command to its end. A refusal that rests on a state kept in this process is confirmed on fresh state
    /// before it is believed, and once more where others wrote while it was read: some of it may have been older than
    /// the rest. A conflict is decided anew.
    pub async fn run<C: Command>(
        &self,
        command: &C,
        origin: Arc<Origin>,
        key: Option<Arc<RequestKey>>,
        clock: impl Fn() -> Time + Send,
    ) -> Result<Done, Failure> {
        let mut use_cache = true;
        let mut looked_again = false;
        let mut in_line: Option<StreamKey> = None;
        for attempt in 0..ATTEMPTS {
            let mode = Mode { command: C::NAME, use_cache };
            // Never two lines at once: that is how two commands would wait for each other forever.
            let line = match &in_line {
                Some(stream) => Some(self.queues.line_up(stream).await?),
                None => None,
            };
            let known = self.heads.position();
            let mut unit = UnitOfWork::begin(self, origin.clone(), key.clone(), clock(), mode, line);
            let used_cache = unit.used_cache();
            // Whatever is done in a session rests on it: once it is over or has moved on, nothing of it commits.
            let decided = match unit.rest_on_session().await {
                Ok(()) => command.decide(unit).await,
                Err(failure) => Err(failure),
            };
            match decided {
                Ok(committed) => return Ok(Done { committed, replayed: false, refusal: None }),
                Err(Failure::KeyTaken) => return self.replay(key.as_deref()).await,
                Err(Failure::Moved(stream)) => {
                    if in_line.as_ref() == Some(&stream) {
                        tokio::time::sleep(jitter(attempt)).await;
                    }
                    in_line = Some(stream);
                }
                Err(Failure::Unconfirmed) => use_cache = false,
                Err(Failure::Refused(_)) if used_cache.load(Ordering::Relaxed) => use_cache = false,
                Err(Failure::Refused(_)) if !looked_again && self.heads.is_moving_since(known) => {
                    looked_again = true;
                }
                Err(Failure::Refused(refusal)) => return self.refused(refusal, key.as_deref()).await,
                Err(Failure::Store(error)) => return Err(Failure::Store(error)),
            }
        }
        Err(Failure::Store(StoreError::Conflict))
    }

    /// A refused request may be the repetition of one that was accepted: then that one's answer counts.
    async fn refused(&self, refusal: Refusal, key: Option<&RequestKey>) -> Result<Done, Failure> {
        let Some(request) = key else { return Err(refusal.into()) };
        match self.kept(request).await? {
            Some(done) => Ok(Done { refusal: Some(refusal), ..done }),
            None => Err(refusal.into()),
        }
    }

    /// The answer of an earlier request with this key, if there was one.
    pub async fn kept(&self, request: &RequestKey) -> Result<Option<Done>, Failure> {
        match idempotency::find(&self.pool, self.vault.answers(), request).await? {
            None => Ok(None),
            Some(_) => self.replay(Some(request)).await.map(Some),
        }
    }

    async fn replay(&self, key: Option<&RequestKey>) -> Result<Done, Failure> {
        let request =
            key.ok_or_else(|| StoreError::Internal("a key was taken that was not given".to_owned()))?;
        let kept = idempotency::find(&self.pool, self.vault.answers(), request).await?;
        let kept =
            kept.ok_or_else(|| StoreError::Internal("a key was taken that is not there".to_owned()))?;
        if kept.fingerprint != request.fingerprint {
            let detail = "This Idempotency-Key was used for another request.";
            return Err(Refusal::new("idempotency_key_reused", detail).into());
        }
        let committed = Committed { position: kept.position, answer: kept.answer };
        Ok(Done { committed, replayed: true, refusal: None })
    }
}

/// A few milliseconds, more with every attempt, so that two losers do not meet again.
fn jitter(attempt: u32) -> Duration {
    Duration::from_micros(fastrand::u64(100..=200 << attempt.min(6)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_is_bounded_and_others_are_open() {
        let queues = Queues::default();
        let stream = |id: &str| StreamKey { aggregate_type: "Claim", id: id.into() };
        let (hot, held) = (stream("hot"), queues.line_up(&stream("hot")).await.unwrap());
        let mut waiting: Vec<_> = (0..LINE).map(|_| Box::pin(queues.line_up(&hot))).collect();
        for waits in &mut waiting {
            assert!(futures::poll!(waits.as_mut()).is_pending());
        }
        assert_eq!(queues.line_up(&hot).await.unwrap_err(), StoreError::Overloaded);
        let mut others = (0..).map(|n: u32| stream(&n.to_string()));
        let other = others.find(|other| !queues.is_contended(other)).unwrap();
        drop(queues.line_up(&other).await.unwrap());
        drop(held);
        for waits in waiting {
            drop(waits.await.unwrap());
        }
        drop(queues.line_up(&hot).await.unwrap());
        assert_eq!(queues.line(&hot).standing.load(Ordering::Relaxed), 0, "nobody is left behind");
    }
}
