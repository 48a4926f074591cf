//! Upcasters: what an event of an older version says, in the shape of the current one.
//!
//! They are pure, and the same wherever an event is read: when a stream is loaded, projected, rebuilt, folded to a past
//! moment, fed to others or exported. The log keeps what was written; what is written is always of the current version,
//! and nothing is ever turned back into an older one.
//!
//! A changed shape adds one step here, and a file of events as they were to the fixtures of the service's tests.
//! A text may be sealed: a step may move it, and must not look into it.

use std::borrow::Cow;

use serde_json::{Map, Value};

/// Makes the fields of one version those of the next. Fields that are not as expected are left, for the decoder to refuse.
type Step = fn(&mut Map<String, Value>);

/// The events that have had another shape, each with its steps from version 1 on; all others are as they were born.
const STEPS: &[(&str, &[Step])] = &[("SessionSwitched", &[switched_at])];

/// An event that a newer program wrote, or nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{event_type} of version {version}, while this program knows no version after {current}")]
pub struct UnknownVersion {
    pub event_type: String,
    pub version: String,
    /// The version this program writes.
    pub current: usize,
}

/// The version in which events of this type are written; 1 for one whose shape never changed.
pub fn current(event_type: &str) -> usize {
    steps_of(STEPS, event_type).len() + 1
}

/// Whether this program can read events of that version.
pub fn knows(event_type: &str, version: &str) -> bool {
    missing(STEPS, event_type, version).is_ok()
}

/// Whether an event is of the version that is written now.
pub fn is_current(event_type: &str, version: &str) -> bool {
    missing(STEPS, event_type, version).is_ok_and(<[Step]>::is_empty)
}

/// The payload in the current shape.
pub fn upcast(event_type: &str, version: &str, mut payload: Value) -> Result<Value, UnknownVersion> {
    run(missing(STEPS, event_type, version)?, &mut payload);
    Ok(payload)
}

/// The same for a payload that is still text. One of the current version is not looked at, and neither is one that is
/// no JSON: it says so itself when it is decoded.
pub fn upcast_text<'a>(
    event_type: &str,
    version: &str,
    payload: &'a str,
) -> Result<Cow<'a, str>, UnknownVersion> {
    let steps = missing(STEPS, event_type, version)?;
    if steps.is_empty() {
        return Ok(Cow::Borrowed(payload));
    }
    let Ok(mut value) = serde_json::from_str(payload) else { return Ok(Cow::Borrowed(payload)) };
    run(steps, &mut value);
    Ok(Cow::Owned(value.to_string()))
}

type Table = [(&'static str, &'static [Step])];

fn steps_of(table: &Table, event_type: &str) -> &'static [Step] {
    table.iter().find(|(name, _)| *name == event_type).map_or(&[], |(_, steps)| steps)
}

/// The steps from that version to the current one.
fn missing(table: &Table, event_type: &str, version: &str) -> Result<&'static [Step], UnknownVersion> {
    let steps = steps_of(table, event_type);
    let known = number(version).and_then(|version| steps.get(version - 1..));
    known.ok_or_else(|| UnknownVersion {
        event_type: event_type.to_owned(),
        version: version.to_owned(),
        current: steps.len() + 1,
    })
}

/// A version as the log writes it: from 1 on, in plain digits.
fn number(version: &str) -> Option<usize> {
    let plain = !version.starts_with('0') && version.bytes().all(|digit| digit.is_ascii_digit());
    plain.then(|| version.parse().ok()).flatten()
}

fn run(steps: &[Step], payload: &mut Value) {
    if let Value::Object(fields) = payload {
        for step in steps {
            step(fields);
        }
    }
}

/// `SessionSwitched` 2: its instant says what happened at it, as those of all other events do.
fn switched_at(fields: &mut Map<String, Value>) {
    if let Some(at) = fields.shift_remove("at") {
        fields.insert("switched_at".to_owned(), at);
    }
}

#[cfg(test)]
#[path = "upcast_tests.rs"]
mod tests;
