//! Finds the programs of an installed PostgreSQL.

use super::error::EmbeddedPostgresError;
use std::{
    env,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Older ones are past their end of life, or nearly so, and untested.
pub(super) const OLDEST_MAJOR: u32 = 15;

/// Where packages put each major version side by side: the folder, and what comes before the number in it.
const USUAL_PLACES: [(&str, &str); 5] = [
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Applications/Postgres.app/Contents/Versions", ""),
];

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    /// The reason is a half sentence that completes "… is of no use:".
    pub(super) fn in_dir(dir: &Path) -> Result<Self, String> {
        let dir = resolve(dir).ok_or("it does not hold both postgres and initdb")?;
        let major = major_of(&dir.join("postgres")).ok_or("its postgres does not run or tell its version")?;
        if major < OLDEST_MAJOR {
            return Err(format!("it is PostgreSQL {major}"));
        }
        Ok(Self { dir, major })
    }

    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether this build would start that cluster with a setting: what it was built with decides over some.
    pub(super) fn takes(&self, data: &Path, setting: &str) -> bool {
        let name = setting.split_once('=').map_or(setting, |(name, _)| name);
        let mut asking = Command::new(self.program("postgres"));
        // In this order, which root is allowed, too.
        asking.args(["-C", name, "-c", setting, "-D"]).arg(data);
        asking.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        asking.status().is_ok_and(|status| status.success())
    }
}

/// The installed PostgreSQL that a new cluster would use. Does not download.
pub fn find_binaries() -> Result<Binaries, EmbeddedPostgresError> {
    let found = ordered()?.or_else(|| installed().into_iter().next());
    found.ok_or(EmbeddedPostgresError::NoBinaries { download: None })
}

/// `TENURE_PG_BIN` is an order: with it, nothing else is looked at.
pub(super) fn ordered() -> Result<Option<Binaries>, EmbeddedPostgresError> {
    let Some(dir) = env::var_os("TENURE_PG_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from) else {
        return Ok(None);
    };
    match Binaries::in_dir(&dir) {
        Ok(binaries) => Ok(Some(binaries)),
        Err(reason) => Err(EmbeddedPostgresError::UnusableBinDir { dir, reason }),
    }
}

/// Every usable installation, best first.
pub(super) fn installed() -> Vec<Binaries> {
    let path = env::var_os("PATH").unwrap_or_default();
    usable(on_path(&path).into_iter().chain(in_usual_places(&USUAL_PLACES)))
}

fn usable(dirs: impl Iterator<Item = PathBuf>) -> Vec<Binaries> {
    let mut found = Vec::new();
    for binaries in dirs.filter_map(|dir| Binaries::in_dir(&dir).ok()) {
        if !found.contains(&binaries) {
            found.push(binaries);
        }
    }
    found
}

/// Relative entries are passed over: they would run whatever lies in the current directory.
fn on_path(path: &OsStr) -> Vec<PathBuf> {
    env::split_paths(path).filter(|dir| dir.is_absolute()).collect()
}

/// Newest first over all places.
fn in_usual_places(places: &[(&str, &str)]) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (root, prefix) in places {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let major = name.to_str().and_then(|name| name.strip_prefix(prefix)).and_then(|n| n.parse().ok());
            found.extend(major.map(|major| (major, entry.path().join("bin"))));
        }
    }
    found.sort_by_key(|(major, _)| std::cmp::Reverse(*major));
    found.into_iter().map(|(_, dir)| dir).collect()
}

/// A link in /usr/local/bin leads to the real directory, where the other programs are too.
fn resolve(dir: &Path) -> Option<PathBuf> {
    let holds_both = |dir: &Path| dir.join("postgres").is_file() && dir.join("initdb").is_file();
    let real = fs::canonicalize(dir.join("postgres")).ok()?;
    let real = real.parent().filter(|real| holds_both(real)).map(Path::to_path_buf);
    real.or_else(|| holds_both(dir).then(|| dir.to_path_buf()))
}

fn major_of(postgres: &Path) -> Option<u32> {
    let output = Command::new(postgres).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// From "postgres (PostgreSQL) 15.14 (Debian …)", "18beta1" and the "15" of a `PG_VERSION` alike.
pub(super) fn parse_major(text: &str) -> Option<u32> {
    text.split_whitespace().find_map(|word| {
        let digits = word.split(|c: char| !c.is_ascii_digit()).next()?;
        digits.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    /// An installation that only knows its version.
    fn fake_installation(dir: &Path, version: &str) -> PathBuf {
        fs::create_dir_all(dir).unwrap();
        for program in ["postgres", "initdb"] {
            let file = dir.join(program);
            fs::write(&file, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir.canonicalize().unwrap()
    }

    #[test]
    fn reads_the_major_version_of_every_notation() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("16\n"), Some(16));
        assert_eq!(parse_major("no version here"), None);
    }

    #[test]
    fn follows_a_linked_postgres_to_its_real_directory() {
        let root = tempfile::tempdir().unwrap();
        let real = fake_installation(&root.path().join("lib/16/bin"), "16.3");
        let links = root.path().join("bin");
        fs::create_dir(&links).unwrap();
        symlink(real.join("postgres"), links.join("postgres")).unwrap();
        assert_eq!(Binaries::in_dir(&links), Ok(Binaries { dir: real, major: 16 }));
    }

    #[test]
    fn passes_over_what_is_too_old_or_broken_and_lists_each_installation_once() {
        let root = tempfile::tempdir().unwrap();
        let old = fake_installation(&root.path().join("old"), "13.2");
        let new = fake_installation(&root.path().join("new"), "17.1");
        let dirs = [old.clone(), root.path().join("missing"), new.clone(), new.clone()];
        assert_eq!(usable(dirs.into_iter()), [Binaries { dir: new, major: 17 }]);
        assert_eq!(Binaries::in_dir(&old), Err("it is PostgreSQL 13".to_owned()));
    }

    #[test]
    fn looks_in_the_usual_places_newest_first() {
        let root = tempfile::tempdir().unwrap();
        for name in ["15/bin", "9.6/bin", "17/bin", "16/bin"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let found = in_usual_places(&[(root.path().to_str().unwrap(), "")]);
        assert_eq!(found, ["17/bin", "16/bin", "15/bin"].map(|name| root.path().join(name)));
    }

    #[test]
    fn never_runs_programs_from_the_current_directory() {
        assert_eq!(on_path(OsStr::new(".:bin::/opt/pg")), [PathBuf::from("/opt/pg")]);
    }
}
