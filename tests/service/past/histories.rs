//! Random histories: every read of the past answers what was answered live, byte for byte, at every position.

use std::collections::BTreeSet;
use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tenure_aggregates::Time;
use tenure_aggregates::personal::ERASED;

use crate::model::{Client, Heard, USERS};
use crate::support::{Answer, TestService};

const STEPS: usize = 18;

/// What was answered when the log ended at a position.
struct Seen {
    position: i64,
    answers: Vec<(String, StatusCode, Value, Option<String>)>,
}

/// Every read that knows the past, of everything there is by now.
fn paths(heard: &Heard) -> Vec<String> {
    let mut paths = Vec::new();
    let mut spaces: Vec<String> = heard.workspaces.clone();
    for n in 0..USERS {
        paths.push(format!("/v1/users/user-{n}"));
        paths.push(format!("/v1/users/user-{n}/workspaces"));
        let user = tenure_aggregates::UserId::parse(&format!("user-{n}")).unwrap();
        spaces.push(tenure_aggregates::WorkspaceId::personal(&user).to_string());
    }
    for n in 0..3 {
        paths.push(format!("/v1/workspaces/by-slug/slug-{n}"));
    }
    for id in spaces {
        let base = format!("/v1/workspaces/{id}");
        let lists = [
            "/members?limit=500",
            "/members?limit=500&role=admin",
            "/members?limit=500&status=deactivated",
            "/members?limit=500&q=NAMED",
            "/members?limit=500&q=user-1@",
            "/invitations?limit=500",
            "/invitations?limit=500&status=pending",
            "/invitations?limit=500&email=user-2@example.com",
        ];
        paths.extend(lists.iter().map(|list| format!("{base}{list}")));
        paths.extend((0..3).map(|n| format!("{base}/members/user-{n}")));
        paths.push(base);
    }
    paths.extend(
        heard
            .invitations
            .iter()
            .map(|(workspace, id)| format!("/v1/workspaces/{workspace}/invitations/{id}")),
    );
    paths
}

/// An answer without what is of the request itself.
fn essence(path: &str, answer: Answer) -> (String, StatusCode, Value, Option<String>) {
    let etag = answer.header("etag").map(str::to_owned);
    let mut body = answer.body;
    if let Some(problem) = body.as_object_mut().filter(|_| !answer.status.is_success()) {
        problem.remove("request_id");
    }
    (path.to_owned(), answer.status, body, etag)
}

async fn look(service: &TestService, heard: &Mutex<Heard>) -> Seen {
    let paths = paths(&heard.lock().unwrap());
    let position = service.head().await;
    let mut answers = Vec::new();
    for path in paths {
        let answer = service.operator().get(&path).await;
        answers.push(essence(&path, answer));
    }
    assert_eq!(service.head().await, position, "something happened meanwhile");
    Seen { position, answers }
}

