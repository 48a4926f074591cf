//! The plainest question is answered before the router; no answer may differ for that.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{EVALUATION, question};
use crate::support::process::{Place, Serving};
use crate::support::{Acme, Answer};

/// Sends the same question so that it is answered before the router, and so that it is not.
async fn both(acme: &Acme, body: &Value) -> [Answer; 2] {
    let request = || {
        let request = acme.service.request(Method::POST, EVALUATION, None).header("X-Request-Id", "r-1");
        request.json(body)
    };
    // A position that has been seen says no more, and is not plain.
    let whole = request().header("Tenure-Position", "1");
    [Answer::of(request()).await, Answer::of(whole).await]
}

#[tokio::test]
async fn an_answer_is_the_same_wherever_it_is_given() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let mut bodies = vec![json!({}), json!([]), json!({"subject": "x"})];
    for user in ["ada", "carol", "dave", "", "nobody \u{1F980}"] {
        for permission in ["workspace:read", "workspace:delete", "records:fly", ""] {
            for workspace in [acme.id.as_str(), "acme", "00000000-0000-0000-0000-000000000001"] {
                bodies.push(question(user, permission, workspace));
            }
        }
    }
    let mut odd = question("ada", "workspace:read", &acme.id);
    odd["subject"]["type"] = json!("robot");
    bodies.push(odd);
    for body in bodies {
        let [fast, whole] = both(&acme, &body).await;
        assert_eq!(fast.status, whole.status, "{body}");
        assert_eq!(fast.body, whole.body, "{body}");
        let names = |answer: &Answer| {
            let mut names: Vec<_> = answer
                .headers
                .iter()
                .filter(|(name, _)| *name != "date")
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&fast), names(&whole), "{body}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_question_by_the_wrong_way_is_refused_as_everywhere() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let asked = question("ada", "workspace:read", &acme.id);
    let url = format!("{}{EVALUATION}", acme.service.url);
    let key = crate::support::service::OPERATOR_KEY;
    let answer = Answer::of(acme.service.client.post(&url).bearer_auth("nobody").json(&asked)).await;
    answer.refused(401, "unauthenticated");
    let twice = acme.service.client.post(&url).bearer_auth(key).bearer_auth("nobody").json(&asked);
    Answer::of(twice).await.refused(401, "unauthenticated");
    // The actor's rights count, not the key's.
    let request = acme.service.request(Method::POST, EVALUATION, Some("dave")).json(&asked);
    assert_eq!(Answer::of(request).await.expect(StatusCode::OK).body, json!({"decision": false}));
    let request = acme.service.client.post(format!("{url}?token=x")).bearer_auth(key).json(&asked);
    Answer::of(request).await.refused(400, "secret_in_query");
    // Twice the same name in an object is refused, however plain it is.
    let twice = r#"{"subject":{"type":"user","id":"ada"},"subject":{"type":"user","id":"ada"},"action":{"name":"x:read"},"resource":{"type":"workspace","id":"x"}}"#;
    acme.service
        .raw(EVALUATION, &[("Content-Type", "application/json")], twice)
        .await
        .refused(400, "malformed_json");
    acme.stop().await;
}

#[tokio::test]
async fn a_plain_question_never_reaches_the_router() {
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("TENURE_LOG", "debug");
    let serving = Serving::start(command).await;
    let key = place.key();
    let plain = question("ada", "workspace:read", "00000000-0000-0000-0000-000000000001");
    let mut rich = plain.clone();
    rich["context"] = json!({});
    for (id, body) in [("the-plain-one", plain), ("the-rich-one", rich)] {
        let request = serving.request(&key, Method::POST, EVALUATION).header("X-Request-Id", id);
        let answer = Answer::of(request.json(&body)).await.expect(StatusCode::OK);
        assert_eq!((answer.header("x-request-id"), &answer.body), (Some(id), &json!({"decision": false})));
    }
    let log = serving.interrupt().await;
    assert!(log.contains("the-rich-one") && !log.contains("the-plain-one"), "{log}");
}
