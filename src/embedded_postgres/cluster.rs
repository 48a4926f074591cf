//! The database cluster on disk: made once, whole or not at all.

use super::{
    Options,
    binaries::{Binaries, parse_major},
    error::{During, EmbeddedPostgresError},
    home::{self, Home},
    run_as::RunAs,
    supervisor::{Program, Supervised},
};
use std::{
    fs::{self, File, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
};

/// A cluster under construction; only a finished one gets its real name.
const UNFINISHED: &str = "data.new.";

/// Whoever commits into a segment of the write-ahead log that is not there yet makes it first, zeros it and waits for the
/// disk, and everybody else waits, too: 50 to 100 ms for PostgreSQL's usual 16 MiB.
const WAL_SEGMENT_MIB: u32 = 1;

/// What PostgreSQL derives from the size of a segment, as it would be with the usual one, and more that is kept to be
/// written again.
pub(super) const WAL_SETTINGS: [&str; 3] = ["wal_buffers=8MB", "min_wal_size=256MB", "max_wal_size=1GB"];

/// Pages that leave shared buffers go to the disk in small lots, most of them ahead of whoever needs their place. Left to
/// the kernel they gather for half a minute, and a commit that comes while it writes those hundreds of megabytes waits for a
/// tenth of a second.
pub(super) const WRITE_BACK: [&str; 4] = [
    "backend_flush_after=512kB",
    "bgwriter_delay=10ms",
    "bgwriter_lru_maxpages=1000",
    "bgwriter_lru_multiplier=4",
];

/// The first change of a page after a checkpoint writes all of it to the write-ahead log, and each new stream changes a page
/// of its index that nobody else does: with ten million events that is nearly all that is written, and soon as much as the
/// disk takes. PostgreSQL's own compression, which every build has, costs more than it saves.
const PAGES_COMPRESSED: &str = "wal_compression=lz4";

/// How whole pages go to the write-ahead log of this cluster, if the build can do it.
pub(super) fn pages_compressed(data: &Path, binaries: &Binaries) -> Option<&'static str> {
    Some(PAGES_COMPRESSED).filter(|setting| binaries.takes(data, setting))
}

/// The version that made the cluster, as it is written there.
pub(super) fn made_by(data: &Path) -> Option<String> {
    fs::read_to_string(data.join("PG_VERSION")).ok().map(|version| version.trim().to_owned())
}

/// The first of `found` that can open the cluster, or any for a new one.
pub(super) fn choose(data: &Path, found: &[Binaries]) -> Result<Binaries, EmbeddedPostgresError> {
    let Some(made_by) = made_by(data) else {
        return found.first().cloned().ok_or(EmbeddedPostgresError::NoBinaries { download: None });
    };
    let fitting = found.iter().find(|binaries| Some(binaries.major) == parse_major(&made_by));
    fitting.cloned().ok_or_else(|| {
        let majors: Vec<String> = found.iter().map(|binaries| binaries.major.to_string()).collect();
        let found = match majors.as_slice() {
            [] => "no PostgreSQL was found".to_owned(),
            majors => format!("only PostgreSQL {} was found", majors.join(", ")),
        };
        EmbeddedPostgresError::ForeignMajor { data: data.to_path_buf(), made_by, found }
    })
}

pub(super) fn ensure(
    home: &Home,
    binaries: &Binaries,
    run_as: RunAs,
    socket_dir: &Path,
    options: &Options,
) -> Result<(), EmbeddedPostgresError> {
    throw_away_unfinished(home);
    if made_by(&home.data).is_some() {
        return Ok(());
    }
    // A name of its own: an initdb that outlived a crash cleans up after itself, and must not do so here.
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&home.dir)
        .during(|| format!("make a directory in {}", home.dir.display()))?;
    home::make_private(unfinished.path(), run_as)?;
    initdb(home, unfinished.path(), binaries, run_as, socket_dir, options)?;
    fs::rename(unfinished.path(), &home.data)
        .during(|| format!("put the new cluster into {} (is it empty?)", home.data.display()))?;
    drop(unfinished.keep());
    if options.durable {
        let synced = File::open(&home.dir).and_then(|dir| dir.sync_all());
        synced.during(|| format!("sync {}", home.dir.display()))?;
    }
    Ok(())
}

fn initdb(
    home: &Home,
    dir: &Path,
    binaries: &Binaries,
    run_as: RunAs,
    socket_dir: &Path,
    options: &Options,
) -> Result<(), EmbeddedPostgresError> {
    tracing::info!(dir = %home.data.display(), major = binaries.major, "making a PostgreSQL cluster");
    let log = home.open_log()?;
    let start = log.metadata().map_or(0, |log| log.len());
    let program = Program {
        path: &binaries.program("initdb"),
        works_in: dir,
        remove_at_end: options.remove_on_exit.then_some([&home.dir, socket_dir]),
        log: &log,
        run_as,
    };
    let mut initdb = Supervised::spawn(&program, |command| {
        command.arg("-D").arg(dir).args(["-U", "postgres", "-E", "UTF8", "--locale=C"]);
        // Whoever can reach the socket is let in; the socket is in a directory that only we can enter.
        command.args(["--auth-local=trust", "--auth-host=reject"]);
        command.arg(format!("--wal-segsize={WAL_SEGMENT_MIB}"));
        if !options.durable {
            command.arg("--no-sync");
        }
    })
    .during(|| "start initdb".to_owned())?;
    while !initdb.has_ended_within(1_000_u16) {} // a signal to us cuts a wait short
    let status = initdb.stop_and_keep_files().during(|| "wait for initdb".to_owned())?;
    if !status.success() {
        let output = home::tail_of(&log, start);
        return Err(EmbeddedPostgresError::InitDb { dir: home.dir.clone(), output });
    }
    Ok(())
}

/// What a crash left. Failing is harmless: it only takes room, and an initdb that still writes there ends soon.
fn throw_away_unfinished(home: &Home) {
    for entry in fs::read_dir(&home.dir).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED)
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "could not remove a half-made cluster");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::symlink, path::PathBuf};

    #[test]
    fn whole_pages_are_compressed_as_the_build_can() {
        let data = tempfile::tempdir().unwrap();
        // Builds that take everything, and nothing.
        for (program, compressed) in
            [("/usr/bin/true", Some("wal_compression=lz4")), ("/usr/bin/false", None)]
        {
            let build = tempfile::tempdir().unwrap();
            symlink(program, build.path().join("postgres")).unwrap();
            let binaries = Binaries { dir: build.path().to_path_buf(), major: 15 };
            assert_eq!(pages_compressed(data.path(), &binaries), compressed);
        }
    }

    #[test]
    fn prefers_the_major_version_that_made_the_cluster() {
        let data = tempfile::tempdir().unwrap();
        let found = [17, 16, 15].map(|major| Binaries { dir: PathBuf::from(format!("/pg/{major}")), major });
        assert_eq!(choose(data.path(), &found).unwrap().major, 17, "a new cluster takes the best");
        fs::write(data.path().join("PG_VERSION"), "15\n").unwrap();
        assert_eq!(choose(data.path(), &found).unwrap().major, 15);
        let refusal = choose(data.path(), &found[..2]).unwrap_err().to_string();
        assert!(refusal.contains("made by PostgreSQL 15, but only PostgreSQL 17, 16 was found"), "{refusal}");
    }
}
