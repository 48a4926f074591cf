//! Tenure as a process of its own, what is asked of it, and how much memory it takes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;

pub const OPERATOR_KEY: &str = "operator-key-of-the-bench-0123456789abcdef";

pub struct Server {
    pub address: String,
    client: reqwest::Client,
    child: Child,
}

impl Server {
    /// Starts one on the database, its keys in that directory; it has told where it serves once its index answers.
    pub fn start(database_url: &str, data_dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .args(["serve", "--listen", "127.0.0.1:0", "--database-url", database_url, "--data-dir"])
            .arg(data_dir)
            .env("TENURE_OPERATOR_KEY", OPERATOR_KEY)
            .env("TENURE_RATE_LIMITS", "off")
            .env("TENURE_LOG", "warn")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let told = lines.next().expect("a first line").expect("readable");
        let address = told.rsplit("http://").next().expect("an address").to_owned();
        // What else it says must not fill the pipe.
        std::thread::spawn(move || lines.for_each(drop));
        Self { address, client: reqwest::Client::new(), child }
    }

    pub fn request(&self, method: Method, path: &str, actor: Option<&str>) -> RequestBuilder {
        let request =
            self.client.request(method, format!("http://{}{path}", self.address)).bearer_auth(OPERATOR_KEY);
        match actor {
            Some(actor) => request.header("Tenure-Actor", actor),
            None => request,
        }
    }

    /// A command, again and again while the server asks for that; anything but success ends the program.
    pub async fn send(&self, method: Method, path: &str, actor: Option<&str>, body: &Value) -> Value {
        loop {
            let answer =
                self.request(method.clone(), path, actor).json(body).send().await.expect("an answer");
            let status = answer.status();
            let text = answer.text().await.expect("a body");
            if status.is_success() {
                return serde_json::from_str(&text).unwrap_or_default();
            }
            let again = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::CONFLICT);
            assert!(again && text.contains("try again"), "{method} {path}: {status} {text}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Forgets the peak of its memory so far; says how much it uses now, in bytes.
    pub fn forget_peak(&self) -> u64 {
        std::fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("Linux");
        self.memory("VmRSS")
    }

    /// The most memory it has used since, in bytes.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM")
    }

    fn memory(&self, what: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let line = status.lines().find(|line| line.starts_with(what)).expect("that line");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
    }

    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Server {
    /// However the program ends, nothing is left behind.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
