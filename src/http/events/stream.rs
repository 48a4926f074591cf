//! A feed as a stream: lines up to the end, or server-sent events that go on. One task reads and one small channel
//! holds what is on its way, so that a reader who does not keep up is cut off and never buffered for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::base::cut::Cut;
use super::super::base::problem::Problem;
use super::super::base::server::Peer;
use super::media::{EVENT_STREAM, NDJSON};
use super::reading::{Chunk, Reading};
use crate::feeds::{CloudEvent, Full, Held, Seat, Times};
use crate::store::StoreError;

/// What goes over at once, about; a longer event goes alone.
const FRAME: usize = 64 << 10;
/// Asks proxies not to gather what should arrive at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Lines up to the end as it is now, at most so many.
pub(super) async fn lines(mut reading: Reading, limit: Option<i64>) -> Result<Response, Problem> {
    let left = limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    // Read before the answer begins, so that a refusal is a refusal and not a broken stream.
    let first = reading.next(left).await?;
    let news = watch::channel(0).1;
    Ok(answer(reading, first, 0, Framing::Lines { left }, None, news))
}

/// Server-sent events, up to the end and then as they come.
pub(super) async fn live(mut reading: Reading) -> Result<Response, Problem> {
    // Before the first look, so that nothing comes unheard in between.
    let news = reading.app().feeds.tail.listen(reading.feed);
    let start = reading.after;
    let first = reading.next(usize::MAX).await?;
    if first.events.is_empty() && reading.after == start && reading.end().await? < start {
        let detail = format!("There is no event {start} yet: this is not the feed it was read from.");
        return Err(Problem::new(StatusCode::BAD_REQUEST, "position_in_future", detail));
    }
    let seat = reading.app().feeds.seats.take(reading.feed).map_err(refused)?;
    Ok(answer(reading, first, start, Framing::ServerSent, Some(seat), news))
}

fn refused(full: Full) -> Problem {
    let (status, code) = match full {
        Full::Service => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
        Full::Feed => (StatusCode::TOO_MANY_REQUESTS, "rate_limited"),
    };
    Problem::new(status, code, "Too many live streams are open here; read pages, or try again later.")
        .with_retry_after(10)
}

