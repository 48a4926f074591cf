//! Which rights the login role still lacks, as the very statements that grant them.

use sqlx::PgConnection;

use super::pool::Role;

/// The statements that are missing; none when all is well.
pub(super) async fn lacking(connection: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    let (login, database): (String, String) =
        sqlx::query_as("select quote_ident(current_user), quote_ident(current_database())")
            .fetch_one(&mut *connection)
            .await?;
    let mut statements = Vec::new();
    for role in Role::ALL.map(Role::name) {
        let exists: bool = sqlx::query_scalar("select exists (select from pg_roles where rolname = $1)")
            .bind(role)
            .fetch_one(&mut *connection)
            .await?;
        if !exists {
            statements.push(format!("create role {role} nologin;"));
            statements.push(format!("grant {role} to {login};"));
            continue;
        }
        let member: bool = sqlx::query_scalar("select pg_has_role(current_user, $1, 'member')")
            .bind(role)
            .fetch_one(&mut *connection)
            .await?;
        if !member {
            statements.push(format!("grant {role} to {login};"));
        }
    }
    let (schema, create): (bool, bool) = sqlx::query_as(
        "select has_schema_privilege('public', 'create'), has_database_privilege(current_database(), 'create')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !schema {
        statements.push(format!("grant usage, create on schema public to {login};"));
    }
    if !create {
        statements.push(format!("grant create on database {database} to {login};"));
    }
    Ok(statements)
}

pub(super) async fn may_create_roles(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("select rolsuper or rolcreaterole from pg_roles where rolname = current_user")
        .fetch_one(connection)
        .await
}
