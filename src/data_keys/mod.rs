//! The keys personal data is sealed with: each person's and each workspace's own, so that to forget them is to destroy
//! one key, and the history stays as it was written.
//!
//! # Layout
//! - [`Vault`] (here): the keys of living owners, and what was sealed with them, opened
//! - `sealed.rs`: one sealed text, and what binds it to its place; `payload.rs`: the sealed fields of an event;
//!   `open.rs`: many at once, with one look at the table; `decode.rs`: events decoded on the way, for read models;
//!   `spliced.rs`: a payload opened without reading the rest of it; `rows.rs`: read models that keep what is sealed
//! - `wrapped.rs`: keys as they are stored, under the master key; `table.rs`: where; [`root`]: the key every other
//!   secret of the installation is derived from
//! - `answer.rs`: answers kept for idempotency keys
//! - `cache.rs`: which keys this process has at hand, and how it forgets them
//!
//! A person's key is the one of their personal workspace. An invitation has a key of its own: it goes when the person
//! who was invited goes, whoever invited them.

mod answer;
mod cache;
mod decode;
mod open;
mod payload;
pub mod root;
mod rows;
mod sealed;
mod spliced;
mod table;
mod wrapped;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use sqlx::PgPool;
use tenure_aggregates::values::{Email, Slug};
use tenure_aggregates::{InvitationId, WorkspaceId};
use uuid::Uuid;

use crate::database::twin;
use crate::ids;
use crate::secrets::random::random_bytes;
use crate::secrets::{HeldMasterKeys, IndexKey, MasterKeys, RootKey};
use crate::store::StoreError;

pub use answer::AnswerKey;
use cache::Cache;
pub(crate) use decode::Leaves;
pub use open::{SealedValue, Stream};
pub use payload::{RequestOrigin, origin, seal};
pub use rows::ATTEMPT;
pub use sealed::{Place, is_sealed, seal as seal_text};
pub use table::{AddressedInvitation, Wrapping, rewrap, wrappings};
use wrapped::Unwrapped;
pub use wrapped::WrappedKey;
pub(crate) use wrapped::{decrypt, encrypt};

/// Whose a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Owner {
    /// What a workspace says of itself, and what the services and keys that act in it leave; of a personal workspace,
    /// what speaks of its user.
    Workspace(WorkspaceId),
    /// Whom an invitation was sent to.
    Invitation(WorkspaceId, InvitationId),
}

impl Owner {
    pub fn workspace(self) -> WorkspaceId {
        match self {
            Self::Workspace(workspace) | Self::Invitation(workspace, _) => workspace,
        }
    }
}

/// A key to seal with. Never shown, never stored as it is.
#[derive(Clone, PartialEq, Eq)]
pub struct DataKey {
    pub id: Uuid,
    secret: [u8; 32],
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What there is of a key that something was sealed with.
#[derive(Debug, Clone)]
enum Found {
    Key(DataKey),
    Destroyed,
    /// Wrapped by a master key that is not at hand, or tampered with.
    Unusable,
}

/// A key that begins with the unit of work it seals for.
#[derive(Debug, Clone)]
pub struct NewDataKey {
    pub owner: Owner,
    pub key: DataKey,
    /// Keyed hash of the address an invitation was sent to.
    pub address_hash: Option<[u8; 32]>,
    pub wrapped: WrappedKey,
}

/// What a unit of work destroys: every key of these workspaces, and of every invitation to these addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Destruction {
    pub workspaces: Vec<Uuid>,
    pub addresses: Vec<[u8; 32]>,
}

impl Destruction {
    pub fn is_empty(&self) -> bool {
        self.workspaces.is_empty() && self.addresses.is_empty()
    }
}

/// Keeps the keys. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Vault {
    /// Of the keeper's role.
    pool: PgPool,
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    master: HeldMasterKeys,
    index: IndexKey,
    answers: AnswerKey,
    cache: Cache,
}

impl Vault {
    /// `pool` logs in as the keeper's role.
    fn new(pool: PgPool, master: MasterKeys, root: &RootKey) -> Self {
        let answers = AnswerKey::new(root.derive("tenure kept answer key v1"));
        Self {
            pool,
            inner: Arc::new(Inner {
                master: HeldMasterKeys::new(master),
                index: IndexKey::from(root),
                answers,
                cache: Cache::new(),
            }),
        }
    }

    /// The vault of a database, and the root key in it. `pool` logs in as the keeper's role.
    pub async fn open(pool: PgPool, masters: MasterKeys) -> Result<(Self, RootKey), root::RootKeyError> {
        let root = root::load_or_create(&pool, &masters).await?;
        Ok((Self::new(pool, masters, &root), root))
    }

