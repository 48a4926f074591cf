//! `/dev/mailbox`: the mails of development, for the developer's own browser.
//!
//! The page shows tokens. *It must never be served to another machine*, nor to a page of another site that has its name
//! lead here: there is none unless Tenure listens on loopback without a mail server, and then only who comes from this
//! machine and calls it by its own name is answered. To everybody else there is nothing at this address.

use std::net::IpAddr;
use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{FromRequestParts, Path};
use axum::http::header::{ACCEPT, CONTENT_SECURITY_POLICY, FORWARDED, HOST, REFERRER_POLICY, VIA};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde_json::json;

use super::App;
use super::base::problem::Problem;
use super::base::server::Peer;
use crate::mail::DevMailbox;
use crate::mail::dev_mailbox::Kept;

const STYLE: &str = include_str!("style.css");
/// Nothing runs, and nothing but pictures comes from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src https: data:; frame-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub fn routes() -> Router<Arc<App>> {
    Router::new().route("/dev/mailbox", get(list)).route("/dev/mailbox/{id}", get(find))
}

/// A request of the developer.
struct Developer(Arc<App>);

impl Developer {
    fn mailbox(&self) -> Result<&DevMailbox, Problem> {
        self.0.mail.dev_mailbox().ok_or_else(nothing)
    }
}

impl FromRequestParts<Arc<App>> for Developer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        // The connection itself counts, not whom a header names.
        let peer = parts.extensions.get::<Peer>();
        let here = peer.is_some_and(|peer| peer.addr.ip().to_canonical().is_loopback());
        let allowed = here && named_here(&parts.headers) && !is_relayed(&parts.headers);
        if allowed { Ok(Self(app.clone())) } else { Err(nothing()) }
    }
}

fn nothing() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address.")
}

/// Whether the one `Host` is this machine's own name: a foreign name may lead here, too.
fn named_here(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(host) = host.to_str() else { return false };
    let Ok(authority) = host.parse::<axum::http::uri::Authority>() else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    !host.contains('@')
        && (name.eq_ignore_ascii_case("localhost")
            || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback()))
}

/// Whether somebody passed it on, so that it may be from anywhere; what the headers say does not matter.
fn is_relayed(headers: &HeaderMap) -> bool {
    let relays = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];
    headers.contains_key(FORWARDED)
        || headers.contains_key(VIA)
        || relays.iter().any(|name| headers.contains_key(*name))
}

#[derive(Template)]
#[template(path = "list.html", config = "src/http/dev_mailbox/askama.toml")]
struct ListPage {
    style: &'static str,
    mails: Vec<Kept>,
}

#[derive(Template)]
#[template(path = "mail.html", config = "src/http/dev_mailbox/askama.toml")]
struct MailPage {
    style: &'static str,
    mail: Kept,
    /// The mail's HTML, whose links open beside it.
    framed: String,
}

/// All mails, newest first; as JSON for whoever wants it so.
async fn list(developer: Developer, headers: HeaderMap) -> Result<Response, Problem> {
    let mails = developer.mailbox()?.all();
    if wants_json(&headers) {
        return Ok(axum::Json(json!({"items": mails})).into_response());
    }
    page(&ListPage { style: STYLE, mails })
}

async fn find(developer: Developer, Path(id): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let mail = id.parse().ok().and_then(|id| developer.0.mail.dev_mailbox()?.find(id)).ok_or_else(nothing)?;
    if wants_json(&headers) {
        return Ok(axum::Json(mail).into_response());
    }
    let framed = mail.html.replacen("<head>", "<head><base target=\"_blank\">", 1);
    page(&MailPage { style: STYLE, mail, framed })
}

fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    accept.split([',', ';']).any(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

fn page(template: &impl Template) -> Result<Response, Problem> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "the mailbox page cannot be written");
        Problem::internal()
    })?;
    let mut response = Html(html).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (axum::http::HeaderName::from_static(name), value.parse().unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn only_this_machines_own_names_count() {
        for host in ["localhost", "LOCALHOST:7373", "127.0.0.1:7373", "127.0.0.2", "[::1]:7373", "[::1]"] {
            assert!(named_here(&headers(&[("host", host)])), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "localhost@evil.example",
            "evil@localhost",
            "",
            "[::2]",
            "0.0.0.0",
        ] {
            assert!(!named_here(&headers(&[("host", host)])), "{host}");
        }
        assert!(!named_here(&headers(&[])));
        let mut two = headers(&[("host", "localhost")]);
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert!(!named_here(&two));
    }

    #[test]
    fn what_was_passed_on_may_be_from_anywhere() {
        for name in
            ["forwarded", "via", "x-forwarded-for", "x-real-ip", "x-forwarded-host", "x-forwarded-proto"]
        {
            assert!(is_relayed(&headers(&[("host", "localhost"), (name, "x")])), "{name}");
        }
        assert!(!is_relayed(&headers(&[("host", "localhost"), ("accept", "text/html")])));
    }
}
