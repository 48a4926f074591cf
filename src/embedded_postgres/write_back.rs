//! Pages that tables and indexes grow by go to the disk in small lots.
//!
//! PostgreSQL fills a new page of a file with zeros long before it writes what stands there. The kernel would keep those
//! zeros for half a minute, and a commit that comes while it then writes hundreds of megabytes at once waits for a tenth
//! of a second. Pages that PostgreSQL itself writes are seen to by its own settings (`cluster::WRITE_BACK`).

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

/// While something grows, and while nothing does.
const OFTEN: Duration = Duration::from_millis(250);
const SELDOM: Duration = Duration::from_secs(1);

/// A thread that looks after the files of a cluster until this is dropped.
#[derive(Debug)]
pub(super) struct WriteBack {
    _stop: Sender<()>,
}

impl WriteBack {
    pub(super) fn of(data: &Path) -> io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let mut files = Files { base: data.join("base"), sizes: HashMap::new() };
        // What is there already, the kernel has had time for.
        files.grown();
        let look = move || {
            let mut pause = SELDOM;
            while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                let grown = files.grown();
                pause = if grown.is_empty() { SELDOM } else { OFTEN };
                for (file, range) in grown {
                    write_soon(&file, range);
                }
            }
        };
        thread::Builder::new().name("tenure-write-back".to_owned()).spawn(look)?;
        Ok(Self { _stop: stop })
    }
}

/// The files of all databases, and how long they were when they were last looked at.
struct Files {
    base: PathBuf,
    sizes: HashMap<PathBuf, u64>,
}

impl Files {
    /// What was added since the last look. A file that cannot be looked at is gone, or will be seen the next time.
    fn grown(&mut self) -> Vec<(PathBuf, Range<u64>)> {
        let mut sizes = HashMap::with_capacity(self.sizes.len());
        let mut grown = Vec::new();
        for file in entries(&self.base).flat_map(|database| entries(&database.path())) {
            let Ok(size) = file.metadata().map(|file| file.len()) else { continue };
            let path = file.path();
            let before = self.sizes.get(&path).copied().unwrap_or_default();
            if size > before {
                grown.push((path.clone(), before..size));
            }
            sizes.insert(path, size);
        }
        self.sizes = sizes;
        grown
    }
}

fn entries(directory: &Path) -> impl Iterator<Item = fs::DirEntry> + use<> {
    fs::read_dir(directory).into_iter().flatten().flatten()
}

/// Has the kernel begin to write a part of a file, and waits for nothing. It may forget what it has written, which costs a
/// read at most: pages that rows were just added to are in PostgreSQL's own memory. No `fdatasync`, which would hear of a
/// failure in PostgreSQL's place.
#[cfg(target_os = "linux")]
fn write_soon(file: &Path, range: Range<u64>) {
    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};
    let (Ok(start), Ok(length)) = (i64::try_from(range.start), i64::try_from(range.end - range.start)) else {
        return;
    };
    // Failing here costs a stop, now and then.
    if let Ok(file) = fs::File::open(file) {
        let _ = posix_fadvise(&file, start, length, PosixFadviseAdvice::POSIX_FADV_DONTNEED);
    }
}

#[cfg(not(target_os = "linux"))]
fn write_soon(_: &Path, _: Range<u64>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_since_the_last_look_is_found_in_every_database() {
        let data = tempfile::tempdir().unwrap();
        let base = data.path().join("base");
        let (one, other) = (base.join("1").join("2600"), base.join("16384").join("16385_fsm"));
        for file in [&one, &other] {
            fs::create_dir_all(file.parent().unwrap()).unwrap();
        }
        fs::write(&one, [0; 100]).unwrap();
        let mut files = Files { base, sizes: HashMap::new() };
        assert_eq!(files.grown(), [(one.clone(), 0..100)]);
        assert_eq!(files.grown(), [], "nothing has grown");

        fs::write(&one, [0; 3 * 100]).unwrap();
        fs::write(&other, [0; 100]).unwrap();
        let mut grown = files.grown();
        grown.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(grown, [(one.clone(), 100..3 * 100), (other.clone(), 0..100)]);

        // Truncated, or another of the same name.
        fs::write(&one, [0; 100]).unwrap();
        fs::remove_file(&other).unwrap();
        assert_eq!(files.grown(), []);
        fs::write(&one, [0; 2 * 100]).unwrap();
        fs::write(&other, [0; 100]).unwrap();
        assert_eq!(files.grown().len(), 2);
    }

    #[test]
    fn a_cluster_that_is_not_there_has_no_files() {
        let mut files = Files { base: PathBuf::from("/nowhere/base"), sizes: HashMap::new() };
        assert_eq!(files.grown(), []);
    }
}
