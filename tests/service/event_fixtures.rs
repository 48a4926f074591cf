//! Events as they were written once (attack 41): every later version loads, projects and rebuilds them alike.
//!
//! The files under `fixtures/` are never edited. A changed event shape gets a new file beside them, written with
//! `WRITE_FIXTURE=<name> cargo test --test service event_fixtures::writes`.

use cqrs_es::Aggregate;
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use sqlx::{Executor, PgPool};
use tenure::clock;
use tenure::store::retry::Command;
use tenure::store::{Committed, Failure, Origin, UnitOfWork};
use tenure_aggregates::adapter::Stream;
use tenure_aggregates::workspace::WorkspaceCommand;
use tenure_aggregates::{
    ApiKey, Catalogue, Claim, Invitation, Membership, Session, User, WebhookEndpoint, Workspace, WorkspaceId,
};
use tenure_projections::ALL;

use crate::support::cluster::fresh_database;
use crate::support::invariants::{caught_up, log_is_whole, read_models_are_the_fold, rows};
use crate::support::{Answer, TestService, User as Caller};

const FIXTURES: &[(&str, &str)] = &[
    ("first", include_str!("fixtures/events-first.json")),
    ("access", include_str!("fixtures/events-access.json")),
    ("sessions", include_str!("fixtures/events-sessions.json")),
    ("sealed", include_str!("fixtures/events-sealed.json")),
    ("webhooks", include_str!("fixtures/events-webhooks.json")),
];

/// Every event type that may stand in a log.
const TYPES: &[&str] = &[
    "ApiKeyCreated",
    "ApiKeyRevoked",
    "ApiKeyRotated",
    "ApiKeyUsedFromNewNetwork",
    "ClaimReleased",
    "ClaimTaken",
    "InvitationAccepted",
    "InvitationDeclined",
    "InvitationResent",
    "InvitationRevoked",
    "InvitationRoleChanged",
    "InvitationSent",
    "InviteCodeDisabled",
    "InviteCodeIssued",
    "MembershipDeactivated",
    "MembershipEnded",
    "MembershipExpiryChanged",
    "MembershipReactivated",
    "MembershipRoleChanged",
    "MembershipStarted",
    "PermissionChanged",
    "PermissionRegistered",
    "PermissionWithdrawn",
    "RoleChanged",
    "RoleDefined",
    "RoleDeleted",
    "SessionEnded",
    "SessionStarted",
    "SessionSwitched",
    "UserErased",
    "UserErasureStarted",
    "UserErasureWithdrawn",
    "UserProfileChanged",
    "UserProvisioned",
    "WebhookEndpointChanged",
    "WebhookEndpointCreated",
    "WebhookEndpointDeleted",
    "WebhookEndpointDisabled",
    "WebhookEndpointEnabled",
    "WebhookEndpointRedeliveryRequested",
    "WebhookEndpointSecretRotated",
    "WebhookEndpointTested",
    "WorkspaceArchived",
    "WorkspaceCreated",
    "WorkspaceDeleted",
    "WorkspaceOwnershipTransferred",
    "WorkspacePlanChanged",
    "WorkspaceProfileChanged",
    "WorkspaceRestored",
    "WorkspaceResumed",
    "WorkspaceSeatsLimitChanged",
    "WorkspaceSuspended",
];

