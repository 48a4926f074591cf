//! A mail server of its own process, and a service that sends by it.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tenure::config::Settings;

use crate::support::tools::python_with;
use crate::support::{TestService, User};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(90);
const SCRIPT: &str = include_str!("smtp_server.py");

/// The server; it ends with this.
pub struct PostOffice {
    folder: tempfile::TempDir,
    server: Child,
    _stdin: ChildStdin,
    port: u16,
}

impl PostOffice {
    /// None, said aloud, where there is no `aiosmtpd`.
    pub fn open(mode: &[&str]) -> Option<Self> {
        let python = python_with(&["aiosmtpd"])?;
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(python);
        command.args(["-c", SCRIPT]).arg(folder.path()).args(mode);
        let mut server = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let stdin = server.stdin.take().unwrap();
        let port = said.trim().parse().unwrap();
        Some(Self { folder, server, _stdin: stdin, port })
    }

    pub fn plain() -> Option<Self> {
        Self::open(&["plain"])
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The settings of a service that sends by this server, and tries again soon.
    pub fn serves(&self, settings: &mut Settings) {
        settings.smtp_url = Some(format!("smtp://127.0.0.1:{}", self.port));
        settings.mail_from = Some("Tenure <tenure@mail.example>".to_owned());
        settings.public_url = Some("https://tenure.example".to_owned());
        soon(settings);
    }

    pub async fn service(&self) -> TestService {
        TestService::start_with(|settings| self.serves(settings)).await
    }

    /// What arrived so far, in order.
    pub fn mails(&self) -> Vec<Mail> {
        let mut paths: Vec<_> =
            std::fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| Mail::read(path)).collect()
    }

    /// The mails once there are that many; more is an error.
    pub async fn receives(&self, count: usize) -> Vec<Mail> {
        let started = Instant::now();
        loop {
            let mails = self.mails();
            if mails.len() >= count {
                assert_eq!(mails.len(), count, "{:?}", mails.iter().map(Mail::line).collect::<Vec<_>>());
                return mails;
            }
            assert!(started.elapsed() < PATIENCE, "{count} mails, of which came {}", mails.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for PostOffice {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// What failed is tried again soon.
pub fn soon(settings: &mut Settings) {
    let times = &mut settings.delivery_times;
    times.mail_schedule = [0, 50, 100, 200, 400, 800].map(Duration::from_millis).to_vec();
    times.pace = Duration::from_millis(50);
}

/// A mail, as the server took it.
#[derive(Debug, Clone)]
pub struct Mail(pub Value);

impl Mail {
    fn read(path: &Path) -> Self {
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    pub fn to(&self) -> &str {
        assert_eq!(self.0["to"].as_array().unwrap().len(), 1);
        self.0["to"][0].as_str().unwrap()
    }

    #[track_caller]
    pub fn header(&self, wanted: &str) -> &str {
        let headers = self.0["headers"].as_array().unwrap();
        let mut found =
            headers.iter().filter(|header| header[0].as_str().unwrap().eq_ignore_ascii_case(wanted));
        let header = found.next().unwrap_or_else(|| panic!("no {wanted} in {headers:?}"));
        assert!(found.next().is_none(), "{wanted} twice");
        header[1].as_str().unwrap()
    }

    pub fn subject(&self) -> &str {
        self.header("Subject")
    }

    pub fn text(&self) -> &str {
        self.0["text"].as_str().unwrap()
    }

    pub fn html(&self) -> &str {
        self.0["html"].as_str().unwrap()
    }

    pub fn line(&self) -> String {
        format!("to {}: {}", self.to(), self.subject())
    }

    /// The token in it.
    #[track_caller]
    pub fn token(&self) -> String {
        let at = self.text().find("tni_").unwrap_or_else(|| panic!("no token in {}", self.text()));
        self.text()[at..].split_whitespace().next().unwrap().to_owned()
    }
}

/// Invites an address by mail; returns the invitation.
pub async fn invites(user: &User<'_>, workspace: &str, email: &str) -> Value {
    let body = serde_json::json!({"email": email});
    let answer = user.post(&format!("/v1/workspaces/{workspace}/invitations"), body).await;
    answer.expect(reqwest::StatusCode::CREATED).body
}

/// Waits until what became of an invitation's mail is so, and returns the invitation.
pub async fn delivery_is(user: &User<'_>, invitation: &Value, status: &str) -> Value {
    let (workspace, id) = (invitation["workspace_id"].as_str().unwrap(), invitation["id"].as_str().unwrap());
    let started = Instant::now();
    loop {
        let body = user.get(&format!("/v1/workspaces/{workspace}/invitations/{id}")).await.body;
        if body["delivery"]["status"] == status {
            return body;
        }
        assert!(started.elapsed() < PATIENCE, "no {status}: {body:#}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until nothing is pending any more.
pub async fn all_settled(service: &TestService) {
    let admin = service.admin().await;
    let started = Instant::now();
    loop {
        let head: i64 = sqlx::query_scalar("select position from log_head").fetch_one(&admin).await.unwrap();
        let (reached, pending): (i64, i64) = sqlx::query_as(
            "select (select position from delivery_checkpoints where channel = 'mail'),
                    (select count(*) from deliveries where channel = 'mail' and status = 'pending')",
        )
        .fetch_one(&admin)
        .await
        .unwrap();
        if reached == head && pending == 0 {
            admin.close().await;
            return;
        }
        assert!(started.elapsed() < PATIENCE, "{pending} pending, at {reached} of {head}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
