//! `/v1/workspaces/{id}/events`: the history itself, as CloudEvents.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::service::User;
use crate::support::{Acme, TestService};

async fn events(user: &User<'_>, path: &str) -> Vec<Value> {
    let answer = user.sees(path).await;
    assert_eq!(answer.header("content-type"), Some("application/x-ndjson"));
    let text = match &answer.body {
        Value::String(text) => text.clone(),
        // A single line is read as one JSON value.
        one => one.to_string(),
    };
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn every_event_is_a_cloud_event_with_the_extensions_of_the_contract() {
    let acme = Acme::found().await;
    acme.ada().patch(&acme.at(""), json!({"slug": "acme"})).await.expect(StatusCode::OK);
    let all = events(&acme.ada(), &acme.at("/events")).await;
    let mut ids = BTreeSet::new();
    for (event, seq) in all.iter().zip(1_i64..) {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["source"], format!("/workspaces/{}", acme.id));
        assert_eq!(event["workspaceid"], *acme.id);
        assert_eq!(event["workspaceseq"], seq);
        assert_eq!(event["datacontenttype"], "application/json");
        let kind = event["type"].as_str().unwrap();
        let parts: Vec<_> = kind.split('.').collect();
        assert!(matches!(parts[..], ["tenure", _, _, version] if version.starts_with('v')), "{kind}");
        assert!(chrono::DateTime::parse_from_rfc3339(event["time"].as_str().unwrap()).is_ok());
        assert!(event["subject"].is_string() && event["data"].is_object());
        assert!(event["position"].is_i64() && event["sequence"].is_i64());
        assert!(event["correlationid"].is_string() && event["actor"].is_string());
        assert!(ids.insert(event["id"].as_str().unwrap()), "an id twice");
        // CloudEvents: an attribute is a string, a boolean or a number of 32 bits, and its name is lower case.
        for (name, value) in event.as_object().unwrap() {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
            assert!(name == "data" || value.is_string() || value.is_i64(), "{name}");
        }
    }
    let first = ["tenure.workspace.created.v1", "tenure.membership.started.v1"];
    assert_eq!([all[0]["type"].as_str().unwrap(), all[1]["type"].as_str().unwrap()], first);
    assert_eq!(events(&acme.ada(), &acme.at("/events")).await, all, "the same history, whenever it is read");
    acme.stop().await;
}

#[tokio::test]
async fn the_history_goes_on_after_any_event() {
    let acme = Acme::found().await;
    let all = events(&acme.ada(), &acme.at("/events")).await;
    for after in 0..=all.len() {
        let rest = events(&acme.ada(), &acme.at(&format!("/events?after={after}"))).await;
        assert_eq!(rest, all[after..], "{after}");
    }
    assert_eq!(events(&acme.ada(), &acme.at("/events?after=1&limit=2")).await, all[1..3]);
    assert!(events(&acme.ada(), &acme.at("/events?after=9223372036854775807")).await.is_empty());
    acme.stop().await;
}

#[tokio::test]
async fn a_history_longer_than_one_reading_is_whole() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    for chunk in 0..3 {
        let items: Vec<_> = (0..500).map(|n| json!({"email": format!("g{chunk}-{n}@example.com")})).collect();
        let body = json!({"invitations": items});
        ada.post(&format!("/v1/workspaces/{acme}/invitations/batch"), body).await.expect(StatusCode::OK);
    }
    let all = events(&ada, &format!("/v1/workspaces/{acme}/events")).await;
    let seqs: Vec<_> = all.iter().map(|event| event["workspaceseq"].as_i64().unwrap()).collect();
    assert_eq!(seqs, (1..=1502).collect::<Vec<_>>());
    assert_eq!(events(&ada, &format!("/v1/workspaces/{acme}/events?limit=1001")).await, all[..1001]);
    service.stop().await;
}

#[tokio::test]
async fn the_history_is_for_those_who_may_read_the_audit_log() {
    let acme = Acme::found().await;
    acme.service.user("carol").get(&acme.at("/events")).await.refused(403, "permission_denied");
    acme.service.user("dave").get(&acme.at("/events")).await.refused(404, "not_found");
    acme.service.user("bob").sees(&acme.at("/events")).await;
    acme.stop().await;
}
