//! The event log: stock postgres-es reads what Tenure wrote, and nobody changes it.

use cqrs_es::EventStore;
use cqrs_es::persist::PersistedEventStore;
use postgres_es::PostgresEventRepository;
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgPool};
use tenure::data_keys::{self, SealedValue, Vault};
use tenure::database::{Role, pool};
use tenure::store::StoreError;
use tenure::store::loader::Loader;
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::{Claim, Invitation, Membership, User, Workspace, WorkspaceId};
use uuid::Uuid;

use crate::support::TestService;

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
