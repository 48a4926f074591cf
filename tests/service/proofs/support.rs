//! An auditor's means: a history with its leaves, roots by RFC 6962's own definition, and other people's verifiers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ct_merkle::{ConsistencyProof, InclusionProof, RootHash};
use ring::digest::{SHA256, digest};
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2_for_ct::Sha256;
use sqlx::{PgConnection, Row};
use tenure_projections::recorded::Logged;
use tenure_projections::{audit_log, leaf};
use uuid::Uuid;

pub type Digest = [u8; 32];

/// A workspace's rows of the log, as anybody with the database sees them.
pub async fn logged(connection: &mut PgConnection, workspace: &str) -> Vec<Logged> {
    let rows = sqlx::query(
        "select position, workspace_id, workspace_seq, aggregate_type, aggregate_id, sequence, event_type,
                event_version, payload::text payload, metadata::text metadata, recorded_at
         from events where workspace_id = $1::uuid order by workspace_seq",
    )
    .bind(workspace)
    .fetch_all(connection)
    .await
    .unwrap();
    rows.iter()
        .map(|row| Logged {
            position: row.get("position"),
            workspace_id: row.get("workspace_id"),
            workspace_seq: row.get("workspace_seq"),
            aggregate_type: row.get("aggregate_type"),
            aggregate_id: row.get("aggregate_id"),
            sequence: row.get("sequence"),
            event_type: row.get("event_type"),
            event_version: row.get("event_version"),
            payload: row.get("payload"),
            metadata: row.get("metadata"),
            recorded_at: row.get("recorded_at"),
        })
        .collect()
}

/// An export: what people read, the leaf, and the hash that the tree has for it.
pub async fn export(connection: &mut PgConnection, workspace: &str) -> String {
    let hashes: Vec<(i64, Vec<u8>)> =
        sqlx::query_as("select workspace_seq, hashes from proof_nodes where workspace_id = $1 order by 1")
            .bind(workspace.parse::<Uuid>().unwrap())
            .fetch_all(&mut *connection)
            .await
            .unwrap();
    let mut lines = String::new();
    for event in logged(connection, workspace).await {
        let kept = hashes.iter().find(|(seq, _)| *seq == event.workspace_seq);
        lines.push_str(&line(&event, kept.map(|(_, hashes)| hex(&hashes[..32])).as_deref()).to_string());
        lines.push('\n');
    }
    lines
}

pub fn line(event: &Logged, kept: Option<&str>) -> Value {
    let metadata: Value = serde_json::from_str(&event.metadata).unwrap();
    let mut actor = json!({"type": metadata["actor_type"], "id": metadata["actor_id"]});
    if let Some(via) = metadata.get("via") {
        actor["via"] = via.clone();
    }
    let (kind, id) = event.decode().map_or(("?", String::new()), |event| audit_log::target(&event));
    json!({
        "position": event.position,
        "workspace_seq": event.workspace_seq,
        "time": event.recorded_at,
        "actor": actor,
        "action": audit_log::action(&event.aggregate_type, &event.event_type),
        "target": {"type": kind, "id": id},
        "leaf": leaf::leaf(event),
        "leaf_hash": kept,
    })
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// RFC 6962, section 2.1, word for word.
pub fn naive_root(leaves: &[String]) -> Digest {
    let hash = |parts: &[&[u8]]| digest(&SHA256, &parts.concat()).as_ref().try_into().unwrap();
    match leaves {
        [] => hash(&[]),
        [leaf] => hash(&[&[0], leaf.as_bytes()]),
        _ => {
            let split = leaves.len().next_power_of_two() / 2;
            let (left, right) = leaves.split_at(split);
            hash(&[&[1], &naive_root(left), &naive_root(right)])
        }
    }
}

/// What a checkpoint says, once its signature is found good by nothing but ring and the formats' own words.
pub fn opened(note: &str, vkey: &str) -> (String, u64, Digest) {
    let (text, signatures) = note.split_once("\n\n").unwrap();
    let text = format!("{text}\n");
    let (name, key) = vkey.trim().split_once('+').unwrap();
    let (id, key) = key.split_once('+').unwrap();
    let key = STANDARD.decode(key).unwrap();
    let named = digest(&SHA256, &[name.as_bytes(), b"\n", &key].concat());
    assert_eq!(hex(&named.as_ref()[..4]), id, "the key's hash");
    let (algorithm, public) = key.split_first().unwrap();
    assert_eq!(*algorithm, 1, "Ed25519");
    let signature =
        signatures.strip_prefix(&format!("\u{2014} {name} ")).unwrap().strip_suffix('\n').unwrap();
    let signature = STANDARD.decode(signature).unwrap();
    assert_eq!(hex(&signature[..4]), id, "signed with that key");
    UnparsedPublicKey::new(&ED25519, public).verify(text.as_bytes(), &signature[4..]).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "nothing but origin, size and root");
    assert_eq!(lines[0], name, "the log is named as its key is");
    (lines[0].to_owned(), lines[1].parse().unwrap(), unbase64(lines[2]))
}

pub fn unbase64(text: &str) -> Digest {
    STANDARD.decode(text).unwrap().try_into().unwrap()
}

fn ct_root(root: Digest, size: u64) -> RootHash<Sha256> {
    RootHash::new(root.into(), size)
}

fn concatenated(hashes: &Value) -> Vec<u8> {
    hashes.as_array().unwrap().iter().flat_map(|hash| unbase64(hash.as_str().unwrap())).collect()
}

/// What ct-merkle makes of an inclusion proof.
pub fn ct_includes(leaf: &str, index: u64, hashes: &Value, root: Digest, size: u64) -> bool {
    let proof = InclusionProof::try_from_bytes(concatenated(hashes)).unwrap();
    ct_root(root, size).verify_inclusion(&leaf, index, &proof).is_ok()
}

/// What ct-merkle makes of a consistency proof.
pub fn ct_consistent(from: (Digest, u64), to: (Digest, u64), hashes: &Value) -> bool {
    let proof = ConsistencyProof::try_from_bytes(concatenated(hashes)).unwrap();
    ct_root(to.0, to.1).verify_consistency(&ct_root(from.0, from.1), &proof).is_ok()
}
