//! Compares a figure with those measured beside it, and with its goals.

use super::Report;
use super::figure::{Figure, Goal};

/// What is to be reached, in words, and whether it is.
pub(super) struct Judgement {
    pub goal: String,
    pub met: bool,
}

/// How much faster the figure is than its peer, the first other subject of the same case and size.
pub(super) fn beside_peer(report: &Report, figure: &Figure) -> Option<String> {
    if !figure.is_tenure() {
        return None;
    }
    let peer = report
        .figures
        .iter()
        .find(|other| other.is_beside(figure) && other.size == figure.size && !other.is_tenure())?;
    let times = peer.cost()? / figure.cost()?;
    Some(match figure.p99_ms.zip(peer.p99_ms) {
        Some((this, theirs)) if theirs > 0.0 => format!("{times:.2}×, p99 {:.2}×", this / theirs),
        _ => format!("{times:.2}×"),
    })
}

pub(super) fn judge(report: &Report, figure: &Figure) -> Vec<Judgement> {
    figure.goals.iter().map(|goal| Judgement { goal: words(goal), met: met(report, figure, goal) }).collect()
}

fn words(goal: &Goal) -> String {
    match goal {
        Goal::TimesRateOf(subject, times) => format!("≥ {times}× {subject}"),
        Goal::ShareOfP99Of(subject, share) => format!("p99 ≤ {share}× {subject}"),
        Goal::PerSecond(rate) => format!("≥ {rate:.0}/s"),
        Goal::P99Ms(ms) => format!("p99 ≤ {ms} ms"),
        Goal::AtMost(amount) => format!("≤ {amount}"),
        Goal::Flat(factor) => format!("within {factor}× of the smallest size"),
    }
}

fn met(report: &Report, figure: &Figure, goal: &Goal) -> bool {
    let beside = |subject: &str| {
        report
            .figures
            .iter()
            .find(|other| other.is_beside(figure) && other.size == figure.size && other.subject == subject)
    };
    let reached = match goal {
        Goal::TimesRateOf(subject, times) => beside(subject)
            .and_then(|other| other.per_second)
            .zip(figure.per_second)
            .map(|(other, this)| this >= times * other),
        Goal::ShareOfP99Of(subject, share) => beside(subject)
            .and_then(|other| other.p99_ms)
            .zip(figure.p99_ms)
            .map(|(other, this)| this <= share * other),
        Goal::PerSecond(rate) => figure.per_second.map(|this| this >= *rate),
        Goal::P99Ms(ms) => figure.p99_ms.map(|this| this <= *ms),
        Goal::AtMost(most) => figure.amount.as_ref().map(|(this, _)| this <= most),
        Goal::Flat(factor) => smallest(report, figure)
            .and_then(Figure::cost)
            .zip(figure.cost())
            .map(|(small, this)| this <= factor * small),
    };
    // Where nothing was done in the window, nothing is reached.
    reached == Some(true) && figure.per_second != Some(0.0)
}

/// The same figure at the smallest size it was measured at.
pub(super) fn smallest<'a>(report: &'a Report, figure: &Figure) -> Option<&'a Figure> {
    report
        .figures
        .iter()
        .filter(|other| other.is_beside(figure) && other.subject == figure.subject)
        .min_by_key(|other| other.size)
}
