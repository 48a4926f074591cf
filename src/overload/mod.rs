//! What happens when more is asked than can be done: bounds, and who is turned away at them.
//!
//! Whatever waits is bounded, in total and for each workspace, and every bound is a share of what is still free: a
//! workspace that floods is turned away first, and the others do not notice it. To be turned away costs little, and
//! nothing has happened then.
//!
//! # Layout
//! - [`lane`]: for whom a request counts
//! - [`crowd`]: how many requests are in the house; [`turns`]: how many of them are at work, and who is next
//! - [`drain`]: when it is worth coming again
//! - [`pressure`]: what the crowd tells those who can then do more at once
//! - the appender's own queue is in `store::queue`

mod crowd;
mod drain;
mod lane;
mod pressure;
mod turns;

pub use crowd::{Crowd, Entered};
pub use drain::{Drain, scattered};
pub use lane::{Lane, Lanes};
pub use pressure::Pressure;
pub use turns::{Turn, Turns};

/// What was full when something was turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Bound {
    /// All requests of this process.
    Requests,
    /// The requests of one workspace.
    RequestsShare,
    /// The requests of those who have not been let in lately.
    RequestsOfStrangers,
    /// A request waited too long for its turn.
    Turn,
    /// Commands that wait for one stream.
    Line,
    /// All units that wait to be written.
    Append,
    /// The units of one workspace.
    AppendShare,
}

impl Bound {
    /// Counts one that is turned away.
    pub fn met(self) {
        let bound: &'static str = self.into();
        metrics::counter!("tenure_overload_refusals_total", "bound" => bound).increment(1);
    }
}

/// How much there may be of everything.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Requests in this process, at work and waiting; access checks in their plainest form, health and metrics are
    /// not counted.
    pub requests: usize,
    /// Commands at work at once, and of one workspace at most: less while many are there. What is at work together is
    /// written together, so with few one workspace that is alone would be slower than it need be.
    pub commands: usize,
    pub commands_of_one: usize,
    /// Reads at work at once. Of one workspace: at most a quarter as many as there are connections.
    pub reads: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests: 512, commands: 256, commands_of_one: 32, reads: 256 }
    }
}
