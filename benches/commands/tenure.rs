//! What Tenure is asked: who and what must be there before, and the requests of a round.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::stream;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;

use super::{Case, Requests};
use crate::load::request::{MARK, Request};
use crate::plan::Plan;
use crate::postgres::Postgres;
use crate::server::{OPERATOR_KEY, Server};

/// How many requests prepare something at once.
const AT_ONCE: usize = 64;
/// Members of a workspace whose role goes to and fro.
const MEMBERS: usize = 4;
/// As many as one batch of invitations may hold.
const INVITED: usize = 500;
/// More accepted invitations a second than are to be expected.
const ACCEPTED_PER_SECOND: f64 = 15_000.0;

pub(super) struct Tenure {
    pub server: Server,
    pub database: PgConnectOptions,
    /// Each owns the workspace of the same number.
    owners: Vec<String>,
    workspaces: Vec<String>,
    /// How many workspaces have sent their batch.
    inviting: AtomicUsize,
    _keys: TempDir,
}

impl Tenure {
    pub(super) async fn start(postgres: &Postgres, plan: &Plan) -> Self {
        let database = postgres.database("bench").await;
        let keys = tempfile::tempdir().expect("a directory");
        let server = Server::start(&postgres.url("bench"), keys.path());
        let count = if plan.quick { 100 } else { 1_000 };
        let owners: Vec<String> = (0..count).map(|n| format!("owner-{n:05}")).collect();
        let invited: Vec<String> = (0..INVITED).map(guest).collect();
        let members: Vec<String> = (0..MEMBERS).map(member).collect();
        all(owners.iter().chain(&invited).chain(&members), |user| provision(&server, user)).await;
        let workspaces = all(owners.iter(), |owner| found(&server, owner)).await;
        Self { server, database, owners, workspaces, inviting: AtomicUsize::new(0), _keys: keys }
    }

    pub(super) fn stop(self) {
        self.server.stop();
    }

    pub(super) async fn requests(&self, case: Case, plan: &Plan) -> Requests {
        match case {
            Case::Create => Requests { requests: self.creations(), again: true },
            Case::Invite => Requests { requests: self.invitations(), again: true },
            Case::Accept => Requests { requests: self.acceptances(plan).await, again: false },
            Case::ChangeRole => Requests { requests: self.changes(), again: true },
        }
    }

    pub(super) fn creations(&self) -> Vec<Request> {
        let body = json!({"name": format!("Company {MARK}")});
        self.owners.iter().map(|owner| request("POST", "/v1/workspaces", owner, &body)).collect()
    }

    fn invitations(&self) -> Vec<Request> {
        let body = json!({"email": format!("{MARK}@example.com"), "role": "member", "notify": false});
        self.owned()
            .map(|(owner, workspace)| {
                request("POST", &format!("/v1/workspaces/{workspace}/invitations"), owner, &body)
            })
            .collect()
    }

    /// Invites as many as a round may need; one after the other accepts in another workspace.
    async fn acceptances(&self, plan: &Plan) -> Vec<Request> {
        let wanted = (ACCEPTED_PER_SECOND * plan.seconds * 1.25) as usize;
        let batches = wanted.div_ceil(INVITED);
        let first = self.inviting.fetch_add(batches, Ordering::Relaxed);
        let tokens = all(first..first + batches, |n| self.invite_all(n)).await;
        let mut requests = Vec::new();
        for at in 0..INVITED {
            for tokens in &tokens {
                let body = json!({"token": tokens[at]});
                requests.push(request("POST", "/v1/invitations/accept", &guest(at), &body));
            }
        }
        requests
    }

    /// Every guest into a new workspace; their tokens.
    async fn invite_all(&self, n: usize) -> Vec<String> {
        let owner = &self.owners[n % self.owners.len()];
        let workspace = found(&self.server, owner).await;
        let guests: Vec<Value> = (0..INVITED)
            .map(|at| json!({"email": email(&guest(at)), "role": "member", "notify": false}))
            .collect();
        let path = format!("/v1/workspaces/{workspace}/invitations/batch");
        let sent = self.server.send(Method::POST, &path, Some(owner), &json!({"invitations": guests})).await;
        let items = sent["items"].as_array().expect("outcomes");
        items.iter().map(|item| item["invitation"]["token"].as_str().expect("a token").to_owned()).collect()
    }

    /// Everybody becomes a moderator, then a member again.
    fn changes(&self) -> Vec<Request> {
        let mut requests = Vec::new();
        for role in ["moderator", "member"] {
            for at in 0..MEMBERS {
                for (owner, workspace) in self.owned() {
                    let path = format!("/v1/workspaces/{workspace}/members/{}", member(at));
                    requests.push(request("PATCH", &path, owner, &json!({"role": role})));
                }
            }
        }
        requests
    }

    /// Somebody who may create workspaces.
    pub(super) fn owner(&self) -> &str {
        &self.owners[0]
    }

    fn owned(&self) -> impl Iterator<Item = (&String, &String)> {
        self.owners.iter().zip(&self.workspaces)
    }
}

fn guest(n: usize) -> String {
    format!("guest-{n:03}")
}

fn member(n: usize) -> String {
    format!("member-{n:03}")
}

fn email(user: &str) -> String {
    format!("{user}@example.com")
}

/// On behalf of a user who is signed in elsewhere.
fn request(method: &str, path: &str, actor: &str, body: &Value) -> Request {
    let bearer = format!("Bearer {OPERATOR_KEY}");
    let headers = [("authorization", &*bearer), ("tenure-actor", actor), ("idempotency-key", MARK)];
    Request::new(method, path, &headers, body)
}

async fn provision(server: &Server, user: &str) {
    let body = json!({"email": email(user), "email_verified": true, "name": user});
    server.send(Method::PUT, &format!("/v1/users/{user}"), None, &body).await;
}

/// A workspace with a few members and many seats.
async fn found(server: &Server, owner: &str) -> String {
    let created = server.send(Method::POST, "/v1/workspaces", Some(owner), &json!({"name": "Company"})).await;
    let id = created["id"].as_str().expect("an id").to_owned();
    let path = format!("/v1/workspaces/{id}");
    server.send(Method::PATCH, &path, None, &json!({"seats": {"limit": 1_000_000}})).await;
    for at in 0..MEMBERS {
        let path = format!("/v1/workspaces/{id}/members/{}", member(at));
        server.send(Method::PUT, &path, None, &json!({"role": "member"})).await;
    }
    id
}

/// Does something with each, many at a time; what came of it, in order.
async fn all<T, Fut: Future>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> Fut,
) -> Vec<Fut::Output> {
    stream::iter(items.into_iter().map(work)).buffered(AT_ONCE).collect().await
}
