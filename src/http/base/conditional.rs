//! The headers that make a command safe to repeat and a read fresh: `If-Match`, `Idempotency-Key` and
//! `Tenure-Position`.
use axum::extract::FromRequestParts;
use axum::http::header::IF_MATCH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::problem::Problem;

pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub const TENURE_POSITION: HeaderName = HeaderName::from_static("tenure-position");
const LONGEST_KEY: usize = 255;

/// The entity tag of a resource is its aggregate's sequence.
pub fn etag(sequence: u64) -> HeaderValue {
    // A quoted number is always a valid header value.
    HeaderValue::from_str(&format!("\"{sequence}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// What the caller says he has seen. Tags that are weak or not ours match nothing, as RFC 9110 wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    Absent,
    /// `*`: whatever it is, it must exist.
    Any,
    OneOf(Vec<u64>),
}

impl IfMatch {
    /// `current` is the sequence of the resource, or none when it does not exist.
    pub fn allows(&self, current: Option<u64>) -> bool {
        match (self, current) {
            (Self::Absent, _) | (Self::Any, Some(_)) => true,
            (Self::OneOf(seen), Some(current)) => seen.contains(&current),
            (Self::Any | Self::OneOf(_), None) => false,
        }
    }

    pub fn check(&self, current: Option<u64>) -> Result<(), Problem> {
        let lost = || {
            let detail = "The resource is no longer what `If-Match` says. Read it again and decide anew.";
            Problem::new(StatusCode::PRECONDITION_FAILED, "precondition_failed", detail)
        };
        self.allows(current).then_some(()).ok_or_else(lost)
    }

    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut found = Self::Absent;
        for value in headers.get_all(IF_MATCH) {
            let line = value.to_str().ok().and_then(Self::parse);
            found = match (found, line) {
                (Self::Absent, Some(line)) => line,
                (Self::OneOf(mut seen), Some(Self::OneOf(more))) => {
                    seen.extend(more);
                    Self::OneOf(seen)
                }
                _ => return Err(malformed("If-Match", "expected `\"<number>\"`, a list of such, or `*`")),
            };
        }
        Ok(found)
    }

    fn parse(line: &str) -> Option<Self> {
        let mut rest = line.trim();
        if rest == "*" {
            return Some(Self::Any);
        }
        let (mut seen, mut tags) = (Vec::new(), 0);
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                // Commas alone are no list.
                return (tags > 0).then_some(Self::OneOf(seen));
            }
            let strong = rest.strip_prefix("W/");
            let weak = strong.is_some();
            let (tag, after) = strong.unwrap_or(rest).strip_prefix('"')?.split_once('"')?;
            rest = after.trim_start_matches([' ', '\t']);
            if !tag.bytes().all(|b| b.is_ascii_graphic()) || !(rest.is_empty() || rest.starts_with(',')) {
                return None;
            }
            tags += 1;
            if !weak {
                seen.extend(tag.parse::<u64>().ok().filter(|n| n.to_string() == tag));
            }
        }
    }
}

/// The caller's name for one command, so that sending it twice does it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub Option<String>);

impl IdempotencyKey {
    /// Bare (`abc`) or as the structured field string of the draft standard (`"abc"`): the same key.
    fn parse(text: &str) -> Option<String> {
        let key = match text.strip_prefix('"') {
            None => text.to_owned(),
            Some(quoted) => unquote(quoted.strip_suffix('"')?)?,
        };
        let visible = key.bytes().all(|b| b.is_ascii_graphic());
        (visible && (1..=LONGEST_KEY).contains(&key.len())).then_some(key)
    }
}

fn unquote(inner: &str) -> Option<String> {
    let (mut text, mut letters) = (String::with_capacity(inner.len()), inner.chars());
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return None,
            '\\' => text.push(letters.next().filter(|c| matches!(c, '"' | '\\'))?),
            other => text.push(other),
        }
    }
    Some(text)
}

/// How fresh a read must be: at least as of this position of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TenurePosition(pub Option<i64>);

impl TenurePosition {
    fn parse(text: &str) -> Option<i64> {
        text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.headers)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let expected = "expected one key of 1 to 255 visible ASCII characters";
        at_most_once(&parts.headers, &IDEMPOTENCY_KEY, Self::parse)
            .map(Self)
            .ok_or_else(|| malformed("Idempotency-Key", expected))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TenurePosition {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        at_most_once(&parts.headers, &TENURE_POSITION, Self::parse)
            .map(Self)
            .ok_or_else(|| malformed("Tenure-Position", "expected one position, a whole number"))
    }
}

/// None when the header is there twice or cannot be read; `Some(None)` when it is absent.
#[allow(clippy::option_option)] // three answers, asked for in one place only
fn at_most_once<T>(
    headers: &HeaderMap,
    name: &HeaderName,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<Option<T>> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(only), None) => parse(only.to_str().ok()?).map(Some),
        _ => None,
    }
}

fn malformed(header: &str, expected: &str) -> Problem {
    Problem::invalid_field(header, "invalid", expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entity_tags_are_read_as_lists_and_weak_or_foreign_ones_match_nothing() {
        assert_eq!(IfMatch::parse("\"5\""), Some(IfMatch::OneOf(vec![5])));
        assert_eq!(IfMatch::parse(" \"5\" ,\"7\", W/\"9\", \"a,b\""), Some(IfMatch::OneOf(vec![5, 7])));
        assert_eq!(IfMatch::parse("W/\"5\""), Some(IfMatch::OneOf(vec![])));
        assert_eq!(IfMatch::parse("\"05\", \"+5\""), Some(IfMatch::OneOf(vec![])));
        assert_eq!(IfMatch::parse("*"), Some(IfMatch::Any));
        for bad in
            ["", ",", "5", "\"5", "\"5\"x", "\"5\" \"6\"", "*, \"5\"", "w/\"5\"", "W/W/\"5\"", "\"5 6\""]
        {
            assert_eq!(IfMatch::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_condition_is_checked_against_what_is_there() {
        assert!(IfMatch::Absent.allows(None) && IfMatch::Any.allows(Some(1)) && !IfMatch::Any.allows(None));
        let seen = IfMatch::OneOf(vec![5]);
        assert!(seen.allows(Some(5)) && !seen.allows(Some(6)) && !seen.allows(None));
        assert_eq!(seen.check(Some(6)).unwrap_err().code(), "precondition_failed");
        assert_eq!(etag(5), "\"5\"");
    }

    #[test]
    fn a_key_is_the_same_bare_or_quoted() {
        let read = IdempotencyKey::parse;
        assert_eq!(read("a-1"), read("\"a-1\""));
        assert_eq!(read(r#""a\"b\\""#).as_deref(), Some(r#"a"b\"#));
        assert_eq!(read(&"k".repeat(255)).map(|k| k.len()), Some(255));
        let long = "k".repeat(256);
        for bad in ["", "\"\"", "\"", "a b", "\"a\"b\"", r#""a\""#, "\"a\";v=1", long.as_str()] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_position_is_a_whole_number() {
        assert_eq!(TenurePosition::parse("0"), Some(0));
        assert_eq!(TenurePosition::parse("9223372036854775807"), Some(i64::MAX));
        for bad in ["", "-1", "+1", "1.0", "9223372036854775808", "x"] {
            assert_eq!(TenurePosition::parse(bad), None, "{bad}");
        }
    }
}
