//! A tower layer that lets a request through with its [`Session`] among the extensions, or answers with a problem.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::extract::OriginalUri;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Request};
use axum::response::{IntoResponse, Response};
use tower_layer::Layer;
use tower_service::Service;

use super::guard::Guard;
use crate::problem::Problem;
use crate::refusal::Refusal;
#[cfg(doc)]
use crate::session::Session;

/// Made by [`Guard::authenticate`] and [`Guard::require`].
#[derive(Clone, Debug)]
pub struct GuardLayer {
    guard: Guard,
    permission: Option<&'static str>,
}

/// A service behind a [`GuardLayer`].
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    inner: S,
    guard: Guard,
    permission: Option<&'static str>,
}

impl GuardLayer {
    pub(super) fn new(guard: Guard, permission: Option<&'static str>) -> Self {
        Self { guard, permission }
    }
}

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.guard.clone(), permission: self.permission }
    }
}

impl<S, B> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>> + Clone + Send + 'static,
    S::Response: IntoResponse,
    S::Future: Send,
    B: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled to be ready is the one to call.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let (guard, permission) = (self.guard.clone(), self.permission);
        Box::pin(async move {
            let (mut parts, body) = request.into_parts();
            match guard.admit(&mut parts, permission).await {
                Ok(session) => {
                    parts.extensions.insert(session);
                    let mut answer = inner.call(Request::from_parts(parts, body)).await?.into_response();
                    // A shared cache knows nothing of workspaces. A handler that does may say otherwise.
                    answer.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
                    Ok(answer)
                }
                Err(refusal) => Ok(refused(&refusal, &parts)),
            }
        })
    }
}

fn refused(refusal: &Refusal, parts: &Parts) -> Response {
    tracing::info!(reason = %refusal, "a request was refused");
    // A nested router cuts off what led to it.
    let uri = parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |original| &original.0);
    let problem = Problem { instance: Some(uri.path().to_owned()), ..Problem::from(refusal) };
    problem.into_response()
}
