//! The tables of a generation that is being built: made like the live ones, named like them, in a schema of their own.

use sqlx::{Connection, PgConnection};
use tenure_aggregates::Time;
use tenure_projections::Registered;

use super::error::Error;

/// Finds the generation a rebuild left unfinished, or begins one. Runs as the tables' owner.
pub(super) async fn begin(conn: &mut PgConnection, projection: &Registered, now: Time) -> Result<(), Error> {
    let unfinished = sqlx::query_scalar!(
        "select version from projection_checkpoints where name = $1 and state = 'building' for update",
        projection.name
    )
    .fetch_optional(&mut *conn)
    .await?;
    // What another version of the fold began, this one must not finish.
    if unfinished == Some(projection.version) {
        return Ok(());
    }
    discard(&mut *conn, projection).await?;
    for table in projection.tables {
        create_like_live(&mut *conn, table).await?;
        if !projection.keys_last {
            create_keys(&mut *conn, table).await?;
        }
        create_indexes(&mut *conn, table, false).await?;
    }
    sqlx::query!(
        "insert into projection_checkpoints (name, generation, version, position, state, moved_at)
         select $1, max(generation) + 1, $2, 0, 'building', $3 from projection_checkpoints where name = $1",
        projection.name,
        projection.version,
        now
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Throws away what an unfinished rebuild left.
async fn discard(conn: &mut PgConnection, projection: &Registered) -> Result<(), Error> {
    for table in projection.tables {
        run(&mut *conn, format!("drop table if exists tenure_building.{table}")).await?;
    }
    forget_parked(&mut *conn, projection.name, "building").await?;
    sqlx::query!(
        "delete from projection_checkpoints where name = $1 and state = 'building'",
        projection.name
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// The same columns and checks. The projector may write there, and nobody else comes near: the schema is closed to them,
/// and [`finish`] puts up the fences before anybody reads.
async fn create_like_live(conn: &mut PgConnection, table: &str) -> Result<(), Error> {
    let create = format!(
        "create table tenure_building.{table} (like public.{table} including all excluding indexes excluding statistics)"
    );
    run(&mut *conn, create).await?;
    let grant =
        format!("grant select, insert, update, delete on tenure_building.{table} to tenure_projector");
    run(conn, grant).await
}

/// The keys of the live table that the new one lacks, under the same names.
async fn create_keys(conn: &mut PgConnection, table: &str) -> Result<(), Error> {
    let keys = sqlx::query!(
        r#"select quote_ident(conname) as "name!", pg_get_constraintdef(oid) as "definition!"
           from pg_constraint c where conrelid = ('public.' || $1)::text::regclass and contype in ('p', 'u', 'x')
             and not exists (select from pg_constraint b
                             where b.conrelid = ('tenure_building.' || $1)::text::regclass and b.conname = c.conname)"#,
        table
    )
    .fetch_all(&mut *conn)
    .await?;
    for key in keys {
        let (name, definition) = (key.name, key.definition);
        run(&mut *conn, format!("alter table tenure_building.{table} add constraint {name} {definition}"))
            .await?;
    }
    Ok(())
}

/// The same fences as before the live table.
async fn protect(conn: &mut PgConnection, table: &str) -> Result<(), Error> {
    let protect = format!(
        "select public.protect_tenant_table('tenure_building.{table}', 'tenure_projector',
                                            'select, insert, update, delete')"
    );
    run(conn, protect).await
}

/// Whether the fences are up, so that rows can only be inserted.
pub(super) async fn is_protected(
    conn: &mut PgConnection,
    projection: &Registered,
) -> Result<bool, sqlx::Error> {
    let protected = sqlx::query_scalar!(
        "select bool_or(c.relrowsecurity) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where n.nspname = 'tenure_building' and c.relname = any($1)",
        projection.tables as _
    )
    .fetch_one(conn)
    .await?;
    Ok(protected.unwrap_or_default())
}

/// Indexes that only reads within a workspace use are made when the rows are there, which is far cheaper; those the
/// fold itself looks rows up by (across workspaces, or unique) must be there before.
pub(super) async fn finish(conn: &mut PgConnection, projection: &Registered) -> Result<(), Error> {
    let protected = is_protected(&mut *conn, projection).await?;
    for table in projection.tables {
        create_keys(&mut *conn, table).await?;
        create_indexes(&mut *conn, table, true).await?;
        analyze(&mut *conn, table).await?;
    }
    // All at once: a projection's tables are either filled or guarded.
    if !protected {
        let mut tx = conn.begin().await?;
        for table in projection.tables {
            protect(&mut tx, table).await?;
        }
        tx.commit().await?;
    }
    Ok(())
}

/// Only the columns of keys and indexes, by which plans are chosen: sorting samples of all others takes longer. PostgreSQL
/// counts such a table as not analyzed, and sees to the others by itself.
async fn analyze(conn: &mut PgConnection, table: &str) -> Result<(), Error> {
    let columns = sqlx::query_scalar!(
        r#"select string_agg(distinct quote_ident(a.attname), ', ') as "columns!"
           from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
           where i.indrelid = ('tenure_building.' || $1)::text::regclass"#,
        table
    )
    .fetch_one(&mut *conn)
    .await?;
    run(conn, format!("analyze tenure_building.{table} ({columns})")).await
}

async fn create_indexes(conn: &mut PgConnection, table: &str, for_reads: bool) -> Result<(), Error> {
    let indexes = sqlx::query_scalar!(
        r#"select replace(replace(pg_get_indexdef(i.indexrelid), ' ON public.', ' ON tenure_building.'),
                          'CREATE INDEX ', 'CREATE INDEX IF NOT EXISTS ') as "definition!"
           from pg_index i
           left join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
           where i.indrelid = ('public.' || $1)::text::regclass
             and not exists (select from pg_constraint c where c.conindid = i.indexrelid)
             and (not i.indisunique and coalesce(a.attname = 'workspace_id', false)) = $2"#,
        table,
        for_reads
    )
    .fetch_all(&mut *conn)
    .await?;
    for index in indexes {
        run(&mut *conn, index).await?;
    }
    Ok(())
}

/// The new generation's tables and checkpoint take the live ones' place. All locks are held, all events applied.
pub(super) async fn take_over(conn: &mut PgConnection, projection: &Registered) -> Result<(), Error> {
    for table in projection.tables {
        run(&mut *conn, format!("alter table public.{table} set schema tenure_retired")).await?;
        run(&mut *conn, format!("alter table tenure_building.{table} set schema public")).await?;
        run(&mut *conn, format!("drop table tenure_retired.{table}")).await?;
    }
    forget_parked(&mut *conn, projection.name, "live").await?;
    sqlx::query!("delete from projection_checkpoints where name = $1 and state = 'live'", projection.name)
        .execute(&mut *conn)
        .await?;
    sqlx::query!(
        "update projection_checkpoints set state = 'live' where name = $1 and state = 'building'",
        projection.name
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// As the projector: row level security hides these rows even from the table's owner.
async fn forget_parked(conn: &mut PgConnection, name: &str, state: &str) -> Result<(), Error> {
    run(&mut *conn, "set local role tenure_projector".to_owned()).await?;
    sqlx::query!(
        "delete from projection_parked p using projection_checkpoints c
         where c.name = $1 and c.state = $2 and p.name = c.name and p.generation = c.generation",
        name,
        state
    )
    .execute(&mut *conn)
    .await?;
    run(conn, "set local role none".to_owned()).await
}

/// Only ever names of our own tables stand in these texts.
pub(super) async fn run(conn: &mut PgConnection, sql: String) -> Result<(), Error> {
    sqlx::raw_sql(&sql).execute(conn).await?;
    Ok(())
}
