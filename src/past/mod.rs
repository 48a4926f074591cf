//! Time travel: the log as it stood at a moment.
//!
//! # Layout
//! - here: a moment, and where in the log it is
//! - [`resources`]: what the reads answer about then, out of the read model `states`; `lists.rs`: their lists
//! - [`streams`]: a single aggregate as it was, right even where a read model is behind or parked

//! - [`why`]: what made a membership what it is
//!
//! Who may look is decided now; what is shown is then. A workspace that is deleted has no past to show either.

mod lists;
pub mod resources;
pub mod streams;
pub mod why;

use sqlx::PgPool;
use tenure_aggregates::{Time, WorkspaceId};

use crate::reads::Reads;
use crate::store::{Failure, Refusal, StoreError};

/// Up to where the log counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Position(i64),
    Time(Time),
}

impl Moment {
    /// A position as digits, or an instant as RFC 3339.
    pub fn parse(text: &str) -> Option<Self> {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
            return text.parse().ok().map(Self::Position);
        }
        chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| Self::Time(Time::from(time)))
    }
}

/// A moment of the log that has been, and what the clock said at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Past {
    /// The last position that counts.
    pub position: i64,
    /// What has run out by then, has run out.
    pub now: Time,
}

impl Past {
    /// Refuses what lies in the future; `pointer` is where the request said it. `projector` is a pool of the projector's
    /// role: an instant belongs to no tenant.
    pub async fn at(
        moment: Moment,
        pointer: &'static str,
        reads: &Reads,
        projector: &PgPool,
        now: Time,
    ) -> Result<Self, Failure> {
        match moment {
            Moment::Time(time) if time > now => {
                let detail = "as_of lies in the future.";
                Err(Refusal { pointer: Some(pointer), ..Refusal::new("validation_failed", detail) }.into())
            }
            Moment::Time(_) => Ok(Self::of(moment, projector).await?),
            Moment::Position(position) => {
                if let Err(Failure::Refused(refusal)) = reads.check_position(position).await {
                    let detail = format!("as_of {position} is ahead of the log.");
                    return Err(Refusal { pointer: Some(pointer), detail, ..refusal }.into());
                }
                Ok(Self::of(moment, projector).await?)
            }
        }
    }

    /// A moment that is known to have been.
    pub async fn of(moment: Moment, projector: &PgPool) -> Result<Self, StoreError> {
        match moment {
            Moment::Time(time) => Ok(Self { position: last_position(projector, time).await?, now: time }),
            Moment::Position(position) => {
                let recorded =
                    sqlx::query_scalar!("select recorded_at from events where position = $1", position)
                        .fetch_optional(projector)
                        .await?;
                Ok(Self { position, now: recorded.unwrap_or(Time::UNIX_EPOCH) })
            }
        }
    }

    /// The workspace that held what a claim of this id is on. The claim's own stream says it, as it does now.
    pub async fn holder_of(
        &self,
        claim: &str,
        projector: &PgPool,
    ) -> Result<Option<WorkspaceId>, StoreError> {
        let row = sqlx::query!(
            "select workspace_id, event_type from events
             where aggregate_type = 'Claim' and aggregate_id = $1 and position <= $2
             order by sequence desc limit 1",
            claim,
            self.position
        )
        .fetch_optional(projector)
        .await?;
        Ok(row.filter(|row| row.event_type == "ClaimTaken").map(|row| WorkspaceId(row.workspace_id)))
    }
}

/// The last position recorded at or before an instant: times never run backwards in the log, so it is halved until one
/// is left.
async fn last_position(projector: &PgPool, time: Time) -> Result<i64, StoreError> {
    let position = sqlx::query_scalar!(
        r#"with recursive halved (low, high) as (
               select 0::bigint, position from log_head where id = 1
               union all
               select case when e.recorded_at <= $1 then e.position else h.low end,
                      case when e.recorded_at <= $1 then h.high else e.position - 1 end
               from halved h join events e on e.position = (h.low + h.high + 1) / 2
               where h.low < h.high)
           select low as "position!" from halved where low = high"#,
        time
    )
    .fetch_one(projector)
    .await?;
    Ok(position)
}
