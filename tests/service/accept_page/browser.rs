//! A headless Chromium, driven as a user would: `WebDriver` over loopback, nothing of it left behind.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use axum::http::Method;
use fantoccini::elements::Element;
use fantoccini::error::NewSessionError;
use fantoccini::wd::WebDriverCompatibleCommand;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::support::tools::skip;

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(40);
/// How often a window is asked for.
const ATTEMPTS: usize = 3;
/// How many there are at once; each takes half a machine.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Debian's name, and others'.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A window, with a profile of its own.
pub struct Browser {
    pub client: Client,
    driver: Driver,
    _profile: tempfile::TempDir,
    _turn: SemaphorePermit<'static>,
}

/// `chromedriver` and the browsers it started: one process group, killed whole.
struct Driver {
    process: Child,
    url: String,
    /// Kept open: it may have more to say.
    said: Option<BufReader<ChildStdout>>,
}

/// Runs a test in a window of so many pixels; without a browser it is skipped, aloud.
pub async fn in_browser<T>(width: u32, test: impl AsyncFnOnce(&Browser) -> T) -> Option<T> {
    let browser = Browser::open(width).await?;
    let done = test(&browser).await;
    browser.close().await;
    Some(done)
}

impl Browser {
    async fn open(width: u32) -> Option<Self> {
        let turn = TURNS.acquire().await.unwrap();
        let Some(binary) = NAMES.iter().find(|name| answers(name)) else {
            return skip("no Chromium (Debian: chromium chromium-driver)");
        };
        let Some(driver) = Driver::start() else {
            return skip("no chromedriver (Debian: chromium-driver)");
        };
        let path = which(binary);
        let mut started = Self::window(driver, &path, width).await;
        // That Chromium comes up at all is not what is tested; on a full machine it gives up now and then.
        for _ in 1..ATTEMPTS {
            let Err(error) = started else { break };
            eprintln!("once more, since Chromium did not start: {error}");
            started = Self::window(Driver::start()?, &path, width).await;
        }
        let (client, driver, profile) = started.expect("a window");
        Some(Self { client, driver, _profile: profile, _turn: turn })
    }

    async fn window(
        driver: Driver,
        binary: &Path,
        width: u32,
    ) -> Result<(Client, Driver, tempfile::TempDir), NewSessionError> {
        let profile = tempfile::Builder::new().prefix("tenure-browser").tempdir().unwrap();
        let capabilities = json!({
            "goog:chromeOptions": {
                "binary": binary,
                "args": [
                    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                    "--disable-background-networking", "--disable-component-update", "--no-proxy-server",
                    format!("--user-data-dir={}", profile.path().display()),
                ],
                "mobileEmulation": {"deviceMetrics": {"width": width, "height": 800, "pixelRatio": 1, "mobile": false, "touch": false}},
            },
            "goog:loggingPrefs": {"browser": "ALL"},
        });
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        let mut builder = ClientBuilder::new(HttpConnector::new());
        let client = builder.capabilities(capabilities).connect(&driver.url).await?;
        Ok((client, driver, profile))
    }

    async fn close(self) {
        let Self { client, driver, .. } = self;
        // Or it does not: the whole group is killed with the driver.
        let _ = client.close().await;
        drop(driver);
    }

    /// Waits until the page is in this state and has nothing under way.
    pub async fn is(&self, state: &str) {
        let wanted = format!("#page[data-state={state}]:not([aria-busy])");
        let found = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(&wanted)).await;
        assert!(found.is_ok(), "not {state:?} but {}", self.client.source().await.unwrap());
    }

    pub async fn element(&self, css: &str) -> Element {
        self.client.find(Locator::Css(css)).await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    pub async fn text(&self, css: &str) -> String {
        self.element(css).await.text().await.unwrap()
    }

    pub async fn click(&self, css: &str) {
        self.element(css).await.click().await.unwrap();
    }

    /// Presses a key, wherever the focus is.
    pub async fn press(&self, key: char) {
        use fantoccini::actions::{InputSource, KeyAction, KeyActions};
        let keys = KeyActions::new("keyboard".to_owned());
        let keys = keys.then(KeyAction::Down { value: key }).then(KeyAction::Up { value: key });
        self.client.perform_actions(keys).await.unwrap();
    }

    pub async fn devtools(&self, command: &str, params: Value) {
        let command = DevTools(json!({"cmd": command, "params": params}));
        self.client.issue_cmd(command).await.unwrap();
    }

    /// What a script's expression comes to; a promise is waited for.
    pub async fn value(&self, expression: &str) -> Value {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             Promise.resolve({expression}).then(done, (error) => done(String(error)));"
        );
        self.client.execute_async(&script, vec![]).await.unwrap()
    }
}

/// A command of the `DevTools` protocol, which chromedriver passes on.
#[derive(Debug)]
struct DevTools(Value);

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &url::Url, session: Option<&str>) -> Result<url::Url, url::ParseError> {
        base.join(&format!("session/{}/goog/cdp/execute", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &url::Url) -> (Method, Option<String>) {
        (Method::POST, Some(self.0.to_string()))
    }
}

impl Driver {
    fn start() -> Option<Self> {
        // It ends at once where the port it has drawn is taken on one of loopback's two addresses.
        for _ in 0..ATTEMPTS {
            if let Some(driver) = Self::spawn()?.listening() {
                return Some(driver);
            }
        }
        panic!("chromedriver does not listen");
    }

    fn spawn() -> Option<Self> {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let process = command.process_group(0).spawn().ok()?;
        Some(Self { process, url: String::new(), said: None })
    }

    /// Once it has said at which port.
    fn listening(mut self) -> Option<Self> {
        let mut said = BufReader::new(self.process.stdout.take().unwrap());
        let port = said.by_ref().lines().map_while(Result::ok).find_map(|line| {
            let port = line.split_once("started successfully on port ")?.1;
            Some(port.trim_end_matches('.').to_owned())
        })?;
        self.url = format!("http://127.0.0.1:{port}");
        self.said = Some(said);
        Some(self)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(i32::try_from(self.process.id()).unwrap()), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

fn answers(program: &str) -> bool {
    let asked = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    asked.is_ok_and(|status| status.success())
}

/// Where a program lies that the path leads to.
fn which(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| program.into())
}
