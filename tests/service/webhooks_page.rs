//! The webhooks' page keeps its word: its receiver is run as written, misses events, is killed, and has each once, in order.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Acme;
use crate::support::service::Answer;
use crate::support::tools::python_with;

const PAGE: &str = include_str!("../../docs/webhooks.md");
/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(40);

/// The code block that follows a marker.
fn block(marker: &str) -> &'static str {
    let after = PAGE.split_once(&format!("<!-- {marker} -->")).unwrap().1;
    let code = after.split_once('\n').unwrap().1.split_once('\n').unwrap().1;
    code.split_once("```").unwrap().0
}

/// The page's receiver, as a process.
struct Receiver {
    process: Child,
    port: String,
}

impl Receiver {
    fn start(python: &Path, place: &Path, settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(python);
        command.args(["-c", block("receiver")]).current_dir(place).envs(settings.iter().copied());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port = line.trim().strip_prefix("listening on port ").unwrap_or_else(|| panic!("{line:?}"));
        Self { port: port.to_owned(), process }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a receiver's database holds, in the order it was handled.
fn handled(python: &Path, place: &Path) -> Vec<Value> {
    let script = "import sqlite3, json; db = sqlite3.connect('receiver.db'); \
                  print(json.dumps([json.loads(e) for e, in db.execute('select event from handled order by rowid')]))";
    let said = Command::new(python).args(["-c", script]).current_dir(place).output().unwrap();
    serde_json::from_slice(&said.stdout).unwrap_or_default()
}

/// An endpoint of Acme that the page's receiver is for.
struct Listening {
    acme: Acme,
    endpoint: String,
    settings: Vec<(&'static str, String)>,
    python: PathBuf,
    place: tempfile::TempDir,
}

impl Listening {
    async fn open(python: PathBuf) -> Self {
        let acme = Acme::found_with(|settings| {
            settings.webhook_allow_networks = Some("127.0.0.0/8".to_owned());
            settings.delivery_times.webhook_schedule = vec![Duration::from_millis(100); 200];
        })
        .await;
        let key = json!({"name": "receiver", "permissions": ["audit:read"]});
        let key = acme.ada().post(&acme.at("/api-keys"), key).await.expect(StatusCode::CREATED).text("key");
        let endpoint = json!({
            "url": "http://127.0.0.1:9/", "events": ["membership.*", "invitation.*"], "enabled": false,
        });
        let made = acme.ada().post(&acme.at("/webhooks"), endpoint).await.expect(StatusCode::CREATED);
        let settings = vec![
            ("TENURE", acme.service.url.clone()),
            ("WORKSPACE", acme.id.clone()),
            ("KEY", key),
            ("SECRET", made.text("secret")),
            ("PORT", "0".to_owned()),
        ];
        Self { acme, endpoint: made.text("id"), settings, python, place: tempfile::tempdir().unwrap() }
    }

    /// Starts the receiver and says where it is.
    async fn listen(&self) -> Receiver {
        let settings: Vec<(&str, &str)> =
            self.settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let receiver = Receiver::start(&self.python, self.place.path(), &settings);
        let there = json!({"url": format!("http://127.0.0.1:{}/", receiver.port), "enabled": true});
        let path = self.acme.at(&format!("/webhooks/{}", self.endpoint));
        self.acme.ada().patch(&path, there).await.expect(StatusCode::OK);
        receiver
    }

    async fn changes_role(&self, times: usize) {
        for time in 0..times {
            let role = json!({"role": if time % 2 == 0 { "moderator" } else { "member" }});
            self.acme.ada().patch(&self.acme.at("/members/carol"), role).await.expect(StatusCode::OK);
        }
    }

    /// All there is to be received, in order, from the feed.
    async fn all(&self) -> Vec<Value> {
        let path = self.acme.at("/events?types=membership.*,invitation.*&limit=500");
        let request = self.acme.ada().request(Method::GET, &path).header("accept", "application/json");
        Answer::of(request).await.expect(StatusCode::OK).items().to_vec()
    }

    /// Waits until the receiver has handled everything: each once, and in order.
    async fn arrives(&self) {
        let (expected, started) = (self.all().await, Instant::now());
        loop {
            let handled = handled(&self.python, self.place.path());
            if handled == expected {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "{handled:#?} is not {expected:#?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn the_receiver_of_the_page_has_every_event_once_and_in_order_whatever_happens_to_it() {
    let Some(python) = python_with(&["standardwebhooks"]) else { return };
    let listening = Listening::open(python).await;
    // Nothing of what was before is sent: the first webhook shows that something is missing.
    let receiver = listening.listen().await;
    listening.changes_role(3).await;
    listening.arrives().await;
    // Killed while events go on, and between them.
    drop(receiver);
    listening.changes_role(4).await;
    let receiver = listening.listen().await;
    listening.changes_role(1).await;
    listening.arrives().await;
    // Once more what it had: nothing changes.
    let before = handled(&listening.python, listening.place.path());
    let again = listening.acme.at(&format!("/webhooks/{}/redeliver", listening.endpoint));
    let stretch = json!({"from_seq": 1, "to_seq": 12});
    listening.acme.ada().post(&again, stretch).await.expect(StatusCode::ACCEPTED);
    let forged = listening.acme.service.client.post(format!("http://127.0.0.1:{}/", receiver.port));
    assert_eq!(forged.body("{}").send().await.unwrap().status(), StatusCode::BAD_REQUEST);
    listening.acme.pending("eve@example.com").await;
    listening.arrives().await;
    assert!(handled(&listening.python, listening.place.path()).starts_with(&before));
    drop(receiver);
    listening.acme.stop().await;
}

#[test]
fn what_the_page_says_of_attempts_is_what_the_service_does() {
    let times = tenure::deliveries::Times::default();
    let said = "| after another | at once | 5 s | 5 min | 30 min | 2 h | 5 h | 10 h | 14 h | 20 h | 24 h |";
    let words = |wait: &Duration| match wait.as_secs() {
        0 => "at once".to_owned(),
        seconds if seconds < 60 => format!("{seconds} s"),
        seconds if seconds < 3_600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    };
    let does: Vec<String> = times.webhook_schedule.iter().map(words).collect();
    assert_eq!(said, format!("| after another | {} |", does.join(" | ")));
    assert!(PAGE.contains(said));
    assert!(times.patience.as_secs() == 15 && PAGE.contains("within 15 seconds"));
    assert!(times.failing.as_secs() == 5 * 86_400 && PAGE.contains("five days"));
    assert!(tenure::webhooks::client::KEPT == 1_024 && PAGE.contains("first 1,024 bytes"));
}
