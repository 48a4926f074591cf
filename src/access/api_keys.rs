//! API keys by the hash of their secret, guarded by their streams' sequences.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use tenure_aggregates::api_key::Terms;
use tenure_aggregates::{ApiKey, ApiKeyId, WorkspaceId};

/// A key, and the workspace it belongs to.
#[derive(Debug, Clone)]
pub struct Held {
    pub id: ApiKeyId,
    pub workspace: WorkspaceId,
    pub sequence: i64,
    pub key: Arc<ApiKey>,
}

#[derive(Debug, Default)]
pub struct ApiKeys {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    by_id: HashMap<ApiKeyId, Held>,
    /// Of the secret, and of the one before it.
    by_hash: HashMap<String, ApiKeyId>,
}

impl ApiKeys {
    /// Takes the key unless what is known of it is as new or newer. A revoked one stays, so that nothing older
    /// brings it back.
    pub fn put(&self, held: Held) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if inner.by_id.get(&held.id).is_some_and(|known| known.sequence >= held.sequence) {
            return;
        }
        let before = inner.by_id.get(&held.id).map(|known| known.key.clone());
        for hash in before.iter().filter_map(|key| key.terms()).flat_map(hashes) {
            inner.by_hash.remove(hash);
        }
        for hash in held.key.terms().into_iter().flat_map(hashes) {
            inner.by_hash.insert(hash.to_owned(), held.id);
        }
        inner.by_id.insert(held.id, held);
    }

    /// The key with a secret of this hash; whether it still opens anything, its terms tell.
    pub fn find(&self, hash: &str) -> Option<Held> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.by_hash.get(hash).and_then(|id| inner.by_id.get(id)).cloned()
    }

    pub(super) fn clear(&self) {
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }

    pub fn len(&self) -> usize {
        self.inner.read().unwrap_or_else(PoisonError::into_inner).by_id.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn hashes(terms: &Terms) -> impl Iterator<Item = &str> {
    let previous = terms.previous.as_ref().map(|(secret, _)| secret.hash.as_str());
    std::iter::once(terms.secret.hash.as_str()).chain(previous)
}
