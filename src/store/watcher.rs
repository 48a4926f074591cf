//! Who is told of this process's commits before their answers go out.

use std::fmt;

use super::heads::CachedState;
use super::stream::StreamKey;

/// Told of each unit of work once it is in the log, in the order of the log, and before its client is answered.
pub trait Watcher: fmt::Debug + Send + Sync {
    /// The unit's events stand at the positions after `after` up to `to`; `states` are what its streams have become.
    /// It must be quick: all writes of this process wait for it.
    fn committed(&self, after: i64, to: i64, states: &[(StreamKey, CachedState)]);
}

/// Nobody.
impl Watcher for () {
    fn committed(&self, _: i64, _: i64, _: &[(StreamKey, CachedState)]) {}
}
