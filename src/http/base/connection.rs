//! One connection: it is served while requests are on it, and closed when it has none for too long.
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::cut::{Cut, Cuttable};
use super::server::{PeerAddr, ServerOptions};
use super::slow_body::DeadlineBody;

/// A connection told to close gets this long to say good-bye (HTTP/2 GOAWAY) before it is dropped.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) struct Connection {
    pub(crate) peer: PeerAddr,
    pub(crate) router: Router,
    pub(crate) options: Arc<ServerOptions>,
    pub(crate) stopping: watch::Receiver<bool>,
}

impl Connection {
    pub(crate) async fn serve(mut self, http: &auto::Builder<TokioExecutor>, stream: TcpStream) {
        let in_flight = Arc::new(watch::Sender::new(Load::default()));
        let mut idle = pin!(idle_too_long(in_flight.subscribe(), Arc::clone(&self.options)));
        let counter = Arc::clone(&in_flight);
        let (peer, router, limit) = (self.peer, self.router, self.options.body_read_timeout);
        let cut = Cut::default();
        let cutter = cut.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(cutter.clone());
            answer(request, peer, router.clone(), limit, InFlight::enter(Arc::clone(&counter)))
        });
        let mut connection =
            pin!(http.serve_connection(TokioIo::new(Cuttable::new(stream, cut.clone())), service));
        let mut told_to_stop = false;
        loop {
            tokio::select! {
                _ = connection.as_mut() => return,
                () = cut.off() => return,
                () = &mut idle => break,
                () = told(&mut self.stopping), if !told_to_stop => {
                    told_to_stop = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
        // A request may slip in while we say good-bye; it is finished like any other.
        connection.as_mut().graceful_shutdown();
        while timeout(FAREWELL, connection.as_mut()).await.is_err() {
            if in_flight.borrow().requests == 0 {
                return;
            }
        }
    }
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

#[derive(Clone, Copy, Default)]
struct Load {
    requests: usize,
    /// Said here, not concluded from changes seen: a short first request may be over before anyone looks.
    had_any: bool,
}

/// Resolves once no request has been on the connection for its allotted time.
async fn idle_too_long(mut load: watch::Receiver<Load>, options: Arc<ServerOptions>) {
    loop {
        let now = *load.borrow_and_update();
        let patience = if now.had_any { options.keep_alive } else { options.header_read_timeout };
        let change = load.changed();
        let changed = if now.requests > 0 { Ok(change.await) } else { timeout(patience, change).await };
        if !matches!(changed, Ok(Ok(()))) {
            return;
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: PeerAddr,
    router: Router,
    body_limit: Duration,
    in_flight: InFlight,
) -> Result<Response<Counted>, Infallible> {
    let mut request = request.map(|body| Body::new(DeadlineBody::new(body, body_limit)));
    request.extensions_mut().insert(peer);
    let response = router.oneshot(request).await?;
    Ok(response.map(|body| Counted { body, _in_flight: in_flight }))
}

/// Counts a request from its headers to the last byte of its response.
struct InFlight(Arc<watch::Sender<Load>>);

impl InFlight {
    fn enter(count: Arc<watch::Sender<Load>>) -> Self {
        count.send_modify(|load| *load = Load { requests: load.requests + 1, had_any: true });
        Self(count)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.send_modify(|load| load.requests -= 1);
    }
}

struct Counted {
    body: Body,
    _in_flight: InFlight,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
