//! Many events of the log at once, decoded with what is sealed in them opened: what read models are made of.

use serde_json::Value;
use tenure_aggregates::upcast;
use tenure_projections::{Logged, Recorded, Undecodable, leaf};

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

/// An event as it is stored, and what of it is still to be opened.
struct Closed {
    recorded: Result<Recorded, Undecodable>,
    sealed: Option<Sealed>,
}

struct Sealed {
    logged: Logged,
    payload: Value,
    fields: Vec<String>,
}

impl Vault {
    /// As [`Self::open_events`] and then [`tenure_projections::Opened::decode`] say, but for the origin: from where
    /// requests came stays sealed here.
    pub(crate) async fn decode_events(
        &self,
        rows: Vec<Logged>,
        leaves: Leaves,
    ) -> Result<Vec<Result<Recorded, Undecodable>>, StoreError> {
        let mut ids = Vec::new();
        let look = |row| {
            let mut closed = look_at(row, leaves);
            if let Some(sealed) = &mut closed.sealed {
                keys_of(&mut sealed.payload, &sealed.fields, &mut ids);
            }
            closed
        };
        let closed: Vec<Closed> = rows.into_iter().map(look).collect();
        let keys = self.keys_of(ids).await?;
        Ok(closed.into_iter().map(|event| event.open(&keys)).collect())
    }
}

fn look_at(logged: Logged, leaves: Leaves) -> Closed {
    let leaf = (leaves == Leaves::Hashed).then(|| leaf::hash(&logged));
    let recorded = logged.decode_with(leaf);
    let fields = recorded.as_ref().ok().and_then(|recorded| recorded.metadata.sealed.as_deref());
    let fields: Vec<String> =
        fields.into_iter().flat_map(|fields| fields.split(',')).map(str::to_owned).collect();
    let payload = (!fields.is_empty()).then(|| serde_json::from_str(&logged.payload).ok()).flatten();
    Closed { recorded, sealed: payload.map(|payload| Sealed { logged, payload, fields }) }
}

impl Closed {
    fn open(self, keys: &Keys) -> Result<Recorded, Undecodable> {
        let recorded = self.recorded?;
        let Some(Sealed { logged, mut payload, fields }) = self.sealed else { return Ok(recorded) };
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
        recorded.opened(&logged.aggregate_type, payload)
    }
}
