//! `/v1/workspaces/{id}/events` and `/v1/events`: the history itself, as `CloudEvents` 1.0.
//!
//! # Layout
//! - the routes, and what may be asked (here); `media.rs`: in which of three forms it is answered
//! - `reading.rs`: a reader's way along a feed, let in anew for every chunk
//! - `page.rs`: a list; `stream.rs`: lines, and server-sent events

mod media;
mod page;
pub mod reading;
mod stream;

use std::sync::Arc;

use axum::http::header::HeaderName;
use axum::response::Response;
use garde::Validate;
use serde::Deserialize;
use tenure_aggregates::WorkspaceId;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::base::path::Path;
use super::base::problem::{Problem, ProblemBody};
use super::base::query::Query;
use super::list::Page;
use super::{App, checks, consumers};
use crate::feeds::{CloudEvent, Feed, Types};
use media::{Form, negotiate};
use reading::{Door, Reading};

/// The last event a live stream's reader has, as browsers send it when they come again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

pub fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new().routes(routes!(of_workspace)).routes(routes!(of_all))
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct EventsQuery {
    /// Events after this `workspaceseq` (of one workspace) or `position` (of all); from the first by default.
    #[garde(inner(range(min = 0)))]
    after: Option<i64>,
    /// Events after what this consumer has stored.
    #[garde(inner(custom(checks::consumer)))]
    consumer: Option<String>,
    /// What events are to be called, with commas between: `invitation.sent`, or a family of them, `membership.*`.
    #[garde(inner(custom(checks::event_types)))]
    types: Option<String>,
    /// At most so many: of lines as many as there are by default, of a page 50 by default and 500 at most.
    #[garde(inner(range(min = 1)))]
    limit: Option<i64>,
    /// Of pages only: where the one before ended.
    #[garde(skip)]
    cursor: Option<String>,
}

/// Where the reader says the feed goes on.
#[derive(Debug, PartialEq, Eq)]
enum Start<'a> {
    Nowhere,
    After(i64),
    Consumer(&'a str),
}

impl EventsQuery {
    fn start(&self) -> Result<Start<'_>, Problem> {
        match (self.after, self.consumer.as_deref()) {
            (None, None) => Ok(Start::Nowhere),
            (Some(after), None) => Ok(Start::After(after)),
            (None, Some(consumer)) => Ok(Start::Consumer(consumer)),
            (Some(_), Some(_)) => {
                let detail = "`after` and `consumer` both say where to begin: send one of them";
                Err(Problem::invalid_field("?consumer", "conflict", detail))
            }
        }
    }

    /// Refuses what makes no sense in a form, so that it is not silently ignored.
    fn suits(&self, form: Form) -> Result<(), Problem> {
        if form != Form::Page && self.cursor.is_some() {
            return Err(Problem::invalid_field("?cursor", "not_here", "only pages have cursors"));
        }
        if form == Form::Live && self.limit.is_some() {
            return Err(Problem::invalid_field("?limit", "not_here", "a live stream has no end"));
        }
        Ok(())
    }
}

/// The events of a workspace, oldest first: lines, a page, or a live stream, as `Accept` says.
#[utoipa::path(
    get, path = "/v1/workspaces/{workspace_id}/events", tag = "audit",
    params(("workspace_id" = Uuid, Path), EventsQuery, ("Last-Event-ID" = Option<i64>, Header, description = "Of a live stream: the `id` of the last event that was received; counts before `after`")),
    responses(
        (status = 200, description = "Lines up to the present end; a page; or server-sent events, whose `data` is one event, whose `id` is its `workspaceseq` and which go on live", content((CloudEvent = "application/x-ndjson"), (Page<CloudEvent> = "application/json"), (String = "text/event-stream"))),
        (status = "default", body = ProblemBody, content_type = "application/problem+json")
    )
)]
async fn of_workspace(
    door: Door,
    Path(id): Path<Uuid>,
    Query(query): Query<EventsQuery>,
) -> Result<Response, Problem> {
    answer(door, Feed::Of(WorkspaceId(id)), query).await
}

/// The events of all workspaces, in the order of the log: lines, a page, or a live stream, as `Accept` says. By the operator
/// only.
#[utoipa::path(
    get, path = "/v1/events", tag = "audit",
    params(EventsQuery, ("Last-Event-ID" = Option<i64>, Header, description = "Of a live stream: the `id` of the last event that was received; counts before `after`")),
    responses(
        (status = 200, description = "Lines up to the present end; a page; or server-sent events, whose `data` is one event, whose `id` is its `position` and which go on live", content((CloudEvent = "application/x-ndjson"), (Page<CloudEvent> = "application/json"), (String = "text/event-stream"))),
        (status = "default", body = ProblemBody, content_type = "application/problem+json")
    )
)]
async fn of_all(door: Door, Query(query): Query<EventsQuery>) -> Result<Response, Problem> {
    answer(door, Feed::Whole, query).await
}

async fn answer(door: Door, feed: Feed, query: EventsQuery) -> Result<Response, Problem> {
    let form = negotiate(&door.parts.headers)?;
    query.suits(form)?;
    let types = query.types.as_deref().and_then(Types::parse).unwrap_or_default();
    let mut reading = Reading { door, feed, types, after: 0 };
    let said = match form {
        Form::Live => last_event_id(&reading.door)?,
        Form::Page => page::start(&reading, &query)?,
        Form::Lines => None,
    };
    reading.after = match (said, query.start()?) {
        (Some(place), _) | (None, Start::After(place)) => place,
        (None, Start::Consumer(name)) => consumers::checkpoint(&reading.door, feed, name).await?,
        (None, Start::Nowhere) => 0,
    };
    match form {
        Form::Lines => stream::lines(reading, query.limit).await,
        Form::Page => page::page(reading, &query).await,
        Form::Live => stream::live(reading).await,
    }
}

/// An empty one is how some clients say that they have none.
fn last_event_id(door: &Door) -> Result<Option<i64>, Problem> {
    let mut values = door.parts.headers.get_all(LAST_EVENT_ID).iter();
    let invalid = || Problem::invalid_field("Last-Event-ID", "invalid", "expected the `id` of an event");
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => match only.to_str().map_err(|_| invalid())? {
            "" => Ok(None),
            text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().map(Some).map_err(|_| invalid())
            }
            _ => Err(invalid()),
        },
        (Some(_), Some(_)) => Err(invalid()),
    }
}
