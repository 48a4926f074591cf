//! Processes die and connections break, at any moment (attacks 37–39): what was acknowledged is there, once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Connection, Executor, PgPool};
use tenure::data_keys::Vault;
use tenure::store::retry::Command;
use tenure::store::{Committed, Failure, Origin, UnitOfWork};
use tenure_aggregates::user::UserCommand;
use tenure_aggregates::workspace::{Kind, WorkspaceEvent};
use tenure_aggregates::{User, UserId, WorkspaceId};
use tenure_projections::{ALL, Event};
use uuid::Uuid;

use crate::support::TestService;
use crate::support::invariants::{caught_up, log_is_whole, read_models_are_the_fold, rows, same};
use crate::support::log;
use crate::support::process::{Place, Serving, Stopped};
use crate::support::service::{Answer, OPERATOR_KEY};

/// Clients who never give up: each command is sent again, with the same key, until it is answered for good.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<tokio::task::JoinHandle<Vec<Acknowledged>>>,
}

/// A workspace that was created, as its client was told.
#[derive(Debug)]
struct Acknowledged {
    name: String,
    workspace: Uuid,
    position: i64,
    /// Answers that were not the last.
    failures: Vec<u16>,
}

impl Load {
    fn begin(clients: usize, url: &str, key: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let begin = |client| tokio::spawn(creates(client, url.to_owned(), key.to_owned(), over.clone()));
        let clients = (0..clients).map(begin).collect();
        Self { over, clients }
    }

    /// Lets every client finish what it is at.
    async fn ends(self) -> Vec<Acknowledged> {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Vec::new();
        for client in self.clients {
            all.extend(client.await.unwrap());
        }
        all
    }
}

async fn creates(client: usize, url: String, key: String, over: Arc<AtomicBool>) -> Vec<Acknowledged> {
    let http = reqwest::Client::builder().timeout(Duration::from_secs(35)).build().unwrap();
    let mut all = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let name = format!("client-{client}-command-{}", all.len());
        let body = json!({"name": name, "owner_id": format!("user-{}", client % 3)});
        let mut failures = Vec::new();
        let started = Instant::now();
        let (position, workspace) = loop {
            assert!(started.elapsed() < Duration::from_secs(40), "{name} is never answered: {failures:?}");
            let request = http.post(format!("{url}/v1/workspaces")).bearer_auth(&key).json(&body);
            let sent = request.header("Idempotency-Key", format!("key-of-{name}")).send().await;
            if let Ok(response) = sent {
                let status = response.status();
                let position = response.headers().get("tenure-position").cloned();
                let again = response.headers().contains_key("retry-after");
                if let Ok(body) = response.json::<Value>().await {
                    match status.as_u16() {
                        201 => {
                            let position = position.unwrap().to_str().unwrap().parse().unwrap();
                            break (position, body["id"].as_str().unwrap().parse().unwrap());
                        }
                        503 | 409 => assert!(again && body["code"].is_string(), "{body:#}"),
                        _ => panic!("{status}: {body:#}"),
                    }
                    failures.push(status.as_u16());
                }
            } else {
                failures.push(0);
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        };
        all.push(Acknowledged { name, workspace, position, failures });
    }
    all
}

async fn provision_owners(url: &str, key: &str) {
    for user in 0..3 {
        let path = format!("{url}/v1/users/user-{user}");
        let body = json!({"email": format!("user-{user}@example.com"), "email_verified": true});
        let sent = reqwest::Client::new().put(path).bearer_auth(key).json(&body).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::CREATED);
    }
}

