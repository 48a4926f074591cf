//! More is asked than can be done (attack 46): a workspace that floods is turned away, the others are served.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tenure::overload::Limits;
use tokio::task::JoinSet;

use crate::support::TestService;
use crate::support::service::{Answer, User};

const LIMITS: Limits = Limits { requests: 64, commands: 16, commands_of_one: 4, reads: 16 };

/// Two workspaces, each with an owner who has been let in there before.
async fn noisy_and_quiet(service: &TestService) -> [(User<'_>, String); 2] {
    let mut both = Vec::new();
    for name in ["ada", "bob"] {
        let user = service.provision(name).await;
        let workspace = user.creates(name).await;
        user.get(&format!("/v1/workspaces/{workspace}")).await.expect(StatusCode::OK);
        both.push((user, workspace));
    }
    both.try_into().unwrap_or_else(|_| panic!("two"))
}

/// Nobody can move the head: whatever is written waits.
async fn stalled(service: &TestService) -> PgConnection {
    let mut holder = PgConnection::connect_with(&service.database).await.unwrap();
    holder.execute("begin; select from log_head for update").await.unwrap();
    holder
}

fn renames(user: &User<'_>, workspace: &str, name: &str) -> impl Future<Output = Answer> + 'static {
    let request = user.request(Method::PATCH, &format!("/v1/workspaces/{workspace}"));
    Answer::of(request.json(&json!({"name": name})))
}

async fn until(service: &TestService, requests: usize) {
    for _ in 0..2_000 {
        if service.app().admission.requests() >= requests {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("{} requests are in flight", service.app().admission.requests());
}

#[track_caller]
fn is_turned_away(answer: Answer) {
    let answer = answer.refused(503, "overloaded");
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert!(answer.text("detail").contains("Nothing happened"));
    assert_eq!(answer.header("x-request-id"), Some(answer.text("request_id").as_str()));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.text("instance").starts_with("/v1/"));
}

#[tokio::test]
async fn a_flood_in_one_workspace_is_turned_away_and_another_is_served() {
    let service = TestService::start_with(|settings| settings.limits = LIMITS).await;
    let [(ada, noisy), (bob, quiet)] = noisy_and_quiet(&service).await;
    let mut holder = stalled(&service).await;
    let mut flood = JoinSet::new();
    for n in 0..32 {
        flood.spawn(renames(&ada, &noisy, &format!("Noisy {n}")));
    }
    until(&service, 32).await;
    // Half of the places are taken by one: it gets no more of them, for reads neither.
    for n in 0..50 {
        is_turned_away(renames(&ada, &noisy, &format!("Refused {n}")).await);
    }
    is_turned_away(ada.get(&format!("/v1/workspaces/{noisy}/members")).await);
    assert_eq!(service.app().admission.requests(), 32, "what was turned away is gone");
    assert!(
        service.app().store.queue_depth() <= LIMITS.commands_of_one,
        "and only a few came so far as to be written"
    );
    // Others read, and get in to write.
    bob.get(&format!("/v1/workspaces/{quiet}/members")).await.expect(StatusCode::OK);
    let mut waits = JoinSet::new();
    waits.spawn(renames(&bob, &quiet, "Quiet"));
    until(&service, 33).await;
    // The service says of itself how it is.
    service.operator().get("/livez").await.expect(StatusCode::OK);
    holder.execute("rollback").await.unwrap();
    holder.close().await.unwrap();
    let renamed = waits.join_next().await.unwrap().unwrap().expect(StatusCode::OK);
    assert_eq!(renamed.text("name"), "Quiet");
    let mut renamed = 0;
    while let Some(answer) = flood.join_next().await {
        answer.unwrap().expect(StatusCode::OK);
        renamed += 1;
    }
    assert_eq!(renamed, 32, "who was let in is served");
    until(&service, 0).await;
    assert_eq!(service.app().admission.requests(), 0);
    // What was acknowledged is there once each, and what was turned away left nothing.
    let admin = service.admin().await;
    let names: Vec<Value> = sqlx::query_scalar(
        "select payload from events where event_type = 'WorkspaceProfileChanged' and workspace_id = $1",
    )
    .bind(noisy.parse::<uuid::Uuid>().unwrap())
    .fetch_all(&admin)
    .await
    .unwrap();
    assert_eq!(names.len(), 32);
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn past_every_bound_all_are_turned_away_but_the_questions_about_the_service() {
    let service = TestService::start_with(|settings| settings.limits = LIMITS).await;
    let [(ada, noisy), (bob, quiet)] = noisy_and_quiet(&service).await;
    let mut users = Vec::new();
    for n in 0..62 {
        users.push(service.provision(&format!("user-{n}")).await);
        // Now the service knows them: nobody floods, they are just many.
        let path = format!("/v1/users/user-{n}");
        users[n].get(&path).await.expect(StatusCode::OK);
    }
    let mut holder = stalled(&service).await;
    let mut waiting = JoinSet::new();
    for n in 0..users.len() {
        let body = json!({"email": format!("new-{n}@example.com"), "email_verified": true, "name": "New"});
        let request = service.request(Method::PUT, &format!("/v1/users/user-{n}"), None).json(&body);
        waiting.spawn(Answer::of(request));
    }
    waiting.spawn(renames(&ada, &noisy, "Noisy"));
    waiting.spawn(renames(&bob, &quiet, "Quiet"));
    until(&service, 64).await;
    is_turned_away(bob.get(&format!("/v1/workspaces/{quiet}")).await);
    is_turned_away(users[0].get("/v1/users/user-0/workspaces").await);
    for path in ["/livez", "/readyz"] {
        service.operator().get(path).await.expect(StatusCode::OK);
    }
    let question = json!({"subject": {"type": "user", "id": "bob"}, "action": {"name": "members:read"},
                          "resource": {"type": "workspace", "id": quiet}});
    let answer = service.operator().post("/access/v1/evaluation", question).await.expect(StatusCode::OK);
    assert_eq!(answer.body, json!({"decision": true}), "access checks wait for nothing");
    holder.execute("rollback").await.unwrap();
    holder.close().await.unwrap();
    while let Some(answer) = waiting.join_next().await {
        let status = answer.unwrap().status;
        assert!(!status.is_server_error(), "{status}");
    }
    bob.get(&format!("/v1/workspaces/{quiet}")).await.expect(StatusCode::OK);
    service.stop().await;
}

#[tokio::test]
async fn slow_reads_of_one_workspace_leave_connections_to_the_others() {
    let service = TestService::start_with(|settings| settings.limits = LIMITS).await;
    let [(ada, noisy), (bob, quiet)] = noisy_and_quiet(&service).await;
    // Whoever reads the invitations waits for the lock; the members can be read.
    let mut holder = PgConnection::connect_with(&service.database).await.unwrap();
    holder.execute("begin; lock table invitations in access exclusive mode").await.unwrap();
    let mut slow = JoinSet::new();
    for _ in 0..20 {
        let request = ada.request(Method::GET, &format!("/v1/workspaces/{noisy}/invitations"));
        slow.spawn(Answer::of(request));
    }
    until(&service, 20).await;
    for _ in 0..20 {
        bob.get(&format!("/v1/workspaces/{quiet}/members")).await.expect(StatusCode::OK);
    }
    holder.execute("rollback").await.unwrap();
    holder.close().await.unwrap();
    while let Some(answer) = slow.join_next().await {
        answer.unwrap().expect(StatusCode::OK);
    }
    service.stop().await;
}

#[tokio::test]
async fn a_stranger_takes_nothing_of_a_workspaces_share() {
    let service = TestService::start_with(|settings| settings.limits = LIMITS).await;
    let [(ada, noisy), _] = noisy_and_quiet(&service).await;
    let eve = service.provision("eve").await;
    let mut holder = PgConnection::connect_with(&service.database).await.unwrap();
    holder.execute("begin; lock table members in access exclusive mode").await.unwrap();
    let mut strange = JoinSet::new();
    for _ in 0..32 {
        strange.spawn(Answer::of(eve.request(Method::GET, &format!("/v1/workspaces/{noisy}/members"))));
    }
    until(&service, 32).await;
    is_turned_away(eve.get(&format!("/v1/workspaces/{noisy}/members")).await);
    renames(&ada, &noisy, "Still mine").await.expect(StatusCode::OK);
    holder.execute("rollback").await.unwrap();
    holder.close().await.unwrap();
    while let Some(answer) = strange.join_next().await {
        answer.unwrap().refused(404, "not_found");
    }
    service.stop().await;
}
