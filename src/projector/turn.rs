//! One round of the projector: apply the next stretch, or see how far another process has come.

use sqlx::{Connection, PgConnection};

use super::checkpoint::{self, State, create_missing, lock, peek};
use super::error::{Error, poison};
use super::link::Link;
use super::parking::Waiting;
use super::reader::BATCH;
use super::step::{Care, Step, step};
use super::{Projector, Role};
use tenure_projections::ALL;

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
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::connect(&self.pool).await?,
        };
        let outcome = match self.advance(&mut link.conn, Care::Whole).await {
            Err(Error::Database(error)) if poison(&error) => {
                self.advance(&mut link.conn, Care::AroundPoison).await
            }
            outcome => outcome,
        };
        if let Ok(step) = &outcome {
            link.reached(step.position).await?;
        }
        // After any other error it is unknown what the connection is good for.
        if outcome.as_ref().err().is_none_or(Error::lock_lost) {
            self.link = Some(link);
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

    async fn advance(&mut self, conn: &mut PgConnection, care: Care) -> Result<Step, Error> {
        let mut tx = conn.begin().await?;
        let names = ALL.each_ref().map(|projection| projection.name);
        let (mut lanes, head) = lock(&mut tx, State::Live, &names).await?;
        let before: usize = lanes.iter().map(|lane| lane.parked.len()).sum();
        let step = step(&mut tx, &self.vault, &mut lanes, head, care, (self.clock)()).await?;
        let after: usize = lanes.iter().map(|lane| lane.parked.len()).sum();
        if step.events > 0 || after > before {
            tx.commit().await?;
        } else {
            tx.rollback().await?;
        }
        self.parked_are(Waiting::in_lanes(&lanes));
        Ok(step)
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
