//! What the published Standard Webhooks libraries say, of `PyPI` and npm, of what arrives.

use std::io::Write;
use std::process::{Command, Stdio};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::receiver::{Heard, Receiver};
use super::{Endpoint, at_home, something_happens};
use crate::support::Acme;
use crate::support::tools::{node_with, python_with};

const PYTHON: &str = r#"
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
for line in sys.stdin:
    case = json.loads(line)
    try:
        event = Webhook(case["secret"]).verify(case["body"], case["headers"])
        print(event["id"])
    except WebhookVerificationError as error:
        print("refused")
"#;

const NODE: &str = r#"
const { Webhook, WebhookVerificationError } = require("standardwebhooks");
for (const line of require("fs").readFileSync(0, "utf8").trim().split("\n")) {
  const { secret, body, headers } = JSON.parse(line);
  try {
    console.log(new Webhook(secret).verify(body, headers).id);
  } catch (error) {
    if (!(error instanceof WebhookVerificationError)) throw error;
    console.log("refused");
  }
}
"#;

/// What a library says of each webhook: the event's id, or `refused`.
fn asks(mut library: Command, cases: &[Value]) -> Vec<String> {
    let mut child = library.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> = cases.iter().map(Value::to_string).collect();
    child.stdin.take().unwrap().write_all(lines.join("\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

/// The libraries that can be had here.
fn libraries() -> Vec<Command> {
    let python = python_with(&["standardwebhooks"]).map(|python| {
        let mut command = Command::new(python);
        command.args(["-c", PYTHON]);
        command
    });
    let node = node_with(&["standardwebhooks"]).map(|place| {
        let mut command = Command::new("node");
        command.current_dir(place).args(["-e", NODE]);
        command
    });
    python.into_iter().chain(node).collect()
}

fn case(heard: &Heard, secret: &str, body: &str) -> Value {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<_, _> =
        names.iter().map(|name| ((*name).to_owned(), json!(heard.header(name)))).collect();
    json!({"secret": secret, "headers": headers, "body": body})
}

fn body(heard: &Heard) -> String {
    String::from_utf8(heard.body.to_vec()).unwrap()
}

#[tokio::test]
async fn published_libraries_verify_what_arrives_and_during_a_rotation_with_both_secrets() {
    let (acme, receiver) = (Acme::found_with(at_home).await, Receiver::start());
    let endpoint = Endpoint::create(&acme, &receiver.url("/"), &["membership.role_changed"]).await;
    something_happens(&acme, "admin").await;
    let before = receiver.hears_of("membership.role_changed", 1).await.remove(0);
    let rotate = async |overlap: Value| {
        let made = endpoint.ada().post(&endpoint.at("/rotate-secret"), overlap).await;
        made.expect(StatusCode::OK).text("secret")
    };
    let second = rotate(json!({})).await;
    something_happens(&acme, "member").await;
    let during = receiver.hears_of("membership.role_changed", 2).await.remove(1);
    let third = rotate(json!({"overlap": "0s"})).await;
    something_happens(&acme, "admin").await;
    let after = receiver.hears_of("membership.role_changed", 3).await.remove(2);
    assert_eq!(during.header("webhook-signature").split(' ').count(), 2);
    assert_eq!(after.header("webhook-signature").split(' ').count(), 1);

    let first = endpoint.secret.clone();
    let mut cases = Vec::new();
    let mut expected = Vec::new();
    for (heard, good) in [(&before, vec![&first]), (&during, vec![&first, &second]), (&after, vec![&third])] {
        for secret in [&first, &second, &third] {
            cases.push(case(heard, secret, &body(heard)));
            expected.push(if good.contains(&secret) { heard.id() } else { "refused" });
        }
    }
    let tampered = body(&before).replace("\"admin\"", "\"owner\"");
    assert_ne!(tampered, body(&before));
    let mut moved = case(&before, &first, &body(&before));
    moved["headers"]["webhook-id"] = json!(during.id());
    let mut late = case(&before, &first, &body(&before));
    late["headers"]["webhook-timestamp"] = json!("1600000000");
    cases.extend([case(&before, &first, &tampered), moved, late]);
    expected.extend(["refused"; 3]);
    for library in libraries() {
        let name = format!("{library:?}");
        assert_eq!(asks(library, &cases), expected, "{name}");
    }
    acme.stop().await;
}
