//! How a limit is told: the `RateLimit-*` headers of every answer of a limited route, and the problem of a refused one.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::http::base::problem::Problem;

// As in draft-ietf-httpapi-ratelimit-headers, up to its revision 6: what clients read.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");
const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// Which of the two limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub(super) enum Limit {
    Credential,
    Address,
}

impl Limit {
    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// How a limit stands after a request that it let pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    /// Requests per minute.
    pub(super) quota: u32,
    /// So many more may come at once.
    pub(super) remaining: u32,
    /// Seconds until `remaining` is `quota` again, if nothing comes.
    pub(super) reset: u64,
}

/// A limit that is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exceeded {
    pub(super) limit: Limit,
    /// Requests per minute.
    pub(super) quota: u32,
    /// Seconds until the next request may pass; at least 1.
    pub(super) wait: u64,
}

impl Standing {
    pub(super) fn tell(&self, headers: &mut HeaderMap) {
        for (name, value) in self.headers() {
            headers.insert(name, value);
        }
    }

    fn headers(&self) -> [(HeaderName, HeaderValue); 4] {
        let policy = HeaderValue::from_str(&format!("{};w=60", self.quota));
        [
            (LIMIT, self.quota.into()),
            (REMAINING, self.remaining.into()),
            (RESET, self.reset.into()),
            // Digits and a parameter are always a valid header value.
            (POLICY, policy.unwrap_or_else(|_| self.quota.into())),
        ]
    }
}

impl Exceeded {
    pub(super) fn problem(&self) -> Problem {
        let (quota, wait) = (self.quota, self.wait);
        let whose = match self.limit {
            Limit::Credential => "with this credential",
            Limit::Address => "from this address",
        };
        let detail = format!(
            "Too many requests of this kind {whose}: {quota} a minute are answered. Nothing happened; try again in \
             {wait} s."
        );
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", detail)
            .with("limit", self.limit.name().into())
            .with_retry_after(wait);
        // Here `RateLimit-Reset` must not be later than `Retry-After`.
        let standing = Standing { quota, remaining: 0, reset: wait };
        standing
            .headers()
            .into_iter()
            .fold(problem, |problem, (name, value)| problem.with_header(name, value))
    }
}
