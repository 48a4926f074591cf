//! The event log: stock postgres-es reads what Tenure wrote, nobody changes it, and one unit's trouble is its own.

use std::sync::Arc;
use std::time::Duration;

use cqrs_es::EventStore;
use cqrs_es::persist::PersistedEventStore;
use postgres_es::PostgresEventRepository;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgPool};
use tenure::clock;
use tenure::data_keys::{self, SealedValue, Vault};
use tenure::database::{Role, pool};
use tenure::store::idempotency::{KeyScope, RequestKey};
use tenure::store::loader::Loader;
use tenure::store::retry::{Command, Done};
use tenure::store::{Committed, Failure, Origin, Store, StoreError, UnitOfWork};
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::claim::ClaimCommand;
use tenure_aggregates::{Claim, Invitation, Membership, User, Workspace, WorkspaceId};
use tokio::task::JoinSet;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::TestService;
use crate::support::invariants::log_is_whole;
use crate::support::service::Answer;

/// A workspace with a slug, two members and an open invitation.
async fn acme(service: &TestService) -> String {
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let body =
        json!({"name": "Acme", "slug": "acme", "description": "with \"quotes\", \u{e9} and \u{1f600}"});
    let acme = ada.post("/v1/workspaces", body).await.expect(StatusCode::CREATED).text("id");
    ada.brings(&acme, &bob, "admin").await;
    ada.invites(&acme, "eve@example.com", "member").await;
    ada.patch(&format!("/v1/workspaces/{acme}"), json!({"name": "Acme Ltd"})).await.expect(StatusCode::OK);
    acme
}

/// What stock postgres-es makes of every stream of a type, against what Tenure's loader makes of it.
/// Stock postgres-es leaves sealed what is sealed; Tenure's loader opens it.
async fn reads_alike<A>(admin: &PgPool, vault: &Vault, at_least: usize)
where
    A: Stream + PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let stock = PersistedEventStore::<_, A>::new_event_store(PostgresEventRepository::new(admin.clone()));
    let ours = Loader::new(admin.clone(), vault.clone());
    let ids: Vec<(String, i64)> = sqlx::query_as(
        "select aggregate_id, max(sequence) from events where aggregate_type = $1 group by aggregate_id",
    )
    .bind(A::TYPE)
    .fetch_all(admin)
    .await
    .unwrap();
    assert!(ids.len() >= at_least, "{} streams of {}", ids.len(), A::TYPE);
    for (id, sequence) in ids {
        let context = stock.load_aggregate(&id).await.unwrap();
        let loaded = ours.load::<A>(&id).await.unwrap();
        assert_eq!(
            (i64::try_from(context.current_sequence).unwrap(), loaded.sequence),
            (sequence, sequence),
            "{} {id}",
            A::TYPE
        );
        let mut state = serde_json::to_value(&context.aggregate).unwrap();
        let workspace = loaded.home.unwrap().0;
        let stream = data_keys::Stream { workspace, aggregate_type: A::TYPE, aggregate_id: &id };
        vault.open_values(&mut [SealedValue { stream, value: &mut state }]).await.unwrap();
        let opened: A = serde_json::from_value(state).unwrap();
        assert_eq!(opened, *loaded.state, "{} {id}", A::TYPE);
        assert_ne!(opened, A::default(), "{} {id}", A::TYPE);
    }
}

