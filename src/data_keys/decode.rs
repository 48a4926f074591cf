//! Many events of the log at once, decoded with what is sealed in them opened: what read models are made of.

use std::collections::HashSet;

use serde_json::Value;
use tenure_aggregates::upcast;
use tenure_projections::{Logged, Recorded, Undecodable, leaf};
use uuid::Uuid;

use super::Vault;
use super::open::{Keys, open_fields};
use super::payload::keys_of;
use super::sealed::Place;
use crate::store::StoreError;

/// Whether the leaf hashes are wanted, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    Hashed,
    Left,
}

/// What of an event is still to be opened.
struct Sealed {
    /// Which of the decoded ones it is.
    at: usize,
    logged: Logged,
    payload: Value,
    fields: Vec<String>,
}

impl Vault {
    /// As [`Self::open_events`] and then [`tenure_projections::Opened::decode`] say, but for the origin: from where
    /// requests came stays sealed here. Both lists are in the order of the log.
    pub(crate) async fn decode_events(
        &self,
        rows: Vec<Logged>,
        leaves: Leaves,
    ) -> Result<(Vec<Recorded>, Vec<Undecodable>), StoreError> {
        let (mut events, mut undecodable) = (Vec::with_capacity(rows.len()), Vec::new());
        let (mut sealed, mut ids) = (Vec::new(), Vec::new());
        for logged in rows {
            let leaf = (leaves == Leaves::Hashed).then(|| leaf::hash(&logged));
            match logged.decode_with(leaf) {
                Ok(recorded) => {
                    let fields = recorded.metadata.sealed.as_deref().map(fields);
                    events.push(recorded);
                    sealed.extend(
                        fields.and_then(|fields| look_at(events.len() - 1, logged, fields, &mut ids)),
                    );
                }
                Err(error) => undecodable.push(error),
            }
        }
        let keys = self.keys_of(ids).await?;
        let mut strange = HashSet::new();
        for sealed in sealed {
            let at = sealed.at;
            if let Err(error) = sealed.open(&keys, &mut events[at]) {
                strange.insert(error.position);
                undecodable.push(error);
            }
        }
        if !strange.is_empty() {
            events.retain(|event| !strange.contains(&event.position));
            undecodable.sort_unstable_by_key(|error| error.position);
        }
        Ok((events, undecodable))
    }
}

fn fields(sealed: &str) -> Vec<String> {
    sealed.split(',').map(str::to_owned).collect()
}

fn look_at(at: usize, logged: Logged, fields: Vec<String>, ids: &mut Vec<Uuid>) -> Option<Sealed> {
    let mut payload = serde_json::from_str(&logged.payload).ok()?;
    keys_of(&mut payload, &fields, ids);
    Some(Sealed { at, logged, payload, fields })
}

impl Sealed {
    fn open(self, keys: &Keys, recorded: &mut Recorded) -> Result<(), Undecodable> {
        let Self { logged, mut payload, fields, .. } = self;
        let (position, workspace_id) = (recorded.position, recorded.workspace_id);
        let undecodable = |reason: String| Undecodable { position, workspace_id, reason };
        let place = Place {
            workspace: logged.workspace_id,
            aggregate_type: &logged.aggregate_type,
            aggregate_id: &logged.aggregate_id,
            sequence: logged.sequence,
            field: "",
        };
        open_fields(keys, place, &mut payload, &fields).map_err(undecodable)?;
        let payload = upcast::upcast(&logged.event_type, &logged.event_version, payload)
            .map_err(|unknown| undecodable(unknown.to_string()))?;
        recorded.open(&logged.aggregate_type, payload)
    }
}