    /// The same vault for work that has a runtime of its own, and there connections of its own.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self { pool: twin(&self.pool), inner: self.inner.clone() }
    }

    /// What answers kept for idempotency keys are sealed with.
    pub fn answers(&self) -> &AnswerKey {
        &self.inner.answers
    }

    /// The keyed hash an address is found by.
    pub fn address_hash(&self, email: &Email) -> [u8; 32] {
        self.inner.index.hash("address", email.as_str())
    }

    /// The keyed hash that stands for a slug in the id of its claim.
    pub fn slug_hash(&self, slug: &Slug) -> String {
        self.inner.index.hash("slug", slug.as_str()).map(|byte| format!("{byte:02x}")).concat()
    }

    /// A new key, to be stored with the events it seals.
    pub fn new_key(&self, owner: Owner, address_hash: Option<[u8; 32]>) -> NewDataKey {
        let key = DataKey { id: ids::new_v7(), secret: random_bytes() };
        let wrapped = wrapped::wrap(self.inner.master.get().current(), key.id.as_bytes(), &key.secret);
        NewDataKey { owner, key, address_hash, wrapped }
    }

    /// The key that is used for an owner, if there is one that was not destroyed.
    pub async fn live_key(&self, owner: Owner) -> Result<Option<DataKey>, StoreError> {
        if let Some(key) = self.inner.cache.of(owner) {
            return Ok(Some(key));
        }
        let seen = self.inner.cache.generation();
        let Some(row) = table::live(&self.pool, owner).await? else { return Ok(None) };
        let Some(key) = self.unwrap(row)? else { return Ok(None) };
        self.inner.cache.keep(seen, &key, Some(owner));
        Ok(Some(key))
    }

    /// A key this process has just stored.
    pub(crate) fn stored(&self, new: &NewDataKey) {
        self.inner.cache.keep(self.inner.cache.generation(), &new.key, Some(new.owner));
    }

    /// Forgets every key that is at hand: some were destroyed, and none must outlive that here.
    pub fn forget(&self) {
        self.inner.cache.clear();
    }

    /// The invitations to an address, wherever they were sent from.
    pub async fn invitations_to(&self, email: &Email) -> Result<Vec<AddressedInvitation>, StoreError> {
        table::invitations_to(&self.pool, &self.address_hash(email)).await
    }

    /// The invitations of one workspace to an address.
    pub async fn invitations_in(
        &self,
        workspace: WorkspaceId,
        email: &Email,
    ) -> Result<Vec<Uuid>, StoreError> {
        table::invitations_in(&self.pool, workspace.0, &self.address_hash(email)).await
    }

    /// The keys of these ids; nothing for what never was.
    async fn keys(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Found>, StoreError> {
        let (mut found, missing) = self.inner.cache.find(ids);
        if missing.is_empty() {
            return Ok(found);
        }
        let seen = self.inner.cache.generation();
        for row in table::find(&self.pool, &missing).await? {
            let id = row.key_id;
            let key = match self.unwrap(row) {
                Ok(Some(key)) => {
                    self.inner.cache.keep(seen, &key, None);
                    Found::Key(key)
                }
                Ok(None) => Found::Destroyed,
                Err(error) => {
                    tracing::error!(%error, "a data key cannot be used");
                    Found::Unusable
                }
            };
            found.insert(id, key);
        }
        Ok(found)
    }

    fn unwrap(&self, row: table::Row) -> Result<Option<DataKey>, StoreError> {
        let Some(wrapped) = row.wrapped else { return Ok(None) };
        let wrapped = WrappedKey { wrapped, wrapped_by: row.wrapped_by };
        let identity = row.key_id.as_bytes();
        let unwrapped = match wrapped::unwrap(&self.inner.master.get(), identity, &wrapped) {
            // Somebody may just have rotated it.
            Unwrapped::OtherMaster => wrapped::unwrap(&self.inner.master.reread(), identity, &wrapped),
            unwrapped => unwrapped,
        };
        match unwrapped {
            Unwrapped::Key(secret) => Ok(Some(DataKey { id: row.key_id, secret })),
            Unwrapped::OtherMaster => Err(StoreError::Corrupt(format!(
                "data key {} is wrapped by a master key this process does not have",
                row.key_id
            ))),
            Unwrapped::Tampered => {
                Err(StoreError::Corrupt(format!("data key {} was tampered with", row.key_id)))
            }
        }
    }
}
