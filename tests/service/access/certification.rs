//! The published certification scenario of AuthZEN's Authorization API 1.0: everything it requires of the protocol.
//!
//! Its fixture has subjects alice and bob and two records. Workspaces stand in for records, and an archived workspace
//! for the archived record; a product's permissions stand in for its actions, deleting softly being one of its own.
//! What the fixture decides by `properties` is decided here by what is recorded.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{EVALUATION, EVALUATIONS, question};
use crate::support::{Answer, TestService};

/// The fixture.
struct Fixture {
    service: TestService,
    record_1: String,
    record_2: String,
}

const READ: &str = "records:read";
const WRITE: &str = "records:write";
const SOFT_DELETE: &str = "records:soft-delete";
const HARD_DELETE: &str = "records:delete";

impl Fixture {
    async fn new() -> Self {
        let service = TestService::start().await;
        service.index_answers().await;
        for (permission, granted_to) in [
            (READ, vec!["member", "moderator"]),
            (WRITE, vec!["moderator"]),
            (SOFT_DELETE, vec!["moderator"]),
        ] {
            service.register(permission, &granted_to).await;
        }
        service.register(HARD_DELETE, &[]).await;
        let olga = service.provision("olga").await;
        let (alice, bob) = (service.provision("alice").await, service.provision("bob").await);
        let (record_1, record_2) = (olga.creates("Record 1").await, olga.creates("Record 2").await);
        for record in [&record_1, &record_2] {
            olga.brings(record, &alice, "moderator").await;
        }
        olga.brings(&record_1, &bob, "member").await;
        olga.brings(&record_2, &bob, "admin").await;
        let archive = format!("/v1/workspaces/{record_2}/archive");
        olga.post(&archive, json!({})).await.expect(StatusCode::OK);
        drop((olga, alice, bob));
        Self { service, record_1, record_2 }
    }

    async fn evaluate(&self, body: Value) -> Answer {
        self.service.operator().post(EVALUATION, body).await
    }

    async fn evaluate_all(&self, body: Value) -> Answer {
        self.service.operator().post(EVALUATIONS, body).await
    }

    fn record(&self, number: u8) -> Value {
        let id = if number == 1 { &self.record_1 } else { &self.record_2 };
        json!({"type": "workspace", "id": id})
    }

    async fn search(&self, what: &str, body: Value) -> Answer {
        self.service.operator().post(&format!("/access/v1/search/{what}"), body).await
    }
}

fn alice() -> Value {
    json!({"type": "user", "id": "alice"})
}

fn bob() -> Value {
    json!({"type": "user", "id": "bob"})
}

fn action(name: &str) -> Value {
    json!({"name": name})
}

/// What the scenario sends as context.
fn context() -> Value {
    json!({"time": "2025-06-27T18:03-07:00", "ip": "192.168.1.1"})
}

#[track_caller]
fn decision(answer: &Answer) -> bool {
    assert_eq!(answer.status, StatusCode::OK, "{:#}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    if let Some(context) = answer.body.get("context") {
        assert!(context.is_object());
    }
    answer.body["decision"].as_bool().expect("a boolean decision")
}

#[track_caller]
fn decisions(answer: &Answer) -> Vec<bool> {
    assert_eq!(answer.status, StatusCode::OK, "{:#}", answer.body);
    let items = answer.body["evaluations"].as_array().expect("an array");
    items.iter().map(|item| item["decision"].as_bool().expect("a boolean decision")).collect()
}

#[tokio::test]
async fn basic_decisions_are_those_of_the_fixture_however_often_they_are_asked_for() {
    let f = Fixture::new().await;
    let cases = [
        ("alice", READ, 1, true),
        ("alice", WRITE, 1, true),
        ("bob", READ, 1, true),
        ("bob", WRITE, 1, false),
        ("alice", WRITE, 2, false),
        ("alice", SOFT_DELETE, 1, true),
        ("alice", HARD_DELETE, 1, false),
        ("bob", READ, 2, true),
    ];
    for _ in 0..3 {
        for (user, permission, record, expected) in cases {
            let plain = json!({
                "subject": {"type": "user", "id": user}, "action": action(permission), "resource": f.record(record),
            });
            assert_eq!(decision(&f.evaluate(plain.clone()).await), expected, "{user} {permission} {record}");
            let mut rich = plain;
            rich["context"] = context();
            rich["subject"]["properties"] = json!({"department": "Sales", "role": "manager"});
            rich["action"]["properties"] = json!({"method": "GET", "soft": false});
            rich["resource"]["properties"] = json!({"status": "active", "owner": "bob"});
            rich["foo"] = json!("bar");
            rich["futureField"] = json!({"nested": true});
            rich["subject"]["alias"] = json!(["a"]);
            assert_eq!(
                decision(&f.evaluate(rich).await),
                expected,
                "{user} {permission} {record}, with more"
            );
        }
    }
    f.service.stop().await;
}

