//! How a request becomes a session: credential, same site, token, workspace of the path, permission.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use uuid::Uuid;

use super::credential::{Credential, credential};
use super::cross_origin::{self, Origin};
use super::layer::GuardLayer;
#[cfg(feature = "fetch")]
use crate::RemoteVerifier;
use crate::clock;
use crate::refusal::{InvalidToken, Refusal};
use crate::session::Session;
use crate::verifier::Verifier;

/// The name of the path parameter that names a workspace.
const WORKSPACE_ID: &str = "workspace_id";

/// Lets requests with a session in, and nothing else. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    verifier: Arc<TokenVerifier>,
    public: Option<Arc<Origin>>,
    online: Option<OnlineCheck>,
    clock: fn() -> SystemTime,
}

/// Where the keys come from.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokenVerifier {
    Offline(Verifier),
    #[cfg(feature = "fetch")]
    Remote(RemoteVerifier),
}

/// Asks Tenure whether a session's role allows a permission, for the few whose token cannot list it.
#[derive(Clone)]
pub struct OnlineCheck(Arc<dyn Fn(Session, String) -> Asked + Send + Sync>);

type Asked = Pin<Box<dyn Future<Output = Result<(), Refusal>> + Send>>;

/// What was given as a public URL is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a public URL begins with scheme and host")]
pub struct NotAnOrigin;

impl Guard {
    pub fn new(verifier: impl Into<TokenVerifier>) -> Self {
        Self { verifier: Arc::new(verifier.into()), public: None, online: None, clock: clock::now }
    }

    /// Where browsers find this service, if a proxy before it changes the `Host`: cookies count from there, too.
    pub fn with_public_url(self, url: &str) -> Result<Self, NotAnOrigin> {
        let origin = Origin::of(url).ok_or(NotAnOrigin)?;
        Ok(Self { public: Some(Arc::new(origin)), ..self })
    }

    /// What is done about [`Refusal::AskOnline`]; without it, such a request is answered 503.
    #[must_use]
    pub fn with_online_check<F, Fut>(self, check: F) -> Self
    where
        F: Fn(Session, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        let check = move |session, permission| -> Asked { Box::pin(check(session, permission)) };
        Self { online: Some(OnlineCheck(Arc::new(check))), ..self }
    }

    /// Another clock, for tests.
    #[must_use]
    pub fn with_clock(self, clock: fn() -> SystemTime) -> Self {
        Self { clock, ..self }
    }

    /// A layer that asks for a session, for a whole router.
    pub fn authenticate(&self) -> GuardLayer {
        GuardLayer::new(self.clone(), None)
    }

    /// A layer that asks for a session and a permission (`<module>:<verb>`), for a route.
    pub fn require(&self, permission: &'static str) -> GuardLayer {
        GuardLayer::new(self.clone(), Some(permission))
    }

    /// What the layers do: the session of a request, if it may be made.
    pub async fn admit(&self, parts: &mut Parts, permission: Option<&str>) -> Result<Session, Refusal> {
        let session = match parts.extensions.get::<Session>() {
            // A layer further out was here.
            Some(session) => session.clone(),
            None => self.session(parts).await?,
        };
        require_workspace_of_path(parts, &session).await?;
        if let Some(permission) = permission {
            self.require_permission(&session, permission).await?;
        }
        Ok(session)
    }

    #[cfg_attr(
        not(feature = "fetch"),
        expect(clippy::unused_async, reason = "keys at hand are not waited for")
    )]
    async fn session(&self, parts: &Parts) -> Result<Session, Refusal> {
        let token = match credential(&parts.headers).ok_or(InvalidToken::Missing)? {
            Credential::Bearer(token) => token,
            Credential::Cookie(token) => {
                cross_origin::check(parts, self.public.as_deref())?;
                token
            }
        };
        let now = (self.clock)();
        match &*self.verifier {
            TokenVerifier::Offline(verifier) => verifier.verify(token, now),
            #[cfg(feature = "fetch")]
            TokenVerifier::Remote(verifier) => verifier.verify(token, now).await,
        }
    }

    async fn require_permission(&self, session: &Session, permission: &str) -> Result<(), Refusal> {
        match (session.require(permission), &self.online) {
            (Err(Refusal::AskOnline { permission }), Some(check)) => {
                (check.0)(session.clone(), permission).await
            }
            (answer, _) => answer,
        }
    }
}

/// A path that names a workspace names the session's: its shape alone is never trusted.
pub(super) async fn require_workspace_of_path(parts: &mut Parts, session: &Session) -> Result<(), Refusal> {
    let params = match RawPathParams::from_request_parts(parts, &()).await {
        Ok(params) => params,
        // Before a router: the extractor looks again.
        Err(RawPathParamsRejection::MissingPathParams(_)) => return Ok(()),
        Err(_) => return Err(Refusal::AnotherWorkspace),
    };
    for (_, value) in params.iter().filter(|(name, _)| *name == WORKSPACE_ID) {
        session.require_workspace(Uuid::try_parse(value).map_err(|_| Refusal::AnotherWorkspace)?)?;
    }
    Ok(())
}

impl From<Verifier> for TokenVerifier {
    fn from(verifier: Verifier) -> Self {
        Self::Offline(verifier)
    }
}

#[cfg(feature = "fetch")]
impl From<RemoteVerifier> for TokenVerifier {
    fn from(verifier: RemoteVerifier) -> Self {
        Self::Remote(verifier)
    }
}

impl fmt::Debug for OnlineCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnlineCheck")
    }
}
