//! Prepares a database: checks its version and our rights, makes the roles, runs the migrations.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};

use super::rights;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");
/// The oldest PostgreSQL that will do, as `server_version_num` has it.
const OLDEST: i32 = 150_000;

#[derive(Debug, thiserror::Error)]
pub enum MigrationError {
    #[error("cannot connect to PostgreSQL: {0}")]
    Connect(sqlx::Error),
    #[error("PostgreSQL {0} is too old: Tenure needs 15 or later")]
    TooOld(String),
    #[error(
        "{login} lacks rights in the database {database}. Let an administrator run there:\n\n{statements}\n"
    )]
    Rights { login: String, database: String, statements: String },
    #[error("the database could not be prepared: {0}")]
    Migrate(#[from] MigrateError),
    #[error("the database could not be prepared: {0}")]
    Database(#[from] sqlx::Error),
}

/// Brings the database to this version; safe to run from several processes at once, and again.
pub async fn migrate(options: &PgConnectOptions) -> Result<(), MigrationError> {
    let mut connection = options.connect().await.map_err(MigrationError::Connect)?;
    let (number, version): (i32, String) = sqlx::query_as(
        "select current_setting('server_version_num')::int, current_setting('server_version')",
    )
    .fetch_one(&mut connection)
    .await?;
    if number < OLDEST {
        return Err(MigrationError::TooOld(version));
    }
    prepare_roles(&mut connection).await?;
    MIGRATIONS.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// The roles are the cluster's, not the database's: another database may have made them already, or is just about to.
async fn prepare_roles(connection: &mut PgConnection) -> Result<(), MigrationError> {
    let lacking = rights::lacking(connection).await?;
    if lacking.is_empty() {
        return Ok(());
    }
    if rights::may_create_roles(connection).await? {
        sqlx::raw_sql("select pg_advisory_lock(7313073130)").execute(&mut *connection).await?;
        for statement in rights::lacking(connection).await? {
            sqlx::raw_sql(&statement).execute(&mut *connection).await?;
        }
        sqlx::raw_sql("select pg_advisory_unlock(7313073130)").execute(&mut *connection).await?;
        let lacking = rights::lacking(connection).await?;
        if lacking.is_empty() {
            return Ok(());
        }
    }
    let (login, database): (String, String) =
        sqlx::query_as("select current_user::text, current_database()::text")
            .fetch_one(&mut *connection)
            .await?;
    let statements = rights::lacking(connection).await?.join("\n");
    Err(MigrationError::Rights { login, database, statements })
}
