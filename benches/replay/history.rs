//! Writes the history that is measured, over HTTP, through the product's own appender.
//!
//! Companies come first, as many as the plan wants events: each has a handful of users, a workspace, invitations that are
//! accepted, declined, sent again and revoked, and members whose roles change. Then come the workspace of 10 events and
//! the large one, whose members' roles go to and fro.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::Plan;
use crate::server::Server;

/// How many companies go about their business at once.
const AT_ONCE: u64 = 64;
/// How many users a company has.
const USERS: usize = 8;
/// How many members the large workspace has.
const MEMBERS: usize = 200;

/// The two workspaces whose past is asked for.
pub struct History {
    pub small: Workspace,
    pub large: Workspace,
}

pub struct Workspace {
    pub id: Uuid,
    /// Its owner, who was there all along.
    pub owner: String,
    /// Where its events stand in the log.
    pub positions: Vec<i64>,
}

pub async fn write(server: &Server, database: &PgConnectOptions, plan: Plan) -> History {
    let log = PgPoolOptions::new().max_connections(2).connect_with(database.clone()).await.expect("a pool");
    let begun = Instant::now();
    // First, so that they are as old as can be.
    let small = small(server).await;
    let large = large(server, plan).await;
    companies(server, &log, plan).await;
    let events = head(&log).await;
    let rate = events as f64 / begun.elapsed().as_secs_f64();
    eprintln!("{events} events written, {rate:.0}/s over HTTP, one by one");
    caught_up(&log).await;
    sqlx::raw_sql("vacuum analyze").execute(&log).await.expect("tidied up");
    sqlx::raw_sql("checkpoint").execute(&log).await.expect("tidied up");
    let history = History { small: placed(&log, small).await, large: placed(&log, large).await };
    log.close().await;
    history
}

async fn head(log: &PgPool) -> i64 {
    sqlx::query_scalar("select position from log_head").fetch_one(log).await.expect("a head")
}

