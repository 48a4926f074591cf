//! Whom and what a piece of a name leads to in one workspace: people, keys, roles; and an invitation, by its whole
//! address. Names in the audit log are sealed, so they are looked for in the read models, and the log by ids.

use tenure_aggregates::values::Email;
use tenure_projections::audit_log::Named;
use tenure_projections::{TenantTx, audit_log};

use crate::data_keys::Vault;
use crate::store::StoreError;

/// How many a name may lead to. An audit log that silently left some out would be worse than none.
const MOST: i64 = 1_000;

/// The piece of a name leads to more than can be looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this leads to more than {MOST} people and things; be more specific")]
pub struct TooBroad;

/// What `text` leads to; any case.
pub async fn resolve(
    tx: &mut TenantTx,
    vault: &Vault,
    text: &str,
) -> Result<Result<Named, TooBroad>, StoreError> {
    let mut ids = audit_log::named(tx, text, MOST + 1).await?;
    if let Ok(email) = Email::parse(text) {
        let sent = vault.invitations_in(tx.workspace(), &email).await?;
        ids.extend(sent.iter().map(ToString::to_string));
    }
    if ids.len() > usize::try_from(MOST).unwrap_or(usize::MAX) {
        return Ok(Err(TooBroad));
    }
    Ok(Ok(Named { text: text.to_owned(), ids }))
}