#[tokio::test]
async fn an_unmodified_postgres_es_loads_what_tenure_wrote() {
    let service = TestService::start().await;
    acme(&service).await;
    let admin = service.admin().await;
    reads_alike::<User>(&admin, &service.app().vault, 2).await;
    reads_alike::<Workspace>(&admin, &service.app().vault, 3).await;
    reads_alike::<Membership>(&admin, &service.app().vault, 4).await;
    reads_alike::<Invitation>(&admin, &service.app().vault, 2).await;
    reads_alike::<Claim>(&admin, &service.app().vault, 1).await;
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_stream_of_another_workspace_is_not_taken() {
    let service = TestService::start().await;
    let acme = acme(&service).await;
    let loaded = service.app().store.loader().load::<Workspace>(&acme).await.unwrap();
    let (home, stranger) = (WorkspaceId(acme.parse().unwrap()), WorkspaceId(Uuid::from_u128(7)));
    assert_eq!(*loaded.clone().seen_from(home).state, *loaded.state);
    assert_eq!(*loaded.clone().seen_from(stranger).state, Workspace::default());
    // A stream in which somebody mixed two workspaces is not read at all.
    let admin = service.admin().await;
    let mut superuser = admin.acquire().await.unwrap().detach();
    superuser.execute("set session_replication_role = replica").await.unwrap();
    let mixed = "update events set metadata = (jsonb_set(metadata::jsonb, '{workspace_id}', to_jsonb($2::text)))::json
                 where aggregate_type = 'Workspace' and aggregate_id = $1 and sequence = 2";
    let stray = Uuid::from_u128(7).to_string();
    sqlx::query(mixed).bind(&acme).bind(&stray).execute(&mut superuser).await.unwrap();
    let refused =
        Loader::new(admin.clone(), service.app().vault.clone()).load::<Workspace>(&acme).await.unwrap_err();
    assert!(matches!(&refused, StoreError::Corrupt(why) if why.contains("mixes workspaces")), "{refused}");
    superuser.close().await.unwrap();
    admin.close().await;
}

#[tokio::test]
async fn nobody_changes_the_log() {
    let service = TestService::start().await;
    service.provision("ada").await;
    let changes = ["update events set payload = '{}'", "delete from events", "truncate events"];
    for role in Role::ALL {
        let pool = pool(&service.database, role, 1);
        for change in changes {
            let refused = pool.execute(change).await.unwrap_err();
            let refused = refused.as_database_error().unwrap();
            assert_eq!(refused.code().unwrap(), "42501", "{role:?}: {change}: {refused}");
        }
        for change in
            ["drop table events", "alter table events disable trigger all", "create table mine (n int)"]
        {
            pool.execute(change).await.unwrap_err();
        }
        // Neither do they take each other's part for longer than the login role lends them its connection.
        pool.close().await;
    }
    // Even the superuser has to take the trigger away first.
    let admin = service.admin().await;
    for change in changes {
        let refused = admin.execute(change).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{change}: {refused}");
    }
    for role in [Role::Service, Role::Projector] {
        let pool = pool(&service.database, role, 1);
        let insert = "insert into events select position + 1, workspace_id, workspace_seq + 1, aggregate_type, aggregate_id,
                      sequence + 1, event_type, event_version, payload, metadata, recorded_at from events";
        let refused = match role {
            Role::Service => {
                let named = format!("begin; set local tenure.workspace = '{}'; {insert}", Uuid::from_u128(1));
                sqlx::raw_sql(&named).execute(&pool).await
            }
            _ => sqlx::raw_sql(insert).execute(&pool).await,
        };
        assert_eq!(refused.unwrap_err().as_database_error().unwrap().code().unwrap(), "42501", "{role:?}");
        pool.close().await;
    }
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_payload_is_kept_to_the_letter() {
    let service = TestService::start().await;
    let acme = acme(&service).await;
    let admin = service.admin().await;
    let types: Vec<String> = sqlx::query_scalar(
        "select distinct data_type from information_schema.columns
         where table_name = 'events' and column_name in ('payload', 'metadata')",
    )
    .fetch_all(&admin)
    .await
    .unwrap();
    assert_eq!(types, ["json"]);
    let texts: Vec<(String, String)> =
        sqlx::query_as("select payload::text, metadata::text from events order by position")
            .fetch_all(&admin)
            .await
            .unwrap();
    for (payload, metadata) in &texts {
        for text in [payload, metadata] {
            // serde_json keeps the order of keys: the text is what was serialised, with no space added.
            assert_eq!(&serde_json::from_str::<Value>(text).unwrap().to_string(), text);
        }
        assert!(payload.starts_with("{\"type\":"), "{payload}");
        assert!(metadata.starts_with("{\"workspace_id\":"), "{metadata}");
    }
    let read = service.operator().get(&format!("/v1/workspaces/{acme}")).await.expect(StatusCode::OK);
    assert_eq!(read.body["description"], "with \"quotes\", \u{e9} and \u{1f600}");
    admin.close().await;
    service.stop().await;
}

/// Unique indexes of tenant tables that do not begin with `workspace_id`, and why.
const GLOBAL_BY_DESIGN: &[(&str, &str)] = &[
    ("data_keys_pkey", "a person's key opens what they left in any workspace"),
    ("events_position", "the order of the whole log"),
    ("events_stream", "a stream is named by its type and id; stock postgres-es looks it up so"),
];

/// Tables that belong to no tenant.
const NO_TENANT: &[&str] = &[
    "_sqlx_migrations",
    "audit_signing_key",
    "delivery_checkpoints",
    "log_head",
    "projection_checkpoints",
    "root_key",
];

/// Tenant tables the service's role has no business with: only the keeper reads keys.
const KEPT_FROM_THE_SERVICE: &[&str] = &["data_keys"];

#[derive(sqlx::FromRow)]
#[allow(clippy::struct_excessive_bools, reason = "columns of the catalogue")]
struct Table {
    name: String,
    not_null: Option<bool>,
    enabled: bool,
    forced: bool,
    policies: Vec<String>,
    for_service: Option<String>,
    service_owns: bool,
    service_reads: bool,
}

#[tokio::test]
async fn every_tenant_table_is_fenced() {
    let service = TestService::start().await;
    let admin = service.admin().await;
    let tables: Vec<Table> = sqlx::query_as(
        "select c.relname::text as name, a.attnotnull as not_null, c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
                array(select polname::text from pg_policy where polrelid = c.oid) as policies,
                (select pg_get_expr(polqual, polrelid) from pg_policy
                 where polrelid = c.oid and 'tenure_service'::regrole = any(polroles)) as for_service,
                pg_has_role('tenure_service', c.relowner, 'member') as service_owns,
                has_any_column_privilege('tenure_service', c.oid, 'select, insert, update') as service_reads
         from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id'
         where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace order by 1",
    )
    .fetch_all(&admin)
    .await
    .unwrap();
    let (free, tenants): (Vec<_>, Vec<_>) =
        tables.into_iter().partition(|t| NO_TENANT.contains(&t.name.as_str()));
    assert_eq!(free.len(), NO_TENANT.len());
    assert!(free.iter().all(|table| table.not_null.is_none()));
    assert!(tenants.len() >= 13);
    for table in tenants {
        let name = &table.name;
        assert_eq!(table.not_null, Some(true), "{name}.workspace_id");
        assert!(table.enabled && table.forced, "{name}: row level security");
        assert!(!table.service_owns, "{name} belongs to the service");
        if KEPT_FROM_THE_SERVICE.contains(&name.as_str()) {
            assert_eq!((table.for_service, table.service_reads), (None, false), "{name}");
            continue;
        }
        let fence = "(workspace_id = (current_setting('tenure.workspace'::text))::uuid)";
        assert_eq!(table.for_service.as_deref(), Some(fence), "{name}: {:?}", table.policies);
        assert!(table.policies.contains(&"writer".to_owned()), "{name}: {:?}", table.policies);
    }
    let indexes: Vec<(String, String)> = sqlx::query_as(
        "select i.indexrelid::regclass::text, a.attname::text from pg_index i
         join pg_class c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
         join pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
         where i.indisunique and c.relname <> all($1) order by 1",
    )
    .bind(NO_TENANT)
    .fetch_all(&admin)
    .await
    .unwrap();
    let global: Vec<&str> =
        indexes.iter().filter(|(_, first)| first != "workspace_id").map(|(name, _)| name.as_str()).collect();
    assert_eq!(global, GLOBAL_BY_DESIGN.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let unfit: Vec<String> = sqlx::query_scalar(
        "select rolname::text from pg_roles where rolname like 'tenure%' and (rolsuper or rolbypassrls or rolcanlogin
             or rolcreaterole or rolcreatedb)",
    )
    .fetch_all(&admin)
    .await
    .unwrap();
    assert!(unfit.is_empty(), "{unfit:?}");
    // A workspace that was not named is an error, not an empty answer.
    let unnamed = pool(&service.database, Role::Service, 1);
    for table in ["events", "members", "audit_log", "idempotency"] {
        unnamed.execute(format!("select from {table}").as_str()).await.unwrap_err();
    }
    unnamed.close().await;
    admin.close().await;
    service.stop().await;
}

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
