//! Rate limits on the routes that take a secret, send mail or hand out credentials: per credential and per address.
//!
//! What is counted is the attempt, before anything of it is checked; behind the operator key it is given back if it
//! succeeds. The counts are this process's own.
//!
//! # Layout
//! - [`class`]: the table: which route belongs to which class; [`setting`]: what each class allows
//! - [`key`]: whom a request is counted for; [`limiter`]: counts; [`bounded`]: where the counts are kept
//! - [`answer`]: the headers, and the problem

mod answer;
mod bounded;
mod class;
mod key;
mod limiter;
mod setting;

pub use class::Class;
pub use limiter::RateLimits;
pub use setting::{Quota, Quotas, RateLimitsError};

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;

/// Counts a request if its route is limited, and answers 429 instead of the route once a limit is reached.
pub(super) async fn limit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let Some((limits, class)) = app.rate_limits.as_ref().zip(Class::of(request.method(), route)) else {
        return next.run(request).await;
    };
    let key = key::of(class, &request, &app);
    match limits.count(class, &key) {
        Ok(standing) => {
            let mut response = next.run(request).await;
            if key.failures_only && !response.status().is_client_error() {
                limits.give_back(class, &key);
            }
            if let Some(standing) = standing {
                standing.tell(response.headers_mut());
            }
            response
        }
        Err(exceeded) => {
            let labels = [("class", class.name()), ("limit", exceeded.limit.name())];
            metrics::counter!("tenure_rate_limited_total", &labels).increment(1);
            exceeded.problem().into_response()
        }
    }
}