/// Every acknowledged command is there exactly once, where its client was told, and nothing happened twice.
async fn all_is_there_once(admin: &PgPool, vault: &Vault, acknowledged: &[Acknowledged]) {
    log_is_whole(admin).await;
    let mut by_name: HashMap<String, Vec<Uuid>> = HashMap::new();
    for recorded in log::events_of(admin, vault).await {
        if let Event::Workspace(WorkspaceEvent::WorkspaceCreated { kind: Kind::Team, profile, .. }) =
            recorded.event
        {
            by_name.entry(profile.name).or_default().push(recorded.workspace_id.0);
        }
    }
    for Acknowledged { name, workspace, position, .. } in acknowledged {
        assert_eq!(by_name.get(name), Some(&vec![*workspace]), "{name}");
        let at: (Uuid, i64) = sqlx::query_as(
            "select workspace_id, (select max(position) from events o where o.workspace_id = e.workspace_id)
             from events e where position = $1",
        )
        .bind(position)
        .fetch_one(admin)
        .await
        .unwrap();
        assert_eq!(at, (*workspace, *position), "{name} stands where it was said to");
    }
    assert_eq!(by_name.len(), acknowledged.len(), "nobody gave up, so nothing else is there");
    read_models_are_the_fold(admin, vault).await;
}

fn moments(seed: u64, count: usize, millis: std::ops::Range<u64>) -> Vec<Duration> {
    let mut random = SmallRng::seed_from_u64(seed);
    (0..count).map(|_| Duration::from_millis(random.random_range(millis.clone()))).collect()
}

