//! How fresh an answer is: at once in the process that committed, with the position in any other, within the bound
//! everywhere; and none at all where nothing is known.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::Executor;
use tenure::access::Question;
use tenure_aggregates::WorkspaceId;

use super::{EVALUATION, question};
use crate::support::process::{Place, Stopped};
use crate::support::{Acme, Answer, TestService};

async fn asks_having_seen(service: &TestService, position: &str, question: serde_json::Value) -> Answer {
    let request = service.request(Method::POST, EVALUATION, None).header("Tenure-Position", position);
    Answer::of(request.json(&question)).await
}

#[tokio::test]
async fn a_removal_counts_at_once_here_and_elsewhere_for_whoever_has_seen_it() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let sibling = acme.service.sibling().await;
    sibling.index_answers().await;
    sibling.index_catches_up().await;
    for _ in 0..5 {
        assert!(sibling.operator().asks("carol", "workspace:read", &acme.id).await);
        let removed = acme.ada().delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
        let position = removed.header("tenure-position").unwrap();
        assert!(!acme.service.operator().asks("carol", "workspace:read", &acme.id).await);
        let asked = question("carol", "workspace:read", &acme.id);
        let answer = asks_having_seen(&sibling, position, asked.clone()).await.expect(StatusCode::OK);
        assert_eq!(answer.body, json!({"decision": false}));
        let put = acme.ada().put(&acme.at("/members/carol"), json!({"role": "member"})).await;
        let position = put.header("tenure-position").unwrap();
        let answer = asks_having_seen(&sibling, position, asked).await.expect(StatusCode::OK);
        assert_eq!(answer.body, json!({"decision": true}));
    }
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn what_two_processes_do_to_each_others_workspaces_both_know() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    for service in [&acme.service, &sibling] {
        service.index_answers().await;
    }
    for round in 0..20 {
        let (here, there) =
            if round % 2 == 0 { (&acme.service, &sibling) } else { (&sibling, &acme.service) };
        let role = ["moderator", "member"][round % 2];
        let change = here.user("ada").patch(&acme.at("/members/carol"), json!({"role": role})).await;
        change.expect(StatusCode::OK);
        there.index_catches_up().await;
        here.index_catches_up().await;
        for service in [here, there] {
            let question = Question {
                workspace: WorkspaceId(acme.id.parse().unwrap()),
                user: "carol",
                permission: "content:moderate",
            };
            let reason = service.app().access.index.decide(&question, tenure::clock::now()).unwrap();
            assert_eq!(reason.allows(), round % 2 == 0, "round {round}");
        }
    }
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_position_ahead_of_the_log_is_refused() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let asked = question("ada", "workspace:read", &acme.id);
    let ahead = (acme.service.head().await + 1).to_string();
    asks_having_seen(&acme.service, &ahead, asked.clone()).await.refused(400, "position_in_future");
    asks_having_seen(&acme.service, "x", asked.clone()).await.refused(400, "validation_failed");
    let head = acme.service.head().await.to_string();
    let answer = asks_having_seen(&acme.service, &head, asked).await.expect(StatusCode::OK);
    assert_eq!(answer.body, json!({"decision": true}));
    acme.stop().await;
}

#[tokio::test]
async fn what_a_process_commits_is_in_its_index_before_the_answer_goes_out() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    acme.service.index_catches_up().await;
    let access = acme.service.app().access.clone();
    for role in ["moderator", "member", "moderator"] {
        let changed = acme.ada().patch(&acme.at("/members/carol"), json!({"role": role})).await;
        let position: i64 = changed.header("tenure-position").unwrap().parse().unwrap();
        assert!(access.position().unwrap() >= position);
    }
    acme.stop().await;
}

#[tokio::test]
async fn an_index_that_is_too_old_is_not_believed_and_the_log_is_asked() {
    let service = TestService::start_with(|settings| settings.access_staleness = Duration::ZERO).await;
    let ada = service.provision("ada").await;
    let id = ada.creates("Acme").await;
    assert!(!service.app().access.is_fresh());
    assert!(service.operator().asks("ada", "workspace:delete", &id).await);
    assert!(!service.operator().asks("bob", "workspace:read", &id).await);
    drop(ada);
    service.stop().await;
}

#[tokio::test]
async fn where_neither_index_nor_log_can_tell_nothing_is_allowed() {
    let service =
        TestService::start_with(|settings| settings.access_staleness = Duration::from_millis(500)).await;
    let ada = service.provision("ada").await;
    let id = ada.creates("Acme").await;
    drop(ada);
    service.index_answers().await;
    let app = service.app();
    let name = service.database.get_database().unwrap().to_owned();
    let admin = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with(service.database.clone().database("postgres"))
        .await
        .unwrap();
    admin.execute(format!("alter database {name} allow_connections false").as_str()).await.unwrap();
    let cut = format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    admin.execute(cut.as_str()).await.unwrap();
    while app.access.is_fresh() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for asked in [question("ada", "workspace:read", &id), question("bob", "workspace:read", &id)] {
        let answer = service.operator().post(EVALUATION, asked.clone()).await.refused(503, "unavailable");
        assert!(answer.header("retry-after").is_some());
        let batch = json!({"evaluations": [asked]});
        service.operator().post(super::EVALUATIONS, batch).await.refused(503, "unavailable");
    }
    admin.execute(format!("alter database {name} allow_connections true").as_str()).await.unwrap();
    service.index_answers().await;
    assert!(service.operator().asks("ada", "workspace:read", &id).await);
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_read_makes_nothing_allowed_in_its_workspace() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    acme.service.index_catches_up().await;
    let other = acme.ada().creates("Other").await;
    // As another process of a later version would write it.
    let admin = acme.service.admin().await;
    let insert = "with head as (update log_head set position = position + 1, epoch = epoch returning position),
             next as (update workspace_heads set seq = seq + 1 where workspace_id = $1 returning seq)
         insert into events select position, $1, next.seq, 'Membership', $2, 99, 'MembershipBlessed', '1',
             '{\"type\":\"MembershipBlessed\"}', json_build_object('workspace_id', $1, 'actor_type', 'system'), now()
         from head, next";
    let workspace: uuid::Uuid = acme.id.parse().unwrap();
    let carol = tenure_aggregates::UserId::parse("carol").unwrap();
    let stream = tenure_aggregates::MembershipId::of(WorkspaceId(workspace), &carol).to_string();
    sqlx::query(insert).bind(workspace).bind(&stream).execute(&admin).await.unwrap();
    acme.service.index_catches_up().await;
    acme.service.index_answers().await;
    let answer =
        acme.service.operator().post(EVALUATION, question("carol", "workspace:read", &acme.id)).await;
    answer.refused(503, "history_unreadable");
    // Whom it does not concern, it does not hinder.
    assert!(acme.service.operator().asks("ada", "workspace:read", &acme.id).await);
    assert!(acme.service.operator().asks("ada", "workspace:read", &other).await);
    admin.close().await;
    acme.service.leave().await;
}

