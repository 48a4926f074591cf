//! What ties a request to the caller's own records: `X-Request-Id` and the W3C `traceparent`.
use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const LONGEST_REQUEST_ID: usize = 128;

/// The caller's `X-Request-Id`, or one made here. In every request's extensions, echoed in every response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// Takes the header if it is harmless to log and to echo; anything else is replaced, not refused.
    pub(crate) fn of(headers: &HeaderMap, mint: impl FnOnce() -> uuid::Uuid) -> Self {
        let minted = || {
            let mut text = uuid::Uuid::encode_buffer();
            let text = mint().hyphenated().encode_lower(&mut text);
            HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
        };
        Self(only(headers, &X_REQUEST_ID).filter(|v| harmless(v.as_bytes())).cloned().unwrap_or_else(minted))
    }

    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn harmless(id: &[u8]) -> bool {
    (1..=LONGEST_REQUEST_ID).contains(&id.len())
        && id.iter().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(b))
}

/// The caller's place in a distributed trace; in the extensions only when the header is well-formed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    pub trace_id: String,
    pub parent_id: String,
    pub sampled: bool,
}

impl TraceContext {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        Self::parse(only(headers, &TRACEPARENT)?.to_str().ok()?)
    }

    /// `version-trace-parent-flags`. A later version may append fields, version 00 may not; there is no ff.
    fn parse(header: &str) -> Option<Self> {
        let mut fields = header.split('-');
        let (version, trace, parent, flags) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let hex = |s: &str, len| s.len() == len && s.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let known = hex(version, 2) && version != "ff" && (version != "00" || fields.next().is_none());
        let ids = hex(trace, 32) && hex(parent, 16) && hex(flags, 2);
        let nonzero = |s: &str| s.bytes().any(|b| b != b'0');
        (known && ids && nonzero(trace) && nonzero(parent)).then(|| Self {
            trace_id: trace.to_owned(),
            parent_id: parent.to_owned(),
            sampled: u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1),
        })
    }
}

/// The header's value when it is there exactly once; two of them are as good as none.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_wellformed_traceparent_is_read() {
        let context = TraceContext::parse(&format!("00-{TRACE}-b7ad6b7169203331-01")).unwrap();
        assert_eq!((context.trace_id.as_str(), context.sampled), (TRACE, true));
        assert!(TraceContext::parse(&format!("cc-{TRACE}-b7ad6b7169203331-00-later")).is_some());
    }

    #[test]
    fn a_malformed_traceparent_is_ignored() {
        for bad in [
            String::new(),
            "00-abc-def-01".to_owned(),
            format!("ff-{TRACE}-b7ad6b7169203331-01"),
            format!("00-{TRACE}-b7ad6b7169203331-01-more"),
            format!("00-{}-b7ad6b7169203331-01", TRACE.to_uppercase()),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
        ] {
            assert_eq!(TraceContext::parse(&bad), None, "{bad}");
        }
    }
}
