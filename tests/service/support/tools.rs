//! What the tests borrow from others: Python and Node with published packages, kept under the target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Prints the packages' versions, or fails where one is missing.
const VERSIONS: &str =
    "import importlib.metadata as m, sys; print([m.version(name) for name in sys.argv[1:]])";

/// A Python that has these packages of `PyPI`; none, said aloud, where there can be none.
pub fn python_with(packages: &[&str]) -> Option<PathBuf> {
    let place = tools();
    let _only_one = lock(&place)?;
    let own = place.join("python/bin/python");
    let has = |python: &Path| runs(Command::new(python).args(["-c", VERSIONS]).args(packages));
    if let Some(python) = [own.clone(), "python3".into()].into_iter().find(|python| has(python)) {
        return Some(python);
    }
    let is_there = runs(Command::new(&own).arg("--version"))
        || installs(Command::new("python3").args(["-m", "venv", "--clear"]).arg(place.join("python")));
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    if is_there && installs(Command::new(&own).args(pip).args(packages)) && has(&own) {
        return Some(own);
    }
    skip(&format!("no Python with {packages:?}, and none can be made"))
}

/// A directory from which `node` finds these packages of npm (`Command::new("node").current_dir(..)`, the script on
/// its standard input or with `-e`); none, said aloud, where there can be none.
pub fn node_with(packages: &[&str]) -> Option<PathBuf> {
    let place = tools();
    let _only_one = lock(&place)?;
    if !runs(Command::new("node").arg("--version")) {
        return skip("no node");
    }
    let own = place.join("node");
    let has = || packages.iter().all(|package| own.join("node_modules").join(package).is_dir());
    let npm = ["install", "--silent", "--no-fund", "--no-audit", "--prefix"];
    if has() || (installs(Command::new("npm").args(npm).arg(&own).args(packages)) && has()) {
        return Some(own);
    }
    skip(&format!("no {packages:?} for node, and npm cannot bring them"))
}

/// A test that cannot be run says so, and why.
pub fn skip<T>(reason: &str) -> Option<T> {
    eprintln!("SKIPPED: {reason}");
    None
}

/// `TENURE_TESTS_TOOLS`, or `tools` beside the tests' binaries.
fn tools() -> PathBuf {
    let beside = || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools");
    std::env::var_os("TENURE_TESTS_TOOLS").map_or_else(beside, PathBuf::from)
}

/// Two tests, or two runs of them, never install at once.
fn lock(place: &Path) -> Option<File> {
    let opened = fs::create_dir_all(place).and_then(|()| File::create(place.join("lock")));
    match opened.and_then(|file| file.lock().map(|()| file)) {
        Ok(file) => Some(file),
        Err(error) => skip(&format!("{}: {error}", place.display())),
    }
}

/// Whether a command ends well, of which nothing else matters.
fn runs(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The same, for what may fail for reasons worth reading.
fn installs(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[test]
fn published_packages_are_at_hand_or_their_absence_is_said() {
    if let Some(python) = python_with(&["standardwebhooks"]) {
        assert!(runs(Command::new(python).args(["-c", "import standardwebhooks"])));
    }
    if let Some(place) = node_with(&["standardwebhooks"]) {
        assert!(runs(
            Command::new("node").current_dir(place).args(["-e", "require('standardwebhooks').Webhook"])
        ));
    }
}