/// Waits until the read models show everything.
async fn caught_up(log: &PgPool) {
    let behind =
        "select exists (select from projection_checkpoints c, log_head h where c.position < h.position)";
    while sqlx::query_scalar::<_, bool>(behind).fetch_one(log).await.expect("checkpoints") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn placed(log: &PgPool, (id, owner): (Uuid, String)) -> Workspace {
    let positions = "select position from events where workspace_id = $1 order by position";
    let positions = sqlx::query_scalar(positions).bind(id).fetch_all(log).await.expect("positions");
    Workspace { id, owner, positions }
}

async fn companies(server: &Server, log: &PgPool, plan: Plan) {
    let next = AtomicU64::new(0);
    let clients = (0..AT_ONCE).map(|_| async {
        loop {
            let n = next.fetch_add(1, Ordering::Relaxed);
            if head(log).await >= plan.events {
                return;
            }
            company(server, n).await;
            if n % 1_000 == 999 {
                eprintln!("{} companies", n + 1);
            }
        }
    });
    join_all(clients).await;
}

/// About 55 events.
async fn company(server: &Server, n: u64) {
    let users: Vec<String> = (0..USERS).map(|at| format!("user-{n}-{at}")).collect();
    for user in &users {
        provision(server, user).await;
    }
    let owner = Some(users[0].as_str());
    let body = json!({"name": format!("Company {n}"), "slug": format!("company-{n}"), "website": "https://example.com"});
    let id = id_of(&server.send(Method::POST, "/v1/workspaces", owner, &body).await);
    let at = |path: &str| format!("/v1/workspaces/{id}{path}");
    server.send(Method::PATCH, &at(""), None, &json!({"seats": {"limit": 50}})).await;
    let invitations: Vec<Value> = users[1..]
        .iter()
        .map(|user| json!({"email": format!("{user}@example.com"), "role": "member", "notify": false}))
        .collect();
    let body = json!({"invitations": invitations});
    let invited = server.send(Method::POST, &at("/invitations/batch"), owner, &body).await;
    let invitation = |at: usize| &invited["items"][at]["invitation"];
    for (at, user) in users[1..].iter().enumerate().take(5) {
        let token = json!({"token": invitation(at)["token"]});
        server.send(Method::POST, "/v1/invitations/accept", Some(user), &token).await;
    }
    let token = json!({"token": invitation(5)["token"]});
    server.send(Method::POST, "/v1/invitations/decline", Some(&users[6]), &token).await;
    let last = format!("/invitations/{}", invitation(6)["id"].as_str().expect("an id"));
    server.send(Method::POST, &at(&format!("{last}/resend")), owner, &json!({"notify": false})).await;
    server.send(Method::POST, &at(&format!("{last}/revoke")), owner, &json!({})).await;
    for (user, role) in [(1, "admin"), (2, "moderator"), (3, "moderator"), (3, "member")] {
        let path = at(&format!("/members/{}", users[user]));
        server.send(Method::PATCH, &path, owner, &json!({"role": role})).await;
    }
    let member = at(&format!("/members/{}", users[4]));
    server.send(Method::POST, &format!("{member}/deactivate"), owner, &json!({"reason": "on leave"})).await;
    server.send(Method::POST, &format!("{member}/reactivate"), owner, &json!({})).await;
    server.send(Method::DELETE, &at(&format!("/members/{}", users[5])), owner, &json!({})).await;
    server
        .send(Method::PATCH, &at(""), owner, &json!({"description": "Makes things", "phone": "+49 89 1234"}))
        .await;
}

async fn provision(server: &Server, user: &str) {
    let body = json!({"email": format!("{user}@example.com"), "email_verified": true, "name": format!("User {user}")});
    server.send(Method::PUT, &format!("/v1/users/{user}"), None, &body).await;
}

fn id_of(created: &Value) -> Uuid {
    created["id"].as_str().and_then(|id| id.parse().ok()).expect("an id")
}

/// A workspace of 10 events.
async fn small(server: &Server) -> (Uuid, String) {
    let (id, owner) = founded(server, "small", 3).await;
    // Created, its owner's membership, its seats, and two members added: five more.
    for role in ["moderator", "member", "moderator", "member", "moderator"] {
        let path = format!("/v1/workspaces/{id}/members/small-1");
        server.send(Method::PATCH, &path, Some(&owner), &json!({"role": role})).await;
    }
    (id, owner)
}

async fn large(server: &Server, plan: Plan) -> (Uuid, String) {
    let members = MEMBERS.min(usize::try_from(plan.large / 4).unwrap_or(1).max(2));
    let (id, owner) = founded(server, "large", members).await;
    let left = usize::try_from(plan.large).unwrap_or(0).saturating_sub(members + 2);
    let clients = (1..members).map(|member| {
        let (owner, changes) = (&owner, left / (members - 1));
        async move {
            let path = format!("/v1/workspaces/{id}/members/large-{member}");
            for n in 0..changes {
                let role = if n % 2 == 0 { "moderator" } else { "member" };
                server.send(Method::PATCH, &path, Some(owner), &json!({"role": role})).await;
            }
        }
    });
    join_all(clients).await;
    (id, owner)
}

/// A workspace with its owner and so many members, the owner counted.
async fn founded(server: &Server, name: &str, members: usize) -> (Uuid, String) {
    let owner = format!("{name}-0");
    provision(server, &owner).await;
    let created = server.send(Method::POST, "/v1/workspaces", Some(&owner), &json!({"name": name})).await;
    let id = id_of(&created);
    let body = json!({"seats": {"limit": members}});
    server.send(Method::PATCH, &format!("/v1/workspaces/{id}"), None, &body).await;
    for member in 1..members {
        let user = format!("{name}-{member}");
        provision(server, &user).await;
        let path = format!("/v1/workspaces/{id}/members/{user}");
        server.send(Method::PUT, &path, None, &json!({"role": "member"})).await;
    }
    (id, owner)
}
