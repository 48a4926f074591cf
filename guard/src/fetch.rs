//! Tenure's keys over HTTP: no redirects, no more than 64 KiB, no longer than five seconds.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url, header};

use crate::keys::KeySet;

const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 64 * 1024;

/// Where the keys are, and a client that asks for nothing else.
#[derive(Debug)]
pub(crate) struct JwksClient {
    url: Url,
    client: Client,
}

/// Why the keys cannot be asked for there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JwksUrlError {
    #[error("the address of Tenure's keys is not a URL")]
    NotAUrl,
    /// Whoever can answer in Tenure's place can sign any session.
    #[error("the address of Tenure's keys must be https (http only on localhost)")]
    NotHttps,
    #[error("the HTTP client for Tenure's keys cannot be made: {0}")]
    Client(reqwest::Error),
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no complete answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    #[error(transparent)]
    Http(reqwest::Error),
    #[error("the answer was {0}, not 200")]
    Status(StatusCode),
    #[error("the answer was longer than {MAX_BODY} bytes")]
    TooLong,
    #[error("the answer was not the JSON expected: {0}")]
    Json(#[from] serde_json::Error),
}

impl JwksClient {
    pub(crate) fn new(url: &str) -> Result<Self, JwksUrlError> {
        let url = Url::parse(url).map_err(|_| JwksUrlError::NotAUrl)?;
        let local = is_loopback(&url);
        if url.scheme() != "https" && !(local && url.scheme() == "http") {
            return Err(JwksUrlError::NotHttps);
        }
        // Minutes lie between two fetches: a connection kept open would only be a stale one.
        let builder = Client::builder().redirect(Policy::none()).timeout(TIMEOUT).pool_max_idle_per_host(0);
        // What is on this machine is not asked for through a proxy.
        let builder = if local { builder.no_proxy() } else { builder.https_only(true) };
        let client = builder.user_agent("tenure-guard").build().map_err(JwksUrlError::Client)?;
        Ok(Self { url, client })
    }

    pub(crate) async fn keys(&self) -> Result<KeySet, FetchError> {
        let fetched = async { Ok(KeySet::from_jwks(&self.get().await?)?) };
        tokio::time::timeout(TIMEOUT, fetched).await.unwrap_or(Err(FetchError::TimedOut))
    }

    async fn get(&self) -> Result<Vec<u8>, FetchError> {
        let request = self.client.get(self.url.clone()).header(header::ACCEPT, "application/json");
        let mut response = request.send().await.map_err(http)?;
        if response.status() != StatusCode::OK {
            return Err(FetchError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(http)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(FetchError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Whether the URL stays on this machine.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// The error without its URL, which may hold a query.
fn http(error: reqwest::Error) -> FetchError {
    FetchError::Http(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_encrypted_or_from_this_machine() {
        for fine in [
            "https://tenure.example/jwks",
            "http://127.0.0.1:7373/jwks",
            "http://[::1]/",
            "http://localhost:1",
        ] {
            assert!(JwksClient::new(fine).is_ok(), "{fine}");
        }
        for open in [
            "http://tenure.example/jwks",
            "http://10.0.0.1/jwks",
            "http://localhost.example/",
            "file:///jwks",
        ] {
            assert!(matches!(JwksClient::new(open), Err(JwksUrlError::NotHttps)), "{open}");
        }
        assert!(matches!(JwksClient::new("tenure"), Err(JwksUrlError::NotAUrl)));
    }
}
