//! `as_of`: what would have been decided at each position of a small history, and at each instant.

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{EVALUATION, EVALUATIONS, question};
use crate::support::Acme;

fn as_of(mut question: Value, moment: &Value) -> Value {
    question["context"] = json!({"as_of": moment});
    question
}

#[tokio::test]
async fn every_position_of_a_history_is_decided_as_it_was() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    // What carol may do, after each step, as it was answered then.
    let mut then = Vec::new();
    let steps = [
        ("PATCH", "/members/carol", json!({"role": "moderator"})),
        ("POST", "/members/carol/deactivate", json!({})),
        ("POST", "/members/carol/reactivate", json!({})),
        ("POST", "/archive", json!({})),
        ("POST", "/restore", json!({})),
        ("DELETE", "/members/carol", json!(null)),
        ("PUT", "/members/carol", json!({"role": "admin"})),
        ("PUT", "/roles/scribe", json!({"permissions": ["content:write"]})),
        ("PATCH", "/members/carol", json!({"role": "scribe"})),
        ("PUT", "/roles/scribe", json!({"permissions": ["content:read"]})),
        ("POST", "/transfer-ownership", json!({"to": "bob"})),
    ];
    for (method, path, body) in steps {
        let request = ada.request(method.parse().unwrap(), &acme.at(path));
        let request = if body.is_null() { request } else { request.json(&body) };
        let answer = crate::support::Answer::of(request).await;
        assert!(answer.status.is_success(), "{path}: {:#}", answer.body);
        let position: i64 = answer.header("tenure-position").unwrap().parse().unwrap();
        let mut decided = Vec::new();
        for (user, permission) in asked() {
            decided.push(operator.asks(user, permission, &acme.id).await);
        }
        then.push((position, decided));
    }
    let times = acme.service.admin().await;
    for (position, decided) in &then {
        let time: tenure_aggregates::Time =
            sqlx::query_scalar("select recorded_at from events where position = $1")
                .bind(position)
                .fetch_one(&times)
                .await
                .unwrap();
        for moment in [json!(position), json!(position.to_string()), json!(time)] {
            let mut now = Vec::new();
            for (user, permission) in asked() {
                now.push(operator.is_told(as_of(question(user, permission, &acme.id), &moment)).await);
            }
            assert_eq!(&now, decided, "as of {moment}");
        }
    }
    // Before there was anything, nobody might do anything.
    for moment in [json!(0), json!("1999-12-31T23:59:59Z")] {
        assert!(!operator.is_told(as_of(question("ada", "workspace:read", &acme.id), &moment)).await);
    }
    // The reason is the one it had then.
    let (position, _) = then[0];
    let path = format!("{EVALUATION}?explain");
    let asked = as_of(question("carol", "content:write", &acme.id), &json!(position));
    let why = operator.post(&path, asked).await.expect(StatusCode::OK);
    assert_eq!(why.body["context"]["reason"]["role"], "moderator");
    assert_eq!(why.body["context"]["reason"]["since"]["position"], position);
    times.close().await;
    drop((ada, operator));
    acme.stop().await;
}

fn asked() -> impl Iterator<Item = (&'static str, &'static str)> {
    ["ada", "bob", "carol", "dave"].into_iter().flat_map(|user| {
        ["workspace:read", "content:write", "members:invite", "workspace:delete"]
            .into_iter()
            .map(move |permission| (user, permission))
    })
}

#[tokio::test]
async fn the_future_is_not_known() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let asked = question("ada", "workspace:read", &acme.id);
    let ahead = acme.service.head().await + 1;
    for moment in [json!(ahead), json!(ahead.to_string())] {
        operator.post(EVALUATION, as_of(asked.clone(), &moment)).await.refused(400, "position_in_future");
    }
    let later = json!(tenure::clock::now() + chrono::TimeDelta::hours(1));
    let answer = operator.post(EVALUATION, as_of(asked.clone(), &later)).await;
    let answer = answer.refused(400, "validation_failed");
    assert_eq!(answer.body["errors"][0]["pointer"], "/context/as_of");
    // Among others, only the one is answered with no.
    let batch = json!({"evaluations": [as_of(asked.clone(), &later), asked]});
    let answer = operator.post(EVALUATIONS, batch).await.expect(StatusCode::OK);
    assert_eq!(answer.body["evaluations"][0]["decision"], false);
    assert_eq!(answer.body["evaluations"][0]["context"]["error"]["status"], 400);
    assert_eq!(answer.body["evaluations"][1], json!({"decision": true}));
    drop(operator);
    acme.stop().await;
}

#[tokio::test]
async fn what_is_no_moment_is_refused() {
    let acme = Acme::found().await;
    for moment in [json!(-1), json!(1.5), json!("yesterday"), json!(""), json!(true), json!({}), json!("-3")]
    {
        let asked = as_of(question("ada", "workspace:read", &acme.id), &moment);
        let answer = acme.service.operator().post(EVALUATION, asked).await.refused(400, "validation_failed");
        assert_eq!(answer.body["errors"][0]["pointer"], "/context/as_of", "{moment}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn whoever_is_no_member_now_is_not_told_of_the_past() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let head = json!(acme.service.head().await);
    let asked = as_of(question("carol", "workspace:read", &acme.id), &head);
    assert!(acme.service.user("carol").is_told(asked.clone()).await);
    acme.ada().delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
    assert!(!acme.service.user("carol").is_told(asked.clone()).await);
    assert!(acme.ada().is_told(asked).await);
    acme.stop().await;
}
