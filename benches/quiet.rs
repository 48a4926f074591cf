//! Waiting until what went before is over: it is not part of what is measured next.

use std::time::{Duration, Instant};

use sqlx::PgPool;

const BETWEEN: Duration = Duration::from_millis(5);
/// PostgreSQL tidies up after many writes, and takes a processor for it; longer than this nobody waits for that.
const TIDYING: Duration = Duration::from_secs(30);

/// The read models come to the end of the log, mails go out, and PostgreSQL has tidied up.
pub async fn caught_up(pool: &PgPool) {
    let head = "select position from log_head";
    let head: i64 = sqlx::query_scalar(head).fetch_one(pool).await.expect("a head");
    let due = "select exists (select from deliveries where next_attempt_at is not null)
                      or (select min(position) < $1 from delivery_checkpoints)";
    while applied(pool).await < head
        || sqlx::query_scalar(due).bind(head).fetch_one(pool).await.expect("deliveries")
    {
        tokio::time::sleep(BETWEEN).await;
    }
    let tidies = "select exists (select from pg_stat_activity where backend_type = 'autovacuum worker')";
    let begun = Instant::now();
    while begun.elapsed() < TIDYING && sqlx::query_scalar(tidies).fetch_one(pool).await.expect("its activity")
    {
        tokio::time::sleep(BETWEEN).await;
    }
}

/// The position that every read model has reached.
pub async fn applied(pool: &PgPool) -> i64 {
    let slowest = "select coalesce(min(position), 0) from projection_checkpoints";
    sqlx::query_scalar(slowest).fetch_one(pool).await.expect("checkpoints")
}
