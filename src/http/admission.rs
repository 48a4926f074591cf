//! Who is let in while there is more to do than can be done, and for whom a request counts.
//!
//! A request that is let in waits for its turn once it is read and authenticated: with neither is anything of the
//! database held. One that is not let in is answered here, before anything else has been spent on it.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use tower::ServiceExt;

use super::base::correlation::{RequestId, X_REQUEST_ID};
use super::base::problem::Problem;
use super::caller::TENURE_ACTOR;
use crate::ids;
use crate::overload::{Bound, Crowd, Lane, Lanes, Limits, Pressure, Turn, Turns, scattered};

/// How often the gauges are set.
const GAUGES: Duration = Duration::from_secs(1);

/// The bounds of this process, and how far they are used.
#[derive(Debug)]
pub struct Admission {
    lanes: Lanes,
    crowd: Crowd,
    commands: Turns,
    reads: Turns,
}

impl Admission {
    /// `connections` is how many there are for reads; `pressure` is told when it gets crowded.
    pub fn new(limits: Limits, connections: u32, pressure: Pressure) -> Self {
        let share = usize::try_from(connections / 4).unwrap_or(usize::MAX).max(1);
        Self {
            lanes: Lanes::default(),
            crowd: Crowd::new(limits.requests, pressure),
            commands: Turns::new("commands", limits.commands, limits.commands_of_one),
            reads: Turns::new("reads", limits.reads, share),
        }
    }

    /// A command's turn.
    pub async fn commands(&self, lane: Lane) -> Result<Turn, Problem> {
        self.turn(&self.commands, lane).await
    }

    /// A read's turn.
    pub async fn reads(&self, lane: Lane) -> Result<Turn, Problem> {
        self.turn(&self.reads, lane).await
    }

    /// How many requests are being answered.
    pub fn requests(&self) -> usize {
        self.crowd.len()
    }

    async fn turn(&self, turns: &Turns, lane: Lane) -> Result<Turn, Problem> {
        turns.take(lane).await.map_err(|bound| {
            bound.met();
            turned_away(self.crowd.seconds_to_drain())
        })
    }

    /// Shows how full everything is, until it is dropped.
    pub async fn watch(&self) {
        loop {
            tokio::time::sleep(GAUGES).await;
            let gauges = [
                ("tenure_requests_in_flight", self.crowd.len()),
                ("tenure_commands_waiting", self.commands.waiting()),
                ("tenure_reads_waiting", self.reads.waiting()),
            ];
            for (name, value) in gauges {
                metrics::gauge!(name).set(u32::try_from(value).unwrap_or(u32::MAX));
            }
        }
    }

    fn lane(&self, request: &Request) -> Lane {
        let headers = request.headers();
        let shown = |name: &HeaderName| headers.get(name).map_or(&[][..], HeaderValue::as_bytes);
        let (authorization, actor) = (shown(&AUTHORIZATION), shown(&TENURE_ACTOR));
        let session = if authorization.is_empty() { shown(&COOKIE) } else { &[] };
        self.lanes.of(subject(request.uri().path()), &[authorization, actor, session])
    }

    /// Remembers what an answer tells of a credential.
    fn learn(&self, lane: Lane, status: StatusCode) {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::NOT_FOUND => self.lanes.forget(lane),
            status if status.is_success() => self.lanes.learn(lane),
            _ => {}
        }
    }
}

/// Lets a request in, or turns it away.
pub(super) async fn admit(admission: &Admission, mut request: Request, router: Router) -> Response {
    if is_free(request.uri().path()) {
        return run(router, request).await;
    }
    let lane = admission.lane(&request);
    let _entered = match admission.crowd.enter(lane) {
        Ok(entered) => entered,
        Err(bound) => return turn_away(bound, &request, admission.crowd.seconds_to_drain()),
    };
    let is_credential = has_credential(request.headers());
    request.extensions_mut().insert(lane);
    let response = run(router, request).await;
    if is_credential {
        admission.learn(lane, response.status());
    }
    response
}

async fn run(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// For whom a request counts, as [`admit`] found out.
pub(super) fn lane(parts: &Parts) -> Lane {
    parts.extensions.get::<Lane>().copied().unwrap_or_default()
}

/// What a request meets that is not taken on. It may come again once those before it are through.
pub(super) fn turned_away(seconds: u64) -> Problem {
    let detail = "More is asked of this service at the moment than it can take on. Nothing happened; try again after \
                  `Retry-After` seconds.";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail).with_retry_after(scattered(seconds))
}

/// The whole answer: no envelope comes after it.
fn turn_away(bound: Bound, request: &Request, seconds: u64) -> Response {
    bound.met();
    let request_id = RequestId::of(request.headers(), ids::new_request_id);
    let mut response = Response::new(Body::empty());
    let path = Some(request.uri().path());
    turned_away(seconds).render_into(&mut response, path, Some(request_id.as_str()));
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, request_id.header_value());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What is asked about the service itself, and access checks, which wait for nothing.
fn is_free(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics") || path.starts_with("/access/")
}

fn has_credential(headers: &HeaderMap) -> bool {
    headers.contains_key(AUTHORIZATION) || headers.contains_key(COOKIE)
}

/// What a path is about: `/v1/workspaces/{this}/…`, `/v1/users/{this}`.
fn subject(path: &str) -> Option<&str> {
    let mut parts = path.strip_prefix("/v1/")?.split('/').skip(1);
    let subject = parts.next().filter(|subject| !subject.is_empty())?;
    if subject == "by-slug" { parts.next() } else { Some(subject) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_about_what_its_path_names() {
        for (path, about) in [
            ("/v1/workspaces/0193/members/ada", Some("0193")),
            ("/v1/workspaces/0193", Some("0193")),
            ("/v1/workspaces/by-slug/acme", Some("acme")),
            ("/v1/users/ada", Some("ada")),
            ("/v1/workspaces", None),
            ("/v1/workspaces/", None),
            ("/docs", None),
        ] {
            assert_eq!(subject(path), about, "{path}");
        }
    }
}
