//! One measured figure: what of, at which size, and what it is to be compared with.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name under which Tenure's own figures stand.
pub const TENURE: &str = "Tenure";

/// One subject (Tenure, a peer or a ceiling) in one case, the median of its rounds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Figure {
    /// The part of the suite: `append`, `commands`, `checks`, …
    pub part: String,
    /// What was done: "new streams, 256 in flight".
    pub case: String,
    /// Who did it: [`TENURE`], a peer, a ceiling.
    pub subject: String,
    /// How much was there already, in what the case grows with: events in the log, or memberships.
    pub size: Option<u64>,
    pub per_second: Option<f64>,
    pub p50_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    /// Anything else that is measured, in this unit.
    pub amount: Option<(f64, String)>,
    pub goals: Vec<Goal>,
}

/// What a figure is to reach.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Goal {
    /// So many times the rate of that subject in the same case and size.
    TimesRateOf(String, f64),
    /// At most so much of that subject's p99.
    ShareOfP99Of(String, f64),
    /// A rate of at least so many a second.
    PerSecond(f64),
    /// A p99 of at most so many milliseconds.
    P99Ms(f64),
    /// An amount of at most so much.
    AtMost(f64),
    /// Within this factor of the same figure at the smallest size.
    Flat(f64),
}

impl Figure {
    pub fn new(part: impl Into<String>, case: impl Into<String>, subject: impl Into<String>) -> Self {
        Self { part: part.into(), case: case.into(), subject: subject.into(), ..Self::default() }
    }

    #[must_use]
    pub fn at_size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    #[must_use]
    pub fn rate(mut self, per_second: f64) -> Self {
        self.per_second = Some(per_second);
        self
    }

    #[must_use]
    pub fn latency(mut self, p50_ms: f64, p99_ms: f64) -> Self {
        (self.p50_ms, self.p99_ms) = (Some(p50_ms), Some(p99_ms));
        self
    }

    #[must_use]
    pub fn amount(mut self, amount: f64, unit: impl Into<String>) -> Self {
        self.amount = Some((amount, unit.into()));
        self
    }

    /// What it is to reach, one or more.
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }
}

impl Figure {
    pub fn is_tenure(&self) -> bool {
        self.subject.starts_with(TENURE)
    }

    /// Whether the other was measured in the same part and case.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.part == other.part && self.case == other.case
    }

    /// Whether it is what the other was, measured anew.
    pub fn replaces(&self, other: &Self) -> bool {
        self.is_beside(other) && (&self.subject, self.size) == (&other.subject, other.size)
    }

    /// What one of it costs, whichever way it was measured: time or an amount. Less is better.
    pub fn cost(&self) -> Option<f64> {
        let rate = self.per_second.filter(|rate| *rate > 0.0).map(|rate| 1.0 / rate);
        rate.or(self.p50_ms).or(self.amount.as_ref().map(|(amount, _)| *amount)).filter(|cost| *cost > 0.0)
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} | {} | {}", self.part, self.case, self.subject)?;
        if let Some(size) = self.size {
            write!(f, " | at {size}")?;
        }
        if let Some(rate) = self.per_second {
            write!(f, " | {rate:.0}/s")?;
        }
        if let (Some(p50), Some(p99)) = (self.p50_ms, self.p99_ms) {
            write!(f, " | p50 {p50:.2} ms, p99 {p99:.2} ms")?;
        }
        if let Some((amount, unit)) = &self.amount {
            write!(f, " | {amount:.2} {unit}")?;
        }
        Ok(())
    }
}
