//! What every event and every refusal has in common.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

/// A field's value before and after an event, so that the event alone tells what changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed<T> {
    pub from: T,
    pub to: T,
}

impl<T: PartialEq> Changed<T> {
    /// `Some` when the two differ: an event mentions only what really changed.
    pub fn between(from: T, to: T) -> Option<Self> {
        (from != to).then_some(Self { from, to })
    }
}

/// The static name of an event, as stored in the log's `event_type`.
pub trait EventName {
    /// Every name there is.
    const NAMES: &'static [&'static str];

    fn name(&self) -> &'static str;
}

/// What is wrong with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Fault {
    Invalid,
    UnknownRole,
}

/// A rule said no. Each variant of a refusal maps to one stable problem `code` of the HTTP contract.
pub trait Refused: std::error::Error + Send + Sync + 'static {
    fn code(&self) -> &'static str;

    /// The permission that is missing, where that is the reason.
    fn permission(&self) -> Option<&'static str> {
        None
    }

    /// Whether it says that there is no such workspace, as strangers are told of every workspace.
    fn hides_workspace(&self) -> bool {
        false
    }

    /// What is wrong with that field.
    fn fault(&self) -> Fault {
        Fault::Invalid
    }

    /// The field of the request that is at fault, as a JSON pointer, where one is.
    fn pointer(&self) -> Option<&'static str> {
        None
    }
}
