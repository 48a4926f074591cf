//! Where time comes from. Nothing else in Tenure reads a clock.

use chrono::SubsecRound;
use tenure_aggregates::Time;

/// Now, to the microsecond: what PostgreSQL keeps.
#[allow(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Time {
    chrono::Utc::now().trunc_subsecs(6)
}