#[tokio::test]
async fn events_of_every_version_are_read_as_they_were() {
    let mut seen = Vec::new();
    for (name, text) in FIXTURES {
        let fixture: Value = serde_json::from_str(text).unwrap();
        let database = fresh_database().await;
        let mut surgeon = database.clone();
        surgeon = surgeon.options([("session_replication_role", "replica")]);
        let surgeon =
            sqlx::postgres::PgPoolOptions::new().max_connections(2).connect_with(surgeon).await.unwrap();
        insert(&surgeon, &fixture["events"]).await;
        insert_keys(&surgeon, &fixture).await;
        let service = TestService::start_on(database, |settings| {
            if fixture.get("data_keys").is_some() {
                settings.master_key = Some(master_key());
            }
        })
        .await;
        log_is_whole(&surgeon).await;
        caught_up(&surgeon).await;
        let parked: i64 =
            sqlx::query_scalar("select count(*) from projection_parked").fetch_one(&surgeon).await.unwrap();
        assert_eq!(parked, 0, "{name}");
        // Projected as they were then, whatever columns came since.
        let now = rows(&surgeon).await;
        for (table, then) in fixture["rows"].as_object().unwrap() {
            let now: Vec<Value> =
                now[table.as_str()].iter().map(|row| serde_json::from_str(row).unwrap()).collect();
            let then = then.as_array().unwrap();
            assert_eq!(now.len(), then.len(), "{name}: {table}");
            for row in then {
                let row = &as_now(row.as_object().unwrap());
                assert!(now.iter().any(|now| holds(now, row)), "{name}: {table}: {row:#?}");
            }
        }
        // Rebuilt alike, and loaded alike.
        read_models_are_the_fold(&surgeon, &service.app().vault).await;
        let loader = Loaded { service: &service, states: &fixture["states"] };
        loader.same::<User>().await;
        loader.same::<Workspace>().await;
        loader.same::<Membership>().await;
        loader.same::<Invitation>().await;
        loader.same::<Session>().await;
        loader.same::<Claim>().await;
        loader.same::<ApiKey>().await;
        loader.same::<WebhookEndpoint>().await;
        loader.same::<Catalogue>().await;
        // And the next command finds them as good as new.
        let (acme, owner) = (fixture["acme"].as_str().unwrap(), service.user("bob"));
        owner.patch(&format!("/v1/workspaces/{acme}"), json!({"name": "Later"})).await.expect(StatusCode::OK);
        let types: Vec<String> =
            sqlx::query_scalar("select distinct event_type from events").fetch_all(&surgeon).await.unwrap();
        seen.extend(types);
        surgeon.close().await;
        service.stop().await;
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen, TYPES);
}

// What clients are fed is of the current shape, and says so.
#[tokio::test]
async fn an_event_of_an_older_shape_is_fed_in_the_current_one() {
    let fixture: Value = serde_json::from_str(include_str!("fixtures/events-sessions.json")).unwrap();
    let database = fresh_database().await;
    let surgeon = database.clone().options([("session_replication_role", "replica")]);
    let surgeon =
        sqlx::postgres::PgPoolOptions::new().max_connections(1).connect_with(surgeon).await.unwrap();
    insert(&surgeon, &fixture["events"]).await;
    let old =
        fixture["events"].as_array().unwrap().iter().find(|event| event["event_type"] == "SessionSwitched");
    let old = old.unwrap();
    assert_eq!((&old["event_version"], old["payload"].get("switched_at")), (&json!("1"), None));
    let service = TestService::start_on(database, |_| {}).await;
    caught_up(&surgeon).await;
    let path = format!("/v1/workspaces/{}/events", old["workspace_id"].as_str().unwrap());
    let fed = service.operator().get(&path).await.expect(StatusCode::OK);
    let lines = fed.body.as_str().unwrap().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let fed: Vec<Value> = lines.collect();
    let fed = fed
        .iter()
        .find(|event| event["position"] == old["position"])
        .unwrap_or_else(|| panic!("{old} in {fed:#?}"));
    assert_eq!(fed["type"], "tenure.session.switched.v2", "{fed}");
    assert_eq!((&fed["data"]["switched_at"], fed["data"].get("at")), (&old["payload"]["at"], None), "{fed}");
    surgeon.close().await;
    service.stop().await;
}

/// The two columns that became one say the same in it.
fn as_now(then: &Map<String, Value>) -> Map<String, Value> {
    let mut row = then.clone();
    if let (Some(ip), Some(user_agent)) = (row.remove("ip"), row.remove("user_agent")) {
        let known = !ip.is_null() || !user_agent.is_null();
        let origin = known.then(|| json!({"ip": ip, "user_agent": user_agent}).to_string());
        row.insert("origin".to_owned(), origin.into());
    }
    row
}

/// Whether a row still says everything that it said then.
fn holds(now: &Value, then: &Map<String, Value>) -> bool {
    then.iter().all(|(column, value)| now.get(column) == Some(value))
}

struct Loaded<'a> {
    service: &'a TestService,
    states: &'a Value,
}

