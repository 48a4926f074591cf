//! Rebuilds: the same rows, killed and resumed, and swapped under load.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use sqlx::PgPool;
use tenure::projector::{Error, outdated, rebuild, status};
use tenure_aggregates::WorkspaceId;
use tenure_projections::{ALL, TenantTx, members, users, workspaces};

use super::database::{Database, assert_same, clock};
use super::history::History;

fn all() -> Vec<&'static str> {
    ALL.iter().map(|projection| projection.name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_changes_nothing() {
    let db = Database::new().await;
    let history = History::of(31, 800);
    let running = db.project();
    db.append(&history.events).await;
    running.reaches(history.head()).await;
    let before = db.dump().await;
    let indexes =
        "select string_agg(indexdef, ';' order by indexdef) from pg_indexes where schemaname = 'public'";
    let had: String = sqlx::query_scalar(indexes).fetch_one(&db.owner).await.unwrap();
    rebuild(&db.owner, &db.projector, &db.vault, clock, &["members"], |_| {}).await.unwrap();
    rebuild(&db.owner, &db.projector, &db.vault, clock, &all(), |_| {}).await.unwrap();
    assert_same(&before, &db.dump().await, "before, after");
    assert_eq!(had, sqlx::query_scalar::<_, String>(indexes).fetch_one(&db.owner).await.unwrap());
    assert_eq!(unplanned(&db.owner).await, [""; 0], "columns of keys of which the planner knows nothing");
    let lines = status(&db.projector).await.unwrap();
    let generations: Vec<_> = lines.iter().map(|line| (line.name.as_str(), line.generation)).collect();
    let mut names = ALL.map(|projection| projection.name);
    names.sort_unstable();
    assert_eq!(generations, names.map(|name| (name, if name == "members" { 3 } else { 2 })));
    let unknown = rebuild(&db.owner, &db.projector, &db.vault, clock, &["nonsense"], |_| {}).await;
    assert!(matches!(unknown, Err(Error::Unknown(_))));
    running.stop().await;
    db.remove().await;
}

/// Columns of keys and indexes of read models with rows that have no statistics.
async fn unplanned(owner: &PgPool) -> Vec<String> {
    let tables: Vec<&str> = ALL.iter().flat_map(|projection| projection.tables).copied().collect();
    sqlx::query_scalar(
        "select distinct c.relname || '.' || a.attname
         from pg_class c join pg_index i on i.indrelid = c.oid
         join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
         where c.relname = any($1) and c.relnamespace = 'public'::regnamespace and c.reltuples > 0
           and not exists (select from pg_statistic s where s.starelid = c.oid and s.staattnum = a.attnum)",
    )
    .bind(tables)
    .fetch_all(owner)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_is_told_and_rebuilt() {
    let db = Database::new().await;
    let history = History::of(32, 100);
    let running = db.project();
    db.append(&history.events).await;
    let head = history.head();
    running.reaches(head).await;
    running.stop().await;
    sqlx::query("update projection_checkpoints set version = 0 where name = 'users'")
        .execute(&db.owner)
        .await
        .unwrap();
    let running = db.project();
    running.reaches(head).await;
    assert_eq!(running.handle.snapshot().outdated, ["users"]);
    rebuild(&db.owner, &db.projector, &db.vault, clock, &outdated(&db.projector).await.unwrap(), |_| {})
        .await
        .unwrap();
    assert_eq!(outdated(&db.projector).await.unwrap().len(), 0);
    running.stop().await;
    // A newer program wrote here: this one keeps its hands off.
    sqlx::query("update projection_checkpoints set version = 9 where name = 'users'")
        .execute(&db.owner)
        .await
        .unwrap();
    let running = db.project();
    let mut more = History::of(32, 120);
    db.append(&more.events.split_off(history.events.len())).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(*running.handle.applied().borrow(), head);
    assert!(running.handle.snapshot().last_error.unwrap().contains("newer program"));
    running.stop().await;
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_goes_on_where_it_stood() {
    let db = Database::new().await;
    let history = History::of(33, 18_000);
    for events in history.events.chunks(5_000) {
        db.append(events).await;
    }
    let running = db.project();
    running.reaches(history.head()).await;
    let before = db.dump().await;
    let reached = AtomicI64::new(0);
    for _ in 0..2 {
        let from = reached.load(Ordering::Relaxed);
        let (stop, mut stopped) = tokio::sync::mpsc::unbounded_channel();
        let names = all();
        let work = rebuild(&db.owner, &db.projector, &db.vault, clock, &names, |now| {
            assert!(now.position > from);
            reached.store(now.position, Ordering::Relaxed);
            stop.send(()).unwrap();
        });
        // Dropped after its first batch, in the midst of the second: what a kill does to the database.
        tokio::select! {
            _ = work => panic!("too fast to be killed"),
            () = async { stopped.recv().await; tokio::time::sleep(Duration::from_millis(20)).await; } => {}
        }
    }
    let building: Vec<i64> = status(&db.projector)
        .await
        .unwrap()
        .into_iter()
        .filter(|line| line.state == "building")
        .map(|line| line.position)
        .collect();
    assert!(building.len() == ALL.len() && building.iter().all(|at| *at >= 5_000), "{building:?}");
    let first = AtomicI64::new(0);
    rebuild(&db.owner, &db.projector, &db.vault, clock, &all(), |now| {
        first.compare_exchange(0, now.position, Ordering::Relaxed, Ordering::Relaxed).ok();
    })
    .await
    .unwrap();
    assert!(first.load(Ordering::Relaxed) > *building.iter().min().unwrap(), "it began anew");
    assert_same(&before, &db.dump().await, "before, after");
    running.stop().await;
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_swap_goes_unnoticed_under_load() {
    let db = Database::new().await;
    let history = History::of(34, 6_000);
    let (first, later) = history.events.split_at(2_000);
    db.append(first).await;
    let running = db.project();
    running.reaches(2_000).await;
    let over = AtomicBool::new(false);
    let head = AtomicI64::new(2_000);
    let append = async {
        for batch in later.chunks(10) {
            db.append(batch).await;
            head.store(batch.last().unwrap().position, Ordering::Relaxed);
            running.appended.send_replace(batch.last().unwrap().position);
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        over.store(true, Ordering::Relaxed);
    };
    let read = async {
        let mut reads = 0;
        let ids: Vec<WorkspaceId> = history.workspaces.keys().copied().collect();
        while !over.load(Ordering::Relaxed) {
            let mut tx = TenantTx::begin(&db.service, ids[reads % ids.len()]).await.unwrap();
            members::list(&mut tx, &members::Filter::default(), None, 50, history.now).await.unwrap();
            workspaces::find(&mut tx).await.unwrap();
            users::find(&mut tx).await.unwrap();
            tx.close().await.unwrap();
            reads += 1;
        }
        reads
    };
    let rebuilds = async {
        let mut count = 0;
        while !over.load(Ordering::Relaxed) {
            rebuild(&db.owner, &db.projector, &db.vault, clock, &all(), |_| {}).await.unwrap();
            count += 1;
        }
        count
    };
    let ((), reads, rebuilds) = tokio::join!(append, read, rebuilds);
    running.reaches(history.head()).await;
    assert!(rebuilds >= 1 && reads > 100, "{rebuilds} rebuilds, {reads} reads");
    assert_eq!(running.handle.snapshot().last_error, None);
    let rows = db.dump().await;
    running.stop().await;
    assert_same(&rows, &db.fold(&history.decoded(), || usize::MAX).await, "projected, folded");
    println!("{rebuilds} rebuilds and {reads} reads beside 4,000 events");
    db.remove().await;
}

/// Outside of a test the tables' owner is rarely a superuser, and row level security is forced on owners too.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_superpowers_rebuilds() {
    let db = Database::new().await;
    let history = History::of(35, 300);
    db.append(&history.events).await;
    let running = db.project();
    running.reaches(history.head()).await;
    let before = db.dump().await;
    let role = format!("{}_owner", db.name);
    sqlx::raw_sql(&format!(
        "create role {role} login;
         grant tenure_projector, tenure_service, tenure_appender to {role};
         grant create on schema public, tenure_building, tenure_retired to {role};
         do $$ declare t text; begin
             for t in select tablename from pg_tables where schemaname = 'public' loop
                 execute format('alter table public.%I owner to {role}', t);
             end loop;
         end $$;
         alter schema tenure_building owner to {role};
         alter schema tenure_retired owner to {role};"
    ))
    .execute(&db.owner)
    .await
    .unwrap();
    let owner = db.login(&role);
    rebuild(&owner, &db.projector, &db.vault, clock, &all(), |_| {}).await.unwrap();
    owner.close().await;
    assert_same(&before, &db.dump().await, "before, after");
    assert!(status(&db.projector).await.unwrap().iter().all(|line| line.generation == 2 && line.lag == 0));
    running.stop().await;
    sqlx::raw_sql(&format!(
        "reassign owned by {role} to current_user; drop owned by {role}; drop role {role}"
    ))
    .execute(&db.owner)
    .await
    .unwrap();
    db.remove().await;
}
