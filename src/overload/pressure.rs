//! Whether more is asked than can be done: told to those whose work gets cheaper in larger lots.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by the crowd at the door, read wherever something may be put off a little. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Pressure(Arc<AtomicBool>);

impl Pressure {
    pub fn is_high(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn set(&self, high: bool) {
        self.0.store(high, Ordering::Relaxed);
    }
}
