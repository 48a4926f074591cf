//! `If-Match`: a command that holds only if the resource is still what the client saw.

use cqrs_es::Aggregate;

use crate::store::{Failure, Refusal, UnitOfWork};

/// The sequences a resource may have; `Any` says only that it must exist.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Precondition {
    #[default]
    None,
    Any,
    OneOf(Vec<i64>),
}

impl Precondition {
    /// To be called after the stream was loaded and before it is written.
    pub fn check<A: Aggregate>(&self, unit: &UnitOfWork, id: &str) -> Result<(), Failure> {
        let sequence = unit.sequence_of::<A>(id);
        let holds = match self {
            Self::None => true,
            Self::Any => sequence > 0,
            Self::OneOf(sequences) => sequence > 0 && sequences.contains(&sequence),
        };
        if holds { Ok(()) } else { Err(lost()) }
    }

    /// For a command that makes something new: nobody has seen that yet.
    pub fn check_new(&self) -> Result<(), Failure> {
        if *self == Self::None { Ok(()) } else { Err(lost()) }
    }
}

fn lost() -> Failure {
    let detail = "The resource has changed since: get it again, then decide again.";
    Refusal::new("precondition_failed", detail).into()
}