impl Loaded<'_> {
    async fn same<A: Stream + serde::Serialize>(&self) {
        // There are aggregates that came after the first fixtures.
        let Some(streams) = self.states.get(A::TYPE) else { return };
        let streams = streams.as_object().unwrap();
        assert!(!streams.is_empty());
        for (id, then) in streams {
            let loaded = self.service.app().store.loader().load::<A>(id).await.unwrap();
            let now = serde_json::to_value(&*loaded.state).unwrap();
            assert!(still_says(&now, then), "{} {id}: {now:#} instead of {then:#}", A::TYPE);
        }
    }
}

/// Whether a state still says everything that it said then, whatever fields came since.
fn still_says(now: &Value, then: &Value) -> bool {
    match (now, then) {
        (Value::Object(now), Value::Object(then)) => {
            then.iter().all(|(field, then)| now.get(field).is_some_and(|now| still_says(now, then)))
        }
        _ => now == then,
    }
}

/// What wraps the keys of fixtures whose events are sealed.
fn master_key() -> String {
    "07".repeat(32)
}

/// The keys a history is sealed with, and the one all other secrets come from; none before there were any.
async fn insert_keys(surgeon: &PgPool, fixture: &Value) {
    for table in ["data_keys", "root_key"] {
        let Some(rows) = fixture.get(table) else { continue };
        let insert =
            format!("insert into {table} select * from json_populate_recordset(null::{table}, $1::json)");
        sqlx::query(&insert).bind(rows.to_string()).execute(surgeon).await.unwrap();
    }
}

/// Puts a whole history into an empty log.
async fn insert(surgeon: &PgPool, events: &Value) {
    sqlx::query("insert into events select * from json_populate_recordset(null::events, $1::json)")
        .bind(events.to_string())
        .execute(surgeon)
        .await
        .unwrap();
    surgeon.execute("update log_head set position = (select max(position) from events), recorded_at = (select max(recorded_at) from events)").await.unwrap();
    surgeon
        .execute(
            "insert into workspace_heads select workspace_id, max(workspace_seq),
                 greatest(0, count(*) filter (where event_type in ('MembershipStarted', 'MembershipReactivated'))
                             - count(*) filter (where event_type in ('MembershipEnded', 'MembershipDeactivated'))), 0
             from events group by workspace_id",
        )
        .await
        .unwrap();
}

