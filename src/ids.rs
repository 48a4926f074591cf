//! Where new identifiers come from. Nothing else in Tenure makes one.

use uuid::Uuid;

/// A new time-ordered identifier for a request: none that anything rests on, so it need not be hard to guess, and
/// asks the operating system for nothing.
pub fn new_request_id() -> Uuid {
    let millis = u64::try_from(crate::clock::now().timestamp_millis()).unwrap_or_default();
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// A new time-ordered identifier.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn new_v7() -> Uuid {
    Uuid::now_v7()
}
