//! The peer: stock cqrs-es and postgres-es on their own schema.

use std::sync::Arc;

use cqrs_es::persist::PersistedEventStore;
use cqrs_es::{AggregateError, CqrsFramework};
use postgres_es::{PostgresEventRepository, postgres_cqrs};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tenure_aggregates::Membership;
use tenure_aggregates::membership::MembershipCommand;
use uuid::Uuid;

use super::commands::{change, start};
use super::{HOT, Mode, Round};
use crate::load::Measured;
use crate::load::inside::drive;
use crate::postgres::checkpoint;

/// As its documentation gives it.
pub(crate) const SCHEMA: &str = "
create table events (
    aggregate_type text not null, aggregate_id text not null, sequence bigint check (sequence >= 0) not null,
    event_type text not null, event_version text not null, payload json not null, metadata json not null,
    primary key (aggregate_type, aggregate_id, sequence));";

type Framework = CqrsFramework<Membership, PersistedEventStore<PostgresEventRepository, Membership>>;

pub(super) async fn create(database: &PgConnectOptions) {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(database.clone());
    sqlx::raw_sql(SCHEMA).execute(&pool).await.expect("the stock schema");
    pool.close().await;
}

pub(super) async fn run(database: &PgConnectOptions, round: &Round) -> Measured {
    let pool = PgPoolOptions::new().max_connections(32).connect_with(database.clone()).await.expect("a pool");
    let framework = Arc::new(postgres_cqrs::<Membership>(pool.clone(), vec![], ()));
    let hot: Arc<Vec<String>> = Arc::new((0..HOT).map(|_| new_id()).collect());
    if round.mode == Mode::Hot {
        for stream in &*hot {
            framework.execute(stream, start()).await.expect("a stream");
        }
    }
    checkpoint(database).await;
    let (mode, streams, next) = (round.mode, round.streams.clone(), round.next());
    let measured = drive(round.clients, round.window, move |client, n| {
        let (framework, hot, streams, at) = (framework.clone(), hot.clone(), streams.clone(), next());
        async move {
            match mode {
                Mode::New => framework.execute(&new_id(), start()).await.expect("written"),
                Mode::Hot => retried(&framework, &hot[client % HOT], || change(client, n)).await,
                Mode::Warm | Mode::Cold => {
                    retried(&framework, &streams[at].1, || change(client, n)).await;
                }
            }
        }
    })
    .await;
    pool.close().await;
    measured
}

fn new_id() -> String {
    Uuid::from_u128(rand::random()).to_string()
}

/// What a user of the stock writer has to do by hand.
async fn retried(framework: &Framework, stream: &str, command: impl Fn() -> MembershipCommand) {
    loop {
        match framework.execute(stream, command()).await {
            Ok(()) => return,
            Err(AggregateError::AggregateConflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
