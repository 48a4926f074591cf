//! Events that this program cannot read (attack 40): only their workspace is concerned, what rests on it is refused by
//! name, nothing is decided on a guess, and it goes on after a fix.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Executor, PgConnection, PgPool};
use tenure::clock;
use tenure::database::{Role, pool};
use tenure::projector::retry_parked;
use tenure_aggregates::WorkspaceId;
use uuid::Uuid;

use crate::support::invariants::{caught_up, read_models_are_the_fold};
use crate::support::{Answer, TestService};

/// A superuser who may change the log: nobody else can, and no program ever should.
async fn surgeon(admin: &PgPool) -> PgConnection {
    let mut surgeon = admin.acquire().await.unwrap().detach();
    surgeon.execute("set session_replication_role = replica").await.unwrap();
    surgeon
}

/// Appends an event to the workspace's own stream as a program of another time would have.
async fn append(admin: &PgPool, workspace: &str, event_type: &str, version: &str, payload: &Value) {
    let mut surgeon = surgeon(admin).await;
    let insert =
        "with head as (update log_head set position = position + 1, epoch = epoch + 1 returning position),
             seq as (update workspace_heads set seq = seq + 1 where workspace_id = $1 returning seq),
             stream as (select max(sequence) + 1 as next from events where aggregate_type = 'Workspace' and aggregate_id = $1::text)
         insert into events select head.position, $1, seq.seq, 'Workspace', $1::text, stream.next, $2, $3, $4::json,
             json_build_object('workspace_id', $1, 'actor_type', 'system'), $5
         from head, seq, stream";
    let done = sqlx::query(insert)
        .bind(workspace.parse::<Uuid>().unwrap())
        .bind(event_type)
        .bind(version)
        .bind(payload.to_string())
        .bind(clock::now())
        .execute(&mut surgeon)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
}

/// Of a type nobody knows, of a version nobody knows, and of a shape that is none.
fn poisons() -> [(&'static str, &'static str, Value); 3] {
    [
        ("WorkspacePainted", "1", json!({"type": "WorkspacePainted", "colour": "green"})),
        ("WorkspaceArchived", "2", json!({"type": "WorkspaceArchived", "until": "2099-01-01T00:00:00Z"})),
        ("WorkspacePlanChanged", "1", json!({"type": "WorkspacePlanChanged", "plan": "pro"})),
    ]
}

