//! Webhook endpoints: created, changed, given a new secret, disabled, deleted (attacks 1, 16, 24, 27, 49).

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tenure::clock;
use tenure::config::{Flags, Settings};
use tenure::service::Service;
use tenure::store::retry::Command;
use tenure::store::{Committed, Failure, Origin, UnitOfWork};
use tenure_aggregates::webhook_endpoint::{Disabling, WebhookEndpointCommand};
use tenure_aggregates::{WebhookEndpoint, WorkspaceId};

use crate::support::cluster::fresh_database;
use crate::support::contract::Acme;
use crate::support::routes::{equip, workspace_routes};
use crate::support::{Answer, log};

const URL: &str = "https://hooks.example.com/tenure";

fn asked() -> Value {
    json!({"url": URL, "events": ["membership.*", "invitation.accepted"], "description": "CRM"})
}

async fn makes(acme: &Acme) -> Answer {
    acme.ada().post(&acme.at("/webhooks"), asked()).await.expect(StatusCode::CREATED)
}

fn of(acme: &Acme, made: &Answer, rest: &str) -> String {
    acme.at(&format!("/webhooks/{}{rest}", made.text("id")))
}

/// Acme on a service whose operator allowed nothing beyond the public internet.
async fn strict() -> Acme {
    Acme::found_with(|settings| settings.webhook_allow_networks = None).await
}

#[tokio::test]
async fn an_endpoint_is_created_and_its_secret_is_told_once() {
    let acme = Acme::found().await;
    let made = makes(&acme).await;
    assert!(Webhook::new(&made.text("secret")).is_ok(), "as Standard Webhooks has it");
    assert!(made.text("secret").starts_with("whsec_"));
    assert_eq!(made.header("location"), Some(of(&acme, &made, "").as_str()));
    let shown = acme.ada().sees(&of(&acme, &made, "")).await;
    let expected = json!({
        "id": made.text("id"), "workspace_id": acme.id, "url": URL, "events": ["membership.*", "invitation.accepted"],
        "description": "CRM", "enabled": true, "disabled_because": null, "previous_until": null, "created_by": "ada",
        "created_at": made.body["created_at"], "updated_at": made.body["created_at"],
    });
    assert_eq!(shown.body, expected);
    assert_eq!(shown.etag(), made.etag());
    assert_eq!(acme.ada().sees(&acme.at("/webhooks")).await.items(), [expected]);
    acme.stop().await;
}

#[tokio::test]
async fn the_same_request_again_gets_the_same_secret() {
    let acme = Acme::found().await;
    let headers = [("idempotency-key", "one")];
    let create =
        async || acme.ada().send(Method::POST, &acme.at("/webhooks"), Some(&asked()), &headers).await;
    let (first, again) = (create().await, create().await.expect(StatusCode::CREATED));
    assert_eq!((&first.body, again.header("idempotency-replayed")), (&again.body, Some("true")));
    let path = of(&acme, &first, "/rotate-secret");
    let headers = [("idempotency-key", "two")];
    let rotate = async || acme.ada().send(Method::POST, &path, Some(&json!({})), &headers).await;
    let (rotated, again) = (rotate().await.expect(StatusCode::OK), rotate().await.expect(StatusCode::OK));
    assert_eq!(rotated.body, again.body);
    assert_ne!(rotated.text("secret"), first.text("secret"));
    assert_eq!(acme.ada().sees(&acme.at("/webhooks")).await.items().len(), 1);
    // Whoever may no longer manage webhooks is not told it again.
    let bob = acme.service.user("bob");
    let keyed = [("idempotency-key", "three")];
    let body = asked();
    let create = async || bob.send(Method::POST, &acme.at("/webhooks"), Some(&body), &keyed).await;
    create().await.expect(StatusCode::CREATED);
    acme.ada().patch(&acme.at("/members/bob"), json!({"role": "member"})).await.expect(StatusCode::OK);
    create().await.refused(403, "permission_denied");
    acme.stop().await;
}

