//! What must hold of any log and its read models, whatever happened to the processes that wrote them.

use std::collections::BTreeMap;

use sqlx::PgPool;
use tenure::clock;
use tenure::data_keys::Vault;
use tenure::database::{Role, pool};
use tenure::projector::rebuild;
use tenure_projections::ALL;

/// Invariants 1 and 2: no hole anywhere, and the heads say what the log says.
pub async fn log_is_whole(admin: &PgPool) {
    let broken: Vec<String> = sqlx::query_scalar(
        "select 'the log' from log_head h where h.position <> (select count(*) from events)
             or h.position <> (select coalesce(max(position), 0) from events)
         union all select 'workspace ' || workspace_id from events group by workspace_id
             having max(workspace_seq) <> count(*) or count(distinct workspace_seq) <> count(*)
         union all select 'stream ' || aggregate_id from events group by aggregate_type, aggregate_id
             having max(sequence) <> count(*)
         union all select 'order in ' || workspace_id from
             (select workspace_id, position, lag(position) over w as before, recorded_at,
                     lag(recorded_at) over w as recorded_before
              from events window w as (partition by workspace_id order by workspace_seq)) s
             where before >= position or recorded_before > recorded_at
         union all select 'head of ' || h.workspace_id from workspace_heads h
             where h.seq <> (select max(workspace_seq) from events e where e.workspace_id = h.workspace_id)
         union all select distinct 'no head of ' || e.workspace_id from events e
             where not exists (select from workspace_heads h where h.workspace_id = e.workspace_id)",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    assert!(broken.is_empty(), "broken: {broken:?}");
}

/// Every row of every read model, by table.
pub async fn rows(admin: &PgPool) -> BTreeMap<&'static str, Vec<String>> {
    let mut all = BTreeMap::new();
    for table in ALL.iter().flat_map(|projection| projection.tables) {
        let select = format!("select to_jsonb(t)::text from {table} t order by 1");
        all.insert(*table, sqlx::query_scalar(&select).fetch_all(admin).await.unwrap());
    }
    all
}

/// Waits until every live read model has come to the head of the log.
pub async fn caught_up(admin: &PgPool) {
    let behind = "select $1 > (select count(*) from projection_checkpoints c, log_head h
                              where c.state = 'live' and c.position >= h.position)";
    for _ in 0..400 {
        if !sqlx::query_scalar::<_, bool>(behind)
            .bind(i64::try_from(ALL.len()).unwrap())
            .fetch_one(admin)
            .await
            .unwrap()
        {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(25)).await;
    }
    panic!("the read models do not catch up");
}

/// Invariant 3: the read models equal the log's fold, which a rebuild makes anew. Nothing may be writing.
pub async fn read_models_are_the_fold(admin: &PgPool, vault: &Vault) {
    caught_up(admin).await;
    let before = rows(admin).await;
    let projector = pool(&admin.connect_options(), Role::Projector, 2);
    let names = ALL.each_ref().map(|projection| projection.name);
    rebuild(admin, &projector, vault, clock::now, &names, |_| {}).await.unwrap();
    projector.close().await;
    same(&before, &rows(admin).await);
}

/// Fails with the first rows that differ.
#[track_caller]
pub fn same(left: &BTreeMap<&'static str, Vec<String>>, right: &BTreeMap<&'static str, Vec<String>>) {
    for (table, rows) in left {
        let others = &right[table];
        let only = |a: &[String], b: &[String]| -> Vec<String> {
            a.iter().filter(|row| !b.contains(row)).take(3).cloned().collect()
        };
        let (gone, new) = (only(rows, others), only(others, rows));
        assert!(
            gone.is_empty() && new.is_empty() && rows.len() == others.len(),
            "{table}:\n{gone:#?}\n{new:#?}"
        );
    }
}
