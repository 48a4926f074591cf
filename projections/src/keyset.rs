//! Where a list begins that goes on from nowhere: before, or after, everything there may be in it.
//!
//! A place in a list is always a value of the query. A condition that first looks whether there is one keeps a plan made
//! for any value from going straight to the place; and so does `coalesce`, under row level security: PostgreSQL does not
//! know that it tells nobody what is in a row, and so asks the policy first.

use tenure_aggregates::Time;
use uuid::Uuid;

/// Oldest first: (instant, id) before all others.
pub(crate) fn from_oldest(after: Option<(Time, &str)>) -> (Time, &str) {
    after.unwrap_or((Time::UNIX_EPOCH, ""))
}

/// Newest first: (instant, id) after all others.
pub(crate) fn from_newest(before: Option<(Time, Uuid)>) -> (Time, Uuid) {
    before.unwrap_or((end_of_time(), Uuid::max()))
}

/// Later than anything that was ever recorded.
pub(crate) fn end_of_time() -> Time {
    const YEAR_9999: i64 = 253_402_300_799;
    Time::from_timestamp(YEAR_9999, 0).unwrap_or_default()
}