#[tokio::test]
async fn a_request_that_lacks_something_or_is_malformed_is_a_bad_request() {
    let f = Fixture::new().await;
    let whole = json!({"subject": alice(), "action": action(READ), "resource": f.record(1)});
    for (entity, fields) in
        [("subject", &["type", "id"][..]), ("action", &["name"]), ("resource", &["type", "id"])]
    {
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(entity);
        let answer = f.evaluate(without).await.refused(400, "validation_failed");
        assert_eq!(answer.body["errors"][0]["pointer"], format!("/{entity}"));
        for field in fields {
            let mut without = whole.clone();
            without[entity].as_object_mut().unwrap().remove(*field);
            let answer = f.evaluate(without).await.refused(400, "validation_failed");
            assert_eq!(answer.body["errors"][0]["pointer"], format!("/{entity}/{field}"));
            let mut wrong = whole.clone();
            wrong[entity][*field] = json!(123);
            f.evaluate(wrong).await.refused(400, "validation_failed");
        }
        let mut wrong = whole.clone();
        wrong[entity] = json!("alice");
        f.evaluate(wrong).await.refused(400, "validation_failed");
    }
    let text = whole.to_string();
    for content_type in ["text/plain", "application/xml", "application/x-www-form-urlencoded"] {
        let answer = f.service.raw(EVALUATION, &[("Content-Type", content_type)], text.clone()).await;
        answer.refused(400, "unsupported_media_type");
    }
    let json = [("Content-Type", "application/json")];
    for malformed in ["{", "{\"subject\":", "not json", "{\"subject\":{\"type\":\"user\",}}"] {
        f.service.raw(EVALUATION, &json, malformed).await.refused(400, "malformed_json");
    }
    f.service.raw(EVALUATION, &json, "").await.refused(400, "validation_failed");
    f.service.raw(EVALUATION, &json, "[]").await.refused(400, "validation_failed");
    f.service.stop().await;
}

#[tokio::test]
async fn the_request_id_is_echoed_and_need_not_be_there() {
    let f = Fixture::new().await;
    let search = json!({"subject": {"type": "user"}, "action": action(READ), "resource": f.record(1)});
    let ask = question("alice", READ, &f.record_1);
    let requests = [
        (EVALUATION, ask.clone()),
        (EVALUATION, json!({})),
        (EVALUATIONS, ask),
        ("/access/v1/search/subject", search),
    ];
    for (path, body) in requests {
        let request =
            f.service.request(Method::POST, path, None).header("X-Request-ID", "bfe9eb29-ab87-4ca3");
        let answer = Answer::of(request.json(&body)).await;
        assert_eq!(answer.header("x-request-id"), Some("bfe9eb29-ab87-4ca3"), "{path}");
        let answer = f.service.operator().post(path, body).await;
        assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()));
    }
    f.service.stop().await;
}

