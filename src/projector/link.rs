//! A connection that is kept for moving read models along, with the plans of its statements.

use sqlx::{Executor, PgConnection, PgPool};

use super::error::Error;

/// The transactions carry their checkpoint, so a crash only repeats work and none of them waits for the disk. Statements
/// are planned once: every one of them inserts, or looks rows up by a key, and has nothing but index probes to choose
/// from.
const SETTINGS: &str = "set synchronous_commit = off; set plan_cache_mode = force_generic_plan;
                        set enable_seqscan = off; set enable_hashjoin = off; set enable_mergejoin = off";
/// Which of an index's entries a statement reads depends on how many the planner saw: once the log is so many times as
/// long, it looks again.
const GROWTH: i64 = 4;
/// Below this, all plans are good.
const FEW: i64 = 64;

#[derive(Debug)]
pub(super) struct Link {
    pub conn: PgConnection,
    planned_at: i64,
}

impl Link {
    /// A connection of the projector's role.
    pub(super) async fn connect(pool: &PgPool) -> Result<Self, Error> {
        let mut conn = pool.acquire().await?.detach();
        conn.execute(SETTINGS).await?;
        Ok(Self { conn, planned_at: 0 })
    }

    /// The read models have come to this position of the log.
    pub(super) async fn reached(&mut self, position: i64) -> Result<(), sqlx::Error> {
        if position >= GROWTH * self.planned_at.max(FEW) {
            self.planned_at = position;
            self.conn.execute("discard plans").await?;
        }
        Ok(())
    }
}
