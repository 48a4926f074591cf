//! The embedded PostgreSQL, seen from outside: it keeps data, keeps to itself, and dies with its owner.

use sqlx::{ConnectOptions, Executor, Row};
use std::{
    fs::{self, Permissions},
    io::{BufRead, BufReader},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tenure::database::options_of;
use tenure::embedded_postgres::{EmbeddedPostgres, EmbeddedPostgresError, Options, find_binaries};

/// Set, this program is no test but an owner: the directory, then `durable` and `remove`, a line each.
const HOLD: &str = "TENURE_TESTS_HOLD";

/// A process that holds a server in `data_dir` until it is killed: this very program, run again.
fn owner(data_dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut order = data_dir.to_str().unwrap().to_owned();
    for flag in flags {
        order = order + "\n" + flag;
    }
    command.args(["--exact", "embedded_postgres::owner_until_killed", "--nocapture"]).env(HOLD, order);
    command
}

/// Not a test but what [`owner`] runs.
#[test]
fn owner_until_killed() {
    let Ok(order) = std::env::var(HOLD) else { return };
    let mut lines = order.lines();
    let data_dir = lines.next().unwrap().into();
    let flags: Vec<&str> = lines.collect();
    let options = Options {
        data_dir,
        durable: flags.contains(&"durable"),
        remove_on_exit: flags.contains(&"remove"),
        settings: Vec::new(),
        max_connections: 20,
    };
    match EmbeddedPostgres::start(options) {
        Ok(server) => {
            println!("\nready {}", server.server_pid());
            thread::sleep(Duration::from_mins(10));
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

struct Place {
    root: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap(); // other users pass through
        Self { root }
    }

    fn home(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap().join("pg")
    }

    fn options(&self) -> Options {
        Options {
            data_dir: self.home(),
            durable: false,
            remove_on_exit: false,
            settings: Vec::new(),
            max_connections: 20,
        }
    }

    fn start(&self) -> EmbeddedPostgres {
        EmbeddedPostgres::start(self.options()).unwrap()
    }

    /// Every process, of whatever kind, that has this place in its arguments.
    fn processes(&self) -> Vec<(i32, String)> {
        let needle = self.home().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let args = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let args = String::from_utf8_lossy(&args).replace('\0', " ");
            if args.contains(&needle) {
                found.push((pid, args));
            }
        }
        found
    }

    fn shells(&self) -> Vec<i32> {
        self.processes()
            .into_iter()
            .filter(|(_, args)| args.starts_with("/bin/sh"))
            .map(|(pid, _)| pid)
            .collect()
    }

    /// The server of this place, if one runs.
    fn postmaster(&self) -> Option<i32> {
        let file = fs::read_to_string(self.home().join("data/postmaster.pid")).ok()?;
        let pid = file.lines().next()?.parse().ok()?;
        self.processes().into_iter().any(|(found, _)| found == pid).then_some(pid)
    }

    fn nothing_is_left(&self) {
        eventually("no process is left", || self.processes().is_empty());
    }
}

/// An owner that is killed without a word when the test is done with it.
struct Owner(Child);

impl Owner {
    fn spawn(mut command: Command) -> Self {
        Self(command.stdout(Stdio::piped()).process_group(0).spawn().unwrap())
    }

    fn until_ready(mut self) -> Self {
        let said: Vec<String> = BufReader::new(self.0.stdout.as_mut().unwrap())
            .lines()
            .map_while(Result::ok)
            .take_while(|line| !line.starts_with("ready"))
            .collect();
        assert!(self.0.try_wait().unwrap().is_none(), "the owner said {said:?}");
        self
    }

    fn kill(self) {
        drop(self);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn kill(pid: i32) {
    assert!(Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap().success());
}

fn sql(server: &EmbeddedPostgres, statement: &str) -> String {
    let url = server.url("postgres");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let mut connection = options_of(&url).unwrap().connect().await.unwrap();
        let row = connection.fetch_optional(sqlx::raw_sql(statement)).await.unwrap();
        let Some(row) = row else { return String::new() };

        // The simple protocol answers in text, whatever the type.
        row.try_get_unchecked::<String, _>(0).unwrap()
    })
}

#[test]
fn keeps_its_data_over_a_restart() {
    let place = Place::new();
    let mut server = place.start();
    sql(&server, "create table kept (n int); insert into kept values (7)");
    assert_eq!(
        sql(&server, "show server_version_num").parse::<u32>().unwrap() / 10_000,
        server.major_version()
    );
    server.stop();
    assert!(!server.is_running());
    place.nothing_is_left();
    let again = place.start(); // a stopped server gives the directory back, dropped or not
    assert_eq!(sql(&again, "select n from kept"), "7");
    assert!(again.is_running());
}

#[test]
fn is_durable_and_private_as_configured() {
    let place = Place::new();
    let settings = vec![("work_mem".to_owned(), "5MB".to_owned())];
    let server = EmbeddedPostgres::start(Options { durable: true, settings, ..place.options() }).unwrap();
    let show = |name: &str| sql(&server, &format!("show {name}"));
    assert_eq!([show("fsync"), show("synchronous_commit"), show("full_page_writes")], ["on", "on", "on"]);
    assert_eq!([show("work_mem"), show("max_connections"), show("listen_addresses")], ["5MB", "20", ""]);
    // Small, so that nobody waits long for the next one.
    assert_eq!(
        [show("wal_segment_size"), show("wal_buffers"), show("min_wal_size")],
        ["1MB", "8MB", "256MB"]
    );
    // Small lots to the disk, so that no commit waits behind a large one.
    assert_eq!([show("backend_flush_after"), show("bgwriter_delay")], ["512kB", "10ms"]);
    // Whole pages in the write-ahead log are most of it once there is much in the tables.
    assert!(["lz4", "off"].contains(&&*show("wal_compression")));
    assert_eq!([show("server_encoding"), show("lc_collate"), show("lc_ctype")], ["UTF8", "C", "C"]);
    assert_eq!(sql(&server, "select current_user"), server.user());
    for private in [server.socket_dir(), &place.home().join("data"), &place.home()] {
        let mode = fs::metadata(private).unwrap().mode() & 0o777;
        assert!([0o700, 0o711].contains(&mode), "{} has mode {mode:o}", private.display());
    }
    assert_eq!(fs::metadata(server.socket_dir()).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn runs_in_a_place_with_an_awkward_and_long_name() {
    let place = Place::new();
    for name in ["with space, comma & \"quote\"", &"long".repeat(40)] {
        let data_dir = place.home().join(name);
        let server = EmbeddedPostgres::start(Options { data_dir, ..place.options() }).unwrap();
        assert_eq!(sql(&server, "select 1"), "1");
        let socket_dir = server.socket_dir().to_path_buf();
        drop(server);
        if !socket_dir.starts_with(place.home()) {
            fs::remove_dir_all(socket_dir).unwrap();
        }
    }
}

#[test]
fn refuses_a_second_instance_and_leaves_the_first_alone() {
    let place = Place::new();
    let server = place.start();
    let refusal = EmbeddedPostgres::start(place.options()).unwrap_err();
    assert!(matches!(refusal, EmbeddedPostgresError::InUse { .. }), "{refusal}");
    assert!(refusal.to_string().contains(&format!("process {}", std::process::id())), "{refusal}");
    assert_eq!(sql(&server, "select 1"), "1");
}

#[test]
fn refuses_a_cluster_of_another_major_version() {
    let place = Place::new();
    drop(place.start());
    let version = place.home().join("data/PG_VERSION");
    fs::write(&version, "12\n").unwrap();
    let refusal = EmbeddedPostgres::start(place.options()).unwrap_err();
    assert!(matches!(refusal, EmbeddedPostgresError::ForeignMajor { .. }), "{refusal}");
    assert!(refusal.to_string().contains("was made by PostgreSQL 12"), "{refusal}");
    assert_eq!(fs::read_to_string(version).unwrap(), "12\n");
}

#[test]
fn refuses_a_data_directory_with_something_else_in_it() {
    let place = Place::new();
    fs::create_dir_all(place.home().join("data")).unwrap();
    fs::write(place.home().join("data/thesis.txt"), "irreplaceable").unwrap();
    EmbeddedPostgres::start(place.options()).unwrap_err();
    assert_eq!(fs::read_to_string(place.home().join("data/thesis.txt")).unwrap(), "irreplaceable");
}

#[test]
fn says_why_postgresql_did_not_start() {
    let place = Place::new();
    let settings = vec![("no_such_setting".to_owned(), "1".to_owned())];
    let refusal = EmbeddedPostgres::start(Options { settings, ..place.options() }).unwrap_err();
    assert!(refusal.to_string().contains("unrecognized configuration parameter"), "{refusal}");
    place.nothing_is_left();
}

#[test]
fn names_a_tenure_pg_bin_that_is_of_no_use() {
    let place = Place::new();
    let output = owner(&place.home(), &[]).env("TENURE_PG_BIN", "/no/such/dir").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("/no/such/dir"), "{said}");
    assert!(find_binaries().unwrap().major >= 15);
}

#[test]
fn dies_with_an_owner_that_is_killed() {
    let place = Place::new();
    Owner::spawn(owner(&place.home(), &["durable"])).until_ready().kill();
    place.nothing_is_left();
    assert_eq!(sql(&place.start(), "select 1"), "1");
}

#[test]
fn dies_with_its_owner_even_after_its_supervisor_was_killed() {
    let place = Place::new();
    let holder = Owner::spawn(owner(&place.home(), &["remove"])).until_ready();
    let postmaster = place.postmaster().unwrap();
    let status = fs::read_to_string(format!("/proc/{postmaster}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    kill(parent.trim().parse().unwrap());
    thread::sleep(Duration::from_millis(200));
    assert_eq!(place.postmaster(), Some(postmaster), "it outlives its supervisor");
    holder.kill();
    place.nothing_is_left();
    eventually("the data is removed", || !place.home().exists());
}

#[test]
fn stops_even_after_both_of_its_shells_were_killed() {
    let place = Place::new();
    let mut server = place.start();
    for shell in place.shells() {
        kill(shell);
    }
    assert!(server.is_running());
    server.stop();
    place.nothing_is_left();
}

#[test]
fn replaces_a_survivor() {
    let place = Place::new();
    let holder = Owner::spawn(owner(&place.home(), &[])).until_ready();
    for shell in place.shells() {
        kill(shell); // now nobody stops it
    }
    let survivor = place.postmaster();
    holder.kill();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(place.postmaster(), survivor, "the test means to have a survivor");
    let server = place.start();
    assert_eq!(place.postmaster(), Some(server.server_pid()));
    assert_ne!(survivor, Some(server.server_pid()));
    eventually("only the new one runs", || !Path::new(&format!("/proc/{}", survivor.unwrap())).exists());
}

#[test]
fn starts_over_a_killed_postmaster() {
    let place = Place::new();
    let server = EmbeddedPostgres::start(Options { durable: true, ..place.options() }).unwrap();
    sql(&server, "create table kept (n int)");
    let url = server.url("postgres");
    let busy = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = options_of(&url).unwrap().connect().await.unwrap();
            connection.execute("select pg_sleep(60)").await.unwrap_err();
        });
    });
    thread::sleep(Duration::from_millis(200));
    kill(server.server_pid());
    eventually("it counts as dead", || !server.is_running());
    drop(server);
    assert_eq!(sql(&place.start(), "select count(*) from kept"), "0");
    busy.join().unwrap();
}

#[test]
fn survives_a_kill_at_any_moment_of_the_first_start() {
    for millis in [5, 80, 300, 700] {
        let place = Place::new();
        let holder = Owner::spawn(owner(&place.home(), &[]));
        thread::sleep(Duration::from_millis(millis));
        holder.kill();
        let server = place.start(); // at once, while the old one is still dying
        assert_eq!(sql(&server, "select 1"), "1", "after {millis} ms");
        drop(server);
        place.nothing_is_left();
        let left: Vec<_> =
            fs::read_dir(place.home()).unwrap().flatten().map(|entry| entry.file_name()).collect();
        assert!(left.len() <= 5, "{left:?}"); // at most one unfinished cluster that was still being written
    }
}

#[test]
fn throws_a_half_made_cluster_away() {
    let place = Place::new();
    fs::create_dir_all(place.home().join("data.new.crashed/base")).unwrap();
    fs::write(place.home().join("data.new.crashed/PG_VERSION"), "15\n").unwrap();
    let server = place.start();
    assert_eq!(sql(&server, "select 1"), "1");
    assert!(!place.home().join("data.new.crashed").exists());
}

#[test]
fn removes_everything_on_exit_if_told_so() {
    let place = Place::new();
    let server = EmbeddedPostgres::start(Options { remove_on_exit: true, ..place.options() }).unwrap();
    drop(server);
    assert!(!place.home().exists());
    Owner::spawn(owner(&place.home(), &["remove"])).until_ready().kill();
    eventually("it is removed after a kill", || !place.home().exists());
    place.nothing_is_left();
    let holder = Owner::spawn(owner(&place.home(), &["remove"]));
    eventually("initdb works", || place.processes().iter().any(|(_, args)| args.contains("data.new")));
    holder.kill();
    eventually("it is removed after a kill during initdb", || !place.home().exists());
    place.nothing_is_left();
}

#[test]
fn does_not_notice_ctrl_c_in_the_terminal() {
    let place = Place::new();
    let holder = Owner::spawn(owner(&place.home(), &[])).until_ready();
    let group = |pid: u32| -> String {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        stat.rsplit(')').next().unwrap().split_whitespace().nth(2).unwrap().to_owned()
    };
    let postmaster = u32::try_from(place.postmaster().unwrap()).unwrap();
    assert_ne!(group(postmaster), group(holder.0.id()));
    holder.kill();
    place.nothing_is_left();
}

/// Root has two ways; the other tests take the one that this machine offers, this one takes the second.
#[test]
fn runs_as_another_user_where_root_has_no_user_namespace() {
    let place = Place::new();
    if fs::metadata(place.root.path()).unwrap().uid() != 0 {
        return;
    }
    for _ in 0..2 {
        let mut command = owner(&place.home(), &[]);
        command.env("TENURE_PG_RUN_AS", "nobody");
        let holder = Owner::spawn(command).until_ready();
        let postmaster = place.postmaster().unwrap();
        assert_ne!(fs::metadata(format!("/proc/{postmaster}")).unwrap().uid(), 0);
        holder.kill();
        place.nothing_is_left();
    }
    let server = place.start(); // without being told: the cluster's owner decides
    assert_eq!(sql(&server, "select 1"), "1");
    assert_ne!(fs::metadata(format!("/proc/{}", server.server_pid())).unwrap().uid(), 0);
    drop(server);

    let shut = place.root.path().join("shut");
    fs::create_dir(&shut).unwrap();
    fs::set_permissions(&shut, Permissions::from_mode(0o700)).unwrap();
    let output = owner(&shut.join("pg"), &[]).env("TENURE_PG_RUN_AS", "nobody").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot be entered by the unprivileged user"), "{said}");
}

#[test]
fn recovers_from_a_pid_file_that_points_to_a_stranger() {
    let place = Place::new();
    drop(place.start());
    let mut stranger = Command::new("sleep").arg("60").spawn().unwrap();
    let stale =
        format!("{}\n{}\n1\n5432\n/x\n\n 1 1\nready\n", stranger.id(), place.home().join("data").display());
    let path = place.home().join("data/postmaster.pid");
    fs::write(&path, stale).unwrap();
    let server = place.start();
    assert_eq!(sql(&server, "select 1"), "1");
    assert_eq!(stranger.try_wait().unwrap(), None, "the stranger lives");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}
