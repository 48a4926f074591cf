//! What a projection is, and all there are.

use std::future::Future;
use std::pin::Pin;

use sqlx::PgConnection;

use crate::recorded::Recorded;
use crate::{
    api_keys::ApiKeys, audit_log::AuditLog, invitations::Invitations, members::Members,
    permissions::Permissions, proofs::Proofs, sessions::Sessions, states::States, users::Users,
    webhook_endpoints::WebhookEndpoints, workspaces::Workspaces,
};

/// Events in, rows out. `apply` runs inside the transaction that also moves the checkpoint.
pub trait Projection: Send + Sync {
    const NAME: &'static str;
    /// Raised when the fold or the shape of its tables changes: the stored rows then need a rebuild.
    const VERSION: i32;
    /// The tables this projection alone writes.
    const TABLES: &'static [&'static str];

    /// Applies events in order. A log cut into batches anywhere gives the same rows.
    fn apply(
        conn: &mut PgConnection,
        batch: &[Recorded],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;

    /// Leads to the same rows, in tables that are being built: nothing reads them, and no policy guards them yet.
    fn fill(
        conn: &mut PgConnection,
        batch: &[Recorded],
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send {
        Self::apply(conn, batch)
    }

    /// Whether [`Self::fill`] only adds rows and looks none up, so that their keys can be made when all are there.
    const KEYS_LAST: bool = false;
}

type Applied<'a> = Pin<Box<dyn Future<Output = Result<(), sqlx::Error>> + Send + 'a>>;
type Apply = for<'a> fn(&'a mut PgConnection, &'a [Recorded]) -> Applied<'a>;

/// A projection as a value, so that a loop can run over all of them.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    pub name: &'static str,
    pub version: i32,
    pub tables: &'static [&'static str],
    /// See [`Projection::KEYS_LAST`].
    pub keys_last: bool,
    apply: Apply,
    fill: Apply,
}

impl Registered {
    pub const fn of<P: Projection + 'static>() -> Self {
        Self {
            name: P::NAME,
            version: P::VERSION,
            tables: P::TABLES,
            keys_last: P::KEYS_LAST,
            apply: |conn, batch| Box::pin(P::apply(conn, batch)),
            fill: |conn, batch| Box::pin(P::fill(conn, batch)),
        }
    }

    pub async fn apply(&self, conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        (self.apply)(conn, batch).await
    }

    /// See [`Projection::fill`].
    pub async fn fill(&self, conn: &mut PgConnection, batch: &[Recorded]) -> Result<(), sqlx::Error> {
        (self.fill)(conn, batch).await
    }
}

/// Every core read model.
pub static ALL: [Registered; 11] = [
    Registered::of::<Workspaces>(),
    Registered::of::<Members>(),
    Registered::of::<Invitations>(),
    Registered::of::<Users>(),
    Registered::of::<Sessions>(),
    Registered::of::<Permissions>(),
    Registered::of::<ApiKeys>(),
    Registered::of::<WebhookEndpoints>(),
    Registered::of::<AuditLog>(),
    Registered::of::<Proofs>(),
    Registered::of::<States>(),
];

/// The read model of that name.
pub fn named(name: &str) -> Option<&'static Registered> {
    ALL.iter().find(|projection| projection.name == name)
}
