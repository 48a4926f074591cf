//! A closed loop from a process of its own: so many connections on one thread, each sending the next request as soon as
//! the last is answered. Requests are made beforehand and answers only looked at, so that the server is what is measured.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures::future::join_all;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::answer::Answers;
use super::request::{MARK, Request};
use super::{Measured, histogram, micros};
use crate::child;

/// What one server is asked in one round.
#[derive(Debug, Serialize, Deserialize)]
pub struct Load {
    pub address: String,
    pub requests: Vec<Request>,
    /// Begins anew at the end of the requests. Otherwise the round ends there.
    pub again: bool,
    pub connections: usize,
    /// The measured window; a quarter of it goes before as a warm-up.
    pub seconds: f64,
    /// No more than so many a second.
    pub per_second: Option<f64>,
}

impl Load {
    /// Lets the other process do it.
    pub async fn run(&self) -> Measured {
        child::run("closed", self).await
    }
}

/// That other process.
pub fn work(load: Load) -> Measured {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let connections = load.connections;
        let clients = Clients::of(load);
        let latencies = join_all((0..connections).map(|_| clients.ask())).await;
        let mut all = histogram();
        for one in latencies {
            all.add(one).expect("the same bounds");
        }
        Measured::of(&all, clients.to.get() - clients.from)
    })
}

struct Prepared {
    bytes: Vec<u8>,
    marks: Vec<usize>,
    answer: Vec<u8>,
}

/// What the connections share.
struct Clients {
    address: String,
    requests: Vec<Prepared>,
    again: bool,
    /// How many were sent.
    sent: Cell<usize>,
    /// What no other process puts before the number in a mark.
    run: u32,
    begun: Instant,
    from: Instant,
    to: Cell<Instant>,
    /// Between two requests, whoever sends them.
    pause: Duration,
}

impl Clients {
    fn of(load: Load) -> Self {
        let requests = load.requests.into_iter().map(|request| {
            let answer = request.answer.clone().into_bytes();
            let (bytes, marks) = request.into_bytes();
            Prepared { bytes, marks, answer }
        });
        let (requests, begun) = (requests.collect(), Instant::now());
        let from = begun + Duration::from_secs_f64(load.seconds / 4.0);
        Self {
            address: load.address,
            requests,
            again: load.again,
            sent: Cell::new(0),
            run: rand::random(),
            begun,
            from,
            to: Cell::new(from + Duration::from_secs_f64(load.seconds)),
            pause: load.per_second.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(1.0 / rate)),
        }
    }

    /// One connection, for as long as the round lasts.
    async fn ask(&self) -> Histogram<u64> {
        let mut stream = TcpStream::connect(&self.address).await.expect("a connection");
        stream.set_nodelay(true).expect("no delay");
        let (mut latencies, mut answers, mut bytes) = (histogram(), Answers::new(), Vec::new());
        while let Some((request, number)) = self.next() {
            self.due(number).await;
            let begun = Instant::now();
            if begun >= self.to.get() {
                break;
            }
            bytes.clone_from(&request.bytes);
            self.mark(&mut bytes, &request.marks, number);
            stream.write_all(&bytes).await.expect("sent");
            let answer = answers.next(&mut stream).await;
            let done = Instant::now();
            let good = answer.is_success() && answer.body.ends_with(&request.answer);
            assert!(good, "{} {}", answer.status, String::from_utf8_lossy(answer.body));
            if begun >= self.from && done < self.to.get() {
                latencies.saturating_record(micros(done - begun));
            }
        }
        latencies
    }

    /// The next request and its number, if there is one.
    fn next(&self) -> Option<(&Prepared, usize)> {
        let number = self.sent.replace(self.sent.get() + 1);
        if number >= self.requests.len() && !self.again {
            // What the others have under way is not part of it.
            self.to.set(self.to.get().min(Instant::now()));
            return None;
        }
        Some((&self.requests[number % self.requests.len()], number))
    }

    async fn due(&self, number: usize) {
        if self.pause > Duration::ZERO {
            let number = u32::try_from(number).unwrap_or(u32::MAX);
            tokio::time::sleep_until((self.begun + self.pause * number).into()).await;
        }
    }

    fn mark(&self, bytes: &mut [u8], marks: &[usize], number: usize) {
        if marks.is_empty() {
            return;
        }
        let digits = format!("{:08x}{number:08x}", self.run);
        for at in marks {
            bytes[*at..*at + MARK.len()].copy_from_slice(digits.as_bytes());
        }
    }
}
