//! Whose an API key is, whether it is good here and now, and what its use leaves behind.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DurationRound, TimeDelta};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use sqlx::PgPool;
use tenure_aggregates::api_key::{MAX_NETWORKS_SEEN, Terms};
use tenure_aggregates::{ApiKey, ApiKeyId, Time, WorkspaceId};
use tenure_projections::api_keys;
use uuid::Uuid;

use crate::access::Access;
use crate::clock;
use crate::commands::api_keys::NoteNetwork;
use crate::reads::Reads;
use crate::secrets::api_key;
use crate::store::origin::Actor;
use crate::store::{Failure, Origin, Store, StoreError};

/// How exactly the last use of a key is remembered.
const COARSE: TimeDelta = TimeDelta::hours(1);

/// A key that has opened.
#[derive(Debug, Clone)]
pub struct OpenedKey {
    pub id: ApiKeyId,
    pub workspace: WorkspaceId,
    /// The network it is used from, if it was never used from there before.
    new_network: Option<String>,
}

/// Why a key did not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRefusal {
    pub code: &'static str,
    /// The key, and the workspace it belongs to, if there is or was one.
    pub key: Option<(WorkspaceId, ApiKeyId)>,
}

impl KeyRefusal {
    const UNKNOWN: Self = Self { code: "key_unknown", key: None };
}

#[derive(Debug)]
pub struct KeyRing {
    store: Store,
    reads: Reads,
    /// A key says nothing of its workspace: looking it up crosses tenants.
    projector: PgPool,
    access: Arc<Access>,
    uses: Mutex<HashMap<(Uuid, Uuid), Use>>,
    /// New networks that are being recorded.
    noting: Arc<Mutex<HashSet<(ApiKeyId, String)>>>,
}

