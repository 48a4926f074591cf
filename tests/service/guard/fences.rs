//! The database's own fence: what a query forgets, and what a policy must not let anybody undo (S0.8, S3.26–27;
//! attacks 5, 7).

use serde_json::json;
use sqlx::error::DatabaseError;
use sqlx::{Executor, PgPool};
use tenure::ids;
use tenure_guard::isolation::NotIsolated;
use tenure_guard::{ROW_LEVEL_SECURITY, TenantTx, check_isolation};

use super::Stage;
use crate::support::cluster::empty_database;

/// SQLSTATE `insufficient_privilege`, which a policy's `with check` refuses with.
const REFUSED_BY_POLICY: &str = "42501";

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(DatabaseError::code).unwrap_or_default().into_owned()
}

#[tokio::test]
async fn a_forgotten_where_leaks_nothing() {
    let stage = Stage::with_connections(2).await;
    let (ada, eve) = (stage.tenant("ada"), stage.tenant("eve"));
    ada.bills("Initech", 1200).await;
    ada.bills("Initrode", 800).await;
    eve.bills("Evil", 66).await;
    // The sloppy route, over HTTP.
    assert_eq!(ada.get("/total").await.body, json!({"count": 2, "amount_cents": 2000}));
    assert_eq!(eve.get("/total").await.body, json!({"count": 1, "amount_cents": 66}));
    // Any sloppy query.
    let mut tx = TenantTx::begin_in(&stage.product.pool, eve.workspace).await.unwrap();
    let customers: Vec<String> =
        sqlx::query_scalar("select customer from invoices").fetch_all(&mut *tx).await.unwrap();
    assert_eq!(customers, ["Evil"]);
    let named = "select customer from invoices where workspace_id = $1";
    let foreign = sqlx::query(named).bind(ada.workspace).fetch_all(&mut *tx).await.unwrap();
    assert!(foreign.is_empty(), "also for who asks by name");
    assert_eq!(tx.execute("update invoices set customer = 'Hacked'").await.unwrap().rows_affected(), 1);
    assert_eq!(tx.execute("delete from invoices").await.unwrap().rows_affected(), 1);
    tx.commit().await.unwrap();
    assert_eq!(ada.get("/total").await.body["count"], 2);
    assert!(!ada.get("/invoices").await.body.to_string().contains("Hacked"));
    stage.product.stop().await;
}

#[tokio::test]
async fn nothing_is_written_for_another_workspace() {
    let stage = Stage::with_connections(2).await;
    let (ada, eve) = (stage.tenant("ada"), stage.tenant("eve"));
    eve.bills("Evil", 66).await;
    for sql in [
        "insert into invoices (workspace_id, customer, amount_cents, created_by) values ($1, 'Fake', 1, 'eve')",
        "update invoices set workspace_id = $1",
    ] {
        let mut tx = TenantTx::begin_in(&stage.product.pool, eve.workspace).await.unwrap();
        let refused = sqlx::query(sql).bind(ada.workspace).execute(&mut *tx).await.unwrap_err();
        assert_eq!(code(&refused), REFUSED_BY_POLICY, "{sql}: {refused}");
        tx.rollback().await.unwrap();
    }
    let mut tx = TenantTx::begin_in(&stage.product.pool, eve.workspace).await.unwrap();
    let refused = tx.execute("truncate invoices").await.unwrap_err();
    assert_eq!(code(&refused), REFUSED_BY_POLICY, "policies do not bind it, so nobody may");
    drop(tx);
    assert_eq!(ada.get("/total").await.body["count"], 0);
    stage.product.stop().await;
}

#[tokio::test]
async fn an_unset_workspace_is_an_error_and_not_zero_rows() {
    let stage = Stage::with_connections(1).await;
    stage.tenant("ada").bills("Initech", 1200).await;
    let pool = &stage.product.pool;
    for round in ["on a new connection", "after a transaction that had one"] {
        for sql in [
            "select * from invoices",
            "select count(*) from invoices",
            "update invoices set customer = 'x'",
            "delete from invoices",
            "insert into invoices (workspace_id, customer, amount_cents, created_by)
             values ('019a0000-0000-7000-8000-000000000001', 'x', 1, 'x')",
        ] {
            assert!(pool.execute(sql).await.is_err(), "{sql} {round}");
        }
        TenantTx::begin_in(pool, ids::new_v7()).await.unwrap().commit().await.unwrap();
    }
    stage.product.stop().await;
}