#[tokio::test]
async fn a_batch_answers_each_question_in_its_place() {
    let f = Fixture::new().await;
    let shared = json!({
        "subject": bob(), "resource": f.record(1),
        "evaluations": [{"action": action(READ)}, {"action": action(WRITE)}],
    });
    assert_eq!(decisions(&f.evaluate_all(shared).await), [true, false]);
    let by_resource = json!({
        "subject": alice(), "action": action(WRITE),
        "evaluations": [{"resource": f.record(1)}, {"resource": f.record(2)}],
    });
    assert_eq!(decisions(&f.evaluate_all(by_resource).await), [true, false]);
    let complete = json!({"evaluations": [
        {"subject": alice(), "action": action(READ), "resource": f.record(1)},
        {"subject": bob(), "action": action(WRITE), "resource": f.record(1)},
    ]});
    let answer = f.evaluate_all(complete).await;
    assert_eq!(decisions(&answer), [true, false]);
    assert_eq!(answer.body.get("decision"), None);
    let inherits = json!({
        "subject": alice(), "action": action(WRITE), "resource": f.record(1),
        "evaluations": [{}, {"resource": f.record(2)}],
    });
    assert_eq!(decisions(&f.evaluate_all(inherits).await), [true, false]);
    let contexts = json!({
        "subject": alice(), "action": action(READ), "context": {"time": "2025-06-27T18:03-07:00"},
        "evaluations": [
            {"resource": f.record(1)},
            {"resource": f.record(2), "context": {"time": "2025-06-27T19:00-07:00", "source": "batch-override"}},
        ],
    });
    assert_eq!(decisions(&f.evaluate_all(contexts).await), [true, true]);
    f.service.stop().await;
}

#[tokio::test]
async fn a_batch_denies_what_is_faulty_and_without_questions_is_one() {
    let f = Fixture::new().await;
    let faulty = json!({
        "subject": alice(), "action": action(READ), "options": {"evaluations_semantic": "execute_all"},
        "evaluations": [{"resource": f.record(1)}, {}],
    });
    let answer = f.evaluate_all(faulty).await;
    assert_eq!(decisions(&answer), [true, false]);
    let error = &answer.body["evaluations"][1]["context"]["error"];
    assert_eq!((&error["status"], &error["code"]), (&json!(400), &json!("validation_failed")));
    assert_eq!(error["errors"][0]["pointer"], "/evaluations/1/resource");
    let one = json!({"subject": alice(), "action": action(READ), "resource": f.record(1)});
    assert!(decision(&f.evaluate_all(one.clone()).await));
    let mut empty = one;
    empty["evaluations"] = json!([]);
    assert!(decision(&f.evaluate_all(empty).await));
    let nothing = json!({"action": action(READ), "evaluations": []});
    let answer = f.evaluate_all(nothing).await.refused(400, "validation_failed");
    assert_eq!(answer.body["errors"].as_array().unwrap().len(), 2);
    f.service.stop().await;
}

#[tokio::test]
async fn searches_find_what_may_be_done() {
    let f = Fixture::new().await;
    let operator = f.service.operator();
    let who = |action_name: &str, record| json!({"subject": {"type": "user"}, "action": action(action_name), "resource": f.record(record)});
    let mut readers = operator.finds("subject", who(READ, 1)).await;
    readers.sort();
    assert_eq!(readers, ["alice", "bob", "olga"]);
    let mut with_id = who(READ, 1);
    with_id["subject"]["id"] = json!("alice");
    with_id["context"] = context();
    let mut same = operator.finds("subject", with_id).await;
    same.sort();
    assert_eq!(same, readers);
    assert!(operator.finds("subject", who(READ, 2)).await.contains(&"bob".to_owned()));

    let mut places = json!({"subject": alice(), "action": action(READ), "resource": {"type": "workspace"}});
    let found = operator.finds("resource", places.clone()).await;
    assert!(found.contains(&f.record_1));
    places["resource"]["id"] = json!(f.record_2);
    places["context"] = context();
    assert_eq!(operator.finds("resource", places).await, found);

    let what = json!({"subject": alice(), "resource": f.record(1), "context": context()});
    let found = operator.finds("action", what.clone()).await;
    assert!(found.contains(&READ.to_owned()) && found.contains(&WRITE.to_owned()));
    assert!(!found.contains(&HARD_DELETE.to_owned()));
    for result in f.search("action", what).await.body["results"].as_array().unwrap() {
        assert_eq!(result.as_object().unwrap().keys().collect::<Vec<_>>(), ["name"]);
    }
    f.service.stop().await;
}

