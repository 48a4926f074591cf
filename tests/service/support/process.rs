//! `tenure` as a process of its own, on its own PostgreSQL, in a place that is cleaned up however the test ends.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::{Method, RequestBuilder};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tenure::data_keys::Vault;
use tenure::database::{Role, options_of, pool};
use tenure::secrets::MasterKeys;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// A directory where a Tenure lives.
pub struct Place {
    root: tempfile::TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub struct Said {
    pub status: ExitStatus,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        let root = tempfile::Builder::new().prefix("tenure-place").tempdir().unwrap();
        // PostgreSQL of another user must pass through.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(root.path(), open).unwrap();
        Self { root }
    }

    pub fn path(&self) -> PathBuf {
        self.root.path().canonicalize().unwrap()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.path().join("data")
    }

    /// `tenure …`, with nothing of this process's settings, in this place.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tenure"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("TENURE_")) {
            // Where PostgreSQL is found is the machine's affair.
            if !name.starts_with("TENURE_PG_") {
                command.env_remove(name);
            }
        }
        command.env_remove("DATABASE_URL").current_dir(self.path()).args(args);
        command.arg("--data-dir").arg(self.data_dir()).stdin(Stdio::null());
        command
    }

    /// Runs `tenure …` to its end.
    pub async fn runs(&self, args: &[&str]) -> Said {
        ends(self.command(args)).await
    }

    /// `tenure serve` on any port.
    pub async fn serves(&self) -> Serving {
        Serving::start(self.command(&["serve", "--listen", "127.0.0.1:0"])).await
    }

    /// `tenure serve` where an earlier one was.
    pub async fn serves_at(&self, address: &str) -> Serving {
        Serving::start(self.command(&["serve", "--listen", address])).await
    }

    pub fn key(&self) -> String {
        fs::read_to_string(self.data_dir().join("operator.key")).unwrap().trim().to_owned()
    }

    /// The running server's PostgreSQL, as its superuser.
    pub async fn database(&self) -> PgPool {
        let url = fs::read_to_string(self.data_dir().join("database-url")).unwrap();
        let options = options_of(url.trim()).unwrap();
        PgPoolOptions::new().max_connections(2).connect_with(options).await.unwrap()
    }

    /// The keys of its database, as the server has them.
    pub async fn vault(&self) -> Vault {
        let url = fs::read_to_string(self.data_dir().join("database-url")).unwrap();
        let keeper = pool(&options_of(url.trim()).unwrap(), Role::Keeper, 2);
        let masters = MasterKeys::load_or_create(&self.data_dir().join("master.key")).unwrap();
        Vault::open(keeper, masters).await.unwrap().0
    }

    /// Its PostgreSQL's processes: the postmaster first, then its children.
    pub fn postgres(&self) -> Vec<Pid> {
        let file = fs::read_to_string(self.data_dir().join("pg/data/postmaster.pid")).unwrap_or_default();
        let Some(postmaster) = file.lines().next().and_then(|line| line.trim().parse::<i32>().ok()) else {
            return Vec::new();
        };
        let children = processes().into_iter().filter(|pid| parent(*pid) == Some(postmaster));
        std::iter::once(postmaster).chain(children).map(Pid::from_raw).collect()
    }

    /// Whether anything still runs here.
    fn is_busy(&self) -> bool {
        let needle = self.path().to_string_lossy().into_owned();
        processes().into_iter().any(|pid| {
            let args = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&args).contains(&needle)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let started = Instant::now();
        while self.is_busy() && started.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn processes() -> Vec<i32> {
    let names = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.to_str()?.parse().ok()).collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(1)?.parse().ok()
}

/// Runs a command to its end, which must come.
pub async fn ends(mut command: Command) -> Said {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let waits = tokio::task::spawn_blocking(move || {
        let err = std::thread::spawn(move || read_all(err));
        let out = read_all(out);
        Output { status: child.wait().unwrap(), stdout: out, stderr: err.join().unwrap() }
    });
    let Ok(output) = tokio::time::timeout(PATIENCE, waits).await else {
        kill(pid_of(pid), Signal::SIGKILL).unwrap();
        panic!("{command:?} does not end");
    };
    let output = output.unwrap();
    Said { status: output.status, out: text(&output.stdout), err: text(&output.stderr) }
}

fn read_all(mut from: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    from.read_to_end(&mut bytes).unwrap();
    bytes
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap())
}