#[tokio::test]
async fn a_restarted_service_decides_as_the_one_before() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let (ada, service) = (acme.ada(), &acme.service);
    let define = json!({"permissions": ["content:write"]});
    ada.put(&acme.at("/roles/editor"), define).await.expect(StatusCode::CREATED);
    service.register("records:write", &["member"]).await;
    ada.patch(&acme.at("/members/bob"), json!({"role": "editor"})).await.expect(StatusCode::OK);
    let end = tenure::clock::now() + chrono::TimeDelta::hours(1);
    ada.patch(&acme.at("/members/carol"), json!({"expires_at": end})).await.expect(StatusCode::OK);
    let gone = ada.creates("Gone").await;
    ada.delete(&format!("/v1/workspaces/{gone}")).await.expect(StatusCode::NO_CONTENT);
    let sibling = service.sibling().await;
    sibling.index_answers().await;
    sibling.index_catches_up().await;
    let (one, two) = (service.app(), sibling.app());
    let all = |access: &Arc<tenure::access::Access>| {
        let mut told = Vec::new();
        for user in ["ada", "bob", "carol", "dave"] {
            for workspace in [&acme.id, &gone] {
                for permission in ["workspace:read", "content:write", "records:write", "workspace:delete"] {
                    let workspace = WorkspaceId(workspace.parse().unwrap());
                    for later in [0, 2] {
                        let question = Question { workspace, user, permission };
                        let now = tenure::clock::now() + chrono::TimeDelta::hours(later);
                        told.push(access.index.decide(&question, now).map(tenure::access::Reason::allows));
                    }
                }
            }
        }
        told
    };
    assert_eq!(all(&one.access), all(&two.access));
    drop((one, two, ada));
    sibling.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn it_is_ready_once_it_is_loaded() {
    let service = TestService::start().await;
    service.index_answers().await;
    let answer = service.bare(Method::GET, "/readyz", &[]).await.expect(StatusCode::OK);
    assert!(answer.body["access"]["position"].is_i64() && answer.body["access"]["age_seconds"].is_f64());
    service.stop().await;
}

#[tokio::test]
async fn while_the_database_stands_still_nothing_is_allowed_and_afterwards_all_is_as_before() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    let send = async |method: Method, path: &str, body: serde_json::Value| {
        Answer::of(serving.request(&key, method, path).header("Tenure-Actor", "ada").json(&body)).await
    };
    let provisioned = Answer::of(serving.request(&key, Method::PUT, "/v1/users/ada").json(&json!({}))).await;
    provisioned.expect(StatusCode::CREATED);
    let created =
        send(Method::POST, "/v1/workspaces", json!({"name": "Acme"})).await.expect(StatusCode::CREATED);
    let asked = question("ada", "workspace:read", &created.text("id"));
    let ask = async || Answer::of(serving.request(&key, Method::POST, EVALUATION).json(&asked)).await;
    assert_eq!(ask().await.expect(StatusCode::OK).body, json!({"decision": true}));
    let stopped = Stopped::all(&place);
    // Within the bound the index still answers; after it nobody does.
    loop {
        let answer = ask().await;
        if answer.status != StatusCode::OK {
            answer.refused(503, "unavailable");
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    ask().await.refused(503, "unavailable");
    drop(stopped);
    while ask().await.status != StatusCode::OK {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ask().await.expect(StatusCode::OK).body, json!({"decision": true}));
    serving.interrupt().await;
}

#[tokio::test]
async fn read_models_of_another_version_are_not_loaded_and_the_log_is_asked() {
    let acme = Acme::found().await;
    acme.service.app().reads.wait_for(acme.service.head().await).await.unwrap();
    let admin = acme.service.admin().await;
    let version = "update projection_checkpoints set version = version - 1 where name = 'members'";
    admin.execute(version).await.unwrap();
    let sibling = acme.service.sibling().await;
    assert!(!sibling.app().access.is_loading() && !sibling.app().access.is_loaded());
    assert!(sibling.operator().asks("carol", "workspace:read", &acme.id).await);
    assert!(!sibling.operator().asks("dave", "workspace:read", &acme.id).await);
    let answer = sibling.bare(Method::GET, "/readyz", &[]).await.expect(StatusCode::OK);
    assert_eq!(answer.body["status"], "degraded");
    admin
        .execute("update projection_checkpoints set version = version + 1 where name = 'members'")
        .await
        .unwrap();
    sibling.index_answers().await;
    admin.close().await;
    sibling.leave().await;
    acme.stop().await;
}
