//! Nothing of one workspace is seen, changed or told through another (attacks 1, 2, 4, 5, 6, 9).

use std::time::Duration;

use futures::stream::{self, StreamExt};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, PgConnection};
use tenure::ids;

use crate::support::routes::{ELSEWHERE, Place, equip, workspace_routes};
use crate::support::{Answer, TestService, User, log, model};

/// Two tenants: ada's, with bob and an open invitation, and eve's own.
struct Tenants<'a> {
    ada: User<'a>,
    eve: User<'a>,
    acme: Place,
    evil: Place,
    token: String,
    code: String,
}

async fn tenants(service: &TestService) -> Tenants<'_> {
    let (ada, bob, eve) =
        (service.provision("ada").await, service.provision("bob").await, service.provision("eve").await);
    service.provision("dan").await;
    let acme = ada.creates("Acme").await;
    ada.patch(&format!("/v1/workspaces/{acme}"), json!({"slug": "acme"})).await.expect(StatusCode::OK);
    ada.brings(&acme, &bob, "moderator").await;
    let body = json!({"email": "carol@example.com", "notify": false});
    let sent = ada.post(&format!("/v1/workspaces/{acme}/invitations"), body).await;
    let sent = sent.expect(StatusCode::CREATED);
    let code = ada.put(&format!("/v1/workspaces/{acme}/invite-code"), json!({})).await;
    let code = code.expect(StatusCode::OK).text("code");
    let evil = eve.creates("Evil").await;
    let body = json!({"email": "x@example.com"});
    let invited = eve.post(&format!("/v1/workspaces/{evil}/invitations"), body).await;
    let invited = invited.expect(StatusCode::CREATED).text("id");
    let (here, there) = (equip(&ada, &acme).await, equip(&eve, &evil).await);
    let place = |user: &str, invitation, equipped| Place {
        user: user.to_owned(),
        invitation,
        other: "dan".to_owned(),
        ..equipped
    };
    Tenants {
        acme: place("bob", sent.text("id"), here),
        evil: place("eve", invited, there),
        token: sent.text("token"),
        code,
        ada,
        eve,
    }
}

/// All of an answer that a client can tell apart, without what is new in every answer; `own` is what was asked for.
fn shape(answer: &Answer, own: &[&str]) -> (u16, Vec<(String, String)>, String) {
    let mut body = answer.body.clone();
    if let Value::Object(members) = &mut body {
        members.remove("request_id");
        members.remove("instance");
    }
    let mut text = body.to_string();
    for id in own {
        text = text.replace(id, "…");
    }
    // A limit's remainder counts the asker's own requests.
    let skipped = ["date", "x-request-id", "ratelimit-remaining", "ratelimit-reset"];
    let headers = answer.headers.iter().filter(|(name, _)| !skipped.contains(&name.as_str()));
    let headers = headers.map(|(name, value)| (name.to_string(), format!("{value:?}"))).collect();
    (answer.status.as_u16(), headers, text)
}

#[tokio::test]
async fn the_table_of_routes_is_complete() {
    let service = TestService::start().await;
    let document = service.operator().get("/openapi.json").await.expect(StatusCode::OK).body;
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in operations.as_object().unwrap().keys() {
            let known = workspace_routes().iter().any(|route| {
                let template = route.template.replace("{other}", "{user_id}");
                template == *path && route.method.as_str().eq_ignore_ascii_case(method)
            });
            let elsewhere = ELSEWHERE.contains(&(method.as_str(), path.as_str()));
            let open = !path.starts_with("/v1/");
            assert!(known || elsewhere || open, "no test goes through {method} {path}");
        }
    }
    service.stop().await;
}

