//! How long a receiver asks to be left alone.

use std::time::Duration;

use chrono::{DateTime, NaiveDateTime};
use hyper::HeaderMap;
use hyper::header::RETRY_AFTER;
use tenure_aggregates::Time;

/// The longest that is granted.
const MOST: Duration = Duration::from_hours(24);

/// What `Retry-After` says: seconds, or a date; none where it says neither.
pub fn retry_after(headers: &HeaderMap, now: Time) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let wait = if seconds {
        // More than fits is more than is granted.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        (date(text)? - now).to_std().unwrap_or_default()
    };
    Some(wait.min(MOST))
}

/// An HTTP date in any of its three spellings.
fn date(text: &str) -> Option<Time> {
    let whole = DateTime::parse_from_rfc2822(text).ok().map(|date| date.to_utc());
    let without_zone = |format| NaiveDateTime::parse_from_str(text, format).ok().map(|date| date.and_utc());
    whole
        .or_else(|| without_zone("%A, %d-%b-%y %H:%M:%S GMT"))
        .or_else(|| without_zone("%a %b %e %H:%M:%S %Y"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Option<u64> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        let now = "1994-11-06T08:49:07Z".parse().unwrap();
        retry_after(&headers, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn a_number_is_seconds_and_a_date_is_a_date() {
        assert_eq!((said("0"), said(" 120 "), said("86399")), (Some(0), Some(120), Some(86_399)));
        for date in
            ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
        {
            assert_eq!(said(date), Some(30), "{date}");
        }
        assert_eq!(said("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "what is past is now");
    }

    #[test]
    fn no_more_than_a_day_is_granted() {
        for long in ["86401", "99999999999999999999999999", "Sat, 06 Nov 2094 08:49:37 GMT"] {
            assert_eq!(said(long), Some(86_400), "{long}");
        }
    }

    #[test]
    fn what_is_neither_is_not_heard() {
        for odd in ["", "soon", "-1", "1.5", "+3", "0x10", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(said(odd), None, "{odd}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), Time::UNIX_EPOCH), None);
    }
}