#[tokio::test]
async fn searches_come_in_pages() {
    let f = Fixture::new().await;
    let search = json!({
        "subject": {"type": "user"}, "action": action(READ), "resource": f.record(1), "page": {"limit": 1},
    });
    let mut token = String::new();
    let mut found = Vec::new();
    for _ in 0..3 {
        let mut next = search.clone();
        if !token.is_empty() {
            next["page"] = json!({"token": token});
        }
        let answer = f.search("subject", next).await.expect(StatusCode::OK);
        assert_eq!(answer.body.as_object().unwrap().keys().next().unwrap(), "page");
        assert_eq!(answer.body["page"]["count"], 1);
        let results = answer.body["results"].as_array().unwrap();
        assert_eq!((results.len(), &results[0]["type"]), (1, &json!("user")));
        found.push(results[0]["id"].as_str().unwrap().to_owned());
        token = answer.body["page"]["next_token"].as_str().unwrap().to_owned();
    }
    assert_eq!(token, "");
    found.sort();
    assert_eq!(found, ["alice", "bob", "olga"]);
    f.service.stop().await;
}

#[tokio::test]
async fn a_search_for_what_is_not_there_finds_nothing_and_one_that_lacks_something_is_refused() {
    let f = Fixture::new().await;
    let nobody = json!({"type": "user", "id": "nonexistent-user"});
    let nowhere = json!({"type": "workspace", "id": "nonexistent"});
    let ship = json!({"type": "spaceship", "id": "1"});
    let empty = [
        ("action", json!({"subject": nobody, "resource": f.record(1)})),
        ("action", json!({"subject": alice(), "resource": nowhere})),
        ("action", json!({"subject": ship, "resource": f.record(1)})),
        ("action", json!({"subject": alice(), "resource": ship})),
        (
            "subject",
            json!({"subject": {"type": "spaceship"}, "action": action(READ), "resource": f.record(1)}),
        ),
        ("subject", json!({"subject": {"type": "user"}, "action": action("fly"), "resource": f.record(1)})),
        ("subject", json!({"subject": {"type": "user"}, "action": action(READ), "resource": nowhere})),
        ("resource", json!({"subject": nobody, "action": action(READ), "resource": {"type": "workspace"}})),
        ("resource", json!({"subject": alice(), "action": action(READ), "resource": {"type": "spaceship"}})),
    ];
    for (what, body) in empty {
        let answer = f.search(what, body.clone()).await.expect(StatusCode::OK);
        assert_eq!(answer.body["results"], json!([]), "{what} {body}");
    }
    let refused = [
        ("subject", json!({"subject": {"type": "user"}, "resource": f.record(1)})),
        ("resource", json!({"action": action(READ), "resource": {"type": "workspace"}})),
        ("action", json!({"subject": alice()})),
        (
            "subject",
            json!({"subject": {"type": "user"}, "action": action(READ), "resource": {"type": "workspace"}}),
        ),
        (
            "resource",
            json!({"subject": {"type": "user"}, "action": action(READ), "resource": {"type": "workspace"}}),
        ),
        ("action", json!({"subject": {"type": "user"}, "resource": f.record(1)})),
    ];
    for (what, body) in refused {
        f.search(what, body).await.refused(400, "validation_failed");
    }
    f.service.stop().await;
}

#[tokio::test]
async fn the_metadata_tell_where_everything_is() {
    let public = "https://pdp.example.com";
    let f = TestService::start_with(|settings| settings.public_url = Some(format!("{public}/"))).await;
    let endpoints = [
        ("access_evaluation_endpoint", "evaluation"),
        ("access_evaluations_endpoint", "evaluations"),
        ("search_subject_endpoint", "search/subject"),
        ("search_resource_endpoint", "search/resource"),
        ("search_action_endpoint", "search/action"),
    ];
    let path = "/.well-known/authzen-configuration";
    let answer = f.bare(Method::GET, path, &[]).await.expect(StatusCode::OK);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.body["policy_decision_point"], public);
    for (name, endpoint) in endpoints {
        assert_eq!(answer.body[name], format!("{public}/access/v1/{endpoint}"));
    }
    f.stop().await;
    let f = TestService::start().await;
    let answer = f.bare(Method::GET, path, &[]).await.expect(StatusCode::OK);
    assert_eq!(answer.body["policy_decision_point"], f.url);
    for (name, endpoint) in endpoints {
        assert_eq!(answer.body[name], format!("{}/access/v1/{endpoint}", f.url));
    }
    f.stop().await;
}
