//! The read models on their way along the log: poison, rebuilds, and events as they were written once.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tenure::clock;
use tenure::database::{Role, pool};
use tenure::projector::{rebuild, status};
use tenure_projections::ALL;
use uuid::Uuid;

use crate::support::TestService;
use crate::support::invariants::{caught_up, read_models_are_the_fold, rows, same};
use crate::support::process::Place;

/// A superuser who may change the log: nobody else can, and no program ever should.
async fn surgeon(admin: &PgPool) -> PgConnection {
    let mut surgeon = admin.acquire().await.unwrap().detach();
    surgeon.execute("set session_replication_role = replica").await.unwrap();
    surgeon
}

/// Puts an event that cannot be read on a stream of its own into a workspace, as if a newer program had written it.
async fn poison(admin: &PgPool, workspace: Uuid) {
    let mut surgeon = surgeon(admin).await;
    let insert =
        "with head as (update log_head set position = position + 1, epoch = epoch + 1 returning position),
             seq as (update workspace_heads set seq = seq + 1 where workspace_id = $1 returning seq)
         insert into events select head.position, $1, seq.seq, 'Claim', 'slug:poison', 1, 'ClaimTaken', '1',
             json_build_object('type', 'ClaimTurnedIntoAPumpkin', 'workspace_id', $1),
             json_build_object('workspace_id', $1, 'actor_type', 'system'), $2
         from head, seq";
    sqlx::query(insert).bind(workspace).bind(clock::now()).execute(&mut surgeon).await.unwrap();
    surgeon.close().await.unwrap();
}

