//! RFC 4180, and no cell that a spreadsheet would take for a formula.

use std::borrow::Cow;

use chrono::SecondsFormat;

use super::columns::{COLUMNS, Cell, cells};
use super::{Line, internal};
use crate::store::StoreError;

pub(super) fn encode(lines: &[Line], header: bool) -> Result<Vec<u8>, StoreError> {
    let mut csv = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    if header {
        csv.write_record(COLUMNS.map(|(name, _)| name)).map_err(internal)?;
    }
    for line in lines {
        csv.write_record(cells(line.entry.clone()).iter().map(|cell| text(cell).into_owned().into_bytes()))
            .map_err(internal)?;
    }
    csv.into_inner().map_err(internal)
}

fn text(cell: &Cell) -> Cow<'_, str> {
    match cell {
        Cell::Number(number) => number.map(|number| number.to_string()).unwrap_or_default().into(),
        Cell::Time(time) => time.to_rfc3339_opts(SecondsFormat::Micros, true).into(),
        Cell::Text(text) => neutral(text.as_deref().unwrap_or_default()),
    }
}

/// With an apostrophe before it, what begins like a formula is a text. Spreadsheets look past blanks, and some take the
/// full-width signs for the others.
fn neutral(text: &str) -> Cow<'_, str> {
    let blank =
        |letter: char| letter.is_whitespace() || letter.is_control() || "\u{feff}\u{200b}".contains(letter);
    let begins =
        text.trim_start_matches(blank).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '−']);
    if begins || text.starts_with(['\t', '\r', '\n']) {
        return format!("'{text}").into();
    }
    text.into()
}

#[cfg(test)]
mod tests {
    use super::neutral;

    #[test]
    fn what_begins_like_a_formula_is_a_text() {
        for formula in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "\tx",
            "\rx",
            "\nx",
            " =1",
            "\u{a0}=1",
            "\u{3000}=1",
            "\u{feff}=1",
            "＝1",
            "＋1",
            "－1",
            "＠x",
            " ＝1",
            "\u{b}=1",
        ] {
            assert_eq!(neutral(formula), format!("'{formula}"));
        }
        for text in ["", "Acme", "a=b", "1-2", "x@y.z", "'=1", "{\"a\":1}", " Acme"] {
            assert_eq!(neutral(text), text);
        }
    }
}
