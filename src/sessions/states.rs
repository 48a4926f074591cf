//! What became of a session since its token was made: ended, switched, or as it was.

use std::sync::Arc;

use tenure_aggregates::{Session, SessionId, User, UserId, WorkspaceId};

use crate::store::loader::Loaded;
use crate::store::stream::StreamKey;
use crate::store::{Store, StoreError};

/// The sessions' states as the log has them. Only reads rest on it: a command loads its session itself, and commits
/// only if that still stands.
#[derive(Debug, Clone)]
pub struct SessionStates {
    store: Store,
}

impl SessionStates {
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The state of a user's session; another's, or an erased user's, is none.
    pub async fn state(&self, session: SessionId, user: &UserId) -> Result<Arc<Session>, StoreError> {
        let home = WorkspaceId::personal(user);
        // From the log itself: another process may have ended it, of which this one hears nothing.
        let loaded = self.store.loader.load::<Session>(&session.to_string()).await?;
        if loaded.home != Some(home) || self.erased(home).await? {
            return Ok(Arc::default());
        }
        Ok(loaded.state)
    }

    /// An erasure ends every session of its user. Should one have escaped it, it is dead all the same.
    async fn erased(&self, home: WorkspaceId) -> Result<bool, StoreError> {
        let key = StreamKey::of::<User>(&home.to_string());
        let user = match self.store.heads.cached::<User>(&key) {
            Some(cached) => cached,
            None => self.load_user(&key).await?,
        };
        Ok(matches!(*user.state, User::Erased))
    }

    async fn load_user(&self, key: &StreamKey) -> Result<Loaded<User>, StoreError> {
        let read_at = self.store.heads.position();
        let loaded = self.store.loader.load::<User>(&key.id).await?;
        self.store.heads.keep(key, &loaded, read_at);
        Ok(loaded)
    }
}
