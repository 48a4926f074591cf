//! A receiver of webhooks: it writes down what it hears, answers as it is told, and can be killed.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};

/// One webhook, as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Heard {
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// What the event is known by.
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    pub fn event(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What the event is called, without its version.
    pub fn kind(&self) -> String {
        let kind = self.event()["type"].as_str().unwrap().to_owned();
        kind.strip_prefix("tenure.").unwrap().rsplit_once('.').unwrap().0.to_owned()
    }
}

/// What a receiver does with a webhook.
#[derive(Debug, Clone)]
pub enum Reply {
    Says(u16, Vec<(&'static str, String)>, String),
    /// Holds the connection, and never answers.
    Hangs,
    /// Dies on the spot: nothing is written down.
    Dies,
    /// Dies when it was written down, before the answer is out.
    DiesAfter,
}

pub fn says(status: u16) -> Reply {
    Reply::Says(status, vec![], String::new())
}

type Manner = Arc<dyn Fn(&Heard) -> Reply + Send + Sync>;

struct State {
    heard: Mutex<Vec<Heard>>,
    manner: Mutex<Manner>,
    came: Notify,
    died: Notify,
}

pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<State>,
    server: JoinHandle<()>,
}

/// How long anything may take; nothing is measured by it.
const PATIENCE: Duration = Duration::from_mins(1);

impl Receiver {
    /// One that takes everything, until it is told otherwise.
    pub fn start() -> Self {
        let state = State {
            heard: Mutex::default(),
            manner: Mutex::new(Arc::new(|_| says(204))),
            came: Notify::new(),
            died: Notify::new(),
        };
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), Arc::new(state))
    }

    fn at(address: SocketAddr, state: Arc<State>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1024).unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(serve(listener, state.clone()));
        Self { address, state, server }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// From now on it answers like this.
    pub fn answers(&self, manner: impl Fn(&Heard) -> Reply + Send + Sync + 'static) {
        *self.state.manner.lock().unwrap() = Arc::new(manner);
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.state.heard.lock().unwrap().clone()
    }

    /// The ids of all events it wrote down.
    pub fn ids(&self) -> BTreeSet<String> {
        self.heard().iter().map(|heard| heard.id().to_owned()).collect()
    }

    /// Waits until what it heard is enough, and returns it.
    pub async fn hears(&self, enough: impl Fn(&[Heard]) -> bool) -> Vec<Heard> {
        let waits = async {
            loop {
                let came = self.state.came.notified();
                let heard = self.heard();
                if enough(&heard) {
                    return heard;
                }
                came.await;
            }
        };
        let heard = tokio::time::timeout(PATIENCE, waits).await;
        heard.unwrap_or_else(|_| {
            panic!("not heard: {:?}", self.heard().iter().map(Heard::kind).collect::<Vec<_>>())
        })
    }

    /// Waits for so many webhooks of one kind.
    pub async fn hears_of(&self, kind: &str, times: usize) -> Vec<Heard> {
        let of_kind = |heard: &[Heard]| -> Vec<Heard> {
            heard.iter().filter(|heard| heard.kind() == kind).cloned().collect()
        };
        of_kind(&self.hears(|heard| of_kind(heard).len() >= times).await)
    }

    /// Waits until it has died of a webhook.
    pub async fn died(&self) {
        tokio::time::timeout(PATIENCE, self.state.died.notified()).await.unwrap();
    }

    /// Gone, with all its connections, as a killed process is; what it wrote down stays.
    pub async fn killed(mut self) -> Dead {
        self.server.abort();
        let _ = (&mut self.server).await;
        Dead { address: self.address, state: self.state }
    }
}

/// A receiver that was killed.
pub struct Dead {
    address: SocketAddr,
    state: Arc<State>,
}

impl Dead {
    pub fn restarts(self) -> Receiver {
        Receiver::at(self.address, self.state)
    }
}

/// Connections end with the task that accepts them.
async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = state.clone();
        connections.spawn(async move {
            let service = service_fn(|request| take(request, state.clone()));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn take(
    request: Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(std::io::Error::other)?.to_bytes();
    let heard = Heard { path: head.uri.path().to_owned(), headers: head.headers, body };
    let manner = state.manner.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let reply = manner(&heard);
    if !matches!(reply, Reply::Dies) {
        state.heard.lock().unwrap().push(heard);
        state.came.notify_waiters();
    }
    let Reply::Says(status, headers, text) = reply else {
        if !matches!(reply, Reply::Hangs) {
            state.died.notify_one();
        }
        let never: Infallible = pending().await;
        match never {}
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(text.into())).unwrap())
}
