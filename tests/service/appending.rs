//! Units of work side by side: one's trouble is its own, a full queue says so, and who is cancelled leaves nothing half done.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, Executor};
use tenure::clock;
use tenure::database::{Role, pool};
use tenure::store::idempotency::{KeyScope, RequestKey};
use tenure::store::retry::{Command, Done};
use tenure::store::{Committed, Failure, Origin, Store, StoreError, UnitOfWork};
use tenure_aggregates::claim::ClaimCommand;
use tenure_aggregates::{Claim, WorkspaceId};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::TestService;
use crate::support::invariants::log_is_whole;
use crate::support::service::Answer;

/// The smallest command there is: one event on a stream of its own.
struct TakeClaim {
    id: String,
    workspace: WorkspaceId,
}

impl Command for TakeClaim {
    const NAME: &'static str = "TakeClaim";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        unit.begin_stream::<Claim>(&self.id);
        unit.execute::<Claim>(self.workspace, &self.id, ClaimCommand::Take { by: self.workspace }).await?;
        unit.commit(String::new()).await
    }
}

/// Takes a claim in a workspace of its own.
async fn takes(store: Store, id: String, workspace: u128) -> Result<Done, Failure> {
    let command = TakeClaim { id, workspace: WorkspaceId(Uuid::from_u128(workspace)) };
    store.run(&command, Arc::new(Origin::system()), None, clock::now).await
}

/// Changes nothing, provided that nothing ever happened in the workspace: only its idempotency key is kept.
struct FindUntouched(WorkspaceId);

impl Command for FindUntouched {
    const NAME: &'static str = "FindUntouched";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        unit.require_untouched(self.0, 0);
        unit.commit(String::new()).await
    }
}

#[tokio::test]
async fn a_workspace_has_a_head_as_soon_as_something_happened_in_it() {
    let service = TestService::start().await;
    let (sibling, admin) = (service.sibling().await, service.admin().await);
    let stores = [service.app().store.clone(), sibling.app().store.clone()];
    let workspace = Uuid::from_u128(1);
    for (n, store) in stores.iter().enumerate() {
        let scope = KeyScope { workspace, principal: "system".into(), key: n.to_string() };
        let key = Some(Arc::new(RequestKey::new(scope, [7; 32])));
        let looks = FindUntouched(WorkspaceId(workspace));
        store.run(&looks, Arc::new(Origin::system()), key, clock::now).await.unwrap();
    }
    let heads = "select seq from workspace_heads where workspace_id = $1";
    let none: Option<i64> = sqlx::query_scalar(heads).bind(workspace).fetch_optional(&admin).await.unwrap();
    assert_eq!(none, None);
    // Each believes that there is none.
    for (n, at) in [0, 1, 0].into_iter().enumerate() {
        takes(stores[at].clone(), format!("slug:one-{n}"), 1).await.unwrap();
    }
    // In one batch or in several, by one process or by both.
    let mut sent = JoinSet::new();
    for n in 0..60_u128 {
        let store = stores[usize::from(n % 3 == 0)].clone();
        sent.spawn(takes(store, format!("slug:many-{n}"), 2 + n / 3));
    }
    while let Some(outcome) = sent.join_next().await {
        outcome.unwrap().unwrap();
    }
    log_is_whole(&admin).await;
    let seq: i64 = sqlx::query_scalar(heads).bind(workspace).fetch_one(&admin).await.unwrap();
    assert_eq!(seq, 3);
    admin.close().await;
    sibling.leave().await;
    service.stop().await;
}

#[tokio::test]
async fn a_unit_the_database_refuses_takes_no_neighbour_with_it() {
    let service = TestService::start().await;
    let admin = service.admin().await;
    admin.execute("alter table events add check (aggregate_id not like 'slug:bad%')").await.unwrap();
    let store = service.app().store.clone();
    let mut sent = Vec::new();
    for n in 1..=60_u128 {
        let bad = n % 20 == 7;
        let id = format!("slug:{}-{n}", if bad { "bad" } else { "good" });
        sent.push((bad, tokio::spawn(takes(store.clone(), id, n))));
    }
    for (bad, sent) in sent {
        match (bad, sent.await.unwrap()) {
            (true, Err(Failure::Store(StoreError::Internal(_)))) | (false, Ok(_)) => {}
            (bad, outcome) => panic!("bad: {bad}: {outcome:?}"),
        }
    }
    log_is_whole(&admin).await;
    let count: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(&admin).await.unwrap();
    assert_eq!(count, 57);
    admin.close().await;
}

