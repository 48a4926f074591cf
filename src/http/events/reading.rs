//! A reader's way along a feed, a chunk at a time. Every chunk passes the same door as the first: whoever has lost the
//! right, or whose credential has ended, reads no further, and nothing that was recorded after that.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use tenure_aggregates::{Permission, WorkspaceId};
use tenure_projections::{Logged, history};

use super::super::App;
use super::super::base::problem::Problem;
use super::super::caller::Caller;
use super::super::look::Look;
use crate::feeds::{CloudEvent, Feed, Types};
use crate::projector::reader;
use crate::store::StoreError;

/// How many events are read at a time.
const CHUNK: i64 = 250;

/// A request as it came, to be let in again and again.
#[derive(Debug)]
pub struct Door {
    pub app: Arc<App>,
    pub parts: Parts,
}

impl FromRequestParts<Arc<App>> for Door {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        Caller::from_request_parts(parts, app).await?;
        Ok(Self { app: app.clone(), parts: parts.clone() })
    }
}

impl Door {
    /// Lets the caller in as of now.
    pub async fn look(&self) -> Result<Look, Problem> {
        Look::from_request_parts(&mut self.parts.clone(), &self.app).await
    }
}

/// How far a reader is.
#[derive(Debug)]
pub struct Reading {
    pub door: Door,
    pub feed: Feed,
    pub types: Types,
    /// The place of the last event that was read, or passed over because nobody asked for it.
    pub after: i64,
}

/// Some events that follow one another.
#[derive(Debug)]
pub struct Chunk {
    pub events: Vec<CloudEvent>,
    /// There are more to be read at once.
    pub more: bool,
}

impl Reading {
    pub fn app(&self) -> &Arc<App> {
        &self.door.app
    }

    /// The next events, at most so many.
    pub async fn next(&mut self, most: usize) -> Result<Chunk, Problem> {
        let look = self.door.look().await?;
        look.await_position().await?;
        let wanted = if self.types.asks_for_all() { i64::try_from(most).unwrap_or(CHUNK) } else { CHUNK };
        let limit = wanted.min(CHUNK);
        let (rows, more) = match self.feed {
            Feed::Of(workspace) => self.of_workspace(&look, workspace, limit).await?,
            Feed::Whole => self.of_all(&look, limit).await?,
        };
        let (rows, more) = self.take(rows, more, most)?;
        let opened = self.app().vault.open_events(rows).await?;
        let events = opened.into_iter().map(CloudEvent::of).collect::<Result<_, _>>()?;
        Ok(Chunk { events, more })
    }

    /// What is shown lies where the reader was still allowed to read: the read models, which say so, had come so far
    /// before anything was looked up.
    async fn of_workspace(
        &self,
        look: &Look,
        workspace: WorkspaceId,
        limit: i64,
    ) -> Result<(Vec<Logged>, bool), Problem> {
        let app = self.app();
        app.reads.catch_up(Some(workspace)).await?;
        let _turn = app.feeds.turn().await;
        let upto = app.reads.applied();
        let mut tx = look.workspace(workspace, Permission::AuditRead).await?;
        let rows = history::page_until(&mut tx, self.after, upto, limit).await.map_err(StoreError::from)?;
        let more = i64::try_from(rows.len()).is_ok_and(|read| read == limit);
        Ok((rows, more))
    }

    async fn of_all(&self, look: &Look, limit: i64) -> Result<(Vec<Logged>, bool), Problem> {
        look.caller.require_service()?;
        let app = self.app();
        app.reads.catch_up(None).await?;
        let _turn = app.feeds.turn().await;
        let (end, to) = (app.reads.applied(), self.after.saturating_add(limit));
        let mut connection = app.projector_pool.acquire().await.map_err(StoreError::from)?;
        let rows = reader::rows(&mut connection, self.after, to.min(end)).await.map_err(StoreError::from)?;
        if rows.is_empty() && self.after < end {
            return Err(missing(self.feed, self.after));
        }
        Ok((rows, to < end))
    }

    /// Takes what was asked for, as far as no place is missing; whether more may be read at once.
    fn take(&mut self, rows: Vec<Logged>, more: bool, most: usize) -> Result<(Vec<Logged>, bool), Problem> {
        let mut taken = Vec::with_capacity(rows.len().min(most));
        let before = self.after;
        for row in rows {
            let place = self.feed.place(&row);
            if place != self.after + 1 {
                // Whoever reads on is told what is wrong.
                return if self.after == before {
                    Err(missing(self.feed, before))
                } else {
                    Ok((taken, true))
                };
            }
            if taken.len() == most {
                return Ok((taken, true));
            }
            self.after = place;
            if self.types.takes(&row) {
                taken.push(row);
            }
        }
        Ok((taken, more))
    }

    /// Where the feed ends, whoever wrote to it.
    pub async fn end(&self) -> Result<i64, Problem> {
        end(self.app(), self.feed).await
    }
}

/// Where a feed ends, whoever wrote to it.
pub async fn end(app: &App, feed: Feed) -> Result<i64, Problem> {
    Ok(match feed {
        Feed::Of(workspace) => app.reads.end_of(workspace).await?.0,
        Feed::Whole => app.reads.head().await?,
    })
}

/// An alarm: the feed waits here until the place is filled.
fn missing(feed: Feed, after: i64) -> Problem {
    tracing::error!(?feed, after, "a hole in the log: its feed waits");
    metrics::counter!("tenure_feed_holes_total").increment(1);
    let detail = format!("The event after {after} is missing; nothing behind it is shown until it is there.");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail).with_retry_after(1)
}
