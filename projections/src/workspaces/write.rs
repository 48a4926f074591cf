//! Whole rows of `workspaces`, many at a time.

use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::{Roles, Workspace};
use crate::rows::{Rows, column};

pub(super) async fn load(conn: &mut PgConnection, ids: &[Uuid]) -> Result<Vec<Workspace>, sqlx::Error> {
    sqlx::query_as!(
        Workspace,
        r#"select workspace_id, kind, name, slug, description, image_url, website, phone, social, owner_id,
                suspended_since, suspension_reason, archived, plan, roles as "roles: Json<Roles>", seats_used,
                seats_limit, code_generation, code_role, code_max_uses, code_uses, code_expires_at, code_issued_at, sequence, created_at, updated_at
         from workspaces where workspace_id = any($1)"#,
        ids
    )
    .fetch_all(conn)
    .await
}

/// Whole rows, many at a time; `$and` says what becomes of those that are there already.
macro_rules! insert {
    ($conn:expr, $rows:expr, $and:literal) => {
        let rows: &[&_] = &$rows;
        if !rows.is_empty() {
            sqlx::query!(
                "insert into workspaces (workspace_id, kind, name, slug, description, image_url, website, phone, social,
                     owner_id, suspended_since, suspension_reason, archived, seats_used, seats_limit, code_generation,
                     code_role, code_max_uses, code_uses, code_expires_at, code_issued_at, sequence, created_at, updated_at,
                     plan, roles)
                 select * from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
                     $8::text[], $9::jsonb[], $10::text[], $11::timestamptz[], $12::text[], $13::bool[], $14::int[],
                     $15::int[], $16::int[], $17::text[], $18::int[], $19::int[], $20::timestamptz[], $21::timestamptz[],
                     $22::bigint[], $23::timestamptz[], $24::timestamptz[], $25::text[], $26::jsonb[])"
                    + $and,
                &column(rows, |row| row.workspace_id),
                &column(rows, |row| row.kind.as_str()) as _,
                &column(rows, |row| row.name.as_str()) as _,
                &column(rows, |row| row.slug.as_deref()) as _,
                &column(rows, |row| row.description.as_deref()) as _,
                &column(rows, |row| row.image_url.as_deref()) as _,
                &column(rows, |row| row.website.as_deref()) as _,
                &column(rows, |row| row.phone.as_deref()) as _,
                &column(rows, |row| row.social.clone()),
                &column(rows, |row| row.owner_id.as_str()) as _,
                &column(rows, |row| row.suspended_since) as _,
                &column(rows, |row| row.suspension_reason.as_deref()) as _,
                &column(rows, |row| row.archived),
                &column(rows, |row| row.seats_used),
                &column(rows, |row| row.seats_limit),
                &column(rows, |row| row.code_generation) as _,
                &column(rows, |row| row.code_role.as_deref()) as _,
                &column(rows, |row| row.code_max_uses) as _,
                &column(rows, |row| row.code_uses),
                &column(rows, |row| row.code_expires_at) as _,
                &column(rows, |row| row.code_issued_at) as _,
                &column(rows, |row| row.sequence),
                &column(rows, |row| row.created_at),
                &column(rows, |row| row.updated_at),
                &column(rows, |row| row.plan.as_str()) as _,
                &column(rows, |row| row.roles.clone()) as _
            )
            .execute(&mut *$conn)
            .await?;
        }
    };
}

pub(super) async fn write(conn: &mut PgConnection, rows: &Rows<Uuid, Workspace>) -> Result<(), sqlx::Error> {
    insert!(conn, rows.to_insert(), "");
    insert!(
        conn,
        rows.to_rewrite(),
        "
         on conflict (workspace_id) do update set
             kind = excluded.kind, name = excluded.name, slug = excluded.slug, description = excluded.description,
             image_url = excluded.image_url, website = excluded.website, phone = excluded.phone,
             social = excluded.social, owner_id = excluded.owner_id, suspended_since = excluded.suspended_since,
             suspension_reason = excluded.suspension_reason, archived = excluded.archived,
             seats_used = excluded.seats_used, seats_limit = excluded.seats_limit,
             code_generation = excluded.code_generation, code_role = excluded.code_role,
             code_max_uses = excluded.code_max_uses, code_uses = excluded.code_uses,
             code_expires_at = excluded.code_expires_at, code_issued_at = excluded.code_issued_at,
             sequence = excluded.sequence, created_at = excluded.created_at, updated_at = excluded.updated_at,
             plan = excluded.plan, roles = excluded.roles"
    );
    Ok(())
}
