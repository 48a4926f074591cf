//! The accept loop: who gets in, how long a connection may be useless, and how the server stops.
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::response::Response;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tower::Service;

use super::connection::Connection;
use super::cut::Cut;

/// The peer of the TCP connection; in every request's extensions.
#[derive(Debug, Clone)]
pub struct Peer {
    pub addr: SocketAddr,
    /// Cuts the connection off.
    pub cut: Cut,
}

#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// From the opening of a connection until its first request's headers are complete.
    pub header_read_timeout: Duration,
    /// From the end of a request until the next one's headers are complete.
    pub keep_alive: Duration,
    /// For a whole request body.
    pub body_read_timeout: Duration,
    /// How long the peer may leave sent bytes unread (Linux).
    pub write_timeout: Duration,
    /// Above this many open connections, new ones are closed at once.
    pub max_connections: usize,
    pub max_headers: usize,
    pub max_header_bytes: u32,
    pub max_streams_per_connection: u32,
    /// After the call to stop, how long requests in flight may go on.
    pub shutdown_deadline: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_mins(1),
            body_read_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
            max_connections: 20_000,
            max_headers: 100,
            max_header_bytes: 32 << 10,
            max_streams_per_connection: 128,
            shutdown_deadline: Duration::from_secs(30),
        }
    }
}

/// Serves until `shutdown` resolves; then accepts nothing more, finishes the requests in flight (for at most
/// `shutdown_deadline`) and returns.
pub async fn serve<S>(
    listener: TcpListener,
    service: S,
    options: ServerOptions,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let mut shutdown = pin!(shutdown);
    let (stop, stopping) = watch::channel(false);
    let seats = Arc::new(Semaphore::new(options.max_connections));
    let http = Arc::new(protocol(&options));
    let options = Arc::new(options);
    let mut connections = JoinSet::new();
    let mut turned_away = TurnedAway::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        while connections.try_join_next().is_some() {}
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                pause_after(&error).await;
                continue;
            }
        };
        let Ok(seat) = Arc::clone(&seats).try_acquire_owned() else {
            turned_away.note(options.max_connections);
            continue;
        };
        prepare(&stream, options.write_timeout);
        let connection = Connection {
            peer: Peer { addr: peer, cut: Cut::default() },
            service: service.clone(),
            options: Arc::clone(&options),
            stopping: stopping.clone(),
        };
        let http = Arc::clone(&http);
        connections.spawn(async move {
            connection.serve(&http, stream).await;
            drop(seat);
        });
    }
    drop(listener);
    stop.send_replace(true);
    drain(connections, options.shutdown_deadline).await;
    Ok(())
}

/// hyper's own `header_read_timeout` stays off: it would also end idle keep-alive connections, and the auto
/// builder does not apply it before the first bytes have told HTTP/1 from HTTP/2, so a silent connection
/// would stay for ever. [`Connection`] watches all of it.
fn protocol(options: &ServerOptions) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .keep_alive(true)
        .max_headers(options.max_headers)
        // hyper panics below its own minimum.
        .max_buf_size((options.max_header_bytes as usize).max(8192));
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(options.max_header_bytes)
        .max_concurrent_streams(options.max_streams_per_connection)
        .keep_alive_interval(Duration::from_secs(20))
        .keep_alive_timeout(Duration::from_secs(20));
    http
}

/// Failing here costs speed or a guard, never the connection.
fn prepare(stream: &TcpStream, write_timeout: Duration) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(write_timeout)) {
        tracing::debug!(%error, "TCP_USER_TIMEOUT was refused");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = write_timeout;
}

/// Says at most once a second that connections are turned away: a flood must not become a flood of lines.
#[derive(Default)]
struct TurnedAway {
    unsaid: u64,
    last: Option<Instant>,
}

impl TurnedAway {
    fn note(&mut self, limit: usize) {
        self.unsaid += 1;
        if self.last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1)) {
            tracing::warn!(limit, connections = self.unsaid, "too many connections: turned away");
            *self = Self { unsaid: 0, last: Some(Instant::now()) };
        }
    }
}

/// A peer that gave up concerns only itself; anything else (no file descriptors) needs time to pass.
async fn pause_after(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    if !matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted) {
        tracing::error!(%error, "cannot accept a connection");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn drain(mut connections: JoinSet<()>, deadline: Duration) {
    let all_done = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(deadline, all_done).await.is_err() {
        tracing::warn!(cut_off = connections.len(), "the shutdown deadline passed with requests in flight");
        connections.shutdown().await;
    }
}
