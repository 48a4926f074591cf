//! Attempts that were refused. Not a read model: no event tells of them, for nothing happened.

use std::collections::HashSet;

use sqlx::PgPool;
use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
use crate::audit_log::Filter;
use crate::keyset::end_of_time;

/// Equal attempts within a minute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    pub workspace_id: Uuid,
    pub attempt_id: Uuid,
    /// Where the workspace's history ended when it happened; 0 until it is written.
    pub workspace_seq: i64,
    pub position: i64,
    pub first_at: Time,
    pub last_at: Time,
    pub count: i64,
    pub action: String,
    /// user, service, `api_key`, or unknown.
    pub actor_type: String,
    pub actor_id: Option<String>,
    pub via: Option<String>,
    pub target_type: String,
    pub target_id: String,
    /// Why it was refused.
    pub code: String,
    pub permission: Option<String>,
    pub command: Option<String>,
    /// Address and user agent of the first, sealed.
    pub origin: Option<String>,
    pub request_id: Option<String>,
    pub correlation_id: Option<String>,
}

/// An attempt's place in the history: after the event of that `workspace_seq`, in order of time.
pub type Key = (i64, Time, Uuid);

impl Attempt {
    pub fn key(&self) -> Key {
        (self.workspace_seq, self.first_at, self.attempt_id)
    }
}

/// Before every attempt after the event with that `workspace_seq`.
pub fn first_after(workspace_seq: i64) -> Key {
    (workspace_seq, Time::UNIX_EPOCH, Uuid::nil())
}

/// Reads what the filter lets through; `$1` is the workspace, `$2` to `$4` a key, `$15` how many.
macro_rules! matching {
    ($tail:literal, $tx:expr, $filter:expr, $key:expr, $limit:expr) => {{
        let workspace: Uuid = $tx.workspace().into();
        let ((action, family), (text, ids)) = ($filter.action(), $filter.named());
        let key: Key = $key;
        sqlx::query_as!(
            Attempt,
            r#"select workspace_id, attempt_id, workspace_seq, position, first_at, last_at, count, action, actor_type,
                      actor_id, via, target_type, target_id, code, permission, command, origin, request_id,
                      correlation_id
               from refused_attempts where workspace_id = $1 and ($5::text is null or actor_id = $5)
                 and ($6::text is null or actor_type = $6) and ($7::text is null or action = $7)
                 and ($8::text is null or starts_with(action, $8)) and ($9::text is null or target_id = $9)
                 and ($10::text is null or command = $10) and ($11::timestamptz is null or first_at >= $11)
                 and ($12::timestamptz is null or first_at < $12)
                 and ($13::text is null or actor_id = any($14::text[]) or target_id = any($14::text[])
                      or position(lower($13) in action) > 0 or position(lower($13) in lower(target_id)) > 0
                      or position(lower($13) in lower(coalesce(actor_id, ''))) > 0) "#
                + $tail,
            workspace,
            key.0,
            key.1,
            key.2,
            $filter.actor.as_deref(),
            $filter.actor_type.as_deref(),
            action,
            family,
            $filter.target.as_deref(),
            $filter.command.as_deref(),
            $filter.from,
            $filter.to,
            text,
            ids,
            $limit
        )
    }};
}

