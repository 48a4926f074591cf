//! Connection pools, one per role, that never hand out a connection with something left open on it.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, Executor, PgPool};

/// Whose rights a pool has. The login role only lends its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Reads tenant data, one workspace at a time.
    Service,
    /// Reads streams and appends to the log.
    Appender,
    /// Reads the log and writes the read models.
    Projector,
    /// Reads the keys that personal data is sealed with.
    Keeper,
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Service, Self::Appender, Self::Projector, Self::Keeper];

    /// Whether transactions are begun on its pool that may be dropped half-way. The service's are begun by
    /// [`TenantTx`](tenure_projections::TenantTx) alone, in tasks of their own; of the others every statement is a
    /// transaction of its own.
    fn begins_transactions(self) -> bool {
        matches!(self, Self::Projector)
    }

    /// Whether there is an index for whatever it asks.
    fn looks_up_by_keys(self) -> bool {
        matches!(self, Self::Appender | Self::Keeper)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Service => "tenure_service",
            Self::Appender => "tenure_appender",
            Self::Projector => "tenure_projector",
            Self::Keeper => "tenure_keeper",
        }
    }
}

/// How long a request waits for a connection before it is told to try again.
const ACQUIRE: Duration = Duration::from_secs(3);
/// A connection that idled longer is asked whether it still lives.
const TRUSTED: Duration = Duration::from_secs(1);

pub fn options_of(url: &str) -> Result<PgConnectOptions, sqlx::Error> {
    Ok(PgConnectOptions::from_str(url)?.application_name("tenure").disable_statement_logging())
}

/// A pool that works as `role`, connecting when first used.
pub fn pool(options: &PgConnectOptions, role: Role, connections: u32) -> PgPool {
    let options = options.clone().options([
        ("role", role.name()),
        ("statement_timeout", "30s"),
        ("client_min_messages", "error"),
        // What looks like much work before tables were analysed would be compiled for longer than it runs.
        ("jit", "off"),
    ]);
    let options = if role.looks_up_by_keys() { by_keys(&options) } else { options };
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(Duration::from_mins(5))
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    if !role.begins_transactions() {
        return pool.connect_lazy_with(options);
    }
    // sqlx loses track of a transaction whose `begin` was cancelled, and then writes that were answered with Ok are
    // never committed: whatever a connection comes back with, it ends here. A rollback of nothing would stand in the
    // server's log as a warning, so there is something to roll back.
    pool.after_release(|connection, _| {
        Box::pin(async move {
            connection.execute("begin; rollback").await?;
            Ok(true)
        })
    })
    .connect_lazy_with(options)
}

/// For whoever asks only what there is an index for: a plan that was made while a table was empty would go on reading all
/// of it.
pub fn by_keys(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([("enable_seqscan", "off")])
}

/// A pool like that one. Connections wait on the runtime they were made in: whoever runs another one needs its own.
pub fn twin(pool: &PgPool) -> PgPool {
    pool.options().clone().connect_lazy_with(pool.connect_options().as_ref().clone())
}
