//! Where new identifiers come from. Nothing else in Tenure makes one.

use uuid::Uuid;

/// A new time-ordered identifier.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn new_v7() -> Uuid {
    Uuid::now_v7()
}