fn answer(
    reading: Reading,
    first: Chunk,
    said: i64,
    framing: Framing,
    seat: Option<Seat>,
    news: watch::Receiver<i64>,
) -> Response {
    let (frames, on_its_way) = mpsc::channel(1);
    // One answer of many on an HTTP/2 connection must not take the others with it.
    let parts = &reading.door.parts;
    let peer = parts.extensions.get::<Peer>().filter(|_| parts.version < Version::HTTP_2);
    let cut = peer.map(|peer| peer.cut.clone());
    let times = reading.app().feeds.times;
    let whole = Arc::new(AtomicBool::new(false));
    let (spoke, said_all) = (Instant::now(), whole.clone());
    let pump = Pump { reading, framing, frames, whole, news, cut, times, said, spoke, _seat: seat };
    tokio::spawn(pump.run(first));
    let mut response = body(on_its_way, said_all).into_response();
    let headers = response.headers_mut();
    let kind = if matches!(framing, Framing::ServerSent) { EVENT_STREAM } else { NDJSON };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

/// What is on its way; an answer that ends before all is said breaks off, so that nobody takes it for the whole.
fn body(on_its_way: mpsc::Receiver<(Bytes, Held)>, whole: Arc<AtomicBool>) -> Body {
    Body::from_stream(stream::unfold(Some(on_its_way), move |on_its_way| {
        let whole = whole.clone();
        async move {
            let mut on_its_way = on_its_way?;
            match on_its_way.recv().await {
                Some((bytes, _held)) => Some((Ok(bytes), Some(on_its_way))),
                None if whole.load(Ordering::Acquire) => None,
                None => Some((Err("the stream was broken off"), None)),
            }
        }
    }))
}

#[derive(Debug, Clone, Copy)]
enum Framing {
    Lines { left: usize },
    ServerSent,
}

/// The task behind one stream.
struct Pump {
    reading: Reading,
    framing: Framing,
    frames: mpsc::Sender<(Bytes, Held)>,
    /// Set once all is said.
    whole: Arc<AtomicBool>,
    news: watch::Receiver<i64>,
    cut: Option<Cut>,
    times: Times,
    /// The place that the reader has been told last.
    said: i64,
    /// When anything was sent last.
    spoke: Instant,
    /// Given back when the task ends.
    _seat: Option<Seat>,
}

/// Why a stream ends.
enum End {
    /// All is said, or the service stops.
    Done,
    /// The reader may not read on, or there is nothing to read it from.
    Refused(Problem),
    /// The reader has gone.
    Left,
    /// The reader does not keep up.
    TooSlow,
}

impl Pump {
    async fn run(mut self, first: Chunk) {
        let stopping = self.reading.app().stopping.clone();
        let live = matches!(self.framing, Framing::ServerSent);
        let end = tokio::select! {
            end = self.pass_on(first) => end,
            // Lines come to their end like any other answer.
            () = stopping.cancelled(), if live => End::Done,
        };
        match end {
            End::Done => self.whole.store(true, Ordering::Release),
            End::Left => {}
            End::TooSlow => {
                metrics::counter!("tenure_feed_readers_cut_off_total").increment(1);
                tracing::info!(feed = ?self.reading.feed, "a reader that does not keep up is cut off");
                if let Some(cut) = &self.cut {
                    cut.now();
                }
            }
            End::Refused(problem) if live => {
                let said = self.send(format!(": closed {}\n\n", problem.code()).into()).await;
                self.whole.store(said.is_ok(), Ordering::Release);
            }
            End::Refused(problem) => {
                tracing::warn!(code = problem.code(), feed = ?self.reading.feed, "a stream was broken off");
            }
        }
    }

    /// Sends chunk after chunk; ends only with the reason for the end.
    async fn pass_on(&mut self, first: Chunk) -> End {
        let greeting = match self.framing {
            Framing::ServerSent => self.send(retry(self.times.pause).into()).await,
            Framing::Lines { .. } => Ok(()),
        };
        if let Err(end) = greeting {
            return end;
        }
        let mut chunk = first;
        loop {
            if let Err(end) = self.pass(chunk).await {
                return end;
            }
            chunk = match self.look().await {
                Ok(chunk) => chunk,
                Err(end) => return end,
            };
        }
    }

    /// Sends a chunk, and waits until there may be another.
    async fn pass(&mut self, chunk: Chunk) -> Result<(), End> {
        let mut frame = Vec::new();
        for event in chunk.events {
            self.write(&mut frame, &event)?;
            if frame.len() >= FRAME {
                self.send(std::mem::take(&mut frame)).await?;
            }
        }
        if !frame.is_empty() {
            self.send(frame).await?;
        }
        match self.framing {
            _ if chunk.more => Ok(()),
            Framing::Lines { .. } => Err(End::Done),
            Framing::ServerSent => self.wait().await,
        }
    }

    /// Until there is news, or it is time to say that the stream lives.
    async fn wait(&mut self) -> Result<(), End> {
        if self.spoke.elapsed() >= self.times.heartbeat {
            self.beat().await?;
        }
        // Whatever comes in the next moment is read at once.
        let (news, pace) = (&mut self.news, self.times.pace);
        let more = async {
            sleep(pace).await;
            if news.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = more => Ok(()),
            () = sleep_until(self.spoke + self.times.heartbeat) => Ok(()),
            () = self.frames.closed() => Err(End::Left),
        }
    }

    /// The next chunk, as soon as it can be had. While the database is away a live stream stays, and says nothing.
    async fn look(&mut self) -> Result<Chunk, End> {
        let left = match self.framing {
            Framing::Lines { left: 0 } => return Err(End::Done),
            Framing::Lines { left } => left,
            Framing::ServerSent => usize::MAX,
        };
        loop {
            self.news.mark_unchanged();
            let looked = tokio::select! {
                looked = self.reading.next(left) => looked,
                () = self.frames.closed() => return Err(End::Left),
            };
            match looked {
                Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE && self.is_live() => {
                    if self.spoke.elapsed() >= self.times.heartbeat {
                        self.beat().await?;
                    }
                    sleep(self.times.pause).await;
                }
                Err(problem) => return Err(End::Refused(problem)),
                Ok(chunk) => return Ok(chunk),
            }
        }
    }

    fn is_live(&self) -> bool {
        matches!(self.framing, Framing::ServerSent)
    }

    fn write(&mut self, frame: &mut Vec<u8>, event: &CloudEvent) -> Result<(), End> {
        let failed = |error: serde_json::Error| End::Refused(StoreError::Corrupt(error.to_string()).into());
        match &mut self.framing {
            Framing::Lines { left } => {
                *left -= 1;
                serde_json::to_writer(&mut *frame, event).map_err(failed)?;
                frame.push(b'\n');
            }
            Framing::ServerSent => {
                self.said = event.place(self.reading.feed);
                let head = format!("id: {}\nevent: {}\ndata: ", self.said, event.kind);
                frame.extend_from_slice(head.as_bytes());
                serde_json::to_writer(&mut *frame, event).map_err(failed)?;
                frame.extend_from_slice(b"\n\n");
            }
        }
        Ok(())
    }

    /// A comment; and how far the feed was read, where nothing in between was asked for.
    async fn beat(&mut self) -> Result<(), End> {
        let frame = if self.reading.after > self.said {
            self.said = self.reading.after;
            format!(": heartbeat\nid: {}\n\n", self.said)
        } else {
            ": heartbeat\n\n".to_owned()
        };
        self.send(frame.into()).await
    }

    /// Hands a frame over once the one before it is gone; a reader who takes too long for that is too slow.
    async fn send(&mut self, frame: Vec<u8>) -> Result<(), End> {
        let place = timeout(self.times.patience, self.frames.reserve()).await;
        let place = place.map_err(|_| End::TooSlow)?.map_err(|_| End::Left)?;
        let held = self.reading.app().feeds.hold(frame.len());
        place.send((frame.into(), held));
        self.spoke = Instant::now();
        Ok(())
    }
}

/// When to come again after the stream has ended.
fn retry(after: Duration) -> String {
    format!("retry: {}\n\n", after.as_millis())
}
