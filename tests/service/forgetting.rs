//! Forgetting: whoever is erased and whatever is deleted is unreadable from then on, everywhere, and the history stays.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Executor, PgPool};
use tenure::config::{Flags, Settings};
use tenure::secrets::{MasterKey, MasterKeys};
use tenure::service::Service;
use tenure_aggregates::personal::ERASED;

use crate::support::invariants::{caught_up, read_models_are_the_fold, rows, same};
use crate::support::service::OPERATOR_KEY;
use crate::support::{Acme, TestService};

/// What is searched for, byte by byte: none of it is any part of anything else.
const ADDRESS: &str = "wanda.forgotten@example.com";
const FORMER: &str = "wanda.former@example.com";
const NAME: &str = "Wanda Wunderlich";
const AGENT: &str = "wandas-browser/7.0";
const IP: &str = "198.51.100.77";

/// Every table of the database as text, as a dump would write it; bytes in hexadecimal.
async fn dump(admin: &PgPool) -> String {
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p', 'S') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_all(admin)
    .await
    .unwrap();
    assert!(tables.len() > 15, "{tables:?}");
    let mut dump = String::new();
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(&format!("select t::text from {table} t")).fetch_all(admin).await.unwrap();
        dump.push_str(&rows.join("\n"));
    }
    dump
}

#[track_caller]
fn holds_none(dump: &str, needles: &[&str]) {
    for needle in needles {
        let hex: String = needle.bytes().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
        for form in [*needle, hex.as_str()] {
            let at = dump.find(form);
            assert!(at.is_none(), "{needle} in {}", &dump[at.unwrap_or(0).saturating_sub(200)..][..400]);
        }
    }
}

/// Behind a proxy whose word on addresses is taken.
async fn acme() -> Acme {
    Acme::found_with(|settings| settings.trusted_proxies = Some("127.0.0.0/8".to_owned())).await
}

/// Wanda was invited by ada, joined, changed her address and her name, did this and that, and is invited by carol into
/// another workspace. Returns that one, and the token.
async fn wanda(acme: &Acme) -> (String, String) {
    let service = &acme.service;
    let operator = service.operator();
    let former = json!({"email": FORMER, "email_verified": true, "name": "Wanda Before"});
    operator.put("/v1/users/wanda", former).await.expect(StatusCode::CREATED);
    let first = acme.ada().invites(&acme.id, FORMER, "admin").await;
    let headers = [("user-agent", AGENT), ("x-forwarded-for", IP)];
    let wanda = service.user("wanda");
    let accept = json!({"token": first});
    wanda
        .send(reqwest::Method::POST, "/v1/invitations/accept", Some(&accept), &headers)
        .await
        .expect(StatusCode::OK);
    let now = json!({"email": ADDRESS, "email_verified": true, "name": NAME});
    operator.put("/v1/users/wanda", now).await.expect(StatusCode::OK);
    let rename = json!({"name": "Acme of Wanda"});
    let keyed = [("user-agent", AGENT), ("x-forwarded-for", IP), ("idempotency-key", "k-1")];
    wanda.send(reqwest::Method::PATCH, &acme.at(""), Some(&rename), &keyed).await.expect(StatusCode::OK);
    let own = json!({"name": "Wanda's own", "description": "Private things"});
    wanda
        .send(reqwest::Method::POST, "/v1/workspaces", Some(&own), &headers)
        .await
        .expect(StatusCode::CREATED);
    let carol = service.user("carol");
    let elsewhere = carol.creates("Elsewhere").await;
    let token = carol.invites(&elsewhere, ADDRESS, "member").await;
    (elsewhere, token)
}