// Attack 24: byte by byte, wherever something is stored.
#[tokio::test]
async fn the_secret_itself_is_nowhere_nor_is_an_address_in_the_log() {
    let acme = Acme::found().await;
    let made = makes(&acme).await;
    let rotated = acme.ada().post(&of(&acme, &made, "/rotate-secret"), json!({})).await;
    let secrets = [made.text("secret"), rotated.expect(StatusCode::OK).text("secret")];
    acme.service.app().reads.wait_for(acme.service.head().await).await.unwrap();
    let admin = acme.service.admin().await;
    let tables: Vec<String> = sqlx::query_scalar(
        "select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')",
    )
    .fetch_all(&admin)
    .await
    .unwrap();
    assert!(tables.len() > 20, "{tables:?}");
    for table in tables {
        let rows: Vec<String> =
            sqlx::query_scalar(&format!("select t::text from {table} t")).fetch_all(&admin).await.unwrap();
        let rows = rows.join("\n");
        for secret in &secrets {
            assert!(!rows.contains(&secret["whsec_".len()..]), "a secret in {table}");
        }
        if table != "public.webhook_endpoints" {
            assert!(!rows.contains("hooks.example.com") && !rows.contains("CRM"), "in clear in {table}");
        }
    }
    admin.close().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_change_names_what_is_to_be_different() {
    let acme = Acme::found().await;
    let made = makes(&acme).await;
    let path = of(&acme, &made, "");
    let changed = acme.ada().patch(&path, json!({"events": ["*"], "description": null})).await;
    let changed = changed.expect(StatusCode::OK);
    assert_eq!((&changed.body["url"], &changed.body["events"]), (&json!(URL), &json!(["*"])));
    assert_eq!((&changed.body["description"], changed.body.get("secret")), (&Value::Null, None));
    assert_eq!(acme.ada().sees(&path).await.body, changed.body);
    for field in ["url", "events", "enabled"] {
        let refused = acme.ada().patch(&path, json!({field: null})).await.refused(400, "validation_failed");
        assert_eq!(refused.errors(), [(format!("/{field}").as_str(), "required")]);
    }
    // To what it is already: nothing happens, and it says when something last did.
    let head = acme.service.head().await;
    let same =
        acme.ada().patch(&path, json!({"events": ["*"], "enabled": true})).await.expect(StatusCode::OK);
    assert_eq!((&same.body, same.etag()), (&changed.body, changed.etag()));
    assert_eq!(acme.service.head().await, head);
    let entry =
        &acme.ada().sees(&acme.at("/audit-log?action=webhook_endpoint.changed")).await.items()[0].clone();
    assert_eq!(entry["target"], json!({"type": "webhook_endpoint", "id": made.text("id")}));
    assert_eq!(entry["changes"]["description"], json!({"from": "CRM", "to": null}));
    acme.stop().await;
}

#[tokio::test]
async fn an_endpoint_is_disabled_and_enabled() {
    let acme = Acme::found().await;
    let made = makes(&acme).await;
    let path = of(&acme, &made, "");
    let off = acme.ada().patch(&path, json!({"enabled": false})).await.expect(StatusCode::OK);
    assert_eq!((&off.body["enabled"], &off.body["disabled_because"]), (&json!(false), &json!("requested")));
    let again = acme.ada().post(&of(&acme, &made, "/redeliver"), json!({"from_seq": 1, "to_seq": 1})).await;
    again.refused(409, "webhook_endpoint_disabled");
    acme.ada().post(&of(&acme, &made, "/test"), json!({})).await.expect(StatusCode::ACCEPTED);
    let on = acme.ada().patch(&path, json!({"enabled": true})).await.expect(StatusCode::OK);
    assert_eq!((&on.body["enabled"], &on.body["disabled_because"]), (&json!(true), &Value::Null));
    let mut body = asked();
    body["enabled"] = json!(false);
    let silent = acme.ada().post(&acme.at("/webhooks"), body).await.expect(StatusCode::CREATED);
    assert_eq!(silent.body["disabled_because"], "requested");
    for (filter, id) in [("true", made.text("id")), ("false", silent.text("id"))] {
        let listed = acme.ada().sees(&acme.at(&format!("/webhooks?enabled={filter}"))).await;
        assert_eq!(listed.column("id"), [id.as_str()]);
    }
    acme.stop().await;
}

/// The service itself gives up on an endpoint.
struct GivesUp(WorkspaceId, String);

impl Command for GivesUp {
    const NAME: &'static str = "GiveUpWebhook";

    async fn decide(&self, mut unit: UnitOfWork) -> Result<Committed, Failure> {
        let give_up = WebhookEndpointCommand::GiveUp { because: Disabling::Gone };
        unit.execute::<WebhookEndpoint>(self.0, &self.1, give_up).await?;
        unit.commit(String::new()).await
    }
}

#[tokio::test]
async fn what_the_service_itself_disabled_is_enabled_again_by_whoever_may() {
    let acme = Acme::found().await;
    let made = makes(&acme).await;
    let gives_up = GivesUp(WorkspaceId(acme.id.parse().unwrap()), made.text("id"));
    acme.service.app().store.run(&gives_up, Origin::system().into(), None, clock::now).await.unwrap();
    let shown = acme.ada().sees(&of(&acme, &made, "")).await;
    assert_eq!((&shown.body["enabled"], &shown.body["disabled_because"]), (&json!(false), &json!("gone")));
    let missing = async || acme.ada().sees(&acme.at("/readiness")).await.body["missing"].to_string();
    assert!(missing().await.contains("webhooks"), "the workspace is told");
    let on = acme.ada().patch(&of(&acme, &made, ""), json!({"enabled": true})).await.expect(StatusCode::OK);
    assert_eq!(on.body["disabled_because"], Value::Null);
    assert!(!missing().await.contains("webhooks"));
    acme.stop().await;
}

#[tokio::test]
async fn a_new_secret_is_told_once_and_says_how_long_the_old_one_signs() {
    let acme = Acme::found().await;
    let made = makes(&acme).await;
    let path = of(&acme, &made, "/rotate-secret");
    let rotated = acme.ada().post(&path, json!({})).await.expect(StatusCode::OK);
    let updated: chrono::DateTime<chrono::Utc> = rotated.text("updated_at").parse().unwrap();
    let until: chrono::DateTime<chrono::Utc> = rotated.text("previous_until").parse().unwrap();
    assert_eq!(until - updated, chrono::TimeDelta::hours(24), "a day unless something else is said");
    assert_ne!(rotated.text("secret"), made.text("secret"));
    let shown = acme.ada().sees(&of(&acme, &made, "")).await;
    assert_eq!(
        (&shown.body["previous_until"], shown.body.get("secret")),
        (&rotated.body["previous_until"], None)
    );
    let at_once = acme.ada().post(&path, json!({"overlap": 0})).await.expect(StatusCode::OK);
    assert_eq!(at_once.body["previous_until"], at_once.body["updated_at"]);
    for (overlap, code) in [(json!("31d"), "out_of_range"), (json!("soon"), "invalid_duration")] {
        let refused =
            acme.ada().post(&path, json!({"overlap": overlap})).await.refused(400, "validation_failed");
        assert_eq!(refused.errors(), [("/overlap", code)]);
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_deleted_endpoint_is_gone() {
    let acme = Acme::found().await;
    let made = makes(&acme).await;
    let path = of(&acme, &made, "");
    acme.ada().delete(&path).await.expect(StatusCode::NO_CONTENT);
    acme.ada().get(&path).await.refused(404, "not_found");
    acme.ada().get(&of(&acme, &made, "/deliveries")).await.refused(404, "not_found");
    assert_eq!(acme.ada().sees(&acme.at("/webhooks")).await.items(), [] as [Value; 0]);
    acme.ada().patch(&path, json!({"enabled": false})).await.refused(404, "not_found");
    for rest in ["/rotate-secret", "/test"] {
        acme.ada().post(&of(&acme, &made, rest), json!({})).await.refused(404, "not_found");
    }
    // Said once more it is so already.
    let head = acme.service.head().await;
    acme.ada().delete(&path).await.expect(StatusCode::NO_CONTENT);
    assert_eq!(acme.service.head().await, head);
    acme.stop().await;
}

#[tokio::test]
async fn the_endpoints_go_with_their_workspace() {
    let acme = Acme::found().await;
    let other = acme.ada().creates("Other").await;
    makes(&acme).await;
    acme.ada().post(&format!("/v1/workspaces/{other}/webhooks"), asked()).await.expect(StatusCode::CREATED);
    acme.ada().delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    acme.service.app().reads.wait_for(acme.service.head().await).await.unwrap();
    let admin = acme.service.admin().await;
    let left: Vec<uuid::Uuid> =
        sqlx::query_scalar("select workspace_id from webhook_endpoints").fetch_all(&admin).await.unwrap();
    admin.close().await;
    assert_eq!(left, [other.parse::<uuid::Uuid>().unwrap()]);
    acme.stop().await;
}

#[tokio::test]
async fn what_has_changed_since_is_not_changed_unseen() {
    let acme = Acme::found().await;
    let place = equip(&acme.ada(), &acme.id).await;
    let head = acme.service.head().await;
    for route in workspace_routes().into_iter().filter(|route| route.template.contains("{endpoint_id}")) {
        if route.mutates() {
            let (path, body) = (place.fill(route.template), route.body_at(&place));
            let headers = [("if-match", "\"99\"")];
            let answer = acme.ada().send(route.method.clone(), &path, body.as_ref(), &headers).await;
            answer.refused(412, "precondition_failed");
        }
    }
    assert_eq!(acme.service.head().await, head, "something was written");
    let path = place.fill(&acme.at("/webhooks/{endpoint_id}"));
    let seen = acme.ada().sees(&path).await.etag();
    let headers = [("if-match", seen.as_str())];
    let body = json!({"description": "CRM"});
    let changed = acme.ada().send(Method::PATCH, &path, Some(&body), &headers).await.expect(StatusCode::OK);
    assert_ne!(changed.etag(), seen);
    acme.stop().await;
}

// Attack 16.
#[tokio::test]
async fn in_a_suspended_workspace_endpoints_are_seen_and_nothing_is_done_with_them() {
    let acme = Acme::found().await;
    let place = equip(&acme.ada(), &acme.id).await;
    let suspend = acme.service.operator().post(&acme.at("/suspend"), json!({"reason": "unpaid"})).await;
    suspend.expect(StatusCode::OK);
    let head = log::head(&acme.service).await;
    let routes: Vec<_> =
        workspace_routes().into_iter().filter(|route| route.template.contains("/webhooks")).collect();
    assert_eq!(routes.len(), 11);
    for route in routes {
        let answer = route.ask(&acme.ada(), &place).await;
        if route.mutates() {
            answer.refused(423, "workspace_suspended");
        } else {
            answer.expect(StatusCode::OK);
        }
    }
    assert_eq!(log::head(&acme.service).await, head);
    acme.stop().await;
}

// Attack 27.
#[tokio::test]
async fn a_url_that_leads_inside_is_refused_at_the_door() {
    let acme = strict().await;
    let made = makes(&acme).await;
    let head = acme.service.head().await;
    for (url, code) in [
        ("http://hooks.example.com/", "https_required"),
        ("http://127.0.0.1/", "https_required"),
        ("https://127.0.0.1/", "address_not_allowed"),
        ("https://2130706433/", "address_not_allowed"),
        ("https://0x7f000001/", "address_not_allowed"),
        ("https://0177.1/", "address_not_allowed"),
        ("https://[::ffff:10.0.0.1]/", "address_not_allowed"),
        ("https://192.168.1.1:8443/a", "address_not_allowed"),
        ("https://169.254.169.254/latest/meta-data", "address_not_allowed"),
        ("https://metadata.google.internal/", "address_not_allowed"),
        ("https://localhost/", "address_not_allowed"),
        ("https://a.localhost./", "address_not_allowed"),
        ("ftp://hooks.example.com/", "invalid_url"),
        ("hooks.example.com", "invalid_url"),
        ("https://user:word@hooks.example.com/", "invalid_url"),
        ("https://hooks.example.com/#a", "invalid_url"),
        ("https://hooks.example.com/\n", "invalid_url"),
        ("", "invalid_url"),
    ] {
        let body = json!({"url": url, "events": ["*"]});
        let created = acme.ada().post(&acme.at("/webhooks"), body).await.refused(400, "validation_failed");
        assert_eq!(created.errors(), [("/url", code)], "{url}");
        let changed = acme.ada().patch(&of(&acme, &made, ""), json!({"url": url})).await;
        assert_eq!(changed.refused(400, "validation_failed").errors(), [("/url", code)], "{url}");
    }
    let long = json!({"url": format!("https://hooks.example.com/{}", "a".repeat(2_048)), "events": ["*"]});
    let long = acme.ada().post(&acme.at("/webhooks"), long).await.refused(400, "validation_failed");
    assert_eq!(long.errors(), [("/url", "too_long")]);
    assert_eq!(acme.service.head().await, head);
    acme.stop().await;
}

#[tokio::test]
async fn the_operator_may_allow_networks_of_their_own() {
    let acme =
        Acme::found_with(|settings| settings.webhook_allow_networks = Some("10.1.0.0/16".into())).await;
    for (url, status) in [
        ("http://10.1.2.3:8080/hook", 201),
        ("http://hooks.example.com/", 201),
        ("https://10.2.0.1/", 400),
        ("http://localhost/", 400),
        ("http://169.254.169.254/", 400),
    ] {
        let body = json!({"url": url, "events": ["user.erased"]});
        let answer = acme.ada().post(&acme.at("/webhooks"), body).await;
        assert_eq!(answer.status.as_u16(), status, "{url}: {:#}", answer.body);
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_network_that_is_none_keeps_the_service_from_starting() {
    let (folder, database) = (tempfile::tempdir().unwrap(), fresh_database().await);
    let flags = Flags { data_dir: Some(folder.path().to_owned()), ..Flags::default() };
    let mut settings = Settings::read(&flags, None).unwrap();
    settings.webhook_allow_networks = Some("127.0.0.1, 10.0.0.0/33".to_owned());
    let refused = Service::start(&settings, &database, None).await.unwrap_err().to_string();
    assert!(refused.contains("TENURE_WEBHOOK_ALLOW_NETWORKS, entry 2"), "{refused}");
}

#[tokio::test]
async fn patterns_name_events_there_are() {
    let acme = Acme::found().await;
    for events in
        [json!(["*"]), json!(["membership.*", "invitation.sent", "webhook_endpoint.disabled", "work*"])]
    {
        let body = json!({"url": URL, "events": events});
        let made = acme.ada().post(&acme.at("/webhooks"), body).await.expect(StatusCode::CREATED);
        assert_eq!(made.body["events"], events);
    }
    let many = vec!["*"; 51];
    for (events, errors) in [
        (
            json!(["membership.*", "membership.promoted", "nonsense.*"]),
            vec![("/events/1", "unknown_event"), ("/events/2", "unknown_event")],
        ),
        (json!(["Membership.*"]), vec![("/events/0", "invalid")]),
        (json!(["*.sent", ""]), vec![("/events/0", "invalid"), ("/events/1", "invalid")]),
        (json!(["membership.**"]), vec![("/events/0", "invalid")]),
        (json!(["a,b"]), vec![("/events/0", "invalid")]),
        (json!([]), vec![("/events", "invalid")]),
        (json!(many), vec![("/events", "invalid")]),
    ] {
        let body = json!({"url": URL, "events": events});
        let refused = acme.ada().post(&acme.at("/webhooks"), body).await.refused(400, "validation_failed");
        assert_eq!(refused.errors(), errors, "{events}");
    }
    // All that is wrong is said at once.
    let refused = acme.ada().post(&acme.at("/webhooks"), json!({"url": "x", "descriptio": "y"})).await;
    let refused = refused.refused(400, "validation_failed");
    let mut errors = refused.errors();
    errors.sort_unstable();
    assert_eq!(errors, [("/descriptio", "unknown_field"), ("/events", "required"), ("/url", "invalid_url")]);
    acme.stop().await;
}

#[tokio::test]
async fn a_workspace_has_at_most_fifty_endpoints() {
    let acme = Acme::found().await;
    let mut last = None;
    for _ in 0..50 {
        last = Some(makes(&acme).await);
    }
    acme.ada().post(&acme.at("/webhooks"), asked()).await.refused(409, "too_many_webhooks");
    acme.ada().delete(&of(&acme, &last.unwrap(), "")).await.expect(StatusCode::NO_CONTENT);
    makes(&acme).await;
    acme.stop().await;
}

#[tokio::test]
async fn the_list_of_endpoints_is_paged_newest_first() {
    let acme = Acme::found().await;
    for n in 0..5 {
        let body = json!({"url": format!("{URL}/{n}"), "events": ["user.erased"]});
        acme.ada().post(&acme.at("/webhooks"), body).await.expect(StatusCode::CREATED);
    }
    let (mut seen, mut path) = (Vec::new(), acme.at("/webhooks?limit=2"));
    loop {
        let page = acme.ada().sees(&path).await;
        seen.extend(page.column("url").into_iter().map(|url| url[URL.len()..].to_owned()));
        let Some(cursor) = page.body["next_cursor"].as_str() else { break };
        // A cursor is good for the list it is of.
        acme.ada()
            .get(&acme.at(&format!("/webhooks?enabled=true&cursor={cursor}")))
            .await
            .refused(400, "cursor_invalid");
        path = acme.at(&format!("/webhooks?limit=2&cursor={cursor}"));
    }
    assert_eq!(seen, ["/4", "/3", "/2", "/1", "/0"]);
    acme.stop().await;
}
