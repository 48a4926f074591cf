//! An open loop from a process of its own: requests come when they come, whether or not earlier ones are answered.
//!
//! Arrivals are random (Poisson, seeded) at a fixed rate, and a latency counts from the instant at which the request was
//! to be sent: a server that falls behind is not asked less, and nobody overlooks those who would have waited.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::answer::Answers;
use super::request::{MARK, Request};
use super::{Measured, histogram, micros};
use crate::child;

/// No more connections than this; who finds none free waits, and the wait counts.
const CONNECTIONS: usize = 6_000;
/// How long answers are waited for once nothing more is sent.
const REST: Duration = Duration::from_secs(10);

/// What one server is asked.
#[derive(Debug, Serialize, Deserialize)]
pub struct Load {
    pub address: String,
    pub streams: Vec<Stream>,
    /// The measured window; a quarter of it goes before as a warm-up.
    pub seconds: f64,
    pub seed: u64,
}

/// Requests that are counted together.
#[derive(Debug, Serialize, Deserialize)]
pub struct Stream {
    /// Any of them, at random.
    pub requests: Vec<Request>,
    pub per_second: f64,
}

/// What a stream came to in the window.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Outcome {
    /// Of those that were taken on: how many were done a second, and how long they took.
    pub good: Measured,
    /// How many a second were to be sent.
    pub offered: f64,
    /// The share that was answered with 503, each with `Retry-After`.
    pub turned_away: f64,
    /// The share that was answered with anything else, or not at all.
    pub failed: f64,
    /// How long it took to be turned away.
    pub turned_away_p99_ms: f64,
}

impl Load {
    /// Lets the other process do it.
    pub async fn run(&self) -> Vec<Outcome> {
        child::run("open", self).await
    }
}

/// That other process.
pub fn work(load: Load) -> Vec<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    LocalSet::new().block_on(&runtime, async {
        let window = Duration::from_secs_f64(load.seconds);
        let (due, mut arrivals) = mpsc::unbounded_channel();
        let schedule = schedule(&load);
        let begun = Instant::now() + Duration::from_millis(50);
        let clients = Rc::new(Clients::of(load, begun + window / 4, begun + window / 4 + window));
        // A thread that does nothing but wait keeps time better than a busy runtime.
        std::thread::spawn(move || {
            for (after, stream, which) in schedule {
                let at = begun + after;
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                if due.send(Arrival { at, stream, which }).is_err() {
                    return;
                }
            }
        });
        while let Some(arrival) = arrivals.recv().await {
            clients.arrive(arrival);
        }
        let last = Instant::now() + REST;
        while clients.state.borrow().under_way > 0 && Instant::now() < last {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        clients.outcomes()
    })
}

/// When each request is to be sent, of which stream, and which of its requests.
fn schedule(load: &Load) -> Vec<(Duration, usize, usize)> {
    let mut random = SmallRng::seed_from_u64(load.seed);
    let mut all = Vec::new();
    for (number, stream) in load.streams.iter().enumerate() {
        let mut at = 0.0;
        if stream.per_second <= 0.0 {
            continue;
        }
        loop {
            at -= (1.0 - random.random::<f64>()).ln() / stream.per_second;
            if at >= load.seconds * 1.25 {
                break;
            }
            all.push((Duration::from_secs_f64(at), number, random.random_range(0..stream.requests.len())));
        }
    }
    all.sort_unstable();
    all
}

#[derive(Clone, Copy)]
struct Arrival {
    at: Instant,
    stream: usize,
    which: usize,
}

struct Connection {
    stream: TcpStream,
    answers: Answers,
}

struct Prepared {
    bytes: Vec<u8>,
    marks: Vec<usize>,
}

struct Tally {
    offered: u64,
    done: u64,
    turned_away: u64,
    failed: u64,
    good: Histogram<u64>,
    refusals: Histogram<u64>,
}

struct State {
    idle: Vec<Connection>,
    open: usize,
    under_way: usize,
    waiting: VecDeque<Arrival>,
    sent: u32,
    tallies: Vec<Tally>,
}

struct Clients {
    address: String,
    requests: Vec<Vec<Prepared>>,
    from: Instant,
    to: Instant,
    /// What no other process puts before the number in a mark.
    run: u32,
    state: RefCell<State>,
}

