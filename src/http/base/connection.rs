//! One connection: it is served while requests are on it, and closed when it has none for too long.
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tower::{Service, ServiceExt as _};

use super::cut::Cuttable;
use super::server::{Peer, ServerOptions};
use super::slow_body::DeadlineBody;
use super::traffic::{InFlight, Traffic};

/// A connection told to close gets this long to say good-bye (HTTP/2 GOAWAY) before it is dropped.
const FAREWELL: Duration = Duration::from_secs(1);

pub(crate) struct Connection<S> {
    pub(crate) peer: Peer,
    pub(crate) service: S,
    pub(crate) options: Arc<ServerOptions>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// Why a connection ends that its peer leaves open.
enum End {
    Useless,
    CutOff,
    Stopping,
}

impl<S> Connection<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    pub(crate) async fn serve(self, http: &auto::Builder<TokioExecutor>, stream: TcpStream) {
        let Self { peer, service, options, mut stopping } = self;
        let (traffic, cut) = (Arc::new(Traffic::new()), peer.cut.clone());
        // Each is looked at when it has something to say, not with every request.
        let mut ends = FuturesUnordered::from_iter([
            traffic.none_for_too_long(&options).map(|()| End::Useless).boxed(),
            cut.off().map(|()| End::CutOff).boxed(),
            told(&mut stopping).map(|()| End::Stopping).boxed(),
        ]);
        let (entering, limit) = (Arc::clone(&traffic), options.body_read_timeout);
        let stream = TokioIo::new(Cuttable::new(stream, cut.clone()));
        let answering = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let request = request.map(|body| Body::new(DeadlineBody::new(body, limit)));
            answer(request, service.clone(), Arc::clone(&entering).enter())
        });
        let mut connection = pin!(http.serve_connection(stream, answering));
        loop {
            tokio::select! {
                biased;
                _ = connection.as_mut() => return,
                Some(end) = ends.next() => match end {
                    End::CutOff => return,
                    End::Useless => break,
                    End::Stopping => connection.as_mut().graceful_shutdown(),
                }
            }
        }
        // A request may slip in while we say good-bye; it is finished like any other.
        connection.as_mut().graceful_shutdown();
        while timeout(FAREWELL, connection.as_mut()).await.is_err() {
            if traffic.is_none() {
                return;
            }
        }
    }
}

async fn told(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

async fn answer<S>(
    request: Request,
    service: S,
    in_flight: InFlight,
) -> Result<hyper::Response<Counted>, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    let response = service.oneshot(request).await?;
    Ok(response.map(|body| Counted { body, _in_flight: in_flight }))
}

/// A response's body, which ends the request when it is dropped.
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
