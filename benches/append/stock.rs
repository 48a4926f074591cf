//! The peer: stock cqrs-es and postgres-es on their own schema.

use std::time::Duration;

use cqrs_es::{AggregateError, CqrsFramework};
use postgres_es::postgres_cqrs;
use sqlx::postgres::PgPoolOptions;
use tenure_aggregates::membership::{Entrance, MembershipCommand};
use tenure_aggregates::{Membership, Role, UserId};

use crate::drive::{Figures, drive};
use crate::{HOT, Mode};

const SCHEMA: &str = "
drop table if exists events;
create table events (
    aggregate_type text not null, aggregate_id text not null, sequence bigint check (sequence >= 0) not null,
    event_type text not null, event_version text not null, payload json not null, metadata json not null,
    primary key (aggregate_type, aggregate_id, sequence));
checkpoint";

pub(crate) async fn run(url: &str, mode: Mode, clients: usize, window: Duration) -> Figures {
    let pool = PgPoolOptions::new().max_connections(32).connect(url).await.expect("a pool");
    sqlx::raw_sql(SCHEMA).execute(&pool).await.expect("the stock schema");
    let framework = std::sync::Arc::new(postgres_cqrs::<Membership>(pool.clone(), vec![], ()));
    if mode == Mode::Hot {
        for stream in 0..HOT {
            framework.execute(&format!("hot-{stream}"), start()).await.expect("a stream");
        }
    }
    let figures = drive(clients, window, move |client, n| {
        let framework = framework.clone();
        async move {
            match mode {
                Mode::New => framework
                    .execute(&uuid::Uuid::from_u128(rand::random()).to_string(), start())
                    .await
                    .expect("written"),
                Mode::Hot => retried(&framework, client, n).await,
            }
        }
    })
    .await;
    pool.close().await;
    figures
}

pub(crate) fn start() -> MembershipCommand {
    MembershipCommand::Start {
        user_id: UserId::parse("01890a5d-ac96-774b-bcce-b302099a8057").expect("an id"),
        role: Role::Member,
        expires_at: None,
        through: Entrance::Added,
        now: tenure::clock::now(),
    }
}

/// Another end each time, so that every command records an event.
pub(crate) fn change(client: usize, n: u64) -> MembershipCommand {
    let seconds = i64::try_from(n).unwrap_or(0) * 1_000 + i64::try_from(client).unwrap_or(0);
    let expires_at =
        Some(tenure::clock::now() + chrono::Duration::days(365) + chrono::Duration::seconds(seconds));
    MembershipCommand::ChangeExpiry { expires_at, owner: false, now: tenure::clock::now() }
}

type Framework = CqrsFramework<
    Membership,
    cqrs_es::persist::PersistedEventStore<postgres_es::PostgresEventRepository, Membership>,
>;

/// What a user of the stock writer has to do by hand.
async fn retried(framework: &Framework, client: usize, n: u64) {
    loop {
        match framework.execute(&format!("hot-{}", client % HOT), change(client, n)).await {
            Ok(()) => return,
            Err(AggregateError::AggregateConflict) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