#[tokio::test]
async fn another_workspaces_ids_answer_like_random_ones() {
    let service = TestService::start().await;
    let t = tenants(&service).await;
    let stranger = service.provision("mallory").await;
    let before = log::head(&service).await;
    let random = || ids::new_v7().to_string();
    for route in workspace_routes() {
        for caller in [&t.eve, &stranger] {
            let nowhere = Place { workspace: random(), ..t.acme.clone() };
            let foreign = route.ask(caller, &t.acme).await;
            let absent = route.ask(caller, &nowhere).await;
            assert_eq!(foreign.status, 404, "{route:?}: {}", foreign.body);
            assert_eq!(shape(&foreign, &[]), shape(&absent, &[]), "{route:?}");
        }
        let text = format!("{}{}", route.template, route.body.unwrap_or_default());
        for caller in [&t.eve, &service.operator()] {
            if text.contains("{invitation_id}") {
                let foreign = Place { invitation: t.acme.invitation.clone(), ..t.evil.clone() };
                let absent = Place { invitation: random(), ..t.evil.clone() };
                let (foreign, absent) = (route.ask(caller, &foreign).await, route.ask(caller, &absent).await);
                assert_eq!(shape(&foreign, &[]), shape(&absent, &[]), "{route:?}");
                assert_eq!(foreign.status, 404, "{route:?}: {}", foreign.body);
            }
            if text.contains("{key_id}") {
                let foreign = Place { key: t.acme.key.clone(), ..t.evil.clone() };
                let absent = Place { key: random(), ..t.evil.clone() };
                let (foreign, absent) = (route.ask(caller, &foreign).await, route.ask(caller, &absent).await);
                assert_eq!(shape(&foreign, &[]), shape(&absent, &[]), "{route:?}");
                assert_eq!(foreign.status, 404, "{route:?}: {}", foreign.body);
            }
            if text.contains("{endpoint_id}") {
                let foreign = Place { endpoint: t.acme.endpoint.clone(), ..t.evil.clone() };
                let absent = Place { endpoint: random(), ..t.evil.clone() };
                let (foreign, absent) = (route.ask(caller, &foreign).await, route.ask(caller, &absent).await);
                assert_eq!(shape(&foreign, &[]), shape(&absent, &[]), "{route:?}");
                assert_eq!(foreign.status, 404, "{route:?}: {}", foreign.body);
            }
            if text.contains("{delivery_id}") {
                let foreign = Place { delivery: t.acme.delivery.clone(), ..t.evil.clone() };
                let absent = Place { delivery: random(), ..t.evil.clone() };
                let (foreign, absent) = (route.ask(caller, &foreign).await, route.ask(caller, &absent).await);
                assert_eq!(shape(&foreign, &[]), shape(&absent, &[]), "{route:?}");
                assert_eq!(foreign.status, 404, "{route:?}: {}", foreign.body);
            }
            // Adding a provisioned user directly is allowed; that such a user exists is told by contract.
            if text.contains("{user_id}") && route.method != Method::PUT {
                let foreign = Place { user: "bob".to_owned(), ..t.evil.clone() };
                let absent = Place { user: "b0b".to_owned(), ..t.evil.clone() };
                let (foreign, absent) = (route.ask(caller, &foreign).await, route.ask(caller, &absent).await);
                assert_eq!(shape(&foreign, &["bob"]), shape(&absent, &["b0b"]), "{route:?}");
                assert!(foreign.status.is_client_error(), "{route:?}: {}", foreign.body);
            }
        }
    }
    assert_eq!(log::head(&service).await, before, "something was written");
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn other_users_and_slugs_answer_like_random_ones() {
    let service = TestService::start().await;
    let t = tenants(&service).await;
    let before = log::head(&service).await;
    for (method, path, body) in [
        (Method::GET, "/v1/users/{}", None),
        (Method::GET, "/v1/users/{}/workspaces", None),
        (Method::PUT, "/v1/users/{}", Some(json!({"email": "eve@example.com", "email_verified": true}))),
        (Method::DELETE, "/v1/users/{}", None),
        (Method::POST, "/v1/users/{}/erase", Some(json!({"owned": {t.acme.workspace.as_str(): "delete"}}))),
    ] {
        let ask = async |id: &str| {
            let request = t.eve.request(method.clone(), &path.replace("{}", id));
            Answer::of(match &body {
                Some(body) => request.json(body),
                None => request,
            })
            .await
        };
        let (foreign, absent) = (ask("bob").await, ask("b0b").await);
        assert_eq!(shape(&foreign, &["bob"]), shape(&absent, &["b0b"]), "{method} {path}");
        assert!(matches!(foreign.status.as_u16(), 403 | 404), "{method} {path}: {}", foreign.body);
    }
    let foreign = t.eve.get("/v1/workspaces/by-slug/acme").await;
    let absent = t.eve.get("/v1/workspaces/by-slug/acne").await;
    assert_eq!(shape(&foreign, &["acme"]), shape(&absent, &["acne"]));
    foreign.refused(404, "not_found");
    t.ada.get("/v1/workspaces/by-slug/acme").await.expect(StatusCode::OK);
    assert_eq!(log::head(&service).await, before, "something was written");
    service.stop().await;
}

#[tokio::test]
async fn two_ids_in_one_body_one_of_another_workspace_do_nothing() {
    let service = TestService::start().await;
    let t = tenants(&service).await;
    let before = log::head(&service).await;
    let erase = async |foreign: &str| {
        let owned = json!({t.evil.workspace.as_str(): "delete", foreign: "delete"});
        t.eve.post("/v1/users/eve/erase", json!({"owned": owned})).await
    };
    let random = ids::new_v7().to_string();
    let (foreign, absent) = (erase(&t.acme.workspace).await, erase(&random).await);
    assert_eq!(shape(&foreign, &[&t.acme.workspace]), shape(&absent, &[&random]));
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST, "{}", foreign.body);
    let heir = json!({"owned": {t.evil.workspace.as_str(): {"transfer_to": "bob"}}});
    let heir = t.eve.post("/v1/users/eve/erase", heir).await;
    assert_eq!(heir.status, StatusCode::CONFLICT, "{}", heir.body);
    for (foreign, owner) in [("bob", 403), ("nobody", 403)] {
        let named = t.eve.post("/v1/workspaces", json!({"name": "Gift", "owner_id": foreign})).await;
        assert_eq!(named.status.as_u16(), owner, "{}", named.body);
    }
    // An erasure that could not be carried out was begun and withdrawn, and nothing else.
    let after: Vec<_> = log::events(&service).await.into_iter().filter(|e| e.position > before).collect();
    assert!(after.iter().all(|event| event.event.aggregate_type() == "User"), "{after:?}");
    t.eve.get(&format!("/v1/workspaces/{}", t.evil.workspace)).await.expect(StatusCode::OK);
    t.ada.get(&format!("/v1/workspaces/{}", t.acme.workspace)).await.expect(StatusCode::OK);
    t.eve.creates("Still here").await;
    model::replay(&service).await;
    service.stop().await;
}

