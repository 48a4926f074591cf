//! Small files that hold a secret: made whole or not at all, readable by their owner only.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::random::random_bytes;

/// No secret is longer; whoever points us at something else gets an error instead of its content in memory.
const MAX_LENGTH: u64 = 4096;

/// Why a secret file cannot be used. Names the file, never its content.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("{path} cannot be read or written: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("{path} is not a regular file of at most {MAX_LENGTH} bytes")]
    NotASmallFile { path: PathBuf },
    #[error(
        "{path} is open to others (mode {mode:04o}); after `chmod 600 {path}` only its owner can read it"
    )]
    OpenToOthers { path: PathBuf, mode: u32 },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> SecretFileError + '_ {
    move |source| SecretFileError::Io { path: path.to_owned(), source }
}

/// What tells one state of a file from another without reading it: a chmod shows in the change time, a
/// replacement in the inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

pub(super) fn stamp(path: &Path) -> io::Result<Stamp> {
    fs::metadata(path).map(|meta| Stamp {
        device: meta.dev(),
        inode: meta.ino(),
        size: meta.size(),
        modified: (meta.mtime(), meta.mtime_nsec()),
        changed: (meta.ctime(), meta.ctime_nsec()),
    })
}

/// The file's content, or `None` if there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, SecretFileError> {
    // Asked by name first: opening a FIFO would wait for a writer.
    match fs::metadata(path) {
        Ok(meta) => check(path, &meta)?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    }
    let file = File::open(path).map_err(io_error(path))?;
    // And again on what was really opened.
    check(path, &file.metadata().map_err(io_error(path))?)?;
    let mut content = Vec::new();
    file.take(MAX_LENGTH).read_to_end(&mut content).map_err(io_error(path))?;
    Ok(Some(content))
}

fn check(path: &Path, meta: &fs::Metadata) -> Result<(), SecretFileError> {
    if !meta.is_file() || meta.len() > MAX_LENGTH {
        return Err(SecretFileError::NotASmallFile { path: path.to_owned() });
    }
    let mode = meta.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(SecretFileError::OpenToOthers { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Makes the file unless it is there already; says whether it was this call that made it.
pub(super) fn create(path: &Path, content: &[u8]) -> Result<bool, SecretFileError> {
    let written = Written::beside(path, content)?;
    // A link appears whole and refuses an existing name, where O_EXCL on the name itself would leave an
    // empty file after a crash and show a half-written one to a second process.
    match fs::hard_link(&written.path, path) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(io_error(path)(error)),
    }
    drop(written);
    sync_directory(path)?;
    Ok(true)
}

/// Puts new content under the name in one step: a reader sees the old file or the new one.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    let written = Written::beside(path, content)?;
    fs::rename(&written.path, path).map_err(io_error(path))?;
    sync_directory(path)
}

/// A complete file under a passing name, gone again when dropped.
struct Written {
    path: PathBuf,
}

impl Written {
    fn beside(target: &Path, content: &[u8]) -> Result<Self, SecretFileError> {
        let directory = directory_of(target);
        // Only what we make is made private: an existing directory is its owner's affair.
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io_error(directory))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = directory.join(format!(".{name}.{:016x}", u64::from_ne_bytes(random_bytes())));
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(io_error(&path))?;
        let written = Self { path };
        file.write_all(content).and_then(|()| file.sync_all()).map_err(io_error(&written.path))?;
        Ok(written)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // After a rename there is nothing left to remove, and that is fine.
        let _ = fs::remove_file(&self.path);
    }
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_directory(path: &Path) -> Result<(), SecretFileError> {
    let directory = directory_of(path);
    File::open(directory).and_then(|handle| handle.sync_all()).map_err(io_error(directory))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn is_made_once_private_and_whole() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("data/deep/x.key");
        assert!(read(&path).unwrap().is_none());
        assert!(create(&path, b"one").unwrap());
        assert!(!create(&path, b"two").unwrap());
        assert_eq!(read(&path).unwrap().unwrap(), b"one");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"three");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no passing file is left");
    }

    #[test]
    fn twenty_makers_agree_on_one_content() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.key");
        let made = std::thread::scope(|scope| {
            let makers: Vec<_> = (0..20u8)
                .map(|n| {
                    let path = &path;
                    scope.spawn(move || create(path, &[n; 32]).unwrap())
                })
                .collect();
            makers.into_iter().map(|maker| maker.join().unwrap()).filter(|made| *made).count()
        });
        assert_eq!(made, 1);
        let content = read(&path).unwrap().unwrap();
        assert!(content.len() == 32 && content.iter().all(|byte| *byte == content[0]));
    }

    #[test]
    fn refuses_what_others_may_read_and_what_is_no_small_file() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("x.key");
        create(&path, b"secret").unwrap();
        for open in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let refusal = read(&path).unwrap_err();
            assert!(matches!(refusal, SecretFileError::OpenToOthers { mode, .. } if mode == open));
            assert!(!refusal.to_string().contains("secret"));
        }
        assert!(matches!(read(home.path()), Err(SecretFileError::NotASmallFile { .. })));
        replace(&path, &[1; 5000]).unwrap();
        assert!(matches!(read(&path), Err(SecretFileError::NotASmallFile { .. })));
    }
}
