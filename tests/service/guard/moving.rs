//! The README's way from team-scoped tables to workspaces, word for word (S3.25–31, S3.33).

use std::fs;

use sqlx::PgPool;
use tenure::ids;
use tenure_guard::{ROW_LEVEL_SECURITY, TenantTx, check_isolation};
use uuid::Uuid;

use crate::support::cluster::empty_database;

/// A block of SQL of the guard's README.
fn step(name: &str) -> String {
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/guard/README.md")).unwrap();
    let (_, after) = readme.split_once(&format!("<!-- move: {name} -->\n```sql\n")).unwrap();
    after.split_once("```").unwrap().0.replace("documents_app", &app_role())
}

/// Roles are the cluster's, and live on.
fn app_role() -> String {
    format!("documents_app_{}", std::process::id())
}

async fn run(pool: &PgPool, sql: &str) {
    sqlx::raw_sql(sql).execute(pool).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

/// Titles as a workspace's own code sees them, with no `where`.
async fn titles(app: &PgPool, workspace: Uuid) -> Vec<String> {
    let mut tx = TenantTx::begin_in(app, workspace).await.unwrap();
    sqlx::query_scalar("select title from documents order by title").fetch_all(&mut *tx).await.unwrap()
}

#[tokio::test]
async fn a_table_scoped_by_team_moves_to_workspaces_while_it_is_written() {
    let database = empty_database().await;
    let owner = PgPool::connect_with(database.clone()).await.unwrap();
    let [red, blue, ada] = [ids::new_v7(), ids::new_v7(), ids::new_v7()];
    run(&owner, ROW_LEVEL_SECURITY).await;
    let before = format!(
        "create role {};
         create table documents (id bigserial primary key, team_id bigint, author text not null, title text not null);
         insert into documents (team_id, author, title)
         values (1, 'ada', 'red plan'), (2, 'eve', 'blue plan'), (null, 'ada', 'diary');",
        app_role()
    );
    run(&owner, &before).await;

    run(&owner, &step("who")).await;
    run(&owner, &format!("insert into team_workspaces values (1, '{red}'), (2, '{blue}')")).await;
    run(&owner, &format!("insert into personal_workspaces values ('ada', '{ada}')")).await;
    run(&owner, &step("column")).await;
    // Old code knows nothing of workspaces; new code names one.
    run(&owner, "insert into documents (team_id, author, title) values (1, 'bob', 'red note')").await;
    run(&owner, "insert into documents (team_id, author, title) values (1, 'bob', 'lost')").await;
    run(&owner, "update documents set team_id = 2 where title = 'lost'").await;
    let new =
        format!("insert into documents (workspace_id, author, title) values ('{blue}', 'ada', 'blue note')");
    run(&owner, &new).await;
    run(&owner, &step("key")).await;
    run(&owner, "insert into documents (team_id, author, title) values (null, 'ada', 'dream')").await;
    // A row of nobody is found out, not lost.
    let nobodys = "insert into documents (team_id, author, title) values (3, 'ada', 'whose?')";
    assert!(sqlx::raw_sql(nobodys).execute(&owner).await.is_err());
    run(&owner, &step("fence")).await;

    let app = PgPool::connect_with(database.options([("role", app_role())])).await.unwrap();
    check_isolation(&app).await.unwrap();
    assert_eq!(titles(&app, red).await, ["red note", "red plan"]);
    assert_eq!(titles(&app, blue).await, ["blue note", "blue plan", "lost"]);
    assert_eq!(titles(&app, ada).await, ["diary", "dream"]);
    assert_eq!(titles(&app, ids::new_v7()).await, [""; 0]);
    assert!(sqlx::query("select 1 from documents").fetch_all(&app).await.is_err());
    app.close().await;
    owner.close().await;
}