fn is_unreadable(answer: &Answer, workspace: &str) {
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{}", answer.body);
    assert_eq!(answer.body["code"], "history_unreadable", "{}", answer.body);
    assert_eq!(answer.body["workspace_id"], workspace, "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("tenure projections --retry-parked"), "{detail}");
}

async fn head(admin: &PgPool) -> i64 {
    sqlx::query_scalar("select position from log_head").fetch_one(admin).await.unwrap()
}

fn question(workspace: &str) -> Value {
    json!({
        "subject": {"type": "user", "id": "ada"}, "action": {"name": "members:read"},
        "resource": {"type": "workspace", "id": workspace},
    })
}

#[tokio::test]
async fn what_rests_on_an_unreadable_history_is_refused_by_name_and_nothing_else_is() {
    let service = TestService::start().await;
    let (ada, stranger) = (service.provision("ada").await, service.provision("eve").await);
    service.provision("bob").await;
    let sound = ada.creates("Sound").await;
    let admin = service.admin().await;
    for (event_type, version, payload) in poisons() {
        let sick = ada.creates("Sick").await;
        caught_up(&admin).await;
        append(&admin, &sick, event_type, version, &payload).await;
        caught_up(&admin).await;
        let before = head(&admin).await;
        let at = |id: &str, path: &str| format!("/v1/workspaces/{id}{path}");

        // Commands: refused, and nothing happened.
        let commands = [
            (Method::PATCH, "", json!({"name": "Other"})),
            (Method::PUT, "/members/bob", json!({})),
            (Method::POST, "/invitations", json!({"email": "cyd@example.com"})),
            (Method::POST, "/archive", json!({})),
            (Method::DELETE, "", json!({})),
        ];
        for (method, path, body) in commands {
            for who in [&ada, &service.operator()] {
                let answer = Answer::of(who.request(method.clone(), &at(&sick, path)).json(&body)).await;
                is_unreadable(&answer, &sick);
                assert!(answer.body["detail"].as_str().unwrap().contains("Nothing happened"));
            }
            // To a stranger there is no such workspace, sick or not.
            let of = |id: &str| stranger.request(method.clone(), &at(id, path)).json(&body);
            let (sick, none) = (Answer::of(of(&sick)).await, Answer::of(of(&Uuid::nil().to_string())).await);
            assert_eq!(
                (sick.status, &sick.body["code"]),
                (none.status, &none.body["code"]),
                "{method} {path}"
            );
        }
        assert_eq!(head(&admin).await, before);

        // Reads: nothing is shown rather than what is out of date.
        for path in ["", "/members", "/members/ada", "/invitations", "/audit-log", "/events"] {
            for who in [&ada, &service.operator()] {
                is_unreadable(&who.get(&at(&sick, path)).await, &sick);
            }
            stranger.get(&at(&sick, path)).await.expect(StatusCode::NOT_FOUND);
        }

        // Access: no decision, and never a yes. Another process wrote it: who knows its position need not wait for the bound.
        let asked = ada.request(Method::POST, "/access/v1/evaluation").header("tenure-position", before);
        is_unreadable(&Answer::of(asked.json(&question(&sick))).await, &sick);
        let both = json!({"evaluations": [question(&sick), question(&sound)]});
        let asked = service.operator().post("/access/v1/evaluations", both).await.expect(StatusCode::OK);
        let answers = &asked.body["evaluations"];
        assert_eq!(
            (&answers[0]["decision"], &answers[1]["decision"]),
            (&json!(false), &json!(true)),
            "{answers}"
        );
        assert_eq!(answers[0]["context"]["error"]["code"], "history_unreadable", "{answers}");
        let search = json!({
            "subject": {"type": "user", "id": "ada"}, "action": {"name": "members:read"}, "resource": {"type": "workspace"},
        });
        let found =
            service.operator().post("/access/v1/search/resource", search).await.expect(StatusCode::OK);
        let found = found.body["results"].to_string();
        assert!(found.contains(&sound) && !found.contains(&sick), "{found}");
        let strangers = json!({
            "subject": {"type": "user", "id": "eve"}, "action": {"name": "members:read"},
            "resource": {"type": "workspace", "id": sick},
        });
        let asked = stranger.post("/access/v1/evaluation", strangers).await.expect(StatusCode::OK);
        assert_eq!(asked.body["decision"], false);

        // Others are none the worse for it.
        ada.patch(&at(&sound, ""), json!({"name": "Still sound"})).await.expect(StatusCode::OK);
        ada.get(&at(&sound, "/members")).await.expect(StatusCode::OK);
        ada.get("/v1/users/ada/workspaces").await.expect(StatusCode::OK);
        mend(&service, &admin, &sick).await;
    }
    caught_up(&admin).await;
    read_models_are_the_fold(&admin, &service.app().vault).await;
    service.stop().await;
}

/// The fix: here, that the event says something this program knows. A newer program would do as well.
async fn mend(service: &TestService, admin: &PgPool, workspace: &str) {
    let mut surgeon = surgeon(admin).await;
    let fix = "update events set event_type = 'WorkspaceArchived', event_version = '1', payload = '{\"type\":\"WorkspaceArchived\"}'
         where position = (select max(position) from projection_parked where workspace_id = $1)";
    let id: Uuid = workspace.parse().unwrap();
    assert_eq!(sqlx::query(fix).bind(id).execute(&mut surgeon).await.unwrap().rows_affected(), 1);
    let projector = pool(&service.database, Role::Projector, 1);
    for model in &tenure_projections::ALL {
        retry_parked(&projector, &service.app().vault, model.name, WorkspaceId(id)).await.unwrap();
    }
    projector.close().await;
    // It goes on at once, from where it stopped: the archived workspace is restored.
    let ada = service.user("ada");
    let path = format!("/v1/workspaces/{workspace}");
    assert_eq!(ada.get(&path).await.expect(StatusCode::OK).body["status"], "archived");
    let asked = ada.post("/access/v1/evaluation", question(workspace)).await.expect(StatusCode::OK);
    assert_eq!(asked.body["decision"], true);
    ada.post(&format!("{path}/restore"), json!({})).await.expect(StatusCode::OK);
    assert_eq!(ada.get(&path).await.expect(StatusCode::OK).body["status"], "active");
}

#[tokio::test]
async fn a_process_that_starts_beside_a_parked_workspace_knows_it() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let sick = ada.creates("Sick").await;
    let admin = service.admin().await;
    caught_up(&admin).await;
    let (event_type, version, payload) = &poisons()[0];
    append(&admin, &sick, event_type, version, payload).await;
    caught_up(&admin).await;
    let sibling = service.sibling().await;
    let path = format!("/v1/workspaces/{sick}/members");
    is_unreadable(&sibling.user("ada").get(&path).await, &sick);
    is_unreadable(&sibling.user("ada").post("/access/v1/evaluation", question(&sick)).await, &sick);
    mend(&service, &admin, &sick).await;
    sibling.user("ada").get(&path).await.expect(StatusCode::OK);
    sibling.leave().await;
    service.stop().await;
}
