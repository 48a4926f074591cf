//! A line of an export: the leaf, and what stands beside it for people to read.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use tenure_projections::recorded::Logged;
use tenure_projections::{audit_log, leaf, proofs::Hash};

use super::checker::Entry;

/// What is looked at of a line; anything else in it is for convenience, and nobody vouches for it.
#[derive(Debug, Deserialize)]
pub(super) struct ExportLine {
    workspace_seq: u64,
    leaf: String,
    /// What the tree holds for the entry, in hexadecimal.
    #[serde(default)]
    leaf_hash: Option<String>,
    #[serde(default)]
    position: Option<i64>,
    #[serde(default)]
    time: Option<DateTime<Utc>>,
    #[serde(default)]
    actor: Option<Value>,
    #[serde(default)]
    action: Option<String>,
    #[serde(default)]
    target: Option<Value>,
}

impl ExportLine {
    pub(super) fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    /// The entry as it is checked.
    pub(super) fn entry(self, line: u64) -> Entry {
        let event = leaf::parse(&self.leaf);
        let doctored = event.as_ref().and_then(|event| self.disagrees_with(event));
        let tree = self.leaf_hash.as_deref().map(|hash| vec![parse_hash(hash).unwrap_or_default()]);
        Entry { seq: self.workspace_seq, line: Some(line), leaf: self.leaf, event, tree, doctored }
    }

    /// The first readable field that says something else than the leaf.
    fn disagrees_with(&self, event: &Logged) -> Option<&'static str> {
        let metadata: Value = serde_json::from_str(&event.metadata).unwrap_or_default();
        let actor =
            json!({"type": metadata["actor_type"], "id": metadata["actor_id"], "via": metadata["via"]});
        let target = || {
            // An event that this program does not know cannot tell its target.
            let recorded = event.decode().ok()?;
            let (kind, id) = audit_log::target(&recorded);
            Some(json!({"type": kind, "id": id}))
        };
        let other = |said: Option<&Value>, fields: &[&str], truth: &Value| {
            said.is_some_and(|said| {
                !said.is_object() || fields.iter().any(|field| said[field] != truth[field])
            })
        };
        if self.position.is_some_and(|said| said != event.position) {
            Some("position")
        } else if self.time.is_some_and(|said| said != event.recorded_at) {
            Some("time")
        } else if other(self.actor.as_ref(), &["type", "id", "via"], &actor) {
            Some("actor")
        } else if self
            .action
            .as_ref()
            .is_some_and(|said| *said != audit_log::action(&event.aggregate_type, &event.event_type))
        {
            Some("action")
        } else if self.target.is_some()
            && target().is_some_and(|truth| other(self.target.as_ref(), &["type", "id"], &truth))
        {
            Some("target")
        } else {
            None
        }
    }
}

/// A hash in hexadecimal.
pub(super) fn parse_hash(text: &str) -> Option<Hash> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut hash = [0; 32];
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Hash(hash))
}
