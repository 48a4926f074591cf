//! The report as part of the documentation.

use std::path::Path;

use super::{Report, curve, markdown, written};

const BEGIN: &str = "<!-- bench -->";
const END: &str = "<!-- /bench -->";

/// Into `docs/performance/`, and what has a goal between the marks of the README.
pub(super) fn publish(report: &Report) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = root.join("docs/performance");
    curve::write(report, &directory);
    written(&directory.join("report.md"), &markdown::report(report, "."));
    let readme = root.join("README.md");
    let text = std::fs::read_to_string(&readme).expect("a README");
    match replaced(&text, &markdown::summary(report)) {
        Some(text) => written(&readme, &text),
        None => eprintln!("README.md has no {BEGIN} and {END}: it stays as it is"),
    }
}

fn replaced(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}{END}{after}"))
}
