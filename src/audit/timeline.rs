//! What was done and what was refused, in one order: a refused attempt stands after the last event before it.

use serde::{Deserialize, Serialize};
use tenure_aggregates::Time;
use tenure_projections::attempts::{self, Attempt, first_after};
use tenure_projections::audit_log::{self, Entry, Filter};
use tenure_projections::recorded::Logged;
use tenure_projections::{TenantTx, history};
use uuid::Uuid;

use crate::data_keys::Vault;
use crate::resources::{AuditEntry, Outcome};
use crate::store::StoreError;

/// A place in that order. It never changes, whatever is written meanwhile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct At {
    pub workspace_seq: i64,
    /// Of a refused attempt, when it began and its id.
    attempt: Option<(Time, Uuid)>,
}

impl At {
    /// The event with that `workspace_seq`; 0 is before all.
    pub fn event(workspace_seq: i64) -> Self {
        Self { workspace_seq, attempt: None }
    }

    fn of(attempt: &Attempt) -> Self {
        Self { workspace_seq: attempt.workspace_seq, attempt: Some((attempt.first_at, attempt.attempt_id)) }
    }

    /// The attempts' key at this place.
    fn key(self) -> attempts::Key {
        self.attempt.map_or_else(|| first_after(self.workspace_seq), |(at, id)| (self.workspace_seq, at, id))
    }
}

/// Of something that was done, `E`; or a refused attempt.
#[derive(Debug)]
pub enum Item<E> {
    Done(E),
    Refused(Box<Attempt>),
}

type Placed<E> = (At, Item<E>);

/// Opens what is sealed in a piece of the list; the order stays.
pub async fn opened(vault: &Vault, items: Vec<Placed<Entry>>) -> Result<Vec<(At, AuditEntry)>, StoreError> {
    let (mut places, mut entries, mut attempts) = (Vec::with_capacity(items.len()), Vec::new(), Vec::new());
    for (at, item) in items {
        places.push(at);
        match item {
            Item::Done(entry) => entries.push(entry),
            Item::Refused(attempt) => attempts.push(*attempt),
        }
    }
    let origins = vault.open_entries(&mut entries).await?;
    let mut done = entries.into_iter().zip(origins).map(|(entry, from)| AuditEntry::of_entry(entry, from));
    let mut refused = refused(vault, attempts).await?.into_iter();
    let opened = places.into_iter().filter_map(|at| {
        let entry = if at.attempt.is_some() { refused.next() } else { done.next() };
        entry.map(|entry| (at, entry))
    });
    Ok(opened.collect())
}

/// Refused attempts as entries.
pub async fn refused(vault: &Vault, attempts: Vec<Attempt>) -> Result<Vec<AuditEntry>, StoreError> {
    let origins = vault.open_attempts(&attempts).await?;
    Ok(attempts
        .into_iter()
        .zip(origins)
        .map(|(attempt, from)| AuditEntry::of_attempt(attempt, from))
        .collect())
}

/// Newest first, those before `before`.
pub async fn newest(
    tx: &mut TenantTx,
    filter: &Filter,
    outcome: Option<Outcome>,
    before: Option<At>,
    limit: i64,
) -> Result<Vec<Placed<Entry>>, sqlx::Error> {
    let mut items = Vec::new();
    if outcome != Some(Outcome::Refused) {
        // After the event with its number come the attempts; so of those that come before one, the event is the last.
        let below =
            before.map(|at| if at.attempt.is_some() { at.workspace_seq + 1 } else { at.workspace_seq });
        let entries = audit_log::list(tx, filter, below, limit).await?;
        items.extend(entries.into_iter().map(|entry| (At::event(entry.workspace_seq), Item::Done(entry))));
    }
    if outcome != Some(Outcome::Done) {
        let refused = attempts::list(tx, filter, before.map(At::key), limit).await?;
        items.extend(refused.into_iter().map(|attempt| (At::of(&attempt), Item::Refused(Box::new(attempt)))));
    }
    items.sort_by_key(|item| std::cmp::Reverse(item.0));
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(items)
}

/// Oldest first, the events themselves and what was refused, after `after`. Without a filter that is every event, also
/// those that are no entry of the list.
pub async fn oldest(
    tx: &mut TenantTx,
    filter: &Filter,
    outcome: Option<Outcome>,
    after: At,
    limit: i64,
) -> Result<Vec<Placed<Logged>>, sqlx::Error> {
    let mut items = Vec::new();
    if outcome != Some(Outcome::Refused) {
        let events = if filter.is_empty() {
            history::page(tx, after.workspace_seq, limit).await?
        } else {
            audit_log::events(tx, filter, after.workspace_seq, limit).await?
        };
        items.extend(events.into_iter().map(|event| (At::event(event.workspace_seq), Item::Done(event))));
    }
    if outcome != Some(Outcome::Done) {
        let refused = attempts::since(tx, filter, after.key(), limit).await?;
        items.extend(refused.into_iter().map(|attempt| (At::of(&attempt), Item::Refused(Box::new(attempt)))));
    }
    items.sort_by_key(|item| item.0);
    items.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(items)
}