async fn erase_wanda(acme: &Acme) {
    let operator = acme.service.operator();
    let owned = operator.sees("/v1/users/wanda/workspaces").await;
    let own =
        owned.items().iter().find(|item| item["name"] == "Wanda's own").unwrap()["workspace_id"].clone();
    let fate = json!({"owned": {own.as_str().unwrap(): "delete"}});
    operator.post("/v1/users/wanda/erase", fate).await.expect(StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_dump_holds_nothing_of_whoever_is_erased() {
    let acme = acme().await;
    wanda(&acme).await;
    let admin = acme.service.admin().await;
    caught_up(&admin).await;
    // Before, the read models hold what people look for; the log itself does not even then.
    let log: Vec<String> =
        sqlx::query_scalar("select e::text from events e").fetch_all(&admin).await.unwrap();
    holds_none(&log.join("\n"), &[ADDRESS, FORMER, NAME, AGENT, IP]);
    assert!(dump(&admin).await.contains(ADDRESS));
    erase_wanda(&acme).await;
    caught_up(&admin).await;
    let all = [ADDRESS, FORMER, NAME, "Wanda Before", AGENT, IP, "Wanda's own", "Private things"];
    holds_none(&dump(&admin).await, &all);
    read_models_are_the_fold(&admin, &acme.service.app().vault).await;
    holds_none(&dump(&admin).await, &all);
    // And her id, which is nobody's name, still says who did what.
    assert!(dump(&admin).await.contains("wanda"));
    admin.close().await;
    acme.stop().await;
}

#[tokio::test]
async fn every_read_shows_that_something_was_erased_and_nothing_of_it() {
    let acme = acme().await;
    wanda(&acme).await;
    let before = acme.ada().sees(&acme.at("/audit-log?limit=500")).await;
    assert!(
        before.body.to_string().contains(AGENT) && before.body.to_string().contains(IP),
        "{:#}",
        before.body
    );
    assert!(before.body.to_string().contains(FORMER));
    erase_wanda(&acme).await;
    let reads = ["/audit-log?limit=500", "/events", "/invitations", "/members", ""];
    for read in reads {
        let answer = acme.ada().sees(&acme.at(read)).await;
        let text = answer.body.as_str().map_or_else(|| answer.body.to_string(), str::to_owned);
        holds_none(&text, &[ADDRESS, FORMER, NAME, AGENT, IP, "sealed:"]);
    }
    let sent = acme.ada().sees(&acme.at("/invitations")).await;
    let erased: Vec<_> = sent.items().iter().filter(|sent| sent["email"] == ERASED).collect();
    assert_eq!((erased.len(), &erased[0]["status"]), (1, &json!("accepted")), "{:#}", sent.body);
    let log = acme.ada().sees(&acme.at("/audit-log?actor=wanda&action=workspace.profile_changed")).await;
    let origin = &log.items()[0]["origin"];
    assert_eq!((&origin["ip"], &origin["user_agent"]), (&json!(ERASED), &json!(ERASED)));
    // What she wrote into acme is acme's, and stays.
    assert_eq!(log.items()[0]["changes"]["name"]["to"], "Acme of Wanda");
    acme.service.operator().get("/v1/users/wanda").await.refused(404, "user_not_found");
    acme.stop().await;
}

#[tokio::test]
async fn an_open_invitation_to_whoever_is_erased_is_revoked_and_a_new_one_is_as_good_as_any() {
    let acme = acme().await;
    let (elsewhere, token) = wanda(&acme).await;
    erase_wanda(&acme).await;
    let (carol, invitations) =
        (acme.service.user("carol"), format!("/v1/workspaces/{elsewhere}/invitations"));
    let sent = carol.sees(&invitations).await;
    let revoked = (&sent.items()[0]["status"], &sent.items()[0]["email"]);
    assert_eq!(revoked, (&json!("revoked"), &json!(ERASED)), "{:#}", sent.body);
    let body = json!({"email": ADDRESS, "email_verified": true});
    acme.service.operator().put("/v1/users/wanda-again", body).await.expect(StatusCode::CREATED);
    let again = acme.service.user("wanda-again");
    again.accepts(&token).await.refused(409, "email_mismatch");
    let token = carol.invites(&elsewhere, ADDRESS, "member").await;
    let found = carol.sees(&format!("{invitations}?email={ADDRESS}")).await;
    assert_eq!(found.items().len(), 1, "those before are nobody's: {:#}", found.body);
    assert_eq!(found.items()[0]["email"], ADDRESS);
    again.accepts(&token).await.expect(StatusCode::OK);
    acme.stop().await;
}

#[tokio::test]
async fn an_address_that_was_never_shown_to_be_theirs_is_not_taken_from_others() {
    let acme = acme().await;
    let token = acme.ada().invites(&acme.id, "victim@example.com", "member").await;
    let operator = acme.service.operator();
    let claimed = json!({"email": "victim@example.com", "email_verified": false});
    operator.put("/v1/users/mallory", claimed).await.expect(StatusCode::CREATED);
    operator.delete("/v1/users/mallory").await.expect(StatusCode::NO_CONTENT);
    let body = json!({"email": "victim@example.com", "email_verified": true});
    operator.put("/v1/users/victim", body).await.expect(StatusCode::CREATED);
    acme.service.user("victim").accepts(&token).await.expect(StatusCode::OK);
    acme.stop().await;
}

#[tokio::test]
async fn a_dump_holds_nothing_of_a_deleted_workspace() {
    let acme = acme().await;
    let words = json!({
        "name": "Quillon Works", "slug": "quillon-works", "description": "Quillons of all kinds",
        "image_url": "https://quillon.example/logo.png", "website": "https://quillon.example",
        "phone": "+49 89 555 777", "social": {"x": "@quillonx"}
    });
    let ada = acme.ada();
    let id = ada.post("/v1/workspaces", words).await.expect(StatusCode::CREATED).text("id");
    let at = |rest: &str| format!("/v1/workspaces/{id}{rest}");
    ada.invites(&id, "guest.of.quillon@example.com", "member").await;
    let role = json!({"description": "Polishes quillons", "permissions": ["workspace:read"]});
    ada.put(&at("/roles/polisher"), role).await.expect(StatusCode::CREATED);
    let key =
        json!({"name": "quillon-robot", "permissions": ["members:read"], "networks": ["203.0.113.0/24"]});
    ada.post(&at("/api-keys"), key).await.expect(StatusCode::CREATED);
    let hook = json!({"url": "http://127.0.0.1:9/quillon-hook", "events": ["user.erased"], "description": "Quillon CRM"});
    let hook = ada.post(&at("/webhooks"), hook).await.expect(StatusCode::CREATED).text("id");
    let moved = json!({"url": "http://127.0.0.1:9/quillon-moved", "description": "Quillon ERP"});
    ada.patch(&at(&format!("/webhooks/{hook}")), moved).await.expect(StatusCode::OK);
    acme.service
        .operator()
        .post(&at("/suspend"), json!({"reason": "quillon unpaid"}))
        .await
        .expect(StatusCode::OK);
    acme.service.operator().post(&at("/resume"), json!({})).await.expect(StatusCode::OK);
    let admin = acme.service.admin().await;
    ada.delete(&at("")).await.expect(StatusCode::NO_CONTENT);
    caught_up(&admin).await;
    let words = ["uillon", "+49 89 555 777", "guest.of.", "Polishes", "203.0.113", "unpaid"];
    holds_none(&dump(&admin).await, &words);
    read_models_are_the_fold(&admin, &acme.service.app().vault).await;
    holds_none(&dump(&admin).await, &words);
    // Its slug is free again, though nobody could tell what it was.
    let again = json!({"name": "Other", "slug": "quillon-works"});
    ada.post("/v1/workspaces", again).await.expect(StatusCode::CREATED);
    admin.close().await;
    acme.stop().await;
}

#[tokio::test]
async fn another_process_forgets_as_well() {
    let acme = acme().await;
    wanda(&acme).await;
    let there = acme.service.sibling().await;
    let ada = there.user("ada");
    let path = acme.at("/audit-log?limit=500");
    assert!(ada.sees(&path).await.body.to_string().contains(AGENT));
    erase_wanda(&acme).await;
    // Within the time in which anything else that happened elsewhere is known here.
    for _ in 0..200 {
        if !ada.sees(&path).await.body.to_string().contains(AGENT) {
            // Whoever she was cannot act there either, and the others can.
            there.user("wanda").patch(&acme.at(""), json!({"name": "X"})).await.refused(404, "not_found");
            ada.patch(&acme.at(""), json!({"name": "Y"})).await.expect(StatusCode::OK);
            there.leave().await;
            return acme.stop().await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the other process still knows");
}

#[tokio::test]
async fn the_rules_hold_on_a_history_that_was_forgotten() {
    let acme = acme().await;
    wanda(&acme).await;
    let wanda = acme.service.user("wanda");
    acme.ada().post(&acme.at("/transfer-ownership"), json!({"to": "wanda"})).await.expect(StatusCode::OK);
    acme.ada().patch(&acme.at(""), json!({"name": "Z"})).await.expect(StatusCode::OK);
    wanda.post(&acme.at("/transfer-ownership"), json!({"to": "ada"})).await.expect(StatusCode::OK);
    erase_wanda(&acme).await;
    // Nothing is known but what the database says: everything is loaded from the sealed history.
    let later = acme.service.sibling().await;
    let ada = later.user("ada");
    ada.get(&acme.at("")).await.expect(StatusCode::OK);
    ada.delete(&acme.at("/members/ada")).await.refused(409, "owner_cannot_leave");
    ada.post(&acme.at("/transfer-ownership"), json!({"to": "wanda"}))
        .await
        .refused(409, "not_an_active_member");
    ada.post(&acme.at("/transfer-ownership"), json!({"to": "bob"})).await.expect(StatusCode::OK);
    let body = json!({"name": "Nobody"});
    later.operator().put("/v1/users/wanda", body).await.refused(409, "user_erased");
    later.leave().await;
    acme.stop().await;
}

#[tokio::test]
async fn what_was_moved_to_another_place_does_not_open() {
    let acme = acme().await;
    wanda(&acme).await;
    let admin = acme.service.admin().await;
    let mut surgeon = admin.acquire().await.unwrap().detach();
    surgeon.execute("set session_replication_role = replica").await.unwrap();
    // Bob's stream says what ada's says: the same words in another place.
    let moved = "update events b set payload = (jsonb_set(b.payload::jsonb, '{name}', a.payload::jsonb->'name'))::json
                 from events a where a.event_type = 'UserProvisioned' and a.payload->>'user_id' = 'wanda'
                     and b.event_type = 'UserProvisioned' and b.payload->>'user_id' = 'bob'";
    assert_eq!(surgeon.execute(moved).await.unwrap().rows_affected(), 1);
    let there = acme.service.sibling().await;
    let answer = there.operator().put("/v1/users/bob", json!({"name": "Robert"})).await;
    assert!(answer.status.is_server_error(), "{answer:?}");
    there.operator().put("/v1/users/ada", json!({"name": "Ada"})).await.expect(StatusCode::OK);
    there.leave().await;
}

#[tokio::test]
async fn a_database_opens_only_with_its_master_key() {
    let service = TestService::start().await;
    service.provision("ada").await;
    let elsewhere = tempfile::tempdir().unwrap();
    let settings = |change: &dyn Fn(&mut Settings)| {
        let flags = Flags { data_dir: Some(elsewhere.path().to_owned()), ..Flags::default() };
        let mut settings = Settings::read(&flags, None).unwrap();
        settings.operator_key = Some(OPERATOR_KEY.to_owned());
        change(&mut settings);
        settings
    };
    let refused = Service::start(&settings(&|_| {}), &service.database, None).await.unwrap_err().to_string();
    assert!(
        refused.contains("another master key") && refused.contains("TENURE_MASTER_KEY_FILE"),
        "{refused}"
    );
    // The key may come by the environment as well, and an earlier one opens what it wraps.
    let key = MasterKeys::load_or_create(&service.master_key_file()).unwrap();
    let file = std::fs::read(service.master_key_file()).unwrap();
    let hex = file.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let with = |settings: &mut Settings| {
        settings.master_key = Some("11".repeat(32));
        settings.previous_master_keys = Some(hex.clone());
        settings.audit_signing_key_file = Some(service.master_key_file().with_file_name("audit-signing.key"));
    };
    assert_ne!(key.current(), &MasterKey::of([0x11; 32]));
    Service::start(&settings(&with), &service.database, None).await.unwrap().stop().await;
    service.stop().await;
}

#[tokio::test]
async fn whoever_erases_while_others_write_leaves_nothing_readable() {
    for seed in 0..3_u64 {
        let acme = acme().await;
        wanda(&acme).await;
        let admin = acme.service.admin().await;
        let writes = async {
            let (ada, wanda) = (acme.ada(), acme.service.user("wanda"));
            for n in 0..12 {
                let invited = json!({"email": format!("guest-{n}@example.com"), "notify": false});
                let renamed = json!({"name": format!("Acme {n}")});
                let headers = [("user-agent", AGENT), ("x-forwarded-for", IP)];
                let (one, two) = (acme.at("/invitations"), acme.at(""));
                futures::future::join(
                    ada.post(&one, invited),
                    wanda.send(reqwest::Method::PATCH, &two, Some(&renamed), &headers),
                )
                .await;
            }
        };
        let erasure = async {
            tokio::time::sleep(Duration::from_millis(seed * 7)).await;
            erase_wanda(&acme).await;
        };
        futures::future::join(writes, erasure).await;
        caught_up(&admin).await;
        holds_none(&dump(&admin).await, &[ADDRESS, NAME, FORMER, AGENT, IP]);
        let before = rows(&admin).await;
        read_models_are_the_fold(&admin, &acme.service.app().vault).await;
        same(&before, &rows(&admin).await);
        admin.close().await;
        acme.stop().await;
    }
}
