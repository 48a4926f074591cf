//! Whether a request that a browser sends with its cookie comes from a page of ours.
//!
//! A cookie goes along with whatever page asks for; an `Authorization` header does not. So this is asked of requests
//! that a cookie vouches for, and only of those that may change something. Browsers say themselves where a request
//! comes from, in headers that no page can forge.
use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};

use super::problem::Problem;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses an unsafe request of a foreign page; `own` is the origin under which browsers know this service.
pub fn check(parts: &Parts, own: Option<&str>) -> Result<(), Problem> {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(&parts.method);
    if safe || from_here(parts, own) {
        return Ok(());
    }
    let detail = "A page of another origin asked for this with your cookie. Nothing happened.";
    Err(Problem::new(StatusCode::FORBIDDEN, "cross_origin", detail))
}

fn from_here(parts: &Parts, own: Option<&str>) -> bool {
    match (only(&parts.headers, &SEC_FETCH_SITE), only(&parts.headers, &ORIGIN)) {
        (Ok(Some(site)), _) => ["same-origin", "none"].contains(&site),
        // An older browser.
        (Ok(None), Ok(Some(origin))) => {
            own == Some(origin) || host_of(origin).is_some_and(|host| is_asked(parts, host))
        }
        // No browser: it sends no cookie that it was not told to send.
        (Ok(None), Ok(None)) => true,
        _ => false,
    }
}

/// The header's one value; one that comes twice, or is no text, is an error.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(Some).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

/// Host and port of an origin; `null` has none.
fn host_of(origin: &str) -> Option<&str> {
    origin.split_once("://").map(|(_, host)| host)
}

/// Whether the request asked this host: in its address (HTTP/2) or its `Host` header.
fn is_asked(parts: &Parts, host: &str) -> bool {
    match parts.uri.authority() {
        Some(authority) => authority.as_str().eq_ignore_ascii_case(host),
        None => matches!(only(&parts.headers, &HOST), Ok(Some(asked)) if asked.eq_ignore_ascii_case(host)),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn verdict(method: &str, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().method(method).uri("/v1/session/switch");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, Some("https://app.example")).is_ok()
    }

    #[test]
    fn only_pages_of_ours_may_use_the_cookie_to_change_something() {
        let host = ("host", "tenure.example:8443");
        for (fine, headers) in [
            (true, vec![host]),
            (true, vec![host, ("sec-fetch-site", "same-origin")]),
            (true, vec![host, ("sec-fetch-site", "none")]),
            (false, vec![host, ("sec-fetch-site", "same-site")]),
            (false, vec![host, ("sec-fetch-site", "cross-site")]),
            (false, vec![host, ("sec-fetch-site", "")]),
            (false, vec![host, ("sec-fetch-site", "Same-Origin")]),
            (false, vec![host, ("sec-fetch-site", "none"), ("sec-fetch-site", "none")]),
            // What the browser says of the site counts, whatever the origin.
            (false, vec![host, ("sec-fetch-site", "cross-site"), ("origin", "https://app.example")]),
            (true, vec![host, ("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")]),
            (true, vec![host, ("origin", "https://tenure.example:8443")]),
            (true, vec![host, ("origin", "https://app.example")]),
            (false, vec![host, ("origin", "http://app.example")]),
            (false, vec![host, ("origin", "https://app.example:444")]),
            (false, vec![host, ("origin", "https://tenure.example")]),
            (false, vec![host, ("origin", "https://evil.example")]),
            (false, vec![host, ("origin", "https://tenure.example:8443.evil.example")]),
            (false, vec![host, ("origin", "null")]),
            (false, vec![host, ("origin", "")]),
            (false, vec![host, ("origin", "https://app.example"), ("origin", "https://app.example")]),
            (false, vec![("origin", "https://tenure.example:8443")]),
        ] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "QUERY"] {
                assert_eq!(verdict(method, &headers), fine, "{method} {headers:?}");
            }
            for method in ["GET", "HEAD", "OPTIONS"] {
                assert!(verdict(method, &headers), "{method} {headers:?}");
            }
        }
    }
}
