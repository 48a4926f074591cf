//! Sessions, each in its user's personal workspace.

mod fold;

use tenure_aggregates::Time;
use uuid::Uuid;

use crate::TenantTx;
pub use fold::Sessions;

/// The sessions of the user whose personal workspace the transaction names, that are neither ended nor over at `now`.
pub async fn live(tx: &mut TenantTx, now: Time) -> Result<Vec<Uuid>, sqlx::Error> {
    let workspace: Uuid = tx.workspace().into();
    sqlx::query_scalar!(
        "select session_id from sessions where workspace_id = $1 and not ended and expires_at > $2
         order by session_id",
        workspace,
        now
    )
    .fetch_all(tx.connection())
    .await
}
