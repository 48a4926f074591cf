//! A `tenure serve` as a process of its own, and a hundred workspaces in it with twenty members each.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use futures::{StreamExt, stream};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::load::closed;
use crate::load::request::{MARK, Request};
use crate::postgres::Postgres;
use crate::quiet::caught_up;

pub const WORKSPACES: usize = 100;
const MEMBERS: usize = 20;
/// How many are sent at once while it is furnished.
const AT_ONCE: usize = 16;
const OPERATOR_KEY: &str = "operator-key-of-the-benchmark-0123456789ab";

pub struct Place {
    pub address: String,
    server: Child,
    postgres: Postgres,
    pool: PgPool,
    _data_dir: tempfile::TempDir,
    /// By their owners, in order.
    workspaces: Vec<String>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Invite,
    Members,
    Check,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Invite => "invite",
            Self::Members => "page of members",
            Self::Check => "access check",
        }
    }
}

impl Place {
    pub async fn start() -> Self {
        let postgres = Postgres::as_served();
        let database = postgres.database("overload").await;
        let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(database);
        let data_dir = tempfile::tempdir().expect("a directory");
        let mut server = Command::new(env!("CARGO_BIN_EXE_tenure"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data_dir.path())
            .args(["--database-url", &postgres.url("overload")])
            .env("TENURE_OPERATOR_KEY", OPERATOR_KEY)
            .env("TENURE_RATE_LIMITS", "off")
            .env("TENURE_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tenure serve");
        let mut lines = BufReader::new(server.stdout.take().expect("its output")).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.expect("a line");
            Some(line.trim().strip_prefix("Tenure serves on http://")?.to_owned())
        });
        std::thread::spawn(move || lines.for_each(drop));
        let address = address.expect("its address");
        let mut place = Self { address, server, postgres, pool, _data_dir: data_dir, workspaces: Vec::new() };
        place.furnish().await;
        place
    }

    pub async fn stop(mut self) {
        self.pool.close().await;
        let _ = self.server.kill();
        let _ = self.server.wait();
        self.postgres.stop();
    }

    async fn furnish(&mut self) {
        let people = (0..WORKSPACES).map(owner).chain((0..MEMBERS).map(member));
        self.all(people.map(|name| {
            let body = json!({"email": format!("{name}@example.com"), "email_verified": true, "name": name});
            (reqwest::Method::PUT, format!("/v1/users/{name}"), None, body)
        }))
        .await;
        let made = (0..WORKSPACES).map(|n| {
            (
                reqwest::Method::POST,
                "/v1/workspaces".to_owned(),
                Some(owner(n)),
                json!({"name": format!("Workspace {n}")}),
            )
        });
        let made = self.all(made).await;
        self.workspaces = made.iter().map(|made| made["id"].as_str().expect("an id").to_owned()).collect();
        let workspaces = self.workspaces.clone();
        let roomy = workspaces.iter().map(|id| {
            let body = json!({"seats": {"limit": 1_000}});
            (reqwest::Method::PATCH, format!("/v1/workspaces/{id}"), None, body)
        });
        self.all(roomy).await;
        let joined = workspaces.iter().enumerate().flat_map(|(n, id)| {
            (0..MEMBERS).map(move |m| {
                let path = format!("/v1/workspaces/{id}/members/{}", member(m));
                (reqwest::Method::PUT, path, Some(owner(n)), json!({"role": "member"}))
            })
        });
        self.all(joined).await;
    }

    /// Sends them all; they are answered in this order.
    async fn all(
        &self,
        requests: impl Iterator<Item = (reqwest::Method, String, Option<String>, Value)>,
    ) -> Vec<Value> {
        let client = reqwest::Client::new();
        let sent = requests.map(|(method, path, actor, body)| {
            let mut request = client.request(method, format!("http://{}{path}", self.address));
            if let Some(actor) = actor {
                request = request.header("tenure-actor", actor);
            }
            let request = request.bearer_auth(OPERATOR_KEY).json(&body);
            async move {
                let answer = request.send().await.expect("an answer").error_for_status().expect("success");
                answer.json().await.expect("JSON")
            }
        });
        stream::iter(sent).buffered(AT_ONCE).collect().await
    }

    /// The request of each workspace in turn.
    pub fn requests(&self, kind: Kind) -> Vec<Request> {
        let bearer = format!("Bearer {OPERATOR_KEY}");
        let requests = self.workspaces.iter().enumerate().map(|(n, id)| {
            let actor = owner(n);
            let headers = [("authorization", bearer.as_str()), ("tenure-actor", actor.as_str())];
            match kind {
                Kind::Invite => {
                    let body = json!({"email": format!("{MARK}@example.com"), "role": "member", "notify": false});
                    Request::new("POST", &format!("/v1/workspaces/{id}/invitations"), &headers, &body)
                }
                Kind::Members => {
                    Request::new("GET", &format!("/v1/workspaces/{id}/members?limit=20"), &headers, &Value::Null)
                }
                Kind::Check => {
                    let body = json!({"subject": {"type": "user", "id": member(0)}, "action": {"name": "members:read"},
                                      "resource": {"type": "workspace", "id": id}});
                    Request::new("POST", "/access/v1/evaluation", &headers[..1], &body)
                }
            }
        });
        requests.collect()
    }

    /// How many of these a second it answers to 64 who wait for their answers.
    pub async fn capacity(&self, kind: Kind, seconds: f64) -> f64 {
        let load = closed::Load {
            address: self.address.clone(),
            requests: self.requests(kind),
            again: true,
            connections: 64,
            seconds,
            per_second: None,
        };
        load.run().await.per_second
    }

    /// Waits until what went before is over.
    pub async fn settles(&self) {
        caught_up(&self.pool).await;
    }

    /// The process's memory, in MiB.
    pub fn memory(&self) -> f64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.server.id())).expect("its status");
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse().ok());
        kib.map_or(0.0, |kib: f64| kib / 1024.0)
    }

    /// One of its gauges as it stands.
    pub async fn gauge(&self, name: &str) -> f64 {
        let page = reqwest::get(format!("http://{}/metrics", self.address)).await.expect("metrics");
        let page = page.text().await.expect("text");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_default()
    }
}

fn owner(n: usize) -> String {
    format!("owner-{n}")
}

fn member(n: usize) -> String {
    format!("member-{n}")
}