/// The hour of a key's last use, and whether that is written down yet.
#[derive(Debug, Clone, Copy)]
struct Use {
    hour: Time,
    written: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whatever panicked left at worst a use that is not noted.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl KeyRing {
    pub fn new(store: Store, reads: Reads, projector: PgPool, access: Arc<Access>) -> Self {
        Self { store, reads, projector, access, uses: Mutex::default(), noting: Arc::default() }
    }

    /// The key, if it is one, not revoked, not expired, and used from where it may be. `exactly` as the log has it, for
    /// whoever has seen the log further than memory may be.
    pub async fn open(
        &self,
        key: &str,
        from: Option<IpAddr>,
        exactly: bool,
        now: Time,
    ) -> Result<Result<OpenedKey, KeyRefusal>, Failure> {
        if !api_key::is_well_formed(key) {
            return Ok(Err(KeyRefusal::UNKNOWN));
        }
        let hash = api_key::hash(key);
        let Some((home, key, state)) = self.find(&hash, exactly).await? else {
            return Ok(Err(KeyRefusal::UNKNOWN));
        };
        let (workspace, id) = (WorkspaceId(home), ApiKeyId(key));
        let terms = match usable(&state, &hash, from, now) {
            Ok(terms) => terms,
            Err(code) => return Ok(Err(KeyRefusal { code, key: Some((workspace, id)) })),
        };
        self.note_use(home, key, now);
        let new_network = from.map(network_of).filter(|network| is_new(terms, network));
        Ok(Ok(OpenedKey { id, workspace, new_network }))
    }

    /// From memory, as long as that is fresh; a command looks at the key once more, at its commit.
    async fn find(&self, hash: &str, exactly: bool) -> Result<Option<(Uuid, Uuid, Arc<ApiKey>)>, Failure> {
        if let Some(held) = self.access.held_key(hash).filter(|_| !exactly) {
            return Ok(Some((held.workspace.0, held.id.0, held.key)));
        }
        let Some((workspace, id)) = self.look_up(hash).await? else { return Ok(None) };
        let state = self.store.loader().load::<ApiKey>(&id.to_string()).await?.state;
        Ok(Some((workspace, id, state)))
    }

    /// One that was made just now, here or elsewhere, may not have reached the read models.
    async fn look_up(&self, hash: &str) -> Result<Option<(Uuid, Uuid)>, Failure> {
        // Before the look: what comes in between is not taken for seen.
        let seen = self.reads.applied();
        let known = api_keys::find_by_hash(&self.projector, hash).await.map_err(StoreError::from)?;
        if known.is_some() {
            return Ok(known);
        }
        let head = self.reads.head().await?;
        if seen >= head {
            return Ok(None);
        }
        self.reads.wait_for(head).await?;
        Ok(api_keys::find_by_hash(&self.projector, hash).await.map_err(StoreError::from)?)
    }

    /// Records that a key came from a network it never came from before; nobody waits for it.
    pub fn note_network(&self, key: &OpenedKey, origin: Arc<Origin>) {
        let Some(network) = key.new_network.clone() else { return };
        let entry = (key.id, network.clone());
        if !lock(&self.noting).insert(entry.clone()) {
            return;
        }
        let (store, noting) = (self.store.clone(), self.noting.clone());
        let command = NoteNetwork { workspace: key.workspace, id: key.id, network };
        tokio::spawn(async move {
            // Refused, where key or workspace are gone by now.
            if let Err(error @ (Failure::Store(_) | Failure::Moved(_))) =
                store.run(&command, origin, None, clock::now).await
            {
                tracing::warn!(?error, "the use of a key from a new network could not be recorded");
            }
            lock(&noting).remove(&entry);
        });
    }

    fn note_use(&self, workspace: Uuid, id: Uuid, now: Time) {
        let hour = now.duration_trunc(COARSE).unwrap_or(now);
        let mut uses = lock(&self.uses);
        let last = uses.entry((workspace, id)).or_insert(Use { hour, written: false });
        if hour > last.hour {
            *last = Use { hour, written: false };
        }
    }

    /// Writes down the uses since the last call; what could not be written is tried again.
    pub async fn write_uses(&self) -> Result<(), sqlx::Error> {
        let due: Vec<_> = {
            let uses = lock(&self.uses);
            let due = uses.iter().filter(|(_, last)| !last.written);
            due.map(|((workspace, key), last)| (*workspace, *key, last.hour)).collect()
        };
        if due.is_empty() {
            return Ok(());
        }
        api_keys::note_uses(&self.projector, &due).await?;
        let mut uses = lock(&self.uses);
        for (workspace, key, hour) in due {
            if let Some(last) = uses.get_mut(&(workspace, key))
                && last.hour == hour
            {
                last.written = true;
            }
        }
        let newest = uses.values().map(|last| last.hour).max();
        uses.retain(|_, last| !last.written || newest.is_none_or(|newest| newest - last.hour <= COARSE));
        Ok(())
    }
}

impl OpenedKey {
    pub fn actor(&self) -> Actor {
        Actor::ApiKey { id: self.id, workspace: self.workspace }
    }
}

/// The key's terms, if it is good here and now; else the code of what is wrong.
fn usable<'a>(
    key: &'a ApiKey,
    hash: &str,
    from: Option<IpAddr>,
    now: Time,
) -> Result<&'a Terms, &'static str> {
    // The secret before the present one is dead once the overlap is over.
    let terms = key.terms().filter(|terms| terms.accepts(hash, now)).ok_or("key_revoked")?;
    if terms.expires_at.is_some_and(|end| end <= now) {
        return Err("key_expired");
    }
    if !is_permitted_from(terms, from) {
        return Err("key_network");
    }
    Ok(terms)
}

fn is_permitted_from(terms: &Terms, from: Option<IpAddr>) -> bool {
    if terms.networks.is_empty() {
        return true;
    }
    let networks = terms.networks.iter().filter_map(|network| network.parse::<IpNet>().ok());
    from.is_some_and(|address| networks.into_iter().any(|network| network.contains(&address.to_canonical())))
}

fn is_new(terms: &Terms, network: &str) -> bool {
    terms.networks_seen.len() < MAX_NETWORKS_SEEN && !terms.networks_seen.contains(network)
}

/// Addresses change within a network; a new network is news.
fn network_of(address: IpAddr) -> String {
    let network = match address.to_canonical() {
        IpAddr::V4(address) => Ipv4Net::new(address, 24).map(IpNet::V4),
        IpAddr::V6(address) => Ipv6Net::new(address, 48).map(IpNet::V6),
    };
    network.map_or_else(|_| address.to_string(), |network| network.trunc().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_a_network_are_one() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("192.0.2.77"), "192.0.2.0/24");
        assert_eq!(of("::ffff:192.0.2.1"), "192.0.2.0/24");
        assert_eq!(of("2001:db8:1:2:3::4"), "2001:db8:1::/48");
    }
}