#[tokio::test]
async fn the_service_is_killed_under_load() {
    let place = Place::new();
    let mut serving = place.serves().await;
    let (key, address) = (place.key(), serving.address());
    provision_owners(&serving.url, &key).await;
    let load = Load::begin(6, &serving.url, &key);
    for moment in moments(37, 3, 50..500) {
        tokio::time::sleep(moment).await;
        serving.kill();
        serving = place.serves_at(&address).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let acknowledged = load.ends().await;
    assert!(acknowledged.iter().any(|one| !one.failures.is_empty()), "the kills met someone");
    let admin = place.database().await;
    all_is_there_once(&admin, &place.vault().await, &acknowledged).await;
}

#[tokio::test]
async fn the_service_is_killed_between_append_and_projection() {
    let place = Place::new();
    let serving = place.serves().await;
    let (key, address) = (place.key(), serving.address());
    provision_owners(&serving.url, &key).await;
    let admin = place.database().await;
    // Whoever holds the checkpoints is the only one who projects: here, nobody does.
    let mut holder = admin.acquire().await.unwrap().detach();
    holder.execute("begin; select from projection_checkpoints for update").await.unwrap();
    let load = Load::begin(4, &serving.url, &key);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let acknowledged = load.ends().await;
    let lag: i64 = sqlx::query_scalar(
        "select h.position - min(c.position) from log_head h, projection_checkpoints c group by h.position",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert!(lag > 0 && !acknowledged.is_empty());
    serving.kill();
    drop((holder, admin));
    let serving = place.serves_at(&address).await;
    let last = acknowledged.last().unwrap();
    let path = format!("/v1/workspaces/{}", last.workspace);
    let read = serving.request(&key, Method::GET, &path).header("Tenure-Position", last.position);
    assert_eq!(read.send().await.unwrap().status(), StatusCode::OK);
    all_is_there_once(&place.database().await, &place.vault().await, &acknowledged).await;
}

#[tokio::test]
async fn a_killed_rebuild_is_taken_up_again() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    provision_owners(&serving.url, &key).await;
    let load = Load::begin(4, &serving.url, &key);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let acknowledged = load.ends().await;
    let admin = place.database().await;
    caught_up(&admin).await;
    let before = rows(&admin).await;
    let building = "select count(*) from projection_checkpoints where state = 'building'";
    // Once while it fills (it cannot read the log), once when it is about to swap (it cannot lock the checkpoints).
    for obstacle in [
        "lock table events in access exclusive mode",
        "select from projection_checkpoints where state = 'live' for update",
    ] {
        let mut holder = admin.acquire().await.unwrap().detach();
        holder.execute(format!("begin; {obstacle}").as_str()).await.unwrap();
        let mut rebuild = place.command(&["rebuild", "--all"]).spawn().unwrap();
        let started = Instant::now();
        while sqlx::query_scalar::<_, i64>(building).fetch_one(&admin).await.unwrap() < 5 {
            assert!(started.elapsed() < Duration::from_secs(20), "the rebuild does not begin");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(rebuild.try_wait().unwrap().is_none(), "it is in the middle of it");
        rebuild.kill().unwrap();
        rebuild.wait().unwrap();
        holder.execute("rollback").await.unwrap();
        holder.close().await.unwrap();
        let begun = sqlx::query_scalar::<_, i64>(building).fetch_one(&admin).await.unwrap();
        assert_eq!(begun, i64::try_from(ALL.len()).unwrap());
        same(&before, &rows(&admin).await);
        let out = place.runs(&["rebuild", "--all"]).await.well();
        assert!(out.contains("Rebuilt"), "{out}");
        assert_eq!(sqlx::query_scalar::<_, i64>(building).fetch_one(&admin).await.unwrap(), 0);
        same(&before, &rows(&admin).await);
    }
    // A rebuild is killed at random moments as well.
    for moment in moments(38, 3, 30..150) {
        let mut rebuild = place.command(&["rebuild", "--all"]).spawn().unwrap();
        tokio::time::sleep(moment).await;
        rebuild.kill().unwrap();
        rebuild.wait().unwrap();
    }
    place.runs(&["rebuild", "--all"]).await.well();
    same(&before, &rows(&admin).await);
    all_is_there_once(&admin, &place.vault().await, &acknowledged).await;
}

#[tokio::test]
async fn postgresql_is_killed_under_load() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    provision_owners(&serving.url, &key).await;
    let load = Load::begin(6, &serving.url, &key);
    let named = serving.line("database ").rsplit(' ').next().unwrap().parse::<i32>().unwrap();
    assert_eq!(Some(named), place.postgres().first().map(|pid| pid.as_raw()));
    for moment in moments(39, 2, 100..600) {
        tokio::time::sleep(moment).await;
        let postmaster = place.postgres()[0];
        kill(postmaster, Signal::SIGKILL).unwrap();
        // It may be back before anybody has seen that it was gone.
        let started = Instant::now();
        while place.postgres().first().is_none_or(|pid| *pid == postmaster) {
            assert!(started.elapsed() < Duration::from_secs(20), "not started again: {}", serving.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        becomes(&serving, StatusCode::OK).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let acknowledged = load.ends().await;
    // The writer for certain. Clients need not have noticed: it finds out what became of a write before it tells them.
    assert!(serving.log().contains("the appender's connection broke"), "the kills met the writer");
    assert!(acknowledged.iter().all(|one| !one.failures.contains(&0)), "the service always answered");
    all_is_there_once(&place.database().await, &place.vault().await, &acknowledged).await;
}

/// Waits until `/readyz` says so.
async fn becomes(serving: &Serving, expected: StatusCode) {
    let started = Instant::now();
    while serving.request("", Method::GET, "/readyz").send().await.unwrap().status() != expected {
        assert!(started.elapsed() < Duration::from_secs(20), "never {expected}: {}", serving.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn postgresql_cannot_be_reached_for_a_while() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    provision_owners(&serving.url, &key).await;
    let admin = place.database().await;
    let load = Load::begin(3, &serving.url, &key);
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Nobody gets in any more, and everybody is thrown out.
    let mut inside = admin.acquire().await.unwrap().detach();
    let dir = sqlx::query_scalar::<_, String>("show unix_socket_directories").fetch_one(&mut inside).await;
    let files = std::fs::read_dir(dir.unwrap().trim_matches('"')).unwrap().flatten();
    let mut sockets = files.map(|file| file.path()).filter(|path| path.extension().unwrap() != "lock");
    let socket = sockets.next().unwrap();
    let aside = socket.with_extension("aside");
    std::fs::rename(&socket, &aside).unwrap();
    inside
        .execute(
            "select pg_terminate_backend(pid) from pg_stat_activity
             where pid <> pg_backend_pid() and backend_type = 'client backend'",
        )
        .await
        .unwrap();
    let away = Instant::now();
    let mut refusals = 0;
    while away.elapsed() < Duration::from_secs(4) {
        let write =
            serving.request(&key, Method::PUT, "/v1/users/late").json(&json!({})).send().await.unwrap();
        let read = serving.request(&key, Method::GET, "/v1/users/user-0").send().await.unwrap();
        for answer in [write, read] {
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(answer.headers().contains_key("retry-after"));
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["code"], "unavailable", "{body:#}");
            refusals += 1;
        }
        let alive = serving.request(&key, Method::GET, "/livez").send().await.unwrap();
        assert_eq!(alive.status(), StatusCode::OK);
        let ready = serving.request("", Method::GET, "/readyz").send().await.unwrap();
        assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
    assert!(refusals > 0);
    std::fs::rename(&aside, &socket).unwrap();
    let started = Instant::now();
    while serving.request("", Method::GET, "/readyz").send().await.unwrap().status() != StatusCode::OK {
        assert!(started.elapsed() < Duration::from_secs(15), "it does not recover: {}", serving.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let acknowledged = load.ends().await;
    all_is_there_once(&place.database().await, &place.vault().await, &acknowledged).await;
}

#[tokio::test]
async fn postgresql_stands_still_for_a_while() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    provision_owners(&serving.url, &key).await;
    let load = Load::begin(3, &serving.url, &key);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = Stopped::all(&place);
    let alive = serving.request(&key, Method::GET, "/livez").send().await.unwrap();
    assert_eq!(alive.status(), StatusCode::OK);
    let ready = serving.request(&key, Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), StatusCode::SERVICE_UNAVAILABLE);
    tokio::time::sleep(Duration::from_secs(2)).await;
    drop(stopped);
    let acknowledged = load.ends().await;
    all_is_there_once(&place.database().await, &place.vault().await, &acknowledged).await;
}

#[tokio::test]
async fn connections_are_terminated_at_random() {
    let service = TestService::start().await;
    provision_owners(&service.url, OPERATOR_KEY).await;
    let load = Load::begin(8, &service.url, OPERATOR_KEY);
    // By another name than the service's connections, so that these live.
    let ours = service.database.clone().application_name("tests");
    let admin = PgPoolOptions::new().max_connections(2).connect_with(ours).await.unwrap();
    let mut random = SmallRng::seed_from_u64(39);
    for _ in 0..40 {
        tokio::time::sleep(Duration::from_millis(random.random_range(10..100))).await;
        let victims: Vec<i32> = sqlx::query_scalar(
            "select pid from pg_stat_activity where datname = current_database() and application_name like 'tenure%'
             order by pid",
        )
        .fetch_all(&admin)
        .await
        .unwrap();
        if let Some(victim) = (!victims.is_empty()).then(|| victims[random.random_range(0..victims.len())]) {
            sqlx::query("select pg_terminate_backend($1)").bind(victim).execute(&admin).await.unwrap();
        }
    }
    let acknowledged = load.ends().await;
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    all_is_there_once(&admin, &service.app().vault, &acknowledged).await;
    admin.close().await;
    service.stop().await;
}

/// The first of the two steps of an erasure, as the service takes it.
struct StartErasure(UserId);

impl Command for StartErasure {
    const NAME: &'static str = "StartErasure";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let home = WorkspaceId::personal(&self.0);
        unit.execute::<User>(home, &home.to_string(), UserCommand::StartErasure).await?;
        unit.commit(String::new()).await
    }
}

#[tokio::test]
async fn an_erasure_that_a_crash_cut_in_two_is_finished_by_the_retry() {
    let service = TestService::start().await;
    let (ada, bob) = (service.provision("ada").await, service.provision("bob").await);
    let acme = ada.creates("Acme").await;
    ada.brings(&acme, &bob, "member").await;
    let begun = StartErasure(UserId::parse("bob").unwrap());
    let origin = Arc::new(Origin::system());
    service.app().store.run(&begun, origin, None, tenure::clock::now).await.unwrap();
    // The client still names the state it saw before it first asked.
    let retry = service.request(Method::DELETE, "/v1/users/bob", None).header("If-Match", "\"1\"");
    Answer::of(retry).await.expect(StatusCode::NO_CONTENT);
    let members = ada.get(&format!("/v1/workspaces/{acme}/members")).await.expect(StatusCode::OK);
    assert_eq!(members.body["items"].as_array().unwrap().len(), 1);
    let erased = "select count(*) from events where event_type in ('UserErasureStarted', 'UserErased')";
    let admin = service.admin().await;
    assert_eq!(sqlx::query_scalar::<_, i64>(erased).fetch_one(&admin).await.unwrap(), 2);
    admin.close().await;
    service.stop().await;
}
