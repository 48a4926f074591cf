//! Rows of `user_workspaces` and `workspace_labels`, many at a time.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Key, Label, Line, label_key, line_key};
use crate::rows::{Rows, column};

pub(super) async fn load_lines(
    conn: &mut PgConnection,
    keys: BTreeSet<Key>,
) -> Result<Rows<Key, Line>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Rows::loaded([], line_key));
    }
    let (personal, member_of): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        Line,
        "select workspace_id, member_of, recorded_role, is_owner, deactivated, joined_at, expires_at,
                last_used_at
         from user_workspaces where (workspace_id, member_of) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &personal,
        &member_of
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, line_key))
}

pub(super) async fn load_labels(
    conn: &mut PgConnection,
    ids: BTreeSet<Uuid>,
) -> Result<Rows<Uuid, Label>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(Rows::loaded([], label_key));
    }
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let rows = sqlx::query_as!(
        Label,
        "select workspace_id, kind, name, slug, suspended, archived, plan from workspace_labels
         where workspace_id = any($1)",
        &ids
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, label_key))
}

pub(super) async fn delete_lines(conn: &mut PgConnection, keys: &[&Key]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from user_workspaces
         where (workspace_id, member_of) in (select * from unnest($1::uuid[], $2::uuid[]))",
        &column(keys, |(personal, _)| *personal),
        &column(keys, |(_, member_of)| *member_of)
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whole rows, many at a time; `$and` says what becomes of those that are there already.
macro_rules! insert {
    ($conn:expr, $rows:expr, $and:literal) => {
        let rows: &[&_] = &$rows;
        if !rows.is_empty() {
            sqlx::query!(
                "insert into workspace_labels (workspace_id, kind, name, slug, suspended, archived, plan)
                 select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bool[], $7::text[])"
                    + $and,
                &column(rows, |row| row.workspace_id),
                &column(rows, |row| row.kind.as_str()) as _,
                &column(rows, |row| row.name.as_str()) as _,
                &column(rows, |row| row.slug.as_deref()) as _,
                &column(rows, |row| row.suspended),
                &column(rows, |row| row.archived),
                &column(rows, |row| row.plan.as_str()) as _
            )
            .execute(&mut *$conn)
            .await?;
        }
    };
}

pub(super) async fn write_labels(
    conn: &mut PgConnection,
    rows: &Rows<Uuid, Label>,
) -> Result<(), sqlx::Error> {
    insert!(conn, rows.to_insert(), "");
    insert!(
        conn,
        rows.to_rewrite(),
        "
         on conflict (workspace_id) do update set
             kind = excluded.kind, name = excluded.name, slug = excluded.slug, suspended = excluded.suspended,
             archived = excluded.archived, plan = excluded.plan"
    );
    Ok(())
}

/// Brings changed labels to every line that copied them. A workspace begins with its label, so a new one has no
/// lines yet but those of this batch, which bear it already.
pub(super) async fn spread_labels(conn: &mut PgConnection, rows: &[&Label]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "update user_workspaces u
         set name = l.name, slug = l.slug, suspended = l.suspended, archived = l.archived, plan = l.plan
         from unnest($1::uuid[], $2::text[], $3::text[], $4::bool[], $5::bool[], $6::text[])
              l (member_of, name, slug, suspended, archived, plan)
         where u.member_of = l.member_of and (u.name, u.slug, u.suspended, u.archived, u.plan)
               is distinct from (l.name, l.slug, l.suspended, l.archived, l.plan)",
        &column(rows, |row| row.workspace_id),
        &column(rows, |row| row.name.as_str()) as _,
        &column(rows, |row| row.slug.as_deref()) as _,
        &column(rows, |row| row.suspended),
        &column(rows, |row| row.archived),
        &column(rows, |row| row.plan.as_str()) as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
