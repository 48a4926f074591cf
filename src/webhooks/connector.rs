//! Connections to addresses that may be reached, and to no other: whoever names them, in whatever spelling.
//!
//! A name is resolved once, here, and what it led to is what is connected to: there is no second answer to be fooled
//! by. A literal address passes the same check, which a resolver would never see.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use hyper::Uri;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;
use url::Host;

use super::{Networks, Resolve, Unanswered};

/// How long all connecting may take, finding the addresses not included.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many addresses of a name are tried.
const TRIED: usize = 3;

/// Opens the connections.
#[derive(Clone, Debug)]
pub struct Connector {
    networks: Arc<Networks>,
    resolver: Arc<dyn Resolve>,
}

impl Connector {
    pub fn new(networks: Arc<Networks>, resolver: Arc<dyn Resolve>) -> Self {
        Self { networks, resolver }
    }

    async fn connect(self, uri: Uri) -> Result<TcpStream, Unanswered> {
        let plain = uri.scheme_str() == Some("http");
        let port = uri.port_u16().unwrap_or(if plain { 80 } else { 443 });
        let found = self.addresses(uri.host().ok_or(Unanswered::Url)?).await?;
        let permitted: Vec<IpAddr> = found.into_iter().filter(|ip| self.networks.permits(*ip)).collect();
        if permitted.is_empty() {
            return Err(Unanswered::PrivateAddress);
        }
        // What crosses the internet is encrypted; inside a network that an operator allowed, that is theirs to decide.
        let safe = |ip: &IpAddr| !plain || self.networks.allows_explicitly(*ip);
        let tried: Vec<IpAddr> = permitted.into_iter().filter(safe).take(TRIED).collect();
        self.first_of(&tried, port).await
    }

    /// The addresses of a host, be it a name or an address in any spelling.
    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Unanswered> {
        let name = match Host::parse(host).map_err(|_| Unanswered::Url)? {
            Host::Ipv4(address) => return Ok(vec![address.into()]),
            Host::Ipv6(address) => return Ok(vec![address.into()]),
            Host::Domain(name) => name,
        };
        let found = self.resolver.resolve(&name).await.map_err(|_| Unanswered::Dns)?;
        if found.is_empty() { Err(Unanswered::Dns) } else { Ok(found) }
    }

    async fn first_of(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, Unanswered> {
        let share = PATIENCE / u32::try_from(addresses.len()).unwrap_or(1).max(1);
        let mut why = Unanswered::Insecure;
        for address in addresses {
            let opened = timeout(share, TcpStream::connect(SocketAddr::new(*address, port))).await;
            match opened.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into())) {
                Ok(stream) => return self.checked(stream),
                Err(error) => why = reason(error.kind()),
            }
        }
        Err(why)
    }

    /// Asks the connection itself whom it leads to, in case anything between here and there decided otherwise.
    fn checked(&self, stream: TcpStream) -> Result<TcpStream, Unanswered> {
        let peer = stream.peer_addr().map_err(|_| Unanswered::Connection)?;
        if !self.networks.permits(peer.ip()) {
            return Err(Unanswered::PrivateAddress);
        }
        // Only speed would be lost.
        let _ = stream.set_nodelay(true);
        Ok(stream)
    }
}

fn reason(kind: ErrorKind) -> Unanswered {
    match kind {
        ErrorKind::ConnectionRefused => Unanswered::Refused,
        ErrorKind::TimedOut => Unanswered::Timeout,
        _ => Unanswered::Connection,
    }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = Unanswered;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect(uri).await.map(TokioIo::new) })
    }
}
