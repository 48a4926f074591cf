//! A log that already holds so many events, made by one statement in place of as many commands.
//!
//! Streams of ten events each, ten streams to a workspace, ids and payloads as Tenure writes them. Tables and indexes
//! are in the end what a user has; the indexes are only built once the rows are there, the one on streams as loose as
//! one that has grown.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection, Row};
use tenure_aggregates::WorkspaceId;

/// How many events a stream has.
pub const STREAM: u64 = 10;

/// Ten events of one stream, as they stand in a log.
#[derive(Debug, Clone)]
pub struct Template {
    pub types: Vec<String>,
    pub versions: Vec<String>,
    pub payloads: Vec<String>,
    pub metadata: Vec<String>,
    /// The workspace that the metadata name; each event gets its own.
    pub workspace: String,
}

impl Template {
    /// Of the first stream of that length in a log.
    pub async fn of(database: &PgConnectOptions) -> Self {
        let mut connection = database.connect().await.expect("a connection");
        let rows = sqlx::query(
            "select event_type, event_version, payload::text, metadata::text, workspace_id::text from events where (aggregate_type, aggregate_id) in (
                 select aggregate_type, aggregate_id from events group by 1, 2 having count(*) = $1 limit 1)
             order by sequence",
        )
        .bind(STREAM.cast_signed())
        .fetch_all(&mut connection)
        .await
        .expect("a stream");
        connection.close().await.expect("closed");
        let column = |at: usize| rows.iter().map(|row| row.get(at)).collect();
        Self {
            types: column(0),
            versions: column(1),
            payloads: column(2),
            metadata: column(3),
            workspace: rows[0].get(4),
        }
    }
}

/// Names every generated event: `p` position, `w` workspace, `q` its sequence there, `a` stream, `k` sequence,
/// `e` type, `v` version, `d` payload, `m` metadata.
const EVENTS: &str = "
    (select s * 10 + k as p, w.id as w, s % 10 * 10 + k as q, a.id as a, k, ($2::text[])[k] as e, ($3::text[])[k] as v,
            ($4::text[])[k]::json as d, replace(($5::text[])[k], $6, w.id::text)::json as m
     from generate_series(0, $1 / 10 - 1) s
     cross join lateral (select md5(s::text)::uuid::text as id offset 0) a
     cross join lateral (select pg_temp.workspace_of(s / 10) as id offset 0) w
     cross join generate_series(1, 10) k) e";

/// Ordered in time, like any v7.
const WORKSPACE_OF: &str = "
    create or replace function pg_temp.workspace_of(n bigint) returns uuid language sql immutable as $$
    select (lpad(to_hex(1700000000000 + n), 12, '0') || '7' || left(md5(n::text), 3) || '8' || right(md5(n::text), 15))::uuid
    $$";

/// Fills Tenure's log, which is empty, and sets the heads as the appends would have left them.
pub async fn tenure(database: &PgConnectOptions, template: &Template, events: u64) {
    let insert = format!(
        "insert into events (position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                             event_version, payload, metadata, recorded_at)
         select p, w, q, 'Membership', a, k, e, v, d, m, now() from {EVENTS}"
    );
    let mut connection = connected(database).await;
    filled(&mut connection, "events", &insert, template, events).await;
    connection
        .execute(
            "insert into workspace_heads (workspace_id, seq, seats, code_uses)
             select workspace_id, max(workspace_seq), count(*) / 10, 0 from events group by 1;
             update log_head set position = (select coalesce(max(position), 0) from events), recorded_at = now();",
        )
        .await
        .expect("the heads");
    settled(connection).await;
}

/// Fills the table of that name, which has stock's columns, with the same events.
pub async fn stock(
    database: &PgConnectOptions,
    template: &Template,
    events: u64,
    table: &str,
    position: bool,
) {
    let (column, value) = if position { ("position, ", "p, ") } else { ("", "") };
    let insert = format!(
        "insert into {table} ({column}aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata)
         select {value}'Membership', a, k, e, v, d, m from {EVENTS}"
    );
    let mut connection = connected(database).await;
    filled(&mut connection, table, &insert, template, events).await;
    settled(connection).await;
}

/// So many of the streams that a log of so many events was given, in no order.
pub async fn streams(database: &PgConnectOptions, events: u64, at_most: u64) -> Vec<(WorkspaceId, String)> {
    let mut connection = connected(database).await;
    let rows = sqlx::query(
        "select pg_temp.workspace_of(s / 10), md5(s::text)::uuid::text from generate_series(0, $1 / 10 - 1) s
         order by md5(s::text || 'order') limit $2",
    )
    .bind(events.cast_signed())
    .bind(at_most.cast_signed())
    .fetch_all(&mut connection)
    .await
    .expect("streams");
    connection.close().await.expect("closed");
    rows.iter().map(|row| (WorkspaceId(row.get(0)), row.get(1))).collect()
}

async fn connected(database: &PgConnectOptions) -> PgConnection {
    let mut connection = database.connect().await.expect("a connection");
    let settings = "set synchronous_commit = off; set jit = off; set maintenance_work_mem = '512MB'; set work_mem = '256MB'";
    connection.execute(settings).await.expect("set");
    connection.execute(WORKSPACE_OF).await.expect("a function");
    connection
}

async fn filled(connection: &mut PgConnection, table: &str, insert: &str, template: &Template, events: u64) {
    if events == 0 {
        return;
    }
    let indexes = indexes(connection, table).await;
    for index in &indexes {
        connection.execute(&*index.drop).await.expect("dropped");
    }
    sqlx::query(insert)
        .bind(events.cast_signed())
        .bind(&template.types)
        .bind(&template.versions)
        .bind(&template.payloads)
        .bind(&template.metadata)
        .bind(&template.workspace)
        .execute(&mut *connection)
        .await
        .expect("filled");
    for index in &indexes {
        connection.execute(&*index.create).await.expect("created");
    }
}

struct Index {
    drop: String,
    create: String,
}

/// Every index of a table; those of constraints with their constraint.
async fn indexes(connection: &mut PgConnection, table: &str) -> Vec<Index> {
    let rows = sqlx::query(
        "select i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), c.conname::text, pg_get_constraintdef(c.oid),
                i.indkey::int[] && array(select attnum::int from pg_attribute
                                         where attrelid = i.indrelid and attname = 'aggregate_id')
         from pg_index i left join pg_constraint c on c.conindid = i.indexrelid where i.indrelid = $1::regclass",
    )
    .bind(table)
    .fetch_all(connection)
    .await
    .expect("the indexes");
    rows.iter()
        .map(|row| {
            let (name, definition): (String, String) = (row.get(0), row.get(1));
            let constraint: Option<(String, String)> = row.get::<Option<String>, _>(2).zip(row.get(3));
            let loose = if row.get(4) { " with (fillfactor = 70)" } else { "" };
            match constraint {
                None => Index { drop: format!("drop index {name}"), create: format!("{definition}{loose}") },
                Some((constraint, definition)) => Index {
                    drop: format!("alter table {table} drop constraint {constraint}"),
                    create: format!("alter table {table} add constraint {constraint} {definition}{loose}"),
                },
            }
        })
        .collect()
}

async fn settled(mut connection: PgConnection) {
    connection.execute("vacuum analyze").await.expect("analysed");
    connection.execute("checkpoint").await.expect("a checkpoint");
    connection.close().await.expect("closed");
}
