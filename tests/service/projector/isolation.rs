//! The second fence: row level security, on every table, also after a rebuild.

use std::time::Duration;

use tenure::projector::rebuild;
use tenure_aggregates::WorkspaceId;
use tenure_projections::{ALL, TenantTx};
use uuid::Uuid;

use super::database::{Database, clock, tables};
use super::history::History;

#[tokio::test(flavor = "multi_thread")]
async fn an_unnamed_workspace_is_an_error_and_a_wrong_one_empty() {
    let db = Database::new().await;
    let history = History::of(41, 400);
    db.append(&history.events).await;
    db.fold(&history.decoded(), || usize::MAX).await;
    for table in tables().chain(["events"]) {
        let count = format!("select count(*) from {table}");
        // On a fresh connection, and on one that has named a workspace before.
        for _ in 0..2 {
            let unset = sqlx::query_scalar::<_, i64>(&count).fetch_one(&db.service).await;
            assert!(unset.is_err(), "{table}: {unset:?}");
            let nobody = WorkspaceId(Uuid::from_u128(7));
            let mut tx = TenantTx::begin(&db.service, nobody).await.unwrap();
            let rows: i64 = sqlx::query_scalar(&count).fetch_one(tx.connection()).await.unwrap();
            assert_eq!(rows, 0, "{table}");
        }
        let (id, _) = history.workspaces.iter().next().unwrap();
        let mut tx = TenantTx::begin(&db.service, *id).await.unwrap();
        let foreign = format!("select count(*) from {table} where workspace_id <> '{id}'");
        let rows: i64 = sqlx::query_scalar(&foreign).fetch_one(tx.connection()).await.unwrap();
        assert_eq!(rows, 0, "{table}");
        let write = sqlx::query(&format!("delete from {table}")).execute(tx.connection()).await;
        assert!(write.is_err(), "{table}: the service's role writes");
    }
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_tenant_table_is_fenced() {
    let db = Database::new().await;
    fenced(&db).await;
    let names: Vec<_> = ALL.iter().map(|projection| projection.name).collect();
    let history = History::of(42, 100);
    db.append(&history.events).await;
    let running = db.project();
    running.reaches(history.head()).await;
    rebuild(&db.owner, &db.projector, &db.vault, clock, &names, |_| {}).await.unwrap();
    running.stop().await;
    fenced(&db).await;
    let bypass: i64 = sqlx::query_scalar(
        "select count(*) from pg_roles where rolname like 'tenure_%' and (rolbypassrls or rolsuper)",
    )
    .fetch_one(&db.owner)
    .await
    .unwrap();
    assert_eq!(bypass, 0);
    db.remove().await;
}

/// Attack 7, from the catalogue: a table this list forgets is found all the same.
async fn fenced(db: &Database) {
    let rows: Vec<(String, bool, bool, bool, String)> = sqlx::query_as(
        "select c.relname::text, a.attnotnull, c.relrowsecurity, c.relforcerowsecurity, pg_get_userbyid(c.relowner)::text
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'workspace_id'
         where c.relkind = 'r' and c.relnamespace = 'public'::regnamespace",
    )
    .fetch_all(&db.owner)
    .await
    .unwrap();
    for table in tables().chain(["events", "workspace_heads", "idempotency", "projection_parked"]) {
        assert!(rows.iter().any(|row| row.0 == table), "{table} has a workspace column");
    }
    for (table, not_null, enabled, forced, owner) in rows {
        assert!(not_null && enabled && forced && !owner.starts_with("tenure_"), "{table}");
    }
    let strays: Vec<String> = sqlx::query_scalar(
        "select i.indexrelid::regclass::text from pg_index i
         join pg_class c on c.oid = i.indrelid and c.relnamespace = 'public'::regnamespace
         join pg_attribute w on w.attrelid = c.oid and w.attname = 'workspace_id'
         where i.indisunique and i.indkey[0] <> w.attnum order by 1",
    )
    .fetch_all(&db.owner)
    .await
    .unwrap();
    assert_eq!(
        strays,
        ["data_keys_pkey", "events_position", "events_stream"],
        "global by design, and no other"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_begin_leaves_nothing_behind() {
    let db = Database::new().await;
    let history = History::of(43, 100);
    db.append(&history.events).await;
    let one = db.pool("tenure_service", 1);
    let id = *history.workspaces.keys().next().unwrap();
    let mut random = History::new(9);
    let (mut tried, mut cancelled) = (0, 0);
    // How many are met in the middle is the timer's to say, which is not exact.
    while tried < 300 || cancelled <= 10 {
        tried += 1;
        assert!(tried < 30_000, "{cancelled} cancelled");
        let patience = Duration::from_micros(random.below(400) as u64);
        cancelled += i32::from(tokio::time::timeout(patience, TenantTx::begin(&one, id)).await.is_err());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    for _ in 0..3 {
        let unset = sqlx::query_scalar::<_, i64>("select count(*) from events").fetch_one(&one).await;
        assert!(unset.is_err(), "{unset:?}");
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    let open: i64 = sqlx::query_scalar(
        "select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%'",
    )
    .fetch_one(&db.owner)
    .await
    .unwrap();
    assert_eq!(open, 0);
    one.close().await;
    db.remove().await;
}
