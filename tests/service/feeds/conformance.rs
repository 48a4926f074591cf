//! `CloudEvents` 1.0: every event by the letter of the specification, and read by its own SDK where that is installed.

use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::support::lines;
use crate::support::Acme;

/// Some of every kind of actor and of most kinds of event.
async fn history() -> (Acme, Vec<Value>) {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    ada.patch(&acme.at(""), json!({"slug": "acme", "name": "Zoë \"A\"\\ 🦀"})).await.expect(StatusCode::OK);
    ada.put(&acme.at("/invite-code"), json!({})).await.expect(StatusCode::OK);
    let key = json!({"name": "robot", "permissions": ["audit:read"]});
    ada.post(&acme.at("/api-keys"), key).await.expect(StatusCode::CREATED);
    operator.post(&acme.at("/suspend"), json!({"reason": "unpaid"})).await.expect(StatusCode::OK);
    operator.put("/v1/permissions/invoices:read", json!({})).await.expect(StatusCode::CREATED);
    let all = lines(&operator, "/v1/events").await;
    (acme, all)
}

/// Attributes of the specification, and what their types allow (sections 3.1 and 3.2 of CloudEvents 1.0.2).
fn check(event: &Value) {
    let event = event.as_object().unwrap();
    let text = |name: &str| event[name].as_str().filter(|text| !text.is_empty());
    assert_eq!(text("specversion"), Some("1.0"));
    for required in ["id", "source", "type"] {
        assert!(text(required).is_some(), "{required} in {event:?}");
    }
    assert!(url::Url::parse("https://x.example").unwrap().join(text("source").unwrap()).is_ok());
    assert_eq!(text("datacontenttype"), Some("application/json"));
    assert!(text("subject").is_some());
    let time = text("time").unwrap();
    assert!(time.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(time).is_ok(), "{time}");
    for (name, value) in event {
        assert!(
            name.len() <= 20 && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
            "{name}"
        );
        match value {
            Value::Object(_) => assert_eq!(name, "data"),
            Value::Number(number) => {
                let number = number.as_i64().unwrap();
                assert!(i32::try_from(number).is_ok(), "an Integer has 32 bits: {name} {number}");
            }
            Value::String(text) => {
                let allowed = |c: char| !c.is_control();
                assert!(text.chars().all(allowed), "{name} holds a control character");
            }
            other => panic!("{name} is {other}"),
        }
    }
}

#[tokio::test]
async fn every_event_is_a_cloud_event_by_the_letter() {
    let (acme, all) = history().await;
    let mut ids = std::collections::BTreeSet::new();
    for event in &all {
        check(event);
        // Source and id together are unique, and an event's id never changes.
        assert!(ids.insert((event["source"].to_string(), event["id"].to_string())));
    }
    assert_eq!(lines(&acme.service.operator(), "/v1/events").await, all);
    acme.stop().await;
}

/// What the SDK makes of each line: its attributes, printed back.
const SDK: &str = "
import json, sys
from cloudevents.v1.http import from_json
for line in sys.stdin:
    event = from_json(line)
    print(json.dumps([event['id'], event['source'], event['type'], event['specversion'], event.data], ensure_ascii=True))
";

#[tokio::test]
async fn the_sdk_of_cloud_events_reads_every_event() {
    let installed = Command::new("python3").args(["-c", "import cloudevents.v1.http"]).output();
    if !installed.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: the Python package `cloudevents` (2.x) is not installed");
        return;
    }
    let (acme, all) = history().await;
    let mut child = Command::new("python3")
        .args(["-c", SDK])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = all.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let read: Vec<Value> = str::from_utf8(&output.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(read.len(), all.len());
    for (read, event) in read.iter().zip(&all) {
        let given = json!([event["id"], event["source"], event["type"], event["specversion"], event["data"]]);
        assert_eq!(*read, given);
    }
    acme.stop().await;
}
