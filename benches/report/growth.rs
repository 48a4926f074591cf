//! What a figure costs at the largest size against the smallest.

use super::Report;
use super::figure::Figure;
use super::judge::smallest;

/// The factor that counts as flat.
pub(super) const FLAT: f64 = 1.2;

pub(super) struct Growth<'a> {
    pub largest: &'a Figure,
    pub from: u64,
    pub to: u64,
    /// How many times as much one costs.
    pub cost: f64,
    pub p99: Option<f64>,
}

impl Growth<'_> {
    pub(super) fn is_flat(&self) -> bool {
        self.cost <= FLAT
    }
}

/// Of each of Tenure's figures in a part that was measured at several sizes.
pub(super) fn growth<'a>(report: &'a Report, part: &'a str) -> Vec<Growth<'a>> {
    report.of(part).filter(|figure| figure.is_tenure()).filter_map(|figure| grown(report, figure)).collect()
}

fn grown<'a>(report: &'a Report, largest: &'a Figure) -> Option<Growth<'a>> {
    let same = |other: &&Figure| other.is_beside(largest) && other.subject == largest.subject;
    if report.figures.iter().filter(same).any(|other| other.size > largest.size) {
        return None;
    }
    let smallest = smallest(report, largest)?;
    let (from, to) = smallest.size.zip(largest.size).filter(|(from, to)| from < to)?;
    let cost = largest.cost()? / smallest.cost()?;
    let p99 = largest.p99_ms.zip(smallest.p99_ms).map(|(large, small)| large / small);
    Some(Growth { largest, from, to, cost, p99 })
}
