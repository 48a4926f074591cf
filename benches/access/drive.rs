//! The load, from a process of its own: so many connections on one thread, each sending the next question as soon as
//! the last is answered. Requests are made beforehand and answers only looked at, so that the servers are what is measured.

use std::fmt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Plan;
use crate::seed::{home, user, workspace};
use crate::servers::{Kind, OPERATOR_KEY};

/// How many different questions there are.
const QUESTIONS: u64 = 65_536;
const PERMISSIONS: [&str; 4] = ["workspace:read", "content:write", "members:invite", "content:read"];

#[derive(Debug, Clone, Copy)]
pub struct Figures {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Figures {
    /// Each figure's median over the rounds.
    pub fn median(runs: &[Self]) -> Self {
        let middle = |figure: fn(&Self) -> f64| {
            let mut values: Vec<f64> = runs.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        Self {
            per_second: middle(|f| f.per_second),
            p50_ms: middle(|f| f.p50_ms),
            p99_ms: middle(|f| f.p99_ms),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>9.0}/s  p50 {:>6.2} ms  p99 {:>6.2} ms", self.per_second, self.p50_ms, self.p99_ms)
    }
}

/// Lets the other process drive one server for one round.
pub async fn run(address: &str, kind: Kind, plan: &Plan) -> Figures {
    let mut child = std::process::Command::new(std::env::current_exe().expect("this program"));
    child.args(["--drive", address, if kind == Kind::Bare { "no" } else { "yes" }]);
    child.args([
        "--memberships",
        &plan.memberships.to_string(),
        "--workspaces",
        &plan.workspaces.to_string(),
    ]);
    child.args(["--connections", &plan.connections.to_string(), "--seconds", &plan.seconds.to_string()]);
    let output = tokio::task::spawn_blocking(move || child.stderr(Stdio::inherit()).output())
        .await
        .expect("waited")
        .expect("the other process");
    assert!(output.status.success(), "the other process: {}", output.status);
    let text = String::from_utf8(output.stdout).expect("text");
    let figures: Vec<f64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [per_second, p50_ms, p99_ms] = figures[..] else { panic!("the other process said {text:?}") };
    Figures { per_second, p50_ms, p99_ms }
}

/// That other process. `decides` says whether answers must be what the seed makes them.
pub fn child(address: &str, decides: &str, plan: &Plan) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let questions: Arc<Vec<Question>> = Arc::new(questions(address, plan));
    let (from, decides) = (Instant::now() + Duration::from_secs_f64(plan.seconds / 4.0), decides == "yes");
    let to = from + Duration::from_secs_f64(plan.seconds);
    let all = runtime.block_on(async {
        let clients: Vec<_> = (0..plan.connections)
            .map(|client| {
                let (questions, address) = (questions.clone(), address.to_owned());
                tokio::spawn(async move { ask(&address, &questions, client, decides, from, to).await })
            })
            .collect();
        let mut all = histogram();
        for client in clients {
            all.add(client.await.expect("a client")).expect("the same bounds");
        }
        all
    });
    let ms = |quantile| all.value_at_quantile(quantile) as f64 / 1000.0;
    println!("{} {} {}", all.len() as f64 / plan.seconds, ms(0.5), ms(0.99));
}

struct Question {
    request: Vec<u8>,
    expected: bool,
}

fn questions(address: &str, plan: &Plan) -> Vec<Question> {
    let mut random = SmallRng::seed_from_u64(42);
    let one = |n: u64| {
        let member = random.random_range(0..plan.memberships);
        let stranger = n % 2 == 1 && plan.workspaces > 1;
        let place = (home(member, plan) + u64::from(stranger)) % plan.workspaces;
        let permission = PERMISSIONS[random.random_range(0..PERMISSIONS.len())];
        let body = json!({
            "subject": {"type": "user", "id": user(member)},
            "action": {"name": permission},
            "resource": {"type": "workspace", "id": workspace(place)},
        })
        .to_string();
        let head = format!(
            "POST /access/v1/evaluation HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {OPERATOR_KEY}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let role = if member < plan.workspaces { 2 } else { u8::from(member % 3 == 0) };
        let needs = match permission {
            "members:invite" => 2,
            "content:write" => 1,
            _ => 0,
        };
        Question { request: (head + &body).into_bytes(), expected: !stranger && role >= needs }
    };
    (0..QUESTIONS).map(one).collect()
}

async fn ask(
    address: &str,
    questions: &[Question],
    client: usize,
    decides: bool,
    from: Instant,
    to: Instant,
) -> Histogram<u64> {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("no delay");
    let (mut latencies, mut buffer) = (histogram(), vec![0; 4096]);
    let step = questions.len() / 64;
    for question in questions.iter().cycle().skip(client * step) {
        let begun = Instant::now();
        if begun >= to {
            break;
        }
        stream.write_all(&question.request).await.expect("sent");
        let answer = answer(&mut stream, &mut buffer).await;
        let done = Instant::now();
        assert!(!decides || answer == question.expected, "a wrong decision");
        if begun >= from && done < to {
            latencies.saturating_record(u64::try_from((done - begun).as_micros()).unwrap_or(u64::MAX));
        }
    }
    latencies
}

/// Reads one answer and says what it is. Both servers send it with its length, and small enough for one buffer.
async fn answer(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await.expect("an answer");
        assert!(read > 0, "the connection was closed");
        filled += read;
        let text = &buffer[..filled];
        if text.ends_with(b"}") {
            assert!(text.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(text));
            return text.ends_with(b":true}");
        }
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("sane bounds")
}
