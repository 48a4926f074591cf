//! The one credential of a request: a bearer token, else the session cookie.

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};

/// The cookie Tenure's session comes in. The prefix keeps other hosts from setting it.
pub const SESSION_COOKIE: &str = "__Host-tenure_session";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Credential<'a> {
    Bearer(&'a str),
    /// A browser sends it along with whatever any site asks of us.
    Cookie(&'a str),
}

/// Two credentials are none, and an `Authorization` header is the only one looked at.
pub(super) fn credential(headers: &HeaderMap) -> Option<Credential<'_>> {
    if headers.contains_key(AUTHORIZATION) { bearer(headers) } else { cookie(headers) }
}

fn bearer(headers: &HeaderMap) -> Option<Credential<'_>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(Credential::Bearer(token.trim()))
}

fn cookie(headers: &HeaderMap) -> Option<Credential<'_>> {
    // A header of other cookies may hold letters we cannot read; ours has none of them.
    let lines = headers.get_all(COOKIE).iter().filter_map(|value| str::from_utf8(value.as_bytes()).ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let mut sessions = pairs.filter(|(name, _)| *name == SESSION_COOKIE).map(|(_, token)| token);
    match (sessions.next(), sessions.next()) {
        (Some(token), None) => Some(Credential::Cookie(token)),
        _ => None,
    }
}