#[tokio::test]
async fn a_workspace_named_twice_is_refused() {
    let service = TestService::start().await;
    let t = tenants(&service).await;
    let before = log::head(&service).await;
    for route in workspace_routes() {
        for field in ["workspace_id", "workspace", "id"] {
            if route.mutates() && route.method != Method::DELETE {
                let mut body = route.body_at(&t.acme).unwrap_or(json!({}));
                body[field] = json!(t.evil.workspace);
                let request = t.ada.request(route.method.clone(), &t.acme.fill(route.template));
                let answer = Answer::of(request.json(&body)).await;
                assert_eq!(answer.status, 400, "{route:?} with {field}: {}", answer.body);
            }
            if route.method == Method::GET && route.template.ends_with('s') {
                let query = format!("?{field}={}", t.evil.workspace);
                let answer = t.ada.get(&(t.acme.fill(route.template) + &query)).await;
                let own = answer.body.to_string();
                assert!(!own.contains("\"eve\""), "{route:?} with {field}: {own}");
            }
        }
    }
    assert_eq!(log::head(&service).await, before, "something was written");
    service.stop().await;
}

#[tokio::test]
async fn a_thousand_interleaved_requests_over_one_connection_show_nothing_foreign() {
    let service = TestService::start_with(|settings| settings.pool_size = 1).await;
    let t = tenants(&service).await;
    let mut random = StdRng::seed_from_u64(6);
    let paths = ["", "/members", "/invitations", "/readiness", "/audit-log?limit=20", "/events?limit=20"];
    let asked: Vec<_> = (0..1000)
        .map(|n| {
            let (caller, own, foreign) = if random.random_bool(0.5) {
                (&t.ada, &t.acme, ["\"eve\"", "Evil", t.evil.workspace.as_str()])
            } else {
                (&t.eve, &t.evil, ["\"bob\"", "Acme", t.acme.workspace.as_str()])
            };
            let path = format!("/v1/workspaces/{}{}", own.workspace, paths[random.random_range(0..6)]);
            let cancel = random.random_bool(0.25).then(|| random.random_range(0..8000));
            let write = n % 25 == 0;
            (caller.clone(), path, own.workspace.clone(), foreign, cancel, write)
        })
        .collect();
    let answered = stream::iter(asked)
        .map(|(caller, path, own, foreign, cancel, write)| async move {
            if write {
                let body = json!({"description": path});
                caller.patch(&format!("/v1/workspaces/{own}"), body).await.expect(StatusCode::OK);
            }
            let reading = caller.get(&path);
            let answer = match cancel {
                None => reading.await,
                Some(after) => match tokio::time::timeout(Duration::from_micros(after), reading).await {
                    Ok(answer) => answer,
                    Err(_) => return 0,
                },
            };
            let text = answer.clone().expect(StatusCode::OK).body.to_string();
            for foreign in foreign {
                assert!(!text.contains(foreign), "{path} shows {foreign}: {text}");
            }
            1
        })
        .buffer_unordered(12)
        .fold(0, async |sum, one| sum + one)
        .await;
    assert!(answered >= 750, "{answered}");
    nothing_left_open(&service).await;
    service.stop().await;
}