/// A history in which everything happens that can.
async fn everything(service: &TestService) -> String {
    let operator = service.operator();
    let mut people = Vec::new();
    for name in ["ada", "bob", "cyd", "dan", "eve"] {
        people.push(service.provision(name).await);
    }
    let [ada, bob, cyd, dan, eve] = people.as_slice() else { unreachable!() };
    operator
        .put("/v1/users/bob", json!({"name": "Robert", "email": "robert@example.com"}))
        .await
        .expect(StatusCode::OK);
    operator
        .put("/v1/users/bob", json!({"email": "bob@example.com", "email_verified": true}))
        .await
        .expect(StatusCode::OK);
    let acme = ada
        .post("/v1/workspaces", json!({"name": "Acme", "slug": "acme", "social": {"github": "acme"}}))
        .await;
    let acme = acme.expect(StatusCode::CREATED).text("id");
    let at = |path: &str| format!("/v1/workspaces/{acme}{path}");
    let change = json!({"name": "Acme Ltd", "slug": "acme-ltd", "description": "d", "website": "https://acme.example"});
    ada.patch(&at(""), change).await.expect(StatusCode::OK);
    operator.patch(&at(""), json!({"seats": {"limit": 9}})).await.expect(StatusCode::OK);
    ada.brings(&acme, bob, "admin").await;
    ada.invites(&acme, "eve@example.com", "member").await;
    let token = ada.invites(&acme, "dan@example.com", "member").await;
    dan.post("/v1/invitations/decline", json!({"token": token})).await;
    let listed = ada.get(&at("/invitations?email=eve@example.com")).await.expect(StatusCode::OK);
    let invitation = listed.body["items"][0]["id"].as_str().unwrap().to_owned();
    let resent = ada.post(&at(&format!("/invitations/{invitation}/resend")), json!({"notify": false})).await;
    resent.expect(StatusCode::OK);
    ada.post(&at(&format!("/invitations/{invitation}/revoke")), json!({})).await;
    let code =
        ada.put(&at("/invite-code"), json!({"role": "member", "max_uses": 3})).await.expect(StatusCode::OK);
    cyd.post("/v1/join", json!({"code": code.text("code")})).await.expect(StatusCode::OK);
    eve.post("/v1/join", json!({"code": code.text("code")})).await.expect(StatusCode::OK);
    ada.delete(&at("/invite-code")).await.expect(StatusCode::NO_CONTENT);
    ada.patch(&at("/members/bob"), json!({"role": "moderator"})).await.expect(StatusCode::OK);
    ada.patch(&at("/members/eve"), json!({"expires_at": "2099-01-01T00:00:00Z"}))
        .await
        .expect(StatusCode::OK);
    ada.post(&at("/members/eve/deactivate"), json!({"reason": "on leave"})).await;
    ada.post(&at("/members/eve/reactivate"), json!({})).await;
    ada.delete(&at("/members/cyd")).await.expect(StatusCode::NO_CONTENT);
    products_permissions(service).await;
    own_roles(service, &acme).await;
    api_keys(service, &acme).await;
    webhooks(service, &acme).await;
    let plan = PutOnPlan { workspace: WorkspaceId(acme.parse().unwrap()), plan: "pro" };
    service.app().store.run(&plan, Origin::system().into(), None, clock::now).await.unwrap();
    operator.post(&at("/suspend"), json!({"reason": "unpaid"})).await;
    operator.post(&at("/resume"), json!({"reason": "paid"})).await;
    ada.post(&at("/archive"), json!({})).await;
    ada.post(&at("/restore"), json!({})).await;
    ada.post(&at("/transfer-ownership"), json!({"to": "bob"})).await;
    let gone = ada.creates("Gone").await;
    ada.delete(&format!("/v1/workspaces/{gone}")).await.expect(StatusCode::NO_CONTENT);
    sessions(service, bob, &acme).await;
    dan.post("/v1/session", json!({})).await.expect(StatusCode::CREATED);
    operator.delete("/v1/users/dan").await.expect(StatusCode::NO_CONTENT);
    acme
}

/// Signs in, switches, and signs out; another session goes on.
async fn sessions(service: &TestService, user: &Caller<'_>, acme: &str) {
    user.post("/v1/session", json!({"workspace_id": acme})).await.expect(StatusCode::CREATED);
    let started = user.post("/v1/session", json!({})).await.expect(StatusCode::CREATED);
    let home = started.body["user"]["personal_workspace_id"].clone();
    let in_session = |method: Method, path: &str, token: &str| {
        service.client.request(method, format!("{}{path}", service.url)).bearer_auth(token)
    };
    let switch = in_session(Method::POST, "/v1/session/switch", &started.text("token"));
    let switched = Answer::of(switch.json(&json!({"workspace_id": home}))).await.expect(StatusCode::OK);
    let end = in_session(Method::DELETE, "/v1/session", &switched.text("token"));
    Answer::of(end).await.expect(StatusCode::NO_CONTENT);
}

async fn products_permissions(service: &TestService) {
    let operator = service.operator();
    let (export, purge) = ("/v1/permissions/reports:export", "/v1/permissions/reports:purge");
    let body = json!({"description": "Export reports", "granted_to": ["moderator"]});
    operator.put(export, body).await.expect(StatusCode::CREATED);
    operator.put(export, json!({"granted_to": ["moderator", "member"]})).await.expect(StatusCode::OK);
    operator.put(purge, json!({})).await.expect(StatusCode::CREATED);
    operator.delete(purge).await.expect(StatusCode::NO_CONTENT);
}