impl Said {
    #[track_caller]
    pub fn well(self) -> String {
        assert!(self.status.success(), "{}{}", self.out, self.err);
        self.out
    }

    /// Fails unless the command failed in words, and gives the words.
    #[track_caller]
    pub fn badly(self) -> String {
        assert_eq!(self.status.code(), Some(1), "{}{}", self.out, self.err);
        assert!(!self.err.contains("panicked"), "{}", self.err);
        self.err
    }
}

/// A running `tenure serve`; killed without a word when dropped.
pub struct Serving {
    child: Child,
    /// What it printed before it served.
    pub greeting: String,
    pub url: String,
    printed: Arc<Mutex<String>>,
    log: Arc<Mutex<String>>,
    readers: Vec<std::thread::JoinHandle<()>>,
}

impl Serving {
    pub async fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (printed, log) = (Arc::<Mutex<String>>::default(), Arc::<Mutex<String>>::default());
        let readers = vec![collect(out, printed.clone()), collect(err, log.clone())];
        let (greeting, url) = (String::new(), String::new());
        let mut serving = Self { child, greeting, url, printed: printed.clone(), log, readers };
        let started = Instant::now();
        while !serving.greeting.contains("curl ") {
            if let Some(status) = serving.child.try_wait().unwrap() {
                panic!("tenure serve ended: {status}\n{}{}", serving.greeting, serving.log());
            }
            assert!(started.elapsed() < PATIENCE, "tenure serve does not start: {}", serving.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
            serving.greeting.clone_from(&printed.lock().unwrap_or_else(PoisonError::into_inner));
        }
        serving.url = serving.line("Tenure serves on ").to_owned();
        serving
    }

    /// The rest of the line of the greeting that begins so.
    #[track_caller]
    pub fn line(&self, beginning: &str) -> &str {
        let line = self.greeting.lines().find_map(|line| line.trim_start().strip_prefix(beginning));
        line.unwrap_or_else(|| panic!("no {beginning:?} in {}", self.greeting)).trim()
    }

    pub fn address(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// What it printed so far.
    pub fn printed(&self) -> String {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it wrote to standard error so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `kill -9`, and gone.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn signal(&self, signal: Signal) {
        kill(pid_of(self.child.id()), signal).unwrap();
    }

    /// Ctrl-C; gives what it logged until its orderly end.
    pub async fn interrupt(self) -> String {
        self.signal(Signal::SIGINT);
        self.ended().await
    }

    pub async fn ended(mut self) -> String {
        let started = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(started.elapsed() < PATIENCE, "tenure does not stop: {}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        assert!(status.success(), "{status}: {}", self.log());
        self.log()
    }

    /// A request with the operator's key.
    pub fn request(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        reqwest::Client::new().request(method, format!("{}{path}", self.url)).bearer_auth(key)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            eprintln!("--- tenure serve logged:\n{}", self.log());
        }
    }
}

fn collect(from: impl Read + Send + 'static, into: Arc<Mutex<String>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines() {
            let Ok(line) = line else { return };
            let mut into = into.lock().unwrap_or_else(PoisonError::into_inner);
            into.push_str(&line);
            into.push('\n');
        }
    })
}

/// Processes that are stopped until this is dropped.
pub struct Stopped(Vec<Pid>);

impl Stopped {
    pub fn all(place: &Place) -> Self {
        let mut all = place.postgres();
        // The postmaster first: nobody is born meanwhile.
        kill(all[0], Signal::SIGSTOP).unwrap();
        all = place.postgres();
        for pid in &all[1..] {
            let _ = kill(*pid, Signal::SIGSTOP);
        }
        Self(all)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill(*pid, Signal::SIGCONT);
        }
    }
}
