//! What is refused at the door: URLs that lead inside, and patterns of events that are not (attack 27).

use reqwest::StatusCode;
use serde_json::json;
use tenure::config::{Flags, Settings};
use tenure::service::Service;

use crate::support::cluster::fresh_database;
use crate::support::contract::Acme;

const URL: &str = "https://hooks.example.com/tenure";

/// Acme on a service whose operator allowed nothing beyond the public internet.
async fn strict() -> Acme {
    Acme::found_with(|settings| settings.webhook_allow_networks = None).await
}

// Attack 27.
#[tokio::test]
async fn a_url_that_leads_inside_is_refused_at_the_door() {
    let acme = strict().await;
    let made = json!({"url": URL, "events": ["user.erased"]});
    let made = acme.ada().post(&acme.at("/webhooks"), made).await.expect(StatusCode::CREATED);
    let path = acme.at(&format!("/webhooks/{}", made.text("id")));
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
        let changed = acme.ada().patch(&path, json!({"url": url})).await;
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
