//! The report for people: a table per part, and what more data cost.

use super::Report;
use super::figure::Figure;
use super::growth::{FLAT, growth};
use super::judge::{beside_peer, judge};

const HEADS: [&str; 10] =
    ["case", "size", "subject", "per second", "p50 ms", "p99 ms", "amount", "vs peer", "goal", "met"];

/// All of it; the curves lie in that directory beside it.
pub(super) fn report(report: &Report, curves: &str) -> String {
    let mut text = String::from("# Measured\n");
    let mut place = String::new();
    for part in report.parts() {
        text += &format!("\n## {part}\n\n");
        if let Some(machine) = report.machines.get(part) {
            let here = format!("{}, {}.", machine.day(), machine.place());
            if here != place {
                text += &format!("{here}\n\n");
                place = here;
            }
        }
        let rows: Vec<[String; 10]> = report.of(part).map(|figure| row(report, figure)).collect();
        text += &table(&HEADS, &rows);
        let grown = grown(report, part);
        if !grown.is_empty() {
            text += &format!("\n{grown}\n![What more data cost in {part}]({curves}/{part}.svg)\n");
        }
    }
    text
}

/// What has a goal, at the largest size it was measured at.
pub(super) fn summary(report: &Report) -> String {
    let place = report
        .machines
        .values()
        .next_back()
        .map_or_else(String::new, |machine| format!("{}, {}.\n\n", machine.day(), machine.place()));
    let heads =
        ["part", "case", "size", "subject", "per second", "p99 ms", "amount", "vs peer", "goal", "met"];
    let largest = |figure: &&Figure| {
        !report.figures.iter().any(|other| {
            other.is_beside(figure) && other.subject == figure.subject && other.size > figure.size
        })
    };
    let rows: Vec<[String; 10]> = report
        .figures
        .iter()
        .filter(|figure| !figure.goals.is_empty())
        .filter(largest)
        .map(|figure| {
            let [case, size, subject, rate, _, p99, amount, peer, goal, met] = row(report, figure);
            [figure.part.clone(), case, size, subject, rate, p99, amount, peer, goal, met]
        })
        .collect();
    place + &table(&heads, &rows)
}

fn row(report: &Report, figure: &Figure) -> [String; 10] {
    let judgements = judge(report, figure);
    let number = |value: Option<f64>, digits: usize| {
        value.map_or_else(String::new, |value| format!("{value:.digits$}"))
    };
    let goals: Vec<&str> = judgements.iter().map(|judgement| &*judgement.goal).collect();
    let met: Vec<&str> =
        judgements.iter().map(|judgement| if judgement.met { "yes" } else { "no" }).collect();
    [
        figure.case.clone(),
        figure.size.map_or_else(String::new, size),
        figure.subject.clone(),
        number(figure.per_second, 0),
        number(figure.p50_ms, 2),
        number(figure.p99_ms, 2),
        figure.amount.as_ref().map_or_else(String::new, |(amount, unit)| format!("{amount:.2} {unit}")),
        beside_peer(report, figure).unwrap_or_default(),
        goals.join("; "),
        met.join("; "),
    ]
}

fn grown(report: &Report, part: &str) -> String {
    let flat = format!("within {FLAT}×");
    let heads = ["growth", "subject", "from", "to", "cost", "p99", &flat];
    let rows: Vec<[String; 7]> = growth(report, part)
        .iter()
        .map(|growth| {
            [
                growth.largest.case.clone(),
                growth.largest.subject.clone(),
                size(growth.from),
                size(growth.to),
                format!("{:.2}×", growth.cost),
                growth.p99.map_or_else(String::new, |p99| format!("{p99:.2}×")),
                if growth.is_flat() { "yes" } else { "no" }.to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() { String::new() } else { table(&heads, &rows) }
}

/// 10,000 as "10 k", 1,000,000 as "1 M".
pub(super) fn size(size: u64) -> String {
    match size {
        0 => "0".to_owned(),
        size if size.is_multiple_of(1_000_000) => format!("{} M", size / 1_000_000),
        size if size.is_multiple_of(1_000) => format!("{} k", size / 1_000),
        size => size.to_string(),
    }
}

/// Columns that hold nothing are left out.
fn table<const N: usize>(heads: &[&str; N], rows: &[[String; N]]) -> String {
    let columns: Vec<usize> = (0..N).filter(|at| rows.iter().any(|row| !row[*at].is_empty())).collect();
    let line = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(columns.iter().map(|at| heads[*at]).collect());
    text += &format!("|{}\n", "---|".repeat(columns.len()));
    for row in rows {
        text += &line(columns.iter().map(|at| &*row[*at]).collect());
    }
    text
}
