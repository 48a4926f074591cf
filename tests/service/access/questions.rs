//! What may be asked, and how: batches with all three semantics, bounds, and input that is not what it should be.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{EVALUATION, EVALUATIONS, question};
use crate::support::Acme;

const JSON: [(&str, &str); 1] = [("Content-Type", "application/json")];

#[tokio::test]
async fn a_batch_stops_where_it_is_told_to() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let (yes, no) = (
        json!({"subject": {"type": "user", "id": "ada"}}),
        json!({"subject": {"type": "user", "id": "dave"}}),
    );
    let faulty = json!({"subject": {"type": "user"}});
    let run = async |semantic: &str, items: &[&Value]| {
        let body = json!({
            "action": {"name": "workspace:read"}, "resource": {"type": "workspace", "id": acme.id},
            "options": {"evaluations_semantic": semantic, "another_option": "value"}, "evaluations": items,
        });
        let answer = operator.post(EVALUATIONS, body).await.expect(StatusCode::OK);
        let items = answer.body["evaluations"].as_array().unwrap().clone();
        items.iter().map(|item| item["decision"].as_bool().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run("execute_all", &[&yes, &no, &faulty, &yes]).await, [true, false, false, true]);
    assert_eq!(run("deny_on_first_deny", &[&yes, &yes, &no, &yes]).await, [true, true, false]);
    assert_eq!(run("deny_on_first_deny", &[&yes, &faulty, &yes]).await, [true, false]);
    assert_eq!(run("deny_on_first_deny", &[&yes, &yes]).await, [true, true]);
    assert_eq!(run("permit_on_first_permit", &[&no, &faulty, &yes, &no]).await, [false, false, true]);
    assert_eq!(run("permit_on_first_permit", &[&no, &no]).await, [false, false]);
    drop(operator);
    acme.stop().await;
}

#[tokio::test]
async fn a_batch_has_bounds_and_a_whole_of_its_own() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let shared = question("ada", "workspace:read", &acme.id);
    let batch = |items: usize| {
        let mut body = shared.clone();
        body["evaluations"] = Value::from(vec![json!({}); items]);
        body
    };
    let answer = operator.post(EVALUATIONS, batch(1_000)).await.expect(StatusCode::OK);
    assert_eq!(answer.body["evaluations"].as_array().unwrap().len(), 1_000);
    let answer = operator.post(EVALUATIONS, batch(1_001)).await.refused(400, "validation_failed");
    assert_eq!(answer.body["errors"][0]["pointer"], "/evaluations");
    for (pointer, faulty) in [
        ("/options/evaluations_semantic", json!({"options": {"evaluations_semantic": "guess"}})),
        ("/options", json!({"options": "execute_all"})),
        ("/evaluations", json!({"evaluations": {}})),
        ("/evaluations/0", json!({"evaluations": ["x"]})),
        ("/subject/id", json!({"subject": {"type": "user"}})),
        ("/context", json!({"context": "now"})),
    ] {
        let mut body = batch(1);
        for (name, value) in faulty.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = operator.post(EVALUATIONS, body).await.refused(400, "validation_failed");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer);
    }
    drop(operator);
    acme.stop().await;
}

#[tokio::test]
async fn input_that_is_no_question_is_refused_wherever_it_is_sent() {
    let acme = Acme::found().await;
    let deep = format!("{{\"context\":{}}}", "[".repeat(10_000));
    let long = format!("{{\"foo\":\"{}\"}}", "x".repeat(1 << 20));
    let routes = [
        EVALUATION,
        EVALUATIONS,
        "/access/v1/search/subject",
        "/access/v1/search/resource",
        "/access/v1/search/action",
    ];
    for path in routes {
        for (body, status) in [
            (r#"{"subject":{"type":"user","id":"a\ud800"}}"#, 400),
            (r#"{"subject":{"type":"user","id":"a\u0000"}}"#, 400),
            (r#"{"subject":{"type":"user","id":"a","id":"b"}}"#, 400),
            (r#"{"foo":1,"foo":2}"#, 400),
            (r#"{"foo":1e400}"#, 400),
            ("\u{feff}{}", 400),
            ("null", 400),
            (deep.as_str(), 400),
            (long.as_str(), 413),
        ] {
            let answer = acme.service.raw(path, &JSON, body.to_owned()).await;
            assert_eq!(answer.status.as_u16(), status, "{path} {:.60}: {:#}", body, answer.body);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
        let answer = acme.service.raw(path, &JSON, vec![b'{', 0xff, b'}']).await;
        answer.refused(400, "malformed_json");
        acme.service
            .operator()
            .post(&format!("{path}?exlpain"), json!({}))
            .await
            .refused(400, "unknown_field");
        acme.service
            .operator()
            .post(&format!("{path}?explain=maybe"), json!({}))
            .await
            .refused(400, "validation_failed");
        let answer = acme.service.operator().get(path).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
    }
    acme.stop().await;
}

#[tokio::test]
async fn what_is_unknown_is_answered_with_no() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let operator = acme.service.operator();
    let whole = question("ada", "workspace:read", &acme.id);
    assert!(operator.is_told(whole.clone()).await);
    for (entity, field, value) in [
        ("subject", "type", "service"),
        ("subject", "id", ""),
        ("subject", "id", "somebody else"),
        ("subject", "id", "ada\n"),
        ("action", "name", ""),
        ("action", "name", "workspace"),
        ("action", "name", "WORKSPACE:READ"),
        ("resource", "type", "project"),
        ("resource", "id", "acme"),
        ("resource", "id", "00000000-0000-0000-0000-000000000000"),
        ("resource", "id", &tenure_aggregates::WorkspaceId::installation().to_string()),
    ] {
        let mut other = whole.clone();
        other[entity][field] = json!(value);
        assert!(!operator.is_told(other.clone()).await, "{other}");
    }
    let long = "x".repeat(100_000);
    assert!(!operator.asks(&long, "workspace:read", &acme.id).await);
    assert!(!operator.asks("ada", &long, &acme.id).await);
    drop(operator);
    acme.stop().await;
}