/// What every history begins with, so that nothing is left to chance alone: method, path below the first workspace or
/// else the whole path, body, and the user who does it, if it is not the operator's service.
type Step = (&'static str, &'static str, Value, Option<&'static str>);

fn script() -> Vec<Step> {
    vec![
        (
            "PUT",
            "/roles/scribe",
            json!({"permissions": ["content:write"], "description": "Writes"}),
            Some("user-0"),
        ),
        ("PUT", "/members/user-1", json!({"role": "scribe"}), Some("user-0")),
        ("PUT", "/v1/users/user-1", json!({"name": "Named One"}), None),
        ("POST", "/v1/session", json!({}), Some("user-1")),
        ("POST", "/v1/session", json!({"workspace_id": "{workspace}"}), Some("user-1")),
        ("DELETE", "/members/user-1", json!(null), Some("user-1")),
        ("PUT", "/v1/users/user-1", json!({"name": "Named Two", "email": "one@example.com"}), None),
        ("PUT", "/members/user-1", json!({"role": "admin"}), Some("user-0")),
        ("POST", "/members/user-1/deactivate", json!({}), Some("user-0")),
        ("POST", "/members/user-1/reactivate", json!({}), Some("user-0")),
        ("POST", "/transfer-ownership", json!({"to": "user-1"}), Some("user-0")),
        ("PUT", "/members/user-5", json!({}), None),
        ("DELETE", "/v1/users/user-5", json!(null), None),
        ("PUT", "/invite-code", json!({"max_uses": 2}), Some("user-1")),
        ("PATCH", "", json!({"name": "Renamed", "slug": "slug-1"}), None),
    ]
}

async fn script_step(service: &TestService, heard: &Mutex<Heard>, (method, path, body, user): Step) {
    let workspace = heard.lock().unwrap().workspaces[0].clone();
    let path =
        if path.starts_with("/v1/") { path.to_owned() } else { format!("/v1/workspaces/{workspace}{path}") };
    let request = service.request(method.parse().unwrap(), &path, user);
    let body: Value = serde_json::from_str(&body.to_string().replace("{workspace}", &workspace)).unwrap();
    let request = if body.is_null() { request } else { request.json(&body) };
    let answer = Answer::of(request).await;
    assert!(answer.status.is_success(), "{path}: {:#}", answer.body);
    if let Some(code) = answer.body["code"].as_str() {
        heard.lock().unwrap().codes.push(code.to_owned());
        service.user("user-2").post("/v1/join", json!({"code": code})).await.expect(StatusCode::OK);
    }
}

/// What the clients of the model do not do.
async fn something_else(service: &TestService, client: &mut Client<'_>) -> Answer {
    let (n, user) = client.anybody();
    let number = client.random.random_range(0..1000);
    let pick = client.random.random_range(0..10);
    let space = client.heard.lock().unwrap().workspaces[client.random.random_range(0..3)].clone();
    let base = format!("/v1/workspaces/{space}");
    let operator = service.operator();
    match pick {
        0..3 => {
            operator.put(&format!("/v1/users/user-{n}"), json!({"name": format!("Named {number}")})).await
        }
        3 => {
            operator
                .put(&format!("/v1/users/user-{n}"), json!({"email": format!("new{number}@example.com")}))
                .await
        }
        4..6 => {
            operator
                .patch(
                    &base,
                    json!({"name": format!("Space {number}"), "slug": format!("slug-{}", number % 3)}),
                )
                .await
        }
        6 => operator.put(&format!("{base}/roles/scribe"), json!({"permissions": ["content:write"]})).await,
        7 => operator.patch(&format!("{base}/members/user-{n}"), json!({"role": "scribe"})).await,
        8 => user.post("/v1/session", json!({"workspace_id": space})).await,
        _ if n > 2 => operator.delete(&format!("/v1/users/user-{n}")).await,
        _ => {
            operator
                .put(&format!("{base}/members/user-{n}"), json!({"expires_at": "2999-01-01T00:00:00Z"}))
                .await
        }
    }
}

/// The workspaces that are no more: their past is gone with them.
async fn deleted(service: &TestService, heard: &Mutex<Heard>) -> BTreeSet<String> {
    let spaces: Vec<String> = paths(&heard.lock().unwrap());
    let mut gone = BTreeSet::new();
    for path in
        spaces.iter().filter(|path| path.matches('/').count() == 3 && path.starts_with("/v1/workspaces/"))
    {
        if service.operator().get(path).await.status == StatusCode::NOT_FOUND {
            gone.insert(path.clone());
        }
    }
    gone
}

/// The users who are erased by now: their data read `[erased]`, and are not found by what they said.
async fn erased(service: &TestService) -> BTreeSet<String> {
    let mut erased = BTreeSet::new();
    for n in 0..USERS {
        let user = format!("user-{n}");
        if service.operator().get(&format!("/v1/users/{user}")).await.status == StatusCode::NOT_FOUND {
            erased.insert(user);
        }
    }
    erased
}

/// What cannot be told any more, because somebody or something is gone, reads `[erased]`.
fn same(then: &Value, seen: &Value) -> bool {
    match (then, seen) {
        (Value::String(then), Value::String(_)) if then == ERASED => true,
        (Value::Object(then), Value::Object(seen)) => {
            then.len() == seen.len()
                && then.iter().zip(seen).all(|(then, seen)| then.0 == seen.0 && same(then.1, seen.1))
        }
        (Value::Array(then), Value::Array(seen)) => {
            then.len() == seen.len() && then.iter().zip(seen).all(|(then, seen)| same(then, seen))
        }
        (then, seen) => then == seen,
    }
}

/// A switcher is sorted by names, some of which are gone.
fn sorted(path: &str, mut body: Value) -> Value {
    if let Some(items) = body["items"].as_array_mut().filter(|_| path.ends_with("/workspaces")) {
        items[1..].sort_by_key(|item| item["workspace_id"].to_string());
    }
    body
}

/// Without those who are not found by what they said any more.
fn without(path: &str, mut body: Value, erased: &BTreeSet<String>) -> Value {
    if let Some(items) = body["items"].as_array_mut().filter(|_| path.contains("&q=")) {
        items.retain(|item| !item["user_id"].as_str().is_some_and(|user| erased.contains(user)));
    }
    body
}

/// What is gone by the end.
struct Gone {
    workspaces: BTreeSet<String>,
    users: BTreeSet<String>,
}

/// Asks all of it again, as of then.
async fn compare(
    service: &TestService,
    seen: &[Seen],
    gone: &Gone,
    moment: impl Fn(&Seen) -> Option<String>,
) {
    let (mut compared, mut masked) = (0, 0);
    for seen in seen {
        let Some(moment) = moment(seen) else { continue };
        for (path, status, body, etag) in &seen.answers {
            let asked = format!("{path}{}as_of={moment}", if path.contains('?') { '&' } else { '?' });
            let then = service.operator().get(&asked).await;
            let is_gone = |path: &str| gone.workspaces.iter().any(|gone| path.starts_with(gone.as_str()));
            let slug_of_gone = path.contains("/by-slug/")
                && body["id"].as_str().is_some_and(|id| is_gone(&format!("/v1/workspaces/{id}")));
            if slug_of_gone || is_gone(path) {
                then.refused(404, "not_found");
                continue;
            }
            let (_, then_status, then, then_etag) = essence(path, then);
            assert_eq!((then_status, &then_etag), (*status, etag), "{path} as of {moment}: {then:#}");
            let whole = |body: &Value| without(path, sorted(path, body.clone()), &gone.users);
            if then == *body {
                compared += 1;
            } else {
                assert!(
                    same(&whole(&then), &whole(body)),
                    "{path} as of {moment}: {then:#} and not {body:#}"
                );
                let tells = then.to_string().contains(ERASED) || path.contains("&q=");
                assert!(tells && !gone.users.is_empty(), "{path} as of {moment}: {then:#} and not {body:#}");
                masked += 1;
            }
        }
    }
    assert!(compared > 500 && masked > 0, "only {compared} were compared, and {masked} had gone");
}

async fn a_history(seed: u64) {
    let service = TestService::start().await;
    let admin = service.admin().await;
    for n in 0..USERS {
        service.provision(&format!("user-{n}")).await;
    }
    let heard = Mutex::new(Heard::default());
    for n in 0..3 {
        let id = service.user(&format!("user-{n}")).creates("First").await;
        heard.lock().unwrap().workspaces.push(id);
    }
    let mut client = Client { service: &service, heard: &heard, random: StdRng::seed_from_u64(seed) };
    let mut seen = vec![look(&service, &heard).await];
    for step in script() {
        script_step(&service, &heard, step).await;
        seen.push(look(&service, &heard).await);
    }
    while seen.len() < STEPS {
        let answer = if client.random.random_bool(0.3) {
            something_else(&service, &mut client).await
        } else {
            client.send().await
        };
        if answer.status.is_success() && service.head().await > seen[seen.len() - 1].position {
            seen.push(look(&service, &heard).await);
        }
    }
    let gone = Gone { workspaces: deleted(&service, &heard).await, users: erased(&service).await };
    compare(&service, &seen, &gone, |seen| Some(seen.position.to_string())).await;
    let times: Vec<Time> = sqlx::query_scalar("select recorded_at from events order by position")
        .fetch_all(&admin)
        .await
        .unwrap();
    // Where the next event was recorded at the same instant, it belongs to that instant, too.
    let instant = |seen: &Seen| {
        let at = usize::try_from(seen.position).unwrap() - 1;
        let next = times.get(at + 1);
        let alone = next.is_none_or(|next| *next > times[at]);
        alone.then(|| times[at].to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
    };
    compare(&service, &seen, &gone, instant).await;
    let projector = service.app().projector_pool.clone();
    tenure::projector::rebuild(
        &admin,
        &projector,
        &service.app().vault,
        tenure::clock::now,
        &["states"],
        |_| {},
    )
    .await
    .unwrap();
    compare(&service, &seen, &gone, |seen| Some(seen.position.to_string())).await;
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn the_past_is_what_it_was_1() {
    a_history(1).await;
}

#[tokio::test]
async fn the_past_is_what_it_was_2() {
    a_history(2).await;
}
