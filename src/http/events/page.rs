//! A page of a feed: a list like any other, oldest first.

use axum::response::Response;

use super::super::base::problem::Problem;
use super::super::list::{DEFAULT_LIMIT, MAX_LIMIT, Scope};
use super::reading::Reading;
use super::{EventsQuery, Start};

/// How many chunks a page looks through for what was asked for, before it says that there is more.
const LOOKS: usize = 8;

pub(super) async fn page(mut reading: Reading, query: &EventsQuery) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if limit > MAX_LIMIT {
        let detail = format!("a page holds at most {MAX_LIMIT}");
        return Err(Problem::invalid_field("?limit", "out_of_range", detail));
    }
    let scope = Scope::new(reading.feed.path(), [("types", query.types.clone())]);
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    let (start, mut more) = (reading.after, true);
    for _ in 0..LOOKS {
        let chunk = match reading.next(most - items.len()).await {
            Ok(chunk) => chunk,
            // What was read is good; whoever asks for the next page is told what is wrong.
            Err(_) if reading.after > start => break,
            Err(problem) => return Err(problem),
        };
        items.extend(chunk.events);
        more = chunk.more;
        if !more || items.len() == most {
            break;
        }
    }
    let next = more.then_some(&reading.after);
    scope.written(reading.app(), items, most, next)
}

/// Where a page begins: after the one before it, if a cursor says so.
pub(super) fn start(reading: &Reading, query: &EventsQuery) -> Result<Option<i64>, Problem> {
    if query.cursor.is_none() {
        return Ok(None);
    }
    if query.start()? != Start::Nowhere {
        let detail = "a cursor says already where the page begins";
        return Err(Problem::invalid_field("?cursor", "conflict", detail));
    }
    let scope = Scope::new(reading.feed.path(), [("types", query.types.clone())]);
    scope.open(reading.app(), query.cursor.as_deref())
}
