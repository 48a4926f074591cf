//! One round of the projector: apply the next stretch, or see how far another process has come.

use sqlx::{Connection, PgConnection, PgPool};

use super::checkpoint::{self, Lane, State, create_missing, lock, peek};
use super::error::{Error, poison};
use super::link::Link;
use super::parking::Waiting;
use super::reader::{self, BATCH};
use super::step::{Care, Step, apply};
use super::{Projector, Role};
use tenure_projections::audit_log::AuditLog;
use tenure_projections::proofs::Proofs;
use tenure_projections::states::States;
use tenure_projections::{ALL, Projection};

/// The read models of what was. They are never read together with those of what is, and about as much work: each share
/// has a connection, since a turn is many small steps and PostgreSQL takes one at a time of each.
const OF_THE_PAST: [&str; 3] = [AuditLog::NAME, Proofs::NAME, States::NAME];

/// The connections that move the read models along, and keep to themselves from turn to turn.
#[derive(Debug)]
pub(super) struct Links {
    present: Link,
    past: Link,
}

impl Links {
    async fn connect(pool: &PgPool) -> Result<Self, Error> {
        Ok(Self { present: Link::connect(pool).await?, past: Link::connect(pool).await? })
    }

    async fn reached(&mut self, position: i64) -> Result<(), sqlx::Error> {
        self.present.reached(position).await?;
        self.past.reached(position).await
    }
}

pub(super) enum Outcome {
    /// A full batch: there is probably more.
    Full,
    /// The end is reached.
    Worked,
    /// Another process holds the checkpoints.
    Followed,
    Nothing,
}

impl Projector {
    pub(super) async fn turn(&mut self) -> Result<Outcome, Error> {
        if !self.created {
            create_missing(&self.pool, (self.clock)()).await?;
            self.warn_of_outdated().await?;
            self.created = true;
        }
        if !self.awaited() {
            let seen = peek(&self.pool).await?;
            self.saw(seen).await?;
            if seen.head <= seen.applied {
                return Ok(Outcome::Nothing);
            }
        }
        let mut links = match self.links.take() {
            Some(links) => links,
            None => Links::connect(&self.pool).await?,
        };
        let outcome = match self.advance(&mut links, Care::Whole).await {
            Err(Error::Database(error)) if poison(&error) => {
                self.advance(&mut links, Care::AroundPoison).await
            }
            outcome => outcome,
        };
        if let Ok(step) = &outcome {
            links.reached(step.position).await?;
        }
        // After any other error it is unknown what the connections are good for.
        if outcome.as_ref().err().is_none_or(Error::lock_lost) {
            self.links = Some(links);
        }
        match outcome {
            Ok(step) => {
                self.led(step);
                Ok(match step.events {
                    0 => Outcome::Nothing,
                    BATCH.. => Outcome::Full,
                    _ => Outcome::Worked,
                })
            }
            Err(error) if error.lock_lost() => {
                let seen = peek(&self.pool).await?;
                self.saw(seen).await?;
                self.snapshot.send_if_modified(|now| {
                    std::mem::replace(&mut now.role, Role::Follower) != Role::Follower
                });
                Ok(Outcome::Followed)
            }
            Err(error) => Err(error),
        }
    }

    /// Both shares of the read models by the same stretch. Each commits by itself: should only one come to that, the other
    /// is behind it until the next turn, which begins where the hindmost stands.
    async fn advance(&mut self, links: &mut Links, care: Care) -> Result<Step, Error> {
        let begun = tokio::join!(links.present.conn.begin(), links.past.conn.begin());
        let (mut present, mut past) = (begun.0?, begun.1?);
        let moved = self.both(&mut present, &mut past, care).await;
        let ended = if matches!(moved, Ok((_, _, true))) {
            tokio::join!(present.commit(), past.commit())
        } else {
            // At once: until then, nobody else gets at what is locked.
            tokio::join!(present.rollback(), past.rollback())
        };
        let (step, lanes, _) = moved?;
        ended.0?;
        ended.1?;
        self.parked_are(Waiting::in_lanes(&lanes));
        Ok(step)
    }

    /// What was done, to what, and whether there is anything to commit.
    async fn both(
        &self,
        present: &mut PgConnection,
        past: &mut PgConnection,
        care: Care,
    ) -> Result<(Step, Vec<Lane>, bool), Error> {
        let now = (self.clock)();
        let names = ALL.each_ref().map(|projection| projection.name);
        let (of_the_past, of_the_present): (Vec<_>, Vec<_>) =
            names.into_iter().partition(|name| OF_THE_PAST.contains(name));
        // One after the other: whoever has the first leads.
        let (mut lanes, head) = lock(&mut *present, State::Live, &of_the_present).await?;
        let hindmost = |lanes: &[Lane]| lanes.iter().map(|lane| lane.position).min().unwrap_or_default();
        let mut from = hindmost(&lanes);
        let (locked, mut stretch) = tokio::join!(
            lock(&mut *past, State::Live, &of_the_past),
            reader::read(&mut *present, &self.vault, from, head)
        );
        let (mut past_lanes, _) = locked?;
        // Seldom: only one of the two had committed.
        if hindmost(&past_lanes) < from {
            from = hindmost(&past_lanes);
            stretch = reader::read(&mut *present, &self.vault, from, head).await;
        }
        let stretch = stretch?;
        let parked = |lanes: &[Lane]| -> usize { lanes.iter().map(|lane| lane.parked.len()).sum() };
        let before = parked(&lanes) + parked(&past_lanes);
        // Both to their end, whatever becomes of the other: a statement that is dropped leaves a connection in doubt.
        let applied = tokio::join!(
            apply(present, &mut lanes, &stretch, care, now),
            apply(past, &mut past_lanes, &stretch, care, now)
        );
        applied.0?;
        applied.1?;
        lanes.append(&mut past_lanes);
        let step = Step {
            events: stretch.end - from,
            position: stretch.end,
            head: stretch.head,
            hole: stretch.hole,
        };
        let worth_it = step.events > 0 || parked(&lanes) > before;
        Ok((step, lanes, worth_it))
    }

    async fn warn_of_outdated(&self) -> Result<(), Error> {
        let outdated = checkpoint::outdated(&self.pool).await?;
        for name in &outdated {
            tracing::warn!(projection = name, "this read model was written by an older version: rebuild it");
        }
        self.snapshot.send_modify(|now| now.outdated = outdated);
        Ok(())
    }
}
