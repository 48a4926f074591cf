//! Tenure's own page for whoever follows an invitation's link: `/accept#<token>`.
//!
//! The token stands in the fragment, which reaches no server, log or `Referer`; the page's script takes it from there,
//! asks what it offers and answers with the session cookie. For products that have no such page of their own.
//!
//! # Layout
//! - [`AcceptPage`] (here): the page, its script and style, and the headers that keep it safe
//! - [`preview`]: what a token offers, for somebody who has yet to sign in
//! - [`languages`]: what it says, in which language; [`sign_in`]: where one signs in
//! - `page.html`, `page.js`, `page.css`, `messages/`: all of it is in the binary

mod languages;
mod preview;
mod sign_in;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_LANGUAGE, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};

use super::App;
use super::base::problem::Problem;
use crate::config::Settings;
pub use languages::MessagesError;
use languages::{Language, Languages, Messages};
use sign_in::SignIn;
pub use sign_in::SignInUrlError;

/// Its own script and style, and a workspace's logo; no frame around it, and no text becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src https:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// What the settings make of the page.
#[derive(Debug)]
pub struct AcceptPage {
    languages: Languages,
    sign_in: Option<SignIn>,
}

impl AcceptPage {
    /// Refuses, by name, what cannot be.
    pub fn of(settings: &Settings) -> anyhow::Result<Self> {
        let sign_in = settings.sign_in_url.as_deref().map(SignIn::parse).transpose()?;
        let languages = Languages::load(settings.mail_templates.as_deref(), &settings.mail_language)?;
        Ok(Self { languages, sign_in })
    }
}

#[derive(Template)]
#[template(path = "page.html", config = "src/http/accept_page/askama.toml")]
struct Page<'a> {
    language: &'a str,
    messages: &'a Messages,
    sign_in: &'a str,
}

pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/accept", get(page))
        .route("/accept/page.js", get(script))
        .route("/accept/page.css", get(style))
        .route("/accept/preview", post(preview::preview))
        .layer(from_fn(guard))
}

/// A query is let pass: whatever a mail program adds to a link is not for us.
async fn page(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Problem> {
    let wanted = headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Language { tag, messages } = app.accept_page.languages.best(wanted);
    let sign_in = app.accept_page.sign_in.as_ref().map_or("", SignIn::as_str);
    let page = Page { language: tag, messages, sign_in };
    let html = page.render().map_err(|error| {
        tracing::error!(%error, "the accept page cannot be written");
        Problem::internal()
    })?;
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_name(ACCEPT_LANGUAGE));
    if let Ok(tag) = HeaderValue::from_str(tag) {
        headers.insert(CONTENT_LANGUAGE, tag);
    }
    Ok(response)
}

async fn script() -> Response {
    ([(CONTENT_TYPE, "text/javascript; charset=utf-8")], include_str!("page.js")).into_response()
}

async fn style() -> Response {
    ([(CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("page.css")).into_response()
}

async fn guard(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}
