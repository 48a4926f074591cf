//! The peer: stock cqrs-es replays the first events of the same log, from stock's own table in the same database, into a
//! view per aggregate, as its documentation shows it. One replay per aggregate type, one after the other.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use cqrs_es::persist::{GenericQuery, QueryReplay};
use cqrs_es::{Aggregate, EventEnvelope, Query, View};
use postgres_es::{PostgresEventRepository, PostgresViewRepository};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tenure_aggregates::{ApiKey, Catalogue, Claim, Invitation, Membership, Session, User, Workspace};

use super::Passed;
use crate::append::SCHEMA;

/// The state of an aggregate as a view.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Standing<A>(A);

impl<A> View<A> for Standing<A>
where
    A: Aggregate + Debug,
{
    fn update(&mut self, event: &EventEnvelope<A>) {
        self.0.apply(event.payload.clone());
    }
}

/// Copies the first events of Tenure's log into stock's own table, in a schema of its own, and replays them.
pub(super) async fn replay(log: &PgConnectOptions, events: i64) -> Passed {
    let database = log.clone().options([("search_path", "stock")]);
    let pool = PgPoolOptions::new().max_connections(10).connect_with(database).await.expect("a pool");
    sqlx::raw_sql("create schema stock").execute(&pool).await.expect("a schema");
    sqlx::raw_sql(SCHEMA).execute(&pool).await.expect("the stock schema");
    let copied = sqlx::query(
        "insert into events select aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
         from public.events where position <= $1 order by position",
    );
    let copied = copied.bind(events).execute(&pool).await.expect("copied").rows_affected().cast_signed();
    sqlx::raw_sql("analyze events; checkpoint").execute(&pool).await.expect("tidied up");
    let begun = Instant::now();
    let mut events = 0;
    events += of::<User>(&pool).await;
    events += of::<Workspace>(&pool).await;
    events += of::<Membership>(&pool).await;
    events += of::<Invitation>(&pool).await;
    events += of::<Session>(&pool).await;
    events += of::<ApiKey>(&pool).await;
    events += of::<Catalogue>(&pool).await;
    events += of::<Claim>(&pool).await;
    let took = begun.elapsed();
    // A stream of stock's that breaks off ends as if it were complete.
    assert_eq!(events, copied, "stock lost events");
    pool.close().await;
    Passed { events, took }
}

type Views<A> = GenericQuery<PostgresViewRepository<Standing<A>, A>, Standing<A>, A>;

/// Counts what went through, and passes it on.
struct Counted<A: Aggregate + Debug> {
    views: Views<A>,
    count: Arc<AtomicI64>,
}

#[async_trait::async_trait]
impl<A: Aggregate + Debug> Query<A> for Counted<A> {
    async fn dispatch(&self, aggregate_id: &str, events: &[EventEnvelope<A>]) {
        self.count.fetch_add(i64::try_from(events.len()).unwrap_or(0), Ordering::Relaxed);
        self.views.dispatch(aggregate_id, events).await;
    }
}

async fn of<A: Aggregate + Debug>(pool: &PgPool) -> i64 {
    let table = format!("stock_view_of_{}", A::TYPE.to_lowercase());
    let create = format!(
        "create table {table} (view_id text not null primary key, version bigint check (version >= 0) not null,
                               payload json not null)"
    );
    sqlx::raw_sql(&create).execute(pool).await.expect("a table");
    let mut views = Views::<A>::new(Arc::new(PostgresViewRepository::new(&table, pool.clone())));
    views.use_error_handler(Box::new(|error| panic!("stock: {error}")));
    let count = Arc::<AtomicI64>::default();
    let events = PostgresEventRepository::new(pool.clone());
    let replay = QueryReplay::new(events, Counted { views, count: count.clone() });
    replay.replay_all().await.expect("replayed");
    count.load(Ordering::Relaxed)
}