#[tokio::test]
async fn a_poison_event_parks_its_workspace_and_nobody_else() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    let send = async |method: Method, path: &str, actor: Option<&str>, body: Value| {
        let mut request = serving.request(&key, method, path).json(&body);
        if let Some(actor) = actor {
            request = request.header("Tenure-Actor", actor);
        }
        request.send().await.unwrap()
    };
    for user in ["ada", "bob"] {
        let path = format!("/v1/users/{user}");
        assert_eq!(send(Method::PUT, &path, None, json!({"name": user})).await.status(), StatusCode::CREATED);
    }
    let mut ids = Vec::new();
    for name in ["Sick", "Sound"] {
        let created = send(Method::POST, "/v1/workspaces", Some("ada"), json!({"name": name})).await;
        ids.push(created.json::<Value>().await.unwrap()["id"].as_str().unwrap().to_owned());
    }
    let (sick, sound) = (ids[0].as_str(), ids[1].as_str());
    let admin = place.database().await;
    caught_up(&admin).await;
    poison(&admin, sick.parse().unwrap()).await;

    // Others go on; what else happens in the parked workspace waits behind the poison.
    for id in [sick, sound] {
        let path = format!("/v1/workspaces/{id}/members/bob");
        let added = send(Method::PUT, &path, None, json!({"role": "admin"})).await;
        assert_eq!(added.status(), StatusCode::CREATED, "{}", added.text().await.unwrap());
    }
    caught_up(&admin).await;
    let list = async |id: &str| {
        let listed = send(Method::GET, &format!("/v1/workspaces/{id}/members"), Some("ada"), json!({})).await;
        (listed.status(), listed.json::<Value>().await.unwrap())
    };
    let members = async |id: &str| list(id).await.1["items"].as_array().unwrap().len();
    // Nothing is shown rather than what is out of date.
    let (status, problem) = list(sick).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{problem}");
    assert_eq!((&problem["code"], &problem["workspace_id"]), (&json!("history_unreadable"), &json!(sick)));
    assert_eq!(members(sound).await, 2);
    let ready = send(Method::GET, "/readyz", None, json!({})).await;
    assert_eq!(ready.status(), StatusCode::OK);
    let ready = ready.json::<Value>().await.unwrap();
    assert_eq!(
        (&ready["status"], &ready["read_models"]["parked_workspaces"]),
        (&json!("degraded"), &json!(1))
    );
    assert!(ready["degraded_by"][0].as_str().unwrap().starts_with("1 workspace waits"), "{ready}");
    let metrics = send(Method::GET, "/metrics", None, json!({})).await.text().await.unwrap();
    let parked = format!("\ntenure_projection_parked {}\n", ALL.len());
    assert!(metrics.contains(&parked), "{metrics}");
    for model in &ALL {
        let parked = format!("\ntenure_parked_workspaces{{projection=\"{}\"}} 1\n", model.name);
        assert!(metrics.contains(&parked), "{metrics}");
    }
    assert!(serving.log().contains("parked in this read model"), "{}", serving.log());
    let shown = place.runs(&["projections"]).await.well();
    assert_eq!(shown.matches(&format!("of workspace {sick} at position")).count(), ALL.len(), "{shown}");
    assert!(shown.contains("ClaimTurnedIntoAPumpkin") && !shown.contains(sound), "{shown}");

    // Trying again before the fix changes nothing.
    place.runs(&["projections", "--retry-parked"]).await.badly();
    assert_eq!(place.runs(&["projections"]).await.well(), shown);
    let mut surgeon = surgeon(&admin).await;
    let fix =
        "update events set payload = json_build_object('type', 'ClaimTaken', 'workspace_id', workspace_id)
               where payload->>'type' like '%Pumpkin'";
    surgeon.execute(fix).await.unwrap();
    surgeon.close().await.unwrap();
    let retried = place.runs(&["projections", "--retry-parked"]).await.well();
    assert_eq!(
        retried.matches(&format!("of workspace {sick}: 2 events applied.")).count(),
        ALL.len(),
        "{retried}"
    );
    assert_eq!((members(sick).await, members(sound).await), (2, 2));
    caught_up(&admin).await;
    for _ in 0..100 {
        let ready = send(Method::GET, "/readyz", None, json!({})).await.json::<Value>().await.unwrap();
        if ready["status"] == "ready" {
            let metrics = send(Method::GET, "/metrics", None, json!({})).await.text().await.unwrap();
            assert!(metrics.contains("\ntenure_parked_workspaces{projection=\"members\"} 0\n"), "{metrics}");
            return read_models_are_the_fold(&admin, &place.vault().await).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("still degraded");
}

/// Does a bit of everything in a workspace.
async fn bustle(service: &TestService, n: usize) {
    let (owner, guest) = (format!("owner-{n}"), format!("guest-{n}"));
    let (owner, guest) = (service.provision(&owner).await, service.provision(&guest).await);
    let id = owner.creates(&format!("Workspace {n}")).await;
    owner.brings(&id, &guest, "moderator").await;
    owner.invites(&id, &format!("nobody-{n}@example.com"), "member").await;
    owner
        .patch(&format!("/v1/workspaces/{id}"), json!({"name": format!("Renamed {n}")}))
        .await
        .expect(StatusCode::OK);
    let user = guest.id.clone().unwrap();
    service
        .operator()
        .put(&format!("/v1/users/{user}"), json!({"name": "Another name"}))
        .await
        .expect(StatusCode::OK);
    if n.is_multiple_of(2) {
        owner.delete(&format!("/v1/workspaces/{id}/members/{user}")).await.expect(StatusCode::NO_CONTENT);
    }
}

#[tokio::test]
async fn each_read_model_is_rebuilt_under_concurrent_writes() {
    let service = TestService::start().await;
    for n in 0..10 {
        bustle(&service, n).await;
    }
    let admin = service.admin().await;
    let projector = pool(&service.database, Role::Projector, 2);
    let writes = async {
        for n in 10..40 {
            bustle(&service, n).await;
        }
    };
    let rebuilds = async {
        for projection in &ALL {
            let mut heard = 0;
            rebuild(&admin, &projector, &service.app().vault, clock::now, &[projection.name], |_| heard += 1)
                .await
                .unwrap();
            assert!(heard > 0);
        }
        let names = ALL.each_ref().map(|projection| projection.name);
        rebuild(&admin, &projector, &service.app().vault, clock::now, &names, |_| {}).await.unwrap();
    };
    futures::future::join(writes, rebuilds).await;
    caught_up(&admin).await;
    for row in status(&projector).await.unwrap() {
        assert_eq!((row.generation, row.state.as_str(), row.lag, row.parked), (3, "live", 0, 0), "{row:?}");
    }
    let left: i64 = sqlx::query_scalar(
        "select count(*) from pg_class where relnamespace in ('tenure_building'::regnamespace, 'tenure_retired'::regnamespace)",
    )
    .fetch_one(&admin)
    .await
    .unwrap();
    assert_eq!(left, 0, "nothing is left of the old generations");
    read_models_are_the_fold(&admin, &service.app().vault).await;
    // The swapped tables are fenced like the first ones.
    let unfenced: Vec<String> = sqlx::query_scalar(
        "select relname::text from pg_class where relname = any($1) and relnamespace = 'public'::regnamespace
         and not (relrowsecurity and relforcerowsecurity)",
    )
    .bind(ALL.iter().flat_map(|projection| projection.tables).copied().collect::<Vec<_>>())
    .fetch_all(&admin)
    .await
    .unwrap();
    assert!(unfenced.is_empty(), "{unfenced:?}");
    projector.close().await;
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn all_read_models_are_rebuilt_by_the_command_beside_a_running_server() {
    let place = Place::new();
    let serving = place.serves().await;
    let key = place.key();
    let admin = place.database().await;
    let put = async |n: usize| {
        let body = json!({"email": format!("user-{n}@example.com"), "email_verified": true});
        let put = serving.request(&key, Method::PUT, &format!("/v1/users/user-{n}")).json(&body);
        assert_eq!(put.send().await.unwrap().status(), StatusCode::CREATED);
        let get = serving.request(&key, Method::GET, &format!("/v1/users/user-{n}"));
        assert_eq!(get.send().await.unwrap().status(), StatusCode::OK, "reads go on");
    };
    for n in 0..30 {
        put(n).await;
    }
    let rebuilt = async {
        let out = place.runs(&["rebuild", "--all"]).await.well();
        let all = ALL.map(|projection| projection.name).join(", ");
        assert!(out.contains(&format!("Rebuilt {all} from")), "{out}");
        place.runs(&["rebuild", "users", "members"]).await.well()
    };
    let writes = async {
        for n in 30..150 {
            put(n).await;
        }
    };
    futures::future::join(rebuilt, writes).await;
    caught_up(&admin).await;
    let before = rows(&admin).await;
    assert_eq!(before["users"].len(), 150);
    read_models_are_the_fold(&admin, &place.vault().await).await;
    same(&before, &rows(&admin).await);
}
