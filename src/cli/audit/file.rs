//! Where an export is written: standard output, or a file that bears its name only once it is complete.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::audit::export::Format;

/// No record is longer, in bytes.
const MAX_RECORD: usize = 64 << 20;

/// Where an earlier export stopped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stopped {
    /// The `workspace_seq` of its last whole line.
    pub(super) after: i64,
    /// Whether the file begins already.
    pub(super) is_begun: bool,
}

/// What an export is written to.
pub(super) struct Destination {
    writer: Box<dyn Write + Send>,
    /// The unfinished file, and what it is to be called.
    files: Option<(PathBuf, PathBuf)>,
    pub(super) stopped: Stopped,
}

impl Destination {
    pub(super) fn stdout() -> Self {
        Self { writer: Box::new(io::stdout()), files: None, stopped: Stopped::default() }
    }

    /// A new file, or one that is gone on with.
    pub(super) fn file(path: &Path, format: Format, resume: bool) -> anyhow::Result<Self> {
        let mut partial = path.as_os_str().to_owned();
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let mut stopped = Stopped::default();
        if resume {
            if !partial.exists() && path.exists() {
                fs::rename(path, &partial).context("the file cannot be gone on with")?;
            }
            ensure!(partial.exists(), "there is no {} to go on with", path.display());
            stopped = cut(&partial, format)?;
        } else {
            ensure!(!path.exists(), "{} is there already: --resume goes on with it", path.display());
        }
        let mut options = OpenOptions::new();
        options.create(true).write(true);
        let options = if resume { options.append(true) } else { options.truncate(true) };
        let file =
            options.open(&partial).with_context(|| format!("{} cannot be written", partial.display()))?;
        let files = Some((partial, path.to_owned()));
        Ok(Self { writer: Box::new(BufWriter::new(file)), files, stopped })
    }

    pub(super) fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)
    }

    /// Everything is written: the file is given its name.
    pub(super) fn complete(mut self) -> anyhow::Result<()> {
        self.writer.flush()?;
        if let Some((partial, path)) = &self.files {
            File::open(partial)?.sync_all()?;
            fs::rename(partial, path)?;
        }
        Ok(())
    }
}

/// Cuts what stands after the last whole line, and says what that line is.
fn cut(path: &Path, format: Format) -> anyhow::Result<Stopped> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let (whole, after) = match format {
        Format::Ndjson => last_object(&file)?,
        Format::Csv => last_record(&file)?,
        Format::Parquet => (0, 0),
    };
    file.set_len(whole)?;
    Ok(Stopped { after, is_begun: whole > 0 })
}

#[derive(Deserialize)]
struct Numbered {
    workspace_seq: i64,
}

/// How long the file is up to its last whole line, and the number of that line.
fn last_object(file: &File) -> anyhow::Result<(u64, i64)> {
    let (mut reader, mut whole, mut after) = (BufReader::new(file), 0, 0);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if read == 0 || line.last() != Some(&b'\n') {
            return Ok((whole, after));
        }
        let numbered: Numbered = serde_json::from_slice(&line).context("this is no export")?;
        whole += read as u64;
        after = numbered.workspace_seq;
    }
}

/// The same, where a line may have breaks in its cells: it ends with the first break that no quotes enclose.
fn last_record(file: &File) -> anyhow::Result<(u64, i64)> {
    let mut reader = BufReader::new(file);
    let (mut whole, mut header, mut last) = (0, None, None);
    let mut record = Vec::new();
    loop {
        let begun = record.len();
        if reader.read_until(b'\n', &mut record)? == 0 || record.last() != Some(&b'\n') {
            break;
        }
        // Two quotes for one inside a cell leave it as it was.
        let is_open = record.iter().fold(false, |open, byte| open != (*byte == b'"'));
        if is_open {
            ensure!(begun < MAX_RECORD, "this is no export");
            continue;
        }
        whole += record.len() as u64;
        let read = std::mem::take(&mut record);
        if header.is_none() { header = Some(read) } else { last = Some(read) }
    }
    let Some(header) = header else { return Ok((0, 0)) };
    let column = cells(&header)?.iter().position(|name| name == "workspace_seq");
    let column = column.context("this is no export")?;
    let Some(last) = last else { return Ok((whole, 0)) };
    let after = cells(&last)?.get(column).unwrap_or_default().parse().context("this is no export")?;
    Ok((whole, after))
}

fn cells(record: &[u8]) -> anyhow::Result<csv::StringRecord> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(record);
    reader.records().next().context("this is no export")?.context("this is no export")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stopped(text: &str, format: Format) -> (Stopped, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("export");
        fs::write(&path, text).unwrap();
        let stopped = cut(&path, format).unwrap();
        (stopped, fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn what_was_cut_off_in_a_line_goes_on_after_the_last_whole_one() {
        let whole = "{\"workspace_seq\":1}\n{\"workspace_seq\":2}\n";
        let two = Stopped { after: 2, is_begun: true };
        for rest in ["", "{\"workspace_seq\":3}", "{\"work"] {
            let found = stopped(&format!("{whole}{rest}"), Format::Ndjson);
            assert_eq!(found, (two, whole.to_owned()));
        }
        assert_eq!(stopped("{\"work", Format::Ndjson), (Stopped::default(), String::new()));
        let whole = "position,workspace_seq,reason\r\n7,1,\"a\r\n9,9,b\"\r\n8,2,\r\n";
        for rest in ["", "9,3,x", "9,", "9,3,\"x\r\n"] {
            let found = stopped(&format!("{whole}{rest}"), Format::Csv);
            assert_eq!(found, (two, whole.to_owned()), "{rest:?}");
        }
        let header = "position,workspace_seq,reason\r\n";
        let found = stopped(&format!("{header}7,"), Format::Csv);
        assert_eq!(found, (Stopped { after: 0, is_begun: true }, header.to_owned()));
    }
}
