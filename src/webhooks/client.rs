//! One POST over a connection of its own: no redirect, no proxy, nothing unpacked, bounded in time and size.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderValue};
use hyper::{HeaderMap, Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tower::Service;
use url::{Position, Url};

use super::connector::Connector;
use super::{Networks, Resolve, Unanswered};

/// How much of a reply is kept, in bytes.
pub const KEPT: usize = 1024;
/// How much of a reply is read, so that an honest receiver is not cut off in the middle of a sentence.
const READ: usize = 64 * 1024;
/// How large the head of a reply may be.
const HEAD: usize = 16 * 1024;

/// What a receiver answered.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The first [`KEPT`] bytes of what came with it, whether or not more did.
    pub reply: Vec<u8>,
    /// It came from an address that only an operator's word makes reachable.
    pub private: bool,
}

/// Sends webhooks, to where they may go.
#[derive(Clone, Debug)]
pub struct Client {
    https: HttpsConnector<Connector>,
    networks: Arc<Networks>,
    patience: Duration,
}

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Client {
    /// `patience` is how long one attempt may take, from the first question to the last byte.
    pub fn new(
        networks: Networks,
        resolver: Arc<dyn Resolve>,
        patience: Duration,
    ) -> Result<Self, rustls::Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self::trusting(roots, networks, resolver, patience)
    }

    /// One that believes these authorities about who a host is.
    pub fn trusting(
        roots: RootCertStore,
        networks: Networks,
        resolver: Arc<dyn Resolve>,
        patience: Duration,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let networks = Arc::new(networks);
        let connector = Connector::new(networks.clone(), resolver);
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        Ok(Self { https: https.wrap_connector(connector), networks, patience })
    }

    /// Sends it once.
    pub async fn post(&self, url: &Url, headers: HeaderMap, body: Bytes) -> Result<Answer, Unanswered> {
        let deadline = Instant::now() + self.patience;
        // Dropped with the connection's task in it, whatever comes of the attempt.
        let mut driver = JoinSet::new();
        let begun = timeout_at(deadline, self.begin(url, headers, body, &mut driver)).await;
        let (response, peer) = begun.unwrap_or(Err(Unanswered::Timeout))?;
        let (head, body) = response.into_parts();
        let reply = first_bytes(body, deadline).await;
        let private = self.networks.allows_explicitly(peer);
        Ok(Answer { status: head.status, headers: head.headers, reply, private })
    }

    async fn begin(
        &self,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        driver: &mut JoinSet<()>,
    ) -> Result<(Response<Incoming>, IpAddr), Unanswered> {
        let request = request(url, headers, body)?;
        let stream = self.open(url).await?;
        let peer = peer_of(&stream).ok_or(Unanswered::Connection)?;
        let mut http = http1::Builder::new();
        let (mut sender, connection) =
            http.max_buf_size(HEAD).handshake(stream).await.map_err(|error| broken(&error))?;
        driver.spawn(async move {
            // What breaks it, the request hears as well.
            let _ = connection.await;
        });
        let response = sender.send_request(request).await.map_err(|error| broken(&error))?;
        Ok((response, peer))
    }

    async fn open(&self, url: &Url) -> Result<Stream, Unanswered> {
        let uri: Uri = url[..Position::AfterPort].parse().map_err(|_| Unanswered::Url)?;
        let opened = self.https.clone().call(uri).await;
        // What is not the connector's own is the handshake's.
        opened.map_err(|error| error.downcast_ref::<Unanswered>().copied().unwrap_or(Unanswered::Tls))
    }
}

fn request(url: &Url, mut headers: HeaderMap, body: Bytes) -> Result<Request<Full<Bytes>>, Unanswered> {
    let host = &url[Position::BeforeHost..Position::AfterPort];
    headers.insert(HOST, HeaderValue::from_str(host).map_err(|_| Unanswered::Url)?);
    let target = &url[Position::BeforePath..Position::AfterQuery];
    let mut request = Request::post(target).body(Full::new(body)).map_err(|_| Unanswered::Url)?;
    *request.headers_mut() = headers;
    Ok(request)
}

fn peer_of(stream: &Stream) -> Option<IpAddr> {
    let tcp = match stream {
        MaybeHttpsStream::Http(stream) => stream.inner(),
        MaybeHttpsStream::Https(stream) => stream.inner().get_ref().0.inner().inner(),
    };
    tcp.peer_addr().ok().map(|peer| peer.ip())
}

/// The status counts by itself: a reply that breaks off, never ends or is too long is only cut.
async fn first_bytes(mut body: Incoming, deadline: Instant) -> Vec<u8> {
    let (mut kept, mut read) = (Vec::new(), 0);
    while read < READ {
        let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await else { break };
        let Ok(data) = frame.into_data() else { break };
        read += data.len();
        let wanted = data.len().min(KEPT - kept.len());
        kept.extend_from_slice(&data[..wanted]);
    }
    kept
}

fn broken(error: &hyper::Error) -> Unanswered {
    if error.is_parse() { Unanswered::NotHttp } else { Unanswered::Connection }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