/// One that stays, and one that is deleted while somebody holds it and somebody is invited to it.
async fn own_roles(service: &TestService, acme: &str) {
    let ada = service.user("ada");
    let at = |path: &str| format!("/v1/workspaces/{acme}{path}");
    let clerk = json!({"description": "Keeps the books", "permissions": ["billing:read", "reports:export"]});
    ada.put(&at("/roles/clerk"), clerk).await.expect(StatusCode::CREATED);
    ada.put(&at("/roles/clerk"), json!({"permissions": ["billing:manage"]})).await.expect(StatusCode::OK);
    let auditor = json!({"permissions": ["workspace:read", "audit:read"]});
    ada.put(&at("/roles/auditor"), auditor).await.expect(StatusCode::CREATED);
    ada.patch(&at("/members/bob"), json!({"role": "clerk"})).await.expect(StatusCode::OK);
    ada.patch(&at("/members/eve"), json!({"role": "auditor"})).await.expect(StatusCode::OK);
    ada.invites(acme, "fay@example.com", "clerk").await;
    ada.delete(&at("/roles/clerk?replacement=moderator")).await.expect(StatusCode::NO_CONTENT);
}

/// One that is used, invites, issues a code and is rotated, and one that is revoked.
async fn api_keys(service: &TestService, acme: &str) {
    let ada = service.user("ada");
    let at = |path: &str| format!("/v1/workspaces/{acme}{path}");
    let body = json!({
        "name": "Deploy", "permissions": ["workspace:read", "audit:read", "members:invite", "reports:export"],
        "expires_at": "2099-01-01T00:00:00Z", "networks": ["127.0.0.0/8", "::1/128"],
    });
    let made = ada.post(&at("/api-keys"), body).await.expect(StatusCode::CREATED);
    let path = at(&format!("/api-keys/{}", made.text("id")));
    let with_key = |method: Method, path: &str, body: Value| {
        let request = service.client.request(method, format!("{}{path}", service.url));
        Answer::of(request.bearer_auth(made.text("key")).json(&body))
    };
    let invite = json!({"email": "gus@example.com", "role": "auditor"});
    with_key(Method::POST, &at("/invitations"), invite).await.expect(StatusCode::CREATED);
    with_key(Method::PUT, &at("/invite-code"), json!({"role": "auditor"})).await.expect(StatusCode::OK);
    // That it came from a new network is recorded meanwhile.
    while ada.get(&path).await.expect(StatusCode::OK).body["networks_seen"] == json!([]) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    ada.post(&format!("{path}/rotate"), json!({})).await.expect(StatusCode::OK);
    let other = json!({"name": "Old", "permissions": ["workspace:read"]});
    let other = ada.post(&at("/api-keys"), other).await.expect(StatusCode::CREATED).text("id");
    ada.delete(&at(&format!("/api-keys/{other}"))).await.expect(StatusCode::NO_CONTENT);
}

/// One to which everything happens, and one that is deleted. Nobody listens there, nor happens what it listens to.
async fn webhooks(service: &TestService, acme: &str) {
    let ada = service.user("ada");
    let at = |path: &str| format!("/v1/workspaces/{acme}/webhooks{path}");
    let body = json!({"url": "http://127.0.0.1:9/a", "events": ["user.erased"], "description": "CRM"});
    let id = ada.post(&at(""), body).await.expect(StatusCode::CREATED).text("id");
    let of = |path: &str| at(&format!("/{id}{path}"));
    let change =
        json!({"url": "http://127.0.0.1:9/b", "events": ["user.*", "claim.taken"], "description": null});
    ada.patch(&of(""), change).await.expect(StatusCode::OK);
    ada.post(&of("/rotate-secret"), json!({})).await.expect(StatusCode::OK);
    ada.post(&of("/test"), json!({})).await.expect(StatusCode::ACCEPTED);
    ada.post(&of("/redeliver"), json!({"from_seq": 1, "to_seq": 2})).await.expect(StatusCode::ACCEPTED);
    ada.patch(&of(""), json!({"enabled": false})).await.expect(StatusCode::OK);
    ada.patch(&of(""), json!({"enabled": true})).await.expect(StatusCode::OK);
    let body = json!({"url": "http://127.0.0.1:9/c", "events": ["user.erased"], "enabled": false});
    let other = ada.post(&at(""), body).await.expect(StatusCode::CREATED).text("id");
    ada.delete(&at(&format!("/{other}"))).await.expect(StatusCode::NO_CONTENT);
}

/// Puts a workspace on a plan, by no route.
struct PutOnPlan {
    workspace: WorkspaceId,
    plan: &'static str,
}