impl Clients {
    fn of(load: Load, from: Instant, to: Instant) -> Self {
        let tally = || Tally {
            offered: 0,
            done: 0,
            turned_away: 0,
            failed: 0,
            good: histogram(),
            refusals: histogram(),
        };
        let tallies = load.streams.iter().map(|_| tally()).collect();
        let prepared = |request: Request| {
            let (bytes, marks) = request.into_bytes();
            Prepared { bytes, marks }
        };
        let requests =
            load.streams.into_iter().map(|stream| stream.requests.into_iter().map(prepared).collect());
        let (idle, waiting) = (Vec::new(), VecDeque::new());
        let state = State { idle, open: 0, under_way: 0, waiting, sent: 0, tallies };
        let (requests, state) = (requests.collect(), RefCell::new(state));
        Self { address: load.address, requests, from, to, run: rand::random(), state }
    }

    fn arrive(self: &Rc<Self>, arrival: Arrival) {
        let mut state = self.state.borrow_mut();
        if self.counts(arrival.at) {
            state.tallies[arrival.stream].offered += 1;
        }
        let idle = state.idle.pop();
        if idle.is_none() && state.open >= CONNECTIONS {
            return state.waiting.push_back(arrival);
        }
        state.open += usize::from(idle.is_none());
        state.under_way += 1;
        tokio::task::spawn_local(self.clone().ask(arrival, idle));
    }

    /// One request after another, as long as some wait for a connection.
    async fn ask(self: Rc<Self>, mut arrival: Arrival, idle: Option<Connection>) {
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect().await,
        };
        loop {
            let bytes = self.request(arrival);
            connection.stream.write_all(&bytes).await.expect("sent");
            let answer = connection.answers.next(&mut connection.stream).await;
            let (status, is_good) = (answer.status, answer.is_success());
            let may_return = answer.header("retry-after").is_some();
            let mut state = self.state.borrow_mut();
            self.note(&mut state.tallies[arrival.stream], arrival.at, is_good, status == 503 && may_return);
            let Some(next) = state.waiting.pop_front() else {
                state.under_way -= 1;
                return state.idle.push(connection);
            };
            arrival = next;
        }
    }

    async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        Connection { stream, answers: Answers::new() }
    }

    fn request(&self, arrival: Arrival) -> Vec<u8> {
        let request = &self.requests[arrival.stream][arrival.which];
        let mut bytes = request.bytes.clone();
        let mut state = self.state.borrow_mut();
        state.sent += 1;
        let digits = format!("{:08x}{:08x}", self.run, state.sent);
        for at in &request.marks {
            bytes[*at..*at + MARK.len()].copy_from_slice(digits.as_bytes());
        }
        bytes
    }

    fn note(&self, tally: &mut Tally, at: Instant, is_good: bool, is_turned_away: bool) {
        let now = Instant::now();
        // Work done in the window counts as such, whenever it was asked for.
        tally.done += u64::from(is_good && self.counts(now));
        if !self.counts(at) {
            return;
        }
        if is_good {
            tally.good.saturating_record(micros(now - at));
        } else if is_turned_away {
            tally.turned_away += 1;
            tally.refusals.saturating_record(micros(now - at));
        } else {
            tally.failed += 1;
        }
    }

    fn counts(&self, at: Instant) -> bool {
        (self.from..self.to).contains(&at)
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let window = self.to - self.from;
        let outcome = |tally: &Tally| {
            let offered = tally.offered.max(1) as f64;
            let unanswered = tally.offered - tally.good.len() - tally.turned_away - tally.failed;
            let per_second = tally.done as f64 / window.as_secs_f64();
            Outcome {
                good: Measured { per_second, ..Measured::of(&tally.good, window) },
                offered: tally.offered as f64 / window.as_secs_f64(),
                turned_away: tally.turned_away as f64 / offered,
                failed: (tally.failed + unanswered) as f64 / offered,
                turned_away_p99_ms: Measured::of(&tally.refusals, window).p99_ms,
            }
        };
        self.state.borrow().tallies.iter().map(outcome).collect()
    }
}
