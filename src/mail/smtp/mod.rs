//! Hands mail to an SMTP server, over connections that are kept for a while.
//!
//! # Layout
//! - [`server`]: where, and as whom; [`failure`]: what came of it, for the delivery log
//!
//! lettre's own pool is not used: it takes a connection back whose sending was cut off in the middle, and the reply to
//! that mail would then be taken for the reply to the next one.

mod failure;
mod server;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::DEFAULT_MECHANISMS;
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::extension::Extension;
use tokio::time::{Instant, timeout};

pub use failure::{Failure, scrubbed};
use server::{Server, Tls};

use super::MailSettingError;

/// How many connections are kept for the next mail.
const KEPT: usize = 8;
/// How long they are; servers hang up on who says nothing.
const KEPT_FOR: Duration = Duration::from_secs(20);

pub struct Smtp {
    server: Server,
    /// How long connecting may take, and half as long as one mail may.
    patience: Duration,
    kept: Mutex<Vec<(AsyncSmtpConnection, Instant)>>,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Smtp {
    /// `url` is `TENURE_SMTP_URL`.
    pub fn parse(url: &str, patience: Duration) -> Result<Self, MailSettingError> {
        Ok(Self { server: Server::parse(url)?, patience, kept: Mutex::default() })
    }

    /// Whom it talks to, without password.
    pub fn host(&self) -> (&str, u16) {
        (&self.server.host, self.server.port)
    }

    /// Hands over one mail; returns the server's code. When it fails after the whole mail was sent, the server may have
    /// taken it: it is then sent again under the same `Message-ID`.
    pub async fn send(&self, envelope: &Envelope, mail: &[u8]) -> Result<u16, Failure> {
        let mut connection = match self.kept().await {
            Some(connection) => connection,
            None => timeout(self.patience, self.connect()).await.map_err(|_| Failure::Timeout)??,
        };
        let ascii = envelope.to().iter().all(|address| AsRef::<str>::as_ref(address).is_ascii());
        if !ascii && !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            self.keep(connection);
            return Err(Failure::NoUtf8);
        }
        let sent = timeout(2 * self.patience, connection.send(envelope, mail)).await;
        let response = sent.map_err(|_| Failure::Timeout)?.map_err(|error| Failure::of(&error))?;
        self.keep(connection);
        Ok(response.code().into())
    }

    /// A connection that is still good.
    async fn kept(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let (mut connection, since) = kept?;
            let young = since.elapsed() < KEPT_FOR;
            if young && timeout(self.patience, connection.test_connected()).await.unwrap_or_default() {
                return Some(connection);
            }
        }
    }

    /// Only what ended as it should comes here.
    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(_, since)| since.elapsed() < KEPT_FOR);
        if kept.len() < KEPT && !connection.has_broken() {
            kept.push((connection, Instant::now()));
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Failure> {
        let Server { host, port, tls, credentials, hello } = &self.server;
        let safe = || TlsParameters::new(host.clone()).map_err(|error| Failure::of(&error));
        let wrapped = if *tls == Tls::Wrapped { Some(safe()?) } else { None };
        let at = (host.as_str(), *port);
        let connected =
            AsyncSmtpConnection::connect_tokio1(at, Some(self.patience), hello, wrapped, None).await;
        let mut connection = connected.map_err(|error| Failure::connecting(&error))?;
        let upgrade = match tls {
            Tls::Wrapped | Tls::Off => false,
            Tls::Required => true,
            Tls::Offered => connection.can_starttls(),
        };
        if upgrade {
            if !connection.can_starttls() {
                return Err(Failure::NoTls);
            }
            connection.starttls(safe()?, hello).await.map_err(|error| Failure::connecting(&error))?;
        }
        if let Some(credentials) = credentials {
            let known = connection.auth(DEFAULT_MECHANISMS, credentials).await;
            known.map_err(|error| Failure::authenticating(&error))?;
        }
        Ok(connection)
    }
}