impl Command for PutOnPlan {
    const NAME: &'static str = "ChangePlan";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let change = WorkspaceCommand::ChangePlan { plan: self.plan.to_owned() };
        unit.execute::<Workspace>(self.workspace, &self.workspace.to_string(), change).await?;
        unit.commit(String::new()).await
    }
}

/// An erasure that is withdrawn needs a race; here it is written by hand, as it would be.
async fn withdraw_an_erasure(admin: &PgPool) {
    for (n, name) in (1_i64..).zip(["UserErasureStarted", "UserErasureWithdrawn"]) {
        sqlx::query(
            "insert into events select (select max(position) + 1 from events), e.workspace_id,
                 (select max(workspace_seq) + 1 from events w where w.workspace_id = e.workspace_id), 'User', e.aggregate_id,
                 $1 + e.sequence, $2, '1', json_build_object('type', $2, 'user_id', 'eve'), e.metadata, $3
             from events e where e.event_type = 'UserProvisioned' and e.payload->>'user_id' = 'eve'",
        )
        .bind(n)
        .bind(name)
        .bind(clock::now())
        .execute(admin)
        .await
        .unwrap();
    }
    admin.execute("update log_head set position = position + 2").await.unwrap();
    admin
        .execute(
            "update workspace_heads h set seq = (select max(workspace_seq) from events e where e.workspace_id = h.workspace_id)",
        )
        .await
        .unwrap();
}

#[tokio::test]
async fn writes_a_fixture_if_told_so() {
    let Ok(name) = std::env::var("WRITE_FIXTURE") else { return };
    let service = TestService::start_with(|settings| settings.master_key = Some(master_key())).await;
    let acme = everything(&service).await;
    let admin = service.admin().await;
    withdraw_an_erasure(&admin).await;
    caught_up(&admin).await;
    let mut fixture = json!({"acme": acme, "rows": {}, "states": {}});
    fixture["events"] = sqlx::query_scalar("select json_agg(e order by position) from events e")
        .fetch_one(&admin)
        .await
        .unwrap();
    for table in ["data_keys", "root_key"] {
        let all = format!("select json_agg(k) from {table} k");
        fixture[table] = sqlx::query_scalar(&all).fetch_one(&admin).await.unwrap();
    }
    for (table, rows) in rows(&admin).await {
        fixture["rows"][table] = rows.iter().map(|row| serde_json::from_str::<Value>(row).unwrap()).collect();
    }
    fixture["states"][User::TYPE] = states::<User>(&service, &admin).await;
    fixture["states"][Workspace::TYPE] = states::<Workspace>(&service, &admin).await;
    fixture["states"][Membership::TYPE] = states::<Membership>(&service, &admin).await;
    fixture["states"][Invitation::TYPE] = states::<Invitation>(&service, &admin).await;
    fixture["states"][Session::TYPE] = states::<Session>(&service, &admin).await;
    fixture["states"][Claim::TYPE] = states::<Claim>(&service, &admin).await;
    fixture["states"][ApiKey::TYPE] = states::<ApiKey>(&service, &admin).await;
    fixture["states"][WebhookEndpoint::TYPE] = states::<WebhookEndpoint>(&service, &admin).await;
    fixture["states"][Catalogue::TYPE] = states::<Catalogue>(&service, &admin).await;
    let path = format!("{}/tests/service/fixtures/events-{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, serde_json::to_string_pretty(&fixture).unwrap() + "\n").unwrap();
    assert_eq!(fixture["rows"].as_object().unwrap().len(), ALL.iter().map(|p| p.tables.len()).sum::<usize>());
    admin.close().await;
    service.stop().await;
}

async fn states<A: Stream + serde::Serialize>(service: &TestService, admin: &PgPool) -> Value {
    let ids: Vec<String> =
        sqlx::query_scalar("select distinct aggregate_id from events where aggregate_type = $1 order by 1")
            .bind(A::TYPE)
            .fetch_all(admin)
            .await
            .unwrap();
    let mut states = Map::new();
    for id in ids {
        let loaded = service.app().store.loader().load::<A>(&id).await.unwrap();
        states.insert(id, serde_json::to_value(&*loaded.state).unwrap());
    }
    states.into()
}
