//! Rows of read models that keep what is sealed, opened for whoever may read them.

use serde_json::Value;
use tenure_projections::audit_log::Entry;
use tenure_projections::invitations::Invitation;

use super::open::{SealedValue, Stream};
use super::payload::{RequestOrigin, read_origin};
use super::{Vault, is_sealed};
use crate::store::StoreError;

impl Vault {
    /// Opens the addresses of invitations.
    pub async fn open_invitations(&self, rows: &mut [Invitation]) -> Result<(), StoreError> {
        let ids: Vec<String> = rows.iter().map(|row| row.invitation_id.to_string()).collect();
        let mut texts: Vec<_> = rows
            .iter_mut()
            .zip(&ids)
            .map(|(row, id)| {
                let stream =
                    Stream { workspace: row.workspace_id, aggregate_type: "Invitation", aggregate_id: id };
                (stream, &mut row.email)
            })
            .collect();
        self.open_texts(&mut texts).await
    }

    /// Opens audit entries; returns from where each request came.
    pub async fn open_entries(&self, rows: &mut [Entry]) -> Result<Vec<RequestOrigin>, StoreError> {
        let mut sealed: Vec<Value> = rows
            .iter_mut()
            .map(|row| {
                Value::Array(vec![row.changes.take(), row.reason.take().into(), row.origin.take().into()])
            })
            .collect();
        let mut values: Vec<_> = sealed
            .iter_mut()
            .zip(&*rows)
            .map(|(value, row)| SealedValue { stream: stream(row), value })
            .collect();
        self.open_values(&mut values).await?;
        Ok(rows.iter_mut().zip(sealed).map(|(row, opened)| put_back(row, opened)).collect())
    }
}

fn stream(row: &Entry) -> Stream<'_> {
    Stream {
        workspace: row.workspace_id,
        aggregate_type: row.aggregate_type.as_deref().unwrap_or_default(),
        aggregate_id: row.aggregate_id.as_deref().unwrap_or_default(),
    }
}

fn put_back(row: &mut Entry, opened: Value) -> RequestOrigin {
    let Value::Array(parts) = opened else { return RequestOrigin::default() };
    let mut parts = parts.into_iter();
    row.changes = parts.next().unwrap_or_default();
    let mut text = || parts.next().and_then(|part| part.as_str().map(str::to_owned));
    row.reason = text();
    text().filter(|origin| !is_sealed(origin)).map(|origin| read_origin(&origin)).unwrap_or_default()
}
