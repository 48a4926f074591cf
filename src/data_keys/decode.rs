//! Many events of the log at once, decoded with what is sealed in them opened: what read models are made of.

use std::collections::HashSet;

use tenure_projections::{Logged, Recorded, Undecodable, leaf};

use super::Vault;
use super::open::Keys;
use super::sealed::Place;
use super::spliced::Spliced;
use crate::store::StoreError;

/// Whether the leaf hashes are wanted, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leaves {
    Hashed,
    Left,
}

/// What of an event is still to be opened.
struct Sealed<'a, T> {
    /// Which of the decoded ones it is.
    at: usize,
    row: &'a Logged<T>,
    payload: Spliced<'a>,
}

impl Vault {
    /// As [`Self::open_events`] and then [`tenure_projections::Opened::decode`] say, but for the origin: from where
    /// requests came stays sealed here. Both lists are in the order of the log.
    pub(crate) async fn decode_events<T: AsRef<str> + Sync>(
        &self,
        rows: &[Logged<T>],
        leaves: Leaves,
    ) -> Result<(Vec<Recorded>, Vec<Undecodable>), StoreError> {
        let (mut events, mut undecodable) = (Vec::with_capacity(rows.len()), Vec::new());
        let (mut sealed, mut ids) = (Vec::new(), Vec::new());
        for row in rows {
            let leaf = (leaves == Leaves::Hashed).then(|| leaf::hash(row));
            match row.decode_with(leaf) {
                Ok(recorded) => {
                    let fields = recorded.metadata.sealed.as_deref();
                    let payload = fields.and_then(|fields| Spliced::read(row.payload.as_ref(), fields));
                    if let Some(mut payload) = payload {
                        payload.keys(&mut ids);
                        sealed.push(Sealed { at: events.len(), row, payload });
                    }
                    events.push(recorded);
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

impl<T: AsRef<str>> Sealed<'_, T> {
    fn open(self, keys: &Keys, recorded: &mut Recorded) -> Result<(), Undecodable> {
        let place = Place {
            workspace: self.row.workspace_id,
            aggregate_type: self.row.aggregate_type.as_ref(),
            aggregate_id: self.row.aggregate_id.as_ref(),
            sequence: self.row.sequence,
            field: "",
        };
        let payload = self.payload.open(keys, place).map_err(|reason| Undecodable {
            position: recorded.position,
            workspace_id: recorded.workspace_id,
            reason,
        })?;
        recorded.open_with(self.row, &payload)
    }
}
