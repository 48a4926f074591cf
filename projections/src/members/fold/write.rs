//! Rows of `members` and `member_profiles`, many at a time.

use std::collections::BTreeSet;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Key, Profile, Row, effective_role};
use crate::rows::{Rows, column};

pub(super) async fn load_members(
    conn: &mut PgConnection,
    keys: BTreeSet<Key>,
) -> Result<Rows<Key, Row>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Rows::loaded([], row_key));
    }
    let (workspaces, users): (Vec<_>, Vec<_>) = keys.into_iter().unzip();
    let rows = sqlx::query_as!(
        Row,
        "select workspace_id, user_id, recorded_role, is_owner, deactivated, email, name, joined_at, expires_at,
                sequence, updated_at
         from members where (workspace_id, user_id) in (select * from unnest($1::uuid[], $2::text[]))",
        &workspaces,
        &users
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, row_key))
}

pub(super) fn row_key(row: &Row) -> Key {
    (row.workspace_id, row.user_id.clone())
}

pub(super) async fn load_profiles(
    conn: &mut PgConnection,
    keys: BTreeSet<Uuid>,
) -> Result<Rows<Uuid, Profile>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(Rows::loaded([], |profile: &Profile| profile.workspace_id));
    }
    let keys: Vec<Uuid> = keys.into_iter().collect();
    let rows = sqlx::query_as!(
        Profile,
        r#"select workspace_id, null as "user_id: String", email, name
           from member_profiles where workspace_id = any($1)"#,
        &keys
    )
    .fetch_all(conn)
    .await?;
    Ok(Rows::loaded(rows, |profile| profile.workspace_id))
}

pub(super) async fn delete_members(conn: &mut PgConnection, keys: &[&Key]) -> Result<(), sqlx::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    sqlx::query!(
        "delete from members where (workspace_id, user_id) in (select * from unnest($1::uuid[], $2::text[]))",
        &column(keys, |(workspace, _)| *workspace),
        &column(keys, |(_, user)| user.as_str()) as _
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
                "insert into members (workspace_id, user_id, role, recorded_role, is_owner, deactivated, email, name,
                                      joined_at, expires_at, sequence, updated_at)
                 select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bool[], $6::bool[], $7::text[],
                                      $8::text[], $9::timestamptz[], $10::timestamptz[], $11::bigint[], $12::timestamptz[])"
                    + $and,
                &column(rows, |row| row.workspace_id),
                &column(rows, |row| row.user_id.as_str()) as _,
                &column(rows, |row| effective_role(&row.recorded_role, row.is_owner)) as _,
                &column(rows, |row| row.recorded_role.as_str()) as _,
                &column(rows, |row| row.is_owner),
                &column(rows, |row| row.deactivated),
                &column(rows, |row| row.email.as_deref()) as _,
                &column(rows, |row| row.name.as_deref()) as _,
                &column(rows, |row| row.joined_at),
                &column(rows, |row| row.expires_at) as _,
                &column(rows, |row| row.sequence),
                &column(rows, |row| row.updated_at)
            )
            .execute(&mut *$conn)
            .await?;
        }
    };
}

pub(super) async fn write_members(conn: &mut PgConnection, rows: &Rows<Key, Row>) -> Result<(), sqlx::Error> {
    insert!(conn, rows.to_insert(), "");
    insert!(
        conn,
        rows.to_rewrite(),
        "
         on conflict (workspace_id, user_id) do update set
             role = excluded.role, recorded_role = excluded.recorded_role, is_owner = excluded.is_owner,
             deactivated = excluded.deactivated, email = excluded.email, name = excluded.name,
             joined_at = excluded.joined_at, expires_at = excluded.expires_at, sequence = excluded.sequence,
             updated_at = excluded.updated_at"
    );
    Ok(())
}

pub(super) async fn write_profiles(conn: &mut PgConnection, rows: &[&Profile]) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let email = column(rows, |row| row.email.as_deref());
    let name = column(rows, |row| row.name.as_deref());
    sqlx::query!(
        "insert into member_profiles (workspace_id, email, name)
         select * from unnest($1::uuid[], $2::text[], $3::text[])
         on conflict (workspace_id) do update set email = excluded.email, name = excluded.name",
        &column(rows, |row| row.workspace_id),
        &email as _,
        &name as _
    )
    .execute(&mut *conn)
    .await?;
    sqlx::query!(
        "update members m set email = p.email, name = p.name
         from unnest($1::text[], $2::text[], $3::text[]) p (user_id, email, name)
         where m.user_id = p.user_id and (m.email, m.name) is distinct from (p.email, p.name)",
        &column(rows, |row| row.user_id.as_deref()) as _,
        &email as _,
        &name as _
    )
    .execute(conn)
    .await?;
    Ok(())
}