/// An empty database with the function, and roles of the test's own.
async fn database_with_roles(names: &[&str]) -> (PgPool, Vec<String>) {
    let database = empty_database().await;
    let unique = database.get_database().unwrap().to_owned();
    let pool = PgPool::connect_with(database).await.unwrap();
    sqlx::raw_sql(ROW_LEVEL_SECURITY).execute(&pool).await.unwrap();
    let roles: Vec<String> = names.iter().map(|name| format!("{unique}_{name}")).collect();
    for role in &roles {
        pool.execute(format!("create role {role}").as_str()).await.unwrap();
    }
    (pool, roles)
}

#[tokio::test]
async fn only_a_table_and_a_role_that_can_be_protected_are() {
    let (pool, roles) = database_with_roles(&["app", "owner", "above"]).await;
    let [app, owner, above] = &roles[..] else { unreachable!() };
    let setup = format!(
        "alter role {above} bypassrls;
         create table notes (workspace_id uuid not null, id int, primary key (workspace_id, id));
         create table nullable (workspace_id uuid);
         create table by_name (workspace_id text not null);
         create table shared (id int);
         create table owned (workspace_id uuid not null);
         alter table owned owner to {owner};"
    );
    sqlx::raw_sql(&setup).execute(&pool).await.unwrap();
    for (table, role, why) in [
        ("nullable", app.as_str(), "not null"),
        ("by_name", app, "not null"),
        ("shared", app, "not null"),
        ("notes", above, "not bound"),
        ("notes", "postgres", "not bound"),
        ("notes", "nobody_by_this_name", "does not exist"),
        ("owned", owner, "owner"),
    ] {
        let refused = pool.execute(format!("select tenure_protect('{table}', '{role}')").as_str()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(why), "{table} {role}: {refused}");
    }
    let left = "select t::text from tenure_unprotected() t order by 1";
    let unprotected = async || sqlx::query_scalar::<_, String>(left).fetch_all(&pool).await.unwrap();
    assert_eq!(unprotected().await, ["by_name", "notes", "nullable", "owned"]);
    for _again in 0..2 {
        pool.execute(format!("select tenure_protect('notes', '{app}')").as_str()).await.unwrap();
    }
    assert_eq!(unprotected().await, ["by_name", "nullable", "owned"]);
    let forced = "select relrowsecurity and relforcerowsecurity from pg_class where oid = 'notes'::regclass";
    assert!(sqlx::query_scalar::<_, bool>(forced).fetch_one(&pool).await.unwrap());
    assert!(matches!(check_isolation(&pool).await, Err(NotIsolated::Unbound { .. })), "a superuser");
    let login = pool.connect_options().as_ref().clone();
    let as_app = PgPool::connect_with(login.options([("role", app)])).await.unwrap();
    check_isolation(&as_app).await.unwrap();
    pool.execute(format!("grant select on owned to {app}").as_str()).await.unwrap();
    let forgotten = check_isolation(&as_app).await.unwrap_err();
    assert_eq!(forgotten.to_string(), "not protected: owned");
    as_app.close().await;
    pool.close().await;
}

#[tokio::test]
async fn a_policy_of_ones_own_narrows_and_never_widens() {
    let (pool, roles) = database_with_roles(&["app"]).await;
    let [app] = &roles[..] else { unreachable!() };
    let (here, there) = (ids::new_v7(), ids::new_v7());
    let setup = format!(
        "create table notes (workspace_id uuid not null, author text not null);
         insert into notes values ('{here}', 'ada'), ('{here}', 'bob'), ('{there}', 'ada');
         alter table notes enable row level security;
         create policy own_notes on notes using (author = 'ada');
         select tenure_protect('notes', '{app}');
         create policy generous on notes for select to {app} using (author = 'ada' or workspace_id is not null);"
    );
    sqlx::raw_sql(&setup).execute(&pool).await.unwrap();
    let as_app =
        PgPool::connect_with(pool.connect_options().as_ref().clone().options([("role", app)])).await.unwrap();
    let seen = async || {
        let mut tx = TenantTx::begin_in(&as_app, here).await.unwrap();
        sqlx::query_scalar::<_, i64>("select count(*) from notes").fetch_one(&mut *tx).await.unwrap()
    };
    assert_eq!(seen().await, 2, "the generous one gives what there is in this workspace, and no more");
    pool.execute("drop policy generous on notes").await.unwrap();
    assert_eq!(seen().await, 1, "the table's own policy holds");
    // A table that had none, and got one.
    let protect = format!("select tenure_protect('notes', '{app}')");
    for (own, count) in
        [("drop policy own_notes on notes", 2), ("create policy bobs on notes using (author = 'bob')", 1)]
    {
        pool.execute(own).await.unwrap();
        pool.execute(protect.as_str()).await.unwrap();
        assert_eq!(seen().await, count, "{own}");
    }
    as_app.close().await;
    pool.close().await;
}
