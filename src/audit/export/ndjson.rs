//! One JSON object a line: an entry as the list shows it, and of an event its proof leaf.

use serde::Serialize;

use super::{Line, internal};
use crate::resources::AuditEntry;
use crate::store::StoreError;

#[derive(Serialize)]
struct Object<'a> {
    #[serde(flatten)]
    entry: &'a AuditEntry,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaf_hash: Option<&'a str>,
}

pub(super) fn encode(lines: &[Line]) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    for line in lines {
        let leaf = line.leaf.as_ref();
        let object = Object {
            entry: &line.entry,
            leaf: leaf.map(|leaf| leaf.text.as_str()),
            leaf_hash: leaf.and_then(|leaf| leaf.hash.as_deref()),
        };
        serde_json::to_writer(&mut bytes, &object).map_err(internal)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
