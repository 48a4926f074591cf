//! In which form a feed is answered: what the caller accepts, and NDJSON where that is all the same.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};

use super::super::base::problem::Problem;

pub(super) const NDJSON: &str = "application/x-ndjson";
pub(super) const EVENT_STREAM: &str = "text/event-stream";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One event a line, up to the end as it is now.
    Lines,
    /// A page of a list.
    Page,
    /// Server-sent events, up to the end and then as they come.
    Live,
}

/// In the order of preference where the caller has none.
const OFFERS: [(Form, &str, &str); 3] = [
    (Form::Lines, "application", "x-ndjson"),
    (Form::Page, "application", "json"),
    (Form::Live, "text", "event-stream"),
];

/// What `Accept` says of one offer: the quality in thousandths, how exactly it is named, and how early.
type Wish = (u16, u8, std::cmp::Reverse<usize>);

pub(super) fn negotiate(headers: &HeaderMap) -> Result<Form, Problem> {
    let texts: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let ranges: Vec<&str> = texts.iter().flat_map(|text| text.split(',')).map(str::trim).collect();
    if ranges.iter().all(|range| range.is_empty()) {
        return Ok(Form::Lines);
    }
    let mut best: Option<(Wish, Form)> = None;
    for (form, kind, subtype) in OFFERS {
        let Some(wish) = wish(&ranges, kind, subtype).filter(|wish| wish.0 > 0) else { continue };
        if best.is_none_or(|(other, _)| wish > other) {
            best = Some((wish, form));
        }
    }
    best.map(|(_, form)| form).ok_or_else(|| {
        let detail = format!("Events come as {NDJSON}, application/json or {EVENT_STREAM}.");
        Problem::new(StatusCode::NOT_ACCEPTABLE, "not_acceptable", detail)
    })
}

/// What the range that names the offer most exactly says of it.
fn wish(ranges: &[&str], kind: &str, subtype: &str) -> Option<Wish> {
    let wishes = ranges.iter().enumerate().filter_map(|(index, range)| {
        let mut parts = range.split(';').map(|part| part.trim().to_ascii_lowercase());
        let media = parts.next()?;
        let exactness = match media.split_once('/')? {
            ("*", "*") => 0,
            (k, "*") if k == kind => 1,
            (k, s) if k == kind && s == subtype => 2,
            _ => return None,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=").map(quality)).unwrap_or(1_000);
        Some((quality, exactness, std::cmp::Reverse(index)))
    });
    wishes.max_by_key(|(_, exactness, index)| (*exactness, *index))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to what fits")]
fn quality(text: &str) -> u16 {
    (text.trim().parse::<f64>().unwrap_or(0.0).clamp(0.0, 1.0) * 1_000.0) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Option<Form> {
        let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
        negotiate(&headers).ok()
    }

    #[test]
    fn what_is_accepted_most_is_answered() {
        assert_eq!(negotiate(&HeaderMap::new()).ok(), Some(Form::Lines));
        for (accept, expected) in [
            ("", Form::Lines),
            ("*/*", Form::Lines),
            ("text/html, */*;q=0.8", Form::Lines),
            ("application/*", Form::Lines),
            ("application/x-ndjson", Form::Lines),
            ("application/json", Form::Page),
            ("APPLICATION/JSON; charset=utf-8", Form::Page),
            ("application/json, text/plain, */*", Form::Page),
            ("application/json, text/event-stream", Form::Page),
            ("application/json;q=0.5, text/event-stream", Form::Live),
            ("*/*, application/x-ndjson;q=0, application/json;q=0", Form::Live),
            ("text/event-stream", Form::Live),
            ("text/*", Form::Live),
        ] {
            assert_eq!(form(accept), Some(expected), "{accept}");
        }
        for none in ["text/html", "application/xml, image/*", "*/*;q=0", "json"] {
            assert_eq!(form(none), None, "{none}");
        }
    }
}