/// No connection of the service has a transaction open.
async fn nothing_left_open(service: &TestService) {
    let mut admin = PgConnection::connect_with(&service.database).await.unwrap();
    let sql = "select count(*) from pg_stat_activity
               where datname = current_database() and state like 'idle in transaction%'
                 and state_change < clock_timestamp() - interval '100 milliseconds'";
    for _ in 0..20 {
        let open: i64 = sqlx::query_scalar(sql).fetch_one(&mut admin).await.unwrap();
        if open == 0 {
            return admin.close().await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("a transaction was left open");
}

#[tokio::test]
async fn sql_without_a_workspace_is_an_error_and_a_foreign_one_shows_nothing() {
    let service = TestService::start().await;
    let t = tenants(&service).await;
    let mut admin = PgConnection::connect_with(&service.database).await.unwrap();
    let sql = "select c.relname::text from pg_class c join pg_attribute a on a.attrelid = c.oid
               where c.relkind in ('r', 'p') and a.attname = 'workspace_id' and c.relnamespace = 'public'::regnamespace
                 and has_table_privilege('tenure_service', c.oid, 'select')";
    let tables: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut admin).await.unwrap();
    assert!(tables.len() >= 10, "{tables:?}");
    let owned = "select count(*) from pg_class c join pg_attribute a on a.attrelid = c.oid
                 where c.relkind in ('r', 'p') and a.attname = 'workspace_id'
                   and c.relnamespace = 'public'::regnamespace
                   and not (c.relrowsecurity and c.relforcerowsecurity and a.attnotnull)";
    let unprotected: i64 = sqlx::query_scalar(owned).fetch_one(&mut admin).await.unwrap();
    assert_eq!(unprotected, 0);
    let options = service.database.clone().options([("role", "tenure_service")]);
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let workspace = &t.acme.workspace;
    let mut seen = 0;
    for table in &tables {
        let count = format!("select count(*) from {table}");
        let unset = connection.fetch_one(count.as_str()).await;
        assert!(unset.is_err(), "{table} can be read without a workspace");
        let foreign = format!("select count(*) from {table} where workspace_id <> '{workspace}'");
        let all: i64 = sqlx::query_scalar(&count).fetch_one(&mut admin).await.unwrap();
        let mut tx = connection.begin().await.unwrap();
        tx.execute(format!("set local tenure.workspace = '{}'", ids::new_v7()).as_str()).await.unwrap();
        let nothing: i64 = sqlx::query_scalar(&count).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(nothing, 0, "{table} shows rows to a workspace that is not");
        tx.execute(format!("set local tenure.workspace = '{workspace}'").as_str()).await.unwrap();
        let own: i64 = sqlx::query_scalar(&count).fetch_one(&mut *tx).await.unwrap();
        let other: i64 = sqlx::query_scalar(&foreign).fetch_one(&mut *tx).await.unwrap();
        assert_eq!(other, 0, "{table} shows rows of others");
        seen += i32::from(own > 0 && all > own);
        tx.rollback().await.unwrap();
        // What was set for one transaction is no workspace in the next.
        assert!(connection.fetch_one(count.as_str()).await.is_err(), "{table} remembers a workspace");
        for write in ["delete from", "update", "truncate"] {
            let sql = match write {
                "update" => format!("update {table} set workspace_id = workspace_id"),
                _ => format!("{write} {table}"),
            };
            assert!(connection.execute(sql.as_str()).await.is_err(), "the service may {sql}");
        }
    }
    assert!(seen >= 6, "only {seen} tables held rows of both tenants");
    connection.close().await.unwrap();
    admin.close().await.unwrap();
    service.stop().await;
}

#[tokio::test]
async fn a_deleted_workspace_is_gone_for_everybody_and_never_comes_back() {
    let service = TestService::start().await;
    let t = tenants(&service).await;
    let bob = service.user("bob");
    let carol = service.provision("carol").await;
    t.ada.delete(&format!("/v1/workspaces/{}", t.acme.workspace)).await.expect(StatusCode::NO_CONTENT);
    let deleted_at = log::head(&service).await;
    for route in workspace_routes() {
        let nowhere = Place { workspace: ids::new_v7().to_string(), ..t.acme.clone() };
        for caller in [&t.ada, &bob, &t.eve, &service.operator()] {
            let (gone, absent) = (route.ask(caller, &t.acme).await, route.ask(caller, &nowhere).await);
            assert_eq!(shape(&gone, &[]), shape(&absent, &[]), "{route:?}");
            assert_eq!(gone.status, 404, "{route:?}: {}", gone.body);
        }
    }
    for action in ["preview", "accept", "decline"] {
        let answer = carol.post(&format!("/v1/invitations/{action}"), json!({"token": t.token})).await;
        answer.refused(404, "token_invalid");
    }
    carol.post("/v1/join", json!({"code": t.code})).await.refused(404, "token_invalid");
    service.operator().get("/v1/workspaces/by-slug/acme").await.refused(404, "not_found");
    assert_eq!(log::head(&service).await, deleted_at, "something was written");
    for user in [&t.ada, &bob] {
        let switcher = user.get(&format!("/v1/users/{}/workspaces", user.id.as_deref().unwrap())).await;
        assert_eq!(switcher.body["items"].as_array().unwrap().len(), 1, "{}", switcher.body);
    }
    // The slug is free again; it leads to another workspace.
    let again = t.eve.post("/v1/workspaces", json!({"name": "Acme", "slug": "acme"})).await;
    assert_ne!(again.expect(StatusCode::CREATED).text("id"), t.acme.workspace);
    t.ada.get("/v1/workspaces/by-slug/acme").await.refused(404, "not_found");
    // Nor does an erased user's personal workspace.
    let personal = service.user("dan").get("/v1/users/dan").await.text("personal_workspace_id");
    service.operator().delete("/v1/users/dan").await.expect(StatusCode::NO_CONTENT);
    let back = service.operator().put("/v1/users/dan", json!({"name": "Dan"})).await;
    assert!(back.status.is_client_error(), "{}", back.body);
    let gone = service.user("dan").get(&format!("/v1/workspaces/{personal}")).await;
    gone.refused(404, "not_found");
    model::replay(&service).await;
    service.stop().await;
}
