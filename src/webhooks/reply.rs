//! The first bytes of replies, as they are kept: sealed with the key of whom the event speaks of, so that what a
//! receiver sends back is forgotten with it.

use tenure_aggregates::{InvitationId, WorkspaceId};
use tenure_projections::Logged;
use uuid::Uuid;

use crate::data_keys::{Owner, Place, Stream, Vault, is_sealed, seal_text};
use crate::store::StoreError;

/// What stands for the stream of what is sealed in a delivery, which has none.
const DELIVERY: &str = "Delivery";
const REPLY: &str = "reply";

/// Whose key an event's replies are sealed with: the one the event itself is sealed with.
pub fn owner(event: &Logged) -> Owner {
    let workspace = WorkspaceId(event.workspace_id);
    match (event.aggregate_type.as_str(), event.aggregate_id.parse().map(InvitationId)) {
        ("Invitation", Ok(id)) => Owner::Invitation(workspace, id),
        _ => Owner::Workspace(workspace),
    }
}

/// A reply as it is kept; none where there is nothing to keep, or whoever owns it is forgotten already.
pub async fn seal(
    vault: &Vault,
    owner: Owner,
    delivery: Uuid,
    attempt: u32,
    reply: &[u8],
) -> Result<Option<String>, StoreError> {
    if reply.is_empty() {
        return Ok(None);
    }
    let Some(key) = vault.live_key(owner).await? else { return Ok(None) };
    let place = Place {
        workspace: owner.workspace().0,
        aggregate_type: DELIVERY,
        aggregate_id: &delivery.to_string(),
        sequence: i64::from(attempt),
        field: REPLY,
    };
    Ok(Some(seal_text(&key, place, &String::from_utf8_lossy(reply))))
}

/// The replies to a delivery's attempts, opened: `[erased]` where they are forgotten, none where they do not open.
pub async fn open(
    vault: &Vault,
    workspace: Uuid,
    delivery: Uuid,
    mut replies: Vec<Option<String>>,
) -> Result<Vec<Option<String>>, StoreError> {
    let id = delivery.to_string();
    let stream = Stream { workspace, aggregate_type: DELIVERY, aggregate_id: &id };
    let mut sealed: Vec<_> = replies.iter_mut().flatten().map(|reply| (stream, reply)).collect();
    vault.open_texts(&mut sealed).await?;
    Ok(replies.into_iter().map(|reply| reply.filter(|text| !is_sealed(text))).collect())
}
