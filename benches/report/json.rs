//! The report for programs, and for the next run, which keeps the parts it leaves out.

use std::path::Path;

use super::{Report, written};

const NAME: &str = "report.json";

pub(super) fn write(report: &Report, directory: &Path) {
    let text = serde_json::to_string_pretty(report).expect("JSON");
    written(&directory.join(NAME), &text);
}

/// The last one there, or an empty one.
pub(super) fn read(directory: &Path) -> Report {
    std::fs::read(directory.join(NAME))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}