/// Newest first, those before `before`.
pub async fn list(
    tx: &mut TenantTx,
    filter: &Filter,
    before: Option<Key>,
    limit: i64,
) -> Result<Vec<Attempt>, sqlx::Error> {
    matching!(
        "and (workspace_seq, first_at, attempt_id) < ($2, $3, $4)
         order by workspace_seq desc, first_at desc, attempt_id desc limit $15",
        tx,
        filter,
        before.unwrap_or_else(|| (i64::MAX, end_of_time(), Uuid::max())),
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// Oldest first, those after `after`.
pub async fn since(
    tx: &mut TenantTx,
    filter: &Filter,
    after: Key,
    limit: i64,
) -> Result<Vec<Attempt>, sqlx::Error> {
    matching!(
        "and (workspace_seq, first_at, attempt_id) > ($2, $3, $4)
         order by workspace_seq, first_at, attempt_id limit $15",
        tx,
        filter,
        after,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// Of these workspaces, those that there are. Needs a pool of the projector's role, as all that follows.
pub async fn existing(projector: &PgPool, workspaces: &[Uuid]) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!("select workspace_id from workspaces where workspace_id = any($1)", workspaces)
        .fetch_all(projector)
        .await
}

/// The workspaces in which these streams lie: aggregate type, aggregate id, workspace.
pub async fn homes(
    projector: &PgPool,
    streams: &[(&str, String)],
) -> Result<Vec<(String, String, Uuid)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select e.aggregate_type, e.aggregate_id, e.workspace_id
         from unnest($1::text[], $2::text[]) s (aggregate_type, aggregate_id)
         join events e on e.aggregate_type = s.aggregate_type and e.aggregate_id = s.aggregate_id and e.sequence = 1",
        &streams.iter().map(|(kind, _)| *kind).collect::<Vec<_>>() as _,
        &streams.iter().map(|(_, id)| id.clone()).collect::<Vec<_>>()
    )
    .fetch_all(projector)
    .await?;
    Ok(rows.into_iter().map(|row| (row.aggregate_type, row.aggregate_id, row.workspace_id)).collect())
}

/// Writes new attempts, and how often those that are there have happened by now; of a workspace that is gone, nothing.
pub async fn write(projector: &PgPool, rows: &[Attempt]) -> Result<(), sqlx::Error> {
    fn column<'a, T>(rows: &'a [Attempt], field: impl Fn(&'a Attempt) -> T) -> Vec<T> {
        rows.iter().map(field).collect()
    }
    sqlx::query!(
        "insert into refused_attempts (workspace_id, attempt_id, workspace_seq, position, first_at, last_at, count,
             action, actor_type, actor_id, via, target_type, target_id, code, permission, command, origin, request_id,
             correlation_id)
         select a.workspace_id, attempt_id, coalesce(
                    (select e.workspace_seq from events e
                     where e.workspace_id = a.workspace_id and e.position <= a.position
                     order by e.workspace_seq desc limit 1), 0),
                position, first_at, last_at, count, action, actor_type, actor_id, via, target_type, target_id, code,
                permission, command, origin, request_id, correlation_id
         from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
                     $7::text[], $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
                     $14::text[], $15::text[], $16::text[], $17::text[], $18::text[])
              a (workspace_id, attempt_id, position, first_at, last_at, count, action, actor_type, actor_id, via,
                 target_type, target_id, code, permission, command, origin, request_id, correlation_id)
         where exists (select from workspaces w where w.workspace_id = a.workspace_id)
         on conflict (workspace_id, attempt_id) do update set count = excluded.count, last_at = excluded.last_at",
        &column(rows, |row| row.workspace_id),
        &column(rows, |row| row.attempt_id),
        &column(rows, |row| row.position),
        &column(rows, |row| row.first_at),
        &column(rows, |row| row.last_at),
        &column(rows, |row| row.count),
        &column(rows, |row| row.action.as_str()) as _,
        &column(rows, |row| row.actor_type.as_str()) as _,
        &column(rows, |row| row.actor_id.as_deref()) as _,
        &column(rows, |row| row.via.as_deref()) as _,
        &column(rows, |row| row.target_type.as_str()) as _,
        &column(rows, |row| row.target_id.as_str()) as _,
        &column(rows, |row| row.code.as_str()) as _,
        &column(rows, |row| row.permission.as_deref()) as _,
        &column(rows, |row| row.command.as_deref()) as _,
        &column(rows, |row| row.origin.as_deref()) as _,
        &column(rows, |row| row.request_id.as_deref()) as _,
        &column(rows, |row| row.correlation_id.as_deref()) as _
    )
    .execute(projector)
    .await?;
    Ok(())
}

/// How much is forgotten, or looked at, in one go.
const SLICE: i64 = 5_000;

/// Forgets those that began before `before`, and those of workspaces that are gone; returns how many.
pub async fn forget(projector: &PgPool, before: Time) -> Result<u64, sqlx::Error> {
    let mut forgotten = 0;
    loop {
        let old = forget_old(projector, before).await?;
        forgotten += old;
        if old < SLICE.unsigned_abs() {
            break;
        }
    }
    let mut after = Uuid::nil();
    loop {
        let workspaces = workspaces_after(projector, after).await?;
        let Some(last) = workspaces.last() else { return Ok(forgotten) };
        after = *last;
        forgotten += forget_gone(projector, &workspaces).await?;
    }
}

async fn forget_old(projector: &PgPool, before: Time) -> Result<u64, sqlx::Error> {
    let done = sqlx::query!(
        "delete from refused_attempts where (workspace_id, attempt_id) in (
             select workspace_id, attempt_id from refused_attempts where first_at < $1 order by first_at limit $2)",
        before,
        SLICE
    )
    .execute(projector)
    .await?;
    Ok(done.rows_affected())
}

/// The workspaces there are attempts on, by id, after one of them: a probe for each, however many attempts there are.
async fn workspaces_after(projector: &PgPool, after: Uuid) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"with recursive on_them (workspace_id) as (
               (select workspace_id from refused_attempts where workspace_id > $1 order by workspace_id limit 1)
               union all
               select (select a.workspace_id from refused_attempts a where a.workspace_id > o.workspace_id
                       order by a.workspace_id limit 1)
               from on_them o where o.workspace_id is not null
           )
           select workspace_id as "workspace_id!" from on_them where workspace_id is not null limit $2"#,
        after,
        SLICE
    )
    .fetch_all(projector)
    .await
}

async fn forget_gone(projector: &PgPool, workspaces: &[Uuid]) -> Result<u64, sqlx::Error> {
    let there: HashSet<Uuid> = existing(projector, workspaces).await?.into_iter().collect();
    let gone: Vec<Uuid> = workspaces.iter().filter(|id| !there.contains(id)).copied().collect();
    if gone.is_empty() {
        return Ok(0);
    }
    let done = sqlx::query!("delete from refused_attempts where workspace_id = any($1)", &gone);
    Ok(done.execute(projector).await?.rows_affected())
}
