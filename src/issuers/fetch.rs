//! An issuer's keys over HTTP: no redirects, no more than 256 KiB, no longer than five seconds.

use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, StatusCode, Url, header};
use serde::Deserialize;

use super::config::{IssuerConfig, is_loopback};
use super::keys::KeySet;

/// For the keys, discovery included.
const TIMEOUT: Duration = Duration::from_secs(5);
const MAX_BODY: usize = 256 * 1024;

/// The HTTP client the issuers' keys are fetched with. Only this module can make one, so that none is lax.
#[derive(Clone, Debug)]
pub struct JwksClient {
    outward: Client,
    local: Client,
}

/// Why there is no HTTP client.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client for the issuers' keys cannot be made: {0}")]
pub struct ClientError(reqwest::Error);

#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
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
    #[error("the discovery document is another issuer's")]
    OtherIssuer,
    #[error("the discovery document's jwks_uri is not an https URL")]
    JwksUri,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl JwksClient {
    pub fn new() -> Result<Self, ClientError> {
        let outward = builder().https_only(true).build().map_err(ClientError)?;
        // What is on this machine is not asked for through a proxy.
        let local = builder().no_proxy().build().map_err(ClientError)?;
        Ok(Self { outward, local })
    }

    pub(super) async fn keys(&self, config: &IssuerConfig) -> Result<KeySet, FetchError> {
        let fetched = async {
            let url = match &config.jwks_url {
                Some(url) => url.clone(),
                None => self.discover(&config.issuer).await?,
            };
            Ok(KeySet::parse(&self.get(url).await?)?)
        };
        tokio::time::timeout(TIMEOUT, fetched).await.unwrap_or(Err(FetchError::TimedOut))
    }

    /// Asked anew each time: an issuer may move its keys.
    async fn discover(&self, issuer: &str) -> Result<Url, FetchError> {
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| FetchError::OtherIssuer)?;
        let issuer_is_local = is_loopback(&url);
        let document: Discovery = serde_json::from_slice(&self.get(url).await?)?;
        if document.issuer != issuer {
            return Err(FetchError::OtherIssuer);
        }
        keys_url(&document.jwks_uri, issuer_is_local).ok_or(FetchError::JwksUri)
    }

    async fn get(&self, url: Url) -> Result<Vec<u8>, FetchError> {
        let client = if is_loopback(&url) { &self.local } else { &self.outward };
        let request = client.get(url).header(header::ACCEPT, "application/json");
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

/// Where a discovery document may send us. Only an issuer on this machine may name a place on this machine.
fn keys_url(jwks_uri: &str, issuer_is_local: bool) -> Option<Url> {
    let url = Url::parse(jwks_uri).ok()?;
    let allowed = if is_loopback(&url) { issuer_is_local } else { url.scheme() == "https" };
    allowed.then_some(url)
}

fn builder() -> ClientBuilder {
    // Minutes lie between two fetches: a connection kept open would only be a stale one.
    Client::builder().redirect(Policy::none()).timeout(TIMEOUT).pool_max_idle_per_host(0).user_agent("tenure")
}

/// The error without its URL, which may hold a query.
fn http(error: reqwest::Error) -> FetchError {
    FetchError::Http(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_elsewhere_cannot_send_us_home() {
        for here in
            ["http://127.0.0.1/keys", "https://localhost/keys", "http://[::1]:9/keys", "http://127.1/keys"]
        {
            assert!(keys_url(here, true).is_some(), "{here}");
            assert!(keys_url(here, false).is_none(), "{here}");
        }
        for local in [true, false] {
            assert!(keys_url("https://a.example/keys", local).is_some());
            assert!(keys_url("http://a.example/keys", local).is_none());
        }
    }

    #[tokio::test]
    async fn nothing_leaves_this_machine_unencrypted() {
        let client = JwksClient::new().unwrap();
        let refused = client.outward.get("http://127.0.0.1:9/keys").send().await.unwrap_err();
        assert!(refused.is_builder(), "refused before any connection: {refused:?}");
    }
}
