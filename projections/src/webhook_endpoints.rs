//! Webhook endpoints: where a workspace has its events delivered, and which ones.

mod fold;

use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
pub use fold::WebhookEndpoints;

/// An endpoint as its workspace sees it; a deleted one has no row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookEndpoint {
    pub workspace_id: Uuid,
    pub endpoint_id: Uuid,
    pub url: String,
    /// Patterns of what is delivered.
    pub events: Vec<String>,
    pub description: Option<String>,
    /// Which secret signs.
    pub generation: i32,
    /// Until when the secret before that one signs, too.
    pub previous_until: Option<Time>,
    /// Why it is disabled: `requested`, `gone` or `failing`; none while it is enabled.
    pub disabled: Option<String>,
    pub created_by: Option<String>,
    /// The `ETag`.
    pub sequence: i64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Reads endpoints; `$1` is the workspace, the rest the caller's.
macro_rules! webhook_endpoints {
    ($tail:literal, $tx:expr $(, $arg:expr)*) => {{
        let workspace: Uuid = $tx.workspace().into();
        sqlx::query_as!(
            WebhookEndpoint,
            "select workspace_id, endpoint_id, url, events, description, generation, previous_until, disabled,
                    created_by, sequence, created_at, updated_at
             from webhook_endpoints where workspace_id = $1 " + $tail,
            workspace
            $(, $arg)*
        )
    }};
}

pub async fn find(tx: &mut TenantTx, endpoint: Uuid) -> Result<Option<WebhookEndpoint>, sqlx::Error> {
    webhook_endpoints!("and endpoint_id = $2", tx, endpoint).fetch_optional(tx.connection()).await
}

/// Newest first, those before the one named by (`created_at`, `endpoint_id`); only enabled or disabled ones where that
/// is asked for.
pub async fn list(
    tx: &mut TenantTx,
    enabled: Option<bool>,
    before: Option<(Time, Uuid)>,
    limit: i64,
) -> Result<Vec<WebhookEndpoint>, sqlx::Error> {
    let (created_at, endpoint) = before.unzip();
    webhook_endpoints!(
        "and ($2::boolean is null or (disabled is null) = $2)
         and ($3::timestamptz is null or (created_at, endpoint_id) < ($3, $4::uuid))
         order by created_at desc, endpoint_id desc limit $5",
        tx,
        enabled,
        created_at,
        endpoint,
        limit
    )
    .fetch_all(tx.connection())
    .await
}

/// How many endpoints the workspace has, enabled or not.
pub async fn count(tx: &mut TenantTx) -> Result<i64, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from webhook_endpoints where workspace_id = $1"#,
        workspace
    )
    .fetch_one(tx.connection())
    .await
}

/// Whether the service itself has disabled an endpoint of the workspace, and nobody has enabled it since.
pub async fn any_given_up(tx: &mut TenantTx) -> Result<bool, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        r#"select exists (select from webhook_endpoints where workspace_id = $1 and disabled in ('gone', 'failing')) as "given_up!""#,
        workspace
    )
    .fetch_one(tx.connection())
    .await
}
