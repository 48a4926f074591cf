//! The leaf: all that matters of an event, as one text, and the hash by which it stands in its workspace's tree.

use chrono::{DateTime, SecondsFormat};
use tlog_tiles::{Hash, record_hash};
use uuid::Uuid;

use crate::recorded::Logged;

/// How every leaf begins. Another first line would be another format.
const FORMAT: &str = "tenure leaf v1";

/// The event as the text that is hashed: nine lines, the last two the JSON exactly as it is stored.
pub fn leaf<T: AsRef<str>>(event: &Logged<T>) -> String {
    let Logged { workspace_id, workspace_seq, position, sequence, .. } = event;
    let (aggregate_type, aggregate_id) = (event.aggregate_type.as_ref(), event.aggregate_id.as_ref());
    let (event_type, event_version) = (event.event_type.as_ref(), event.event_version.as_ref());
    let (metadata, payload) = (event.metadata.as_ref(), event.payload.as_ref());
    let recorded_at = event.recorded_at.to_rfc3339_opts(SecondsFormat::Micros, true);
    format!(
        "{FORMAT}\n{workspace_id}\n{workspace_seq}\n{position}\n{aggregate_type}/{aggregate_id}/{sequence}\n\
         {event_type}/{event_version}\n{recorded_at}\n{metadata}\n{payload}"
    )
}

/// `SHA-256(0x00 | leaf)`, as RFC 6962 has it.
pub fn hash<T: AsRef<str>>(event: &Logged<T>) -> Hash {
    record_hash(leaf(event).as_bytes())
}

/// The event a leaf was made of; none if it is no leaf, or not spelt as [`leaf`] spells it.
pub fn parse(text: &str) -> Option<Logged> {
    let lines: Vec<&str> = text.split('\n').collect();
    let &[FORMAT, workspace_id, workspace_seq, position, stream, kind, recorded_at, metadata, payload] =
        lines.as_slice()
    else {
        return None;
    };
    let (aggregate_type, rest) = stream.split_once('/')?;
    let (aggregate_id, sequence) = rest.rsplit_once('/')?;
    let (event_type, event_version) = kind.split_once('/')?;
    let event = Logged {
        position: position.parse().ok()?,
        workspace_id: Uuid::parse_str(workspace_id).ok()?,
        workspace_seq: workspace_seq.parse().ok()?,
        aggregate_type: aggregate_type.to_owned(),
        aggregate_id: aggregate_id.to_owned(),
        sequence: sequence.parse().ok()?,
        event_type: event_type.to_owned(),
        event_version: event_version.to_owned(),
        payload: payload.to_owned(),
        metadata: metadata.to_owned(),
        recorded_at: DateTime::parse_from_rfc3339(recorded_at).ok()?.to_utc(),
    };
    (leaf(&event) == text).then_some(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Logged {
        Logged {
            position: 1_234_567,
            workspace_id: Uuid::from_u128(0x0198_7654_3210_7abc_8def_0123_4567_89ab),
            workspace_seq: 12,
            aggregate_type: "User".into(),
            aggregate_id: "a/b".into(),
            sequence: 3,
            event_type: "UserErased".into(),
            event_version: "1".into(),
            payload: r#"{"type":"UserErased","user_id":"a/b"}"#.into(),
            metadata: r#"{"actor_type":"system"}"#.into(),
            recorded_at: DateTime::from_timestamp(1_800_000_000, 5_000).unwrap(),
        }
    }

    #[test]
    fn is_the_text_that_auditors_were_told_of() {
        let text = "tenure leaf v1\n01987654-3210-7abc-8def-0123456789ab\n12\n1234567\nUser/a/b/3\nUserErased/1\n\
                    2027-01-15T08:00:00.000005Z\n{\"actor_type\":\"system\"}\n{\"type\":\"UserErased\",\"user_id\":\"a/b\"}";
        assert_eq!(leaf(&event()), text);
        assert_eq!(parse(text), Some(event()));
        // Pinned, computed with sha256sum: another hash would void every checkpoint.
        let hex = hash(&event()).0.map(|byte| format!("{byte:02x}")).concat();
        assert_eq!(hex, PINNED);
    }

    const PINNED: &str = "853062006529c38daa51ee579f70dec82d6ae3f7df0bce7b0cee4fa86149a1e7";

    #[test]
    fn has_one_spelling() {
        let text = leaf(&event());
        for (from, to) in [
            ("v1", "v2"),
            ("\n12\n", "\n012\n"),
            ("\n12\n", "\n+12\n"),
            ("01987654-", "01987654"),
            (".000005Z", ".0000050Z"),
            (".000005Z", ".000005+00:00"),
            ("{\"type\"", "\n{\"type\""),
            ("/3\n", "/03\n"),
        ] {
            let other = text.replacen(from, to, 1);
            assert_ne!(other, text);
            assert_eq!(parse(&other), None, "{other}");
        }
        assert_eq!(parse(&format!("{text}\n")), None);
        assert_eq!(parse(""), None);
    }
}
