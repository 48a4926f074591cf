//! One round of the projector: apply the next stretch, or see how far another process has come.

use futures::future::{join_all, try_join_all};
use sqlx::{Connection, PgPool, Postgres, Transaction};

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
use tenure_projections::{ALL, Projection, Registered};

/// The read models of what was, in two shares; those of what is are one more, and each is about as much work. No read needs
/// two of them at one position. A share has a connection of its own, since a turn is many small steps and PostgreSQL takes
/// one at a time of each.
const OF_THE_PAST: [&[&str]; 2] = [&[AuditLog::NAME, Proofs::NAME], &[States::NAME]];
const SHARES: usize = 1 + OF_THE_PAST.len();

/// The names of the read models, by share.
fn shares() -> [Vec<&'static str>; SHARES] {
    let mut shares: [Vec<_>; SHARES] = Default::default();
    for Registered { name, .. } in &ALL {
        let of_the_past = OF_THE_PAST.iter().position(|names| names.contains(name));
        shares[of_the_past.map_or(0, |at| 1 + at)].push(*name);
    }
    shares
}

/// The connections that move the read models along, one for each share, and keep to themselves from turn to turn.
#[derive(Debug)]
pub(super) struct Links(Vec<Link>);

impl Links {
    async fn connect(pool: &PgPool) -> Result<Self, Error> {
        Ok(Self(try_join_all((0..SHARES).map(|_| Link::connect(pool))).await?))
    }

    async fn reached(&mut self, position: i64) -> Result<(), sqlx::Error> {
        for link in &mut self.0 {
            link.reached(position).await?;
        }
        Ok(())
    }
}

pub(super) enum Outcome {
    /// A full batch: there is probably more.
    Full,
    /// So many events later, the end is reached.
    Worked(i64),
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
                    events => Outcome::Worked(events),
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

    /// All shares of the read models by the same stretch. Each commits by itself: should only some come to that, the others
    /// are behind them until the next turn, which begins where the hindmost stands.
    async fn advance(&mut self, links: &mut Links, care: Care) -> Result<Step, Error> {
        let begun = join_all(links.0.iter_mut().map(|link| link.conn.begin())).await;
        let mut begun = begun.into_iter().collect::<Result<Vec<_>, _>>()?;
        let moved = self.all(&mut begun, care).await;
        let ended = if matches!(moved, Ok((_, _, true))) {
            join_all(begun.into_iter().map(Transaction::commit)).await
        } else {
            // At once: until then, nobody else gets at what is locked.
            join_all(begun.into_iter().map(Transaction::rollback)).await
        };
        let (step, lanes, _) = moved?;
        ended.into_iter().collect::<Result<(), _>>()?;
        self.parked_are(Waiting::in_lanes(&lanes));
        Ok(step)
    }

    /// What was done, to what, and whether there is anything to commit.
    async fn all(
        &self,
        transactions: &mut [Transaction<'_, Postgres>],
        care: Care,
    ) -> Result<(Step, Vec<Lane>, bool), Error> {
        let now = (self.clock)();
        let [of_the_present, of_the_past @ ..] = shares();
        let (present, past) = transactions.split_first_mut().ok_or(Error::Busy)?;
        // First this one alone: whoever has it leads.
        let (lanes, head) = lock(&mut *present, State::Live, &of_the_present).await?;
        let from = hindmost(&lanes);
        let (locked, mut stretch) = tokio::join!(
            join_all(past.iter_mut().zip(&of_the_past).map(|(conn, names)| lock(conn, State::Live, names))),
            reader::read(&mut *present, &self.vault, from, head)
        );
        let mut lanes = vec![lanes];
        for locked in locked {
            lanes.push(locked?.0);
        }
        let hindmost = hindmost(lanes.iter().flatten());
        // Seldom: only some of them had committed.
        if hindmost < from {
            stretch = reader::read(&mut *present, &self.vault, hindmost, head).await;
        }
        let stretch = stretch?;
        let parked =
            |lanes: &[Vec<Lane>]| -> usize { lanes.iter().flatten().map(|lane| lane.parked.len()).sum() };
        let before = parked(&lanes);
        // Each to its end, whatever becomes of the others: a statement that is dropped leaves a connection in doubt.
        let applied = transactions.iter_mut().zip(&mut lanes);
        let applied = join_all(applied.map(|(conn, lanes)| apply(conn, lanes, &stretch, care, now))).await;
        applied.into_iter().collect::<Result<Vec<_>, _>>()?;
        let step = Step {
            events: stretch.end - hindmost,
            position: stretch.end,
            head: stretch.head,
            hole: stretch.hole,
        };
        let worth_it = step.events > 0 || parked(&lanes) > before;
        Ok((step, lanes.into_iter().flatten().collect(), worth_it))
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

fn hindmost<'a>(lanes: impl IntoIterator<Item = &'a Lane>) -> i64 {
    lanes.into_iter().map(|lane| lane.position).min().unwrap_or_default()
}