#[tokio::test]
async fn a_full_queue_turns_away_at_once() {
    let service = TestService::start().await;
    let admin = service.admin().await;
    // Nobody can move the head: everything waits.
    let mut holder = admin.acquire().await.unwrap().detach();
    holder.execute("begin; select from log_head for update").await.unwrap();
    let store = service.app().store.clone();
    let mut waiting = JoinSet::new();
    let mut refused = 0;
    for n in 1..=9_000_u128 {
        waiting.spawn(takes(store.clone(), format!("slug:claim-{n}"), n));
    }
    while refused == 0 {
        let outcome = timeout(Duration::from_secs(5), waiting.join_next()).await.unwrap().unwrap().unwrap();
        assert_eq!(outcome.unwrap_err(), Failure::Store(StoreError::Overloaded));
        refused += 1;
    }
    let put = service.request(Method::PUT, "/v1/users/ada", None).json(&json!({}));
    let answer = Answer::of(put).await.refused(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
    assert!(store.queue_depth() > 8_000);
    holder.execute("rollback").await.unwrap();
    holder.close().await.unwrap();
    let mut done = 0_i64;
    while let Some(outcome) = waiting.join_next().await {
        match outcome.unwrap() {
            Ok(_) => done += 1,
            Err(failure) => assert_eq!(failure, Failure::Store(StoreError::Overloaded)),
        }
    }
    log_is_whole(&admin).await;
    let count: i64 = sqlx::query_scalar("select count(*) from events").fetch_one(&admin).await.unwrap();
    assert_eq!(count, done, "who was turned away left nothing");
    service.provision("ada").await;
    admin.close().await;
}

/// sqlx loses track of a transaction whose `begin` is cancelled, and then answers Ok to writes that are never kept.
#[tokio::test]
async fn a_cancelled_begin_poisons_no_connection() {
    let service = TestService::start().await;
    let admin = service.admin().await;
    admin.execute("create table kept (n int); grant insert on kept to tenure_projector").await.unwrap();
    let guarded = pool(&service.database, Role::Projector, 2);
    let mut random = SmallRng::seed_from_u64(17);
    for n in 0..200 {
        // Cancelled after so many polls: timers are too coarse to hit the middle of a round trip.
        let mut begin = Box::pin(guarded.begin());
        for _ in 0..random.random_range(1..12) {
            if futures::poll!(&mut begin).is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begin);
        sqlx::query("insert into kept values ($1)").bind(n).execute(&guarded).await.unwrap();
    }
    guarded.close().await;
    let kept: i64 = sqlx::query_scalar("select count(distinct n) from kept").fetch_one(&admin).await.unwrap();
    assert_eq!(kept, 200);
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn requests_that_are_cancelled_at_random_leave_nothing_half_done() {
    let service = TestService::start().await;
    service.provision("ada").await;
    let mut random = SmallRng::seed_from_u64(18);
    for n in 0..200 {
        let body = json!({"name": format!("cancelled {n}"), "owner_id": "ada"});
        let post = service.request(Method::POST, "/v1/workspaces", None).json(&body).send();
        let get = service.request(Method::GET, "/v1/users/ada/workspaces", None).send();
        let patience = Duration::from_micros(random.random_range(0..6_000));
        let _ = timeout(patience, futures::future::join(post, get)).await;
        if n % 10 == 0 {
            let name = format!("user-{n}");
            let put =
                service.request(Method::PUT, &format!("/v1/users/{name}"), None).json(&json!({"name": name}));
            assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
            let got = service.operator().get(&format!("/v1/users/{name}")).await.expect(StatusCode::OK);
            assert_eq!(got.text("name"), name);
        }
    }
    let admin = service.admin().await;
    log_is_whole(&admin).await;
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in transaction%'
             and now() - state_change > interval '300 ms'",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(open, 0, "transactions were left open");
    admin.close().await;
    service.stop().await;
}
