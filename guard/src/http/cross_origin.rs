//! A cookie proves who the browser is, not who made it ask: what other sites ask for, they may only read.

use axum::http::header::{HOST, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, Method, Uri};

use crate::refusal::Refusal;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Scheme and authority, lower-case, without the scheme's own port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    authority: String,
}

impl Origin {
    /// Of a URL or an `Origin` header; `null` is none.
    pub(super) fn of(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let authority = uri.authority()?.as_str().to_ascii_lowercase();
        let authority = without_port(&scheme, &authority).to_owned();
        (!authority.contains('@')).then_some(Self { scheme, authority })
    }
}

/// Refuses what another site had a browser send, as Go's `CrossOriginProtection` does: by `Sec-Fetch-Site`, which no
/// page can forge, else by `Origin`. A request with neither is no browser's.
pub(super) fn check(parts: &Parts, public: Option<&Origin>) -> Result<(), Refusal> {
    if matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE) {
        return Ok(());
    }
    let same = match (only(&parts.headers, &SEC_FETCH_SITE), only(&parts.headers, &ORIGIN)) {
        (Header::One(site), _) => matches!(site, "same-origin" | "none"),
        (Header::Absent, Header::One(origin)) => {
            Origin::of(origin).is_some_and(|origin| public == Some(&origin) || is_asked(parts, &origin))
        }
        (Header::Absent, Header::Absent) => true,
        (Header::Odd, _) | (Header::Absent, Header::Odd) => false,
    };
    if same { Ok(()) } else { Err(Refusal::CrossOrigin) }
}

/// Whether the origin is the host this request was sent to. Behind a proxy that is not told: set the public URL.
fn is_asked(parts: &Parts, origin: &Origin) -> bool {
    let asked = match only(&parts.headers, &HOST) {
        Header::One(host) => Some(host),
        // HTTP/2 says it in the address.
        Header::Absent => parts.uri.authority().map(axum::http::uri::Authority::as_str),
        Header::Odd => None,
    };
    asked.is_some_and(|host| without_port(&origin.scheme, &host.to_ascii_lowercase()) == origin.authority)
}

fn without_port<'a>(scheme: &str, authority: &'a str) -> &'a str {
    let own = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return authority,
    };
    authority.strip_suffix(own).unwrap_or(authority)
}

enum Header<'a> {
    Absent,
    One(&'a str),
    /// Several, or not text.
    Odd,
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Header<'a> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(value), None) => value.to_str().map_or(Header::Odd, Header::One),
        (Some(_), Some(_)) => Header::Odd,
    }
}
