//! Who may ask about whom: whatever a caller may not see looks as if there were none (attacks 1–4, 12, 13).

use reqwest::{Method, StatusCode};
use serde_json::json;

use super::{EVALUATION, EVALUATIONS, question};
use crate::support::{Acme, Answer};

const ROUTES: [&str; 5] = [
    EVALUATION,
    EVALUATIONS,
    "/access/v1/search/subject",
    "/access/v1/search/resource",
    "/access/v1/search/action",
];

#[tokio::test]
async fn without_a_credential_nothing_is_answered() {
    let acme = Acme::found().await;
    let asked = question("ada", "workspace:read", &acme.id);
    for path in ROUTES {
        for headers in [&[][..], &[("Authorization", "Bearer wrong")], &[("Tenure-Actor", "ada")]] {
            let mut request = acme.service.client.post(format!("{}{path}", acme.service.url)).json(&asked);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let answer = Answer::of(request).await.refused(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        }
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_user_asks_about_themselves_and_where_they_see_the_members_about_others() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let secret = acme.service.user("dave").creates("Secret").await;
    let (ada, carol, dave) = (acme.ada(), acme.service.user("carol"), acme.service.user("dave"));
    assert!(carol.asks("carol", "workspace:read", &acme.id).await);
    assert!(carol.asks("ada", "workspace:delete", &acme.id).await);
    assert!(dave.asks("dave", "workspace:delete", &secret).await);
    for (caller, subject, workspace) in
        [(&dave, "ada", &acme.id), (&dave, "dave", &acme.id), (&ada, "dave", &secret), (&ada, "ada", &secret)]
    {
        assert!(!caller.asks(subject, "workspace:read", workspace).await, "{subject} in {workspace}");
    }
    // Without members:read only about themselves.
    let blind = json!({"permissions": ["workspace:read"]});
    ada.put(&acme.at("/roles/blind"), blind).await.expect(StatusCode::CREATED);
    ada.patch(&acme.at("/members/carol"), json!({"role": "blind"})).await.expect(StatusCode::OK);
    assert!(carol.asks("carol", "workspace:read", &acme.id).await);
    assert!(!carol.asks("ada", "workspace:read", &acme.id).await);
    let who = json!({
        "subject": {"type": "user"}, "action": {"name": "workspace:read"},
        "resource": {"type": "workspace", "id": acme.id},
    });
    assert_eq!(carol.finds("subject", who.clone()).await, ["carol"]);
    assert_eq!(ada.finds("subject", who).await.len(), 3);
    drop((ada, carol, dave));
    acme.stop().await;
}

#[tokio::test]
async fn anothers_workspace_answers_as_a_random_id_does() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let random = uuid::Uuid::from_u128(0x0193_5b3c_0000_7000_8000_0000_0000_0001).to_string();
    let dave = acme.service.user("dave");
    let ask = async |path: &str, subject: &str, workspace: &str| {
        let body = json!({
            "subject": {"type": "user", "id": subject}, "action": {"name": "workspace:read"},
            "resource": {"type": "workspace", "id": workspace}, "context": {"as_of": 1},
        });
        let answer = dave.post(path, body).await;
        (answer.status, answer.body)
    };
    for path in [EVALUATION, "/access/v1/evaluation?explain", EVALUATIONS, "/access/v1/search/action"] {
        for subject in ["dave", "ada", "nobody"] {
            let (theirs, none) = (ask(path, subject, &acme.id).await, ask(path, subject, &random).await);
            assert_eq!(theirs, none, "{path} {subject}");
            assert_eq!(theirs.0, StatusCode::OK);
        }
    }
    let search = |workspace: &str| {
        json!({
            "subject": {"type": "user"}, "action": {"name": "workspace:read"},
            "resource": {"type": "workspace", "id": workspace},
        })
    };
    let theirs = dave.post("/access/v1/search/subject", search(&acme.id)).await.expect(StatusCode::OK);
    let none = dave.post("/access/v1/search/subject", search(&random)).await.expect(StatusCode::OK);
    assert_eq!(theirs.body, none.body);
    let places = json!({
        "subject": {"type": "user", "id": "ada"}, "action": {"name": "workspace:read"},
        "resource": {"type": "workspace"},
    });
    assert!(dave.finds("resource", places.clone()).await.is_empty());
    // Of what ada belongs to, carol sees what she belongs to herself.
    assert_eq!(acme.service.user("carol").finds("resource", places).await, std::slice::from_ref(&acme.id));
    drop(dave);
    acme.stop().await;
}

#[tokio::test]
async fn of_a_batch_only_the_foreign_questions_are_denied() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let secret = acme.service.user("dave").creates("Secret").await;
    let batch = json!({"evaluations": [
        question("ada", "workspace:read", &acme.id),
        question("dave", "workspace:read", &secret),
        question("carol", "workspace:read", &acme.id),
    ]});
    let answer = acme.ada().post(EVALUATIONS, batch).await.expect(StatusCode::OK);
    let expected = [true, false, true].map(|decision| json!({"decision": decision}));
    assert_eq!(answer.body["evaluations"], json!(expected));
    acme.stop().await;
}

#[tokio::test]
async fn what_the_body_says_is_never_who_asks() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let mut asked = question("ada", "workspace:read", &acme.id);
    asked["caller"] = json!("ada");
    asked["actor"] = json!({"type": "service"});
    asked["subject"]["properties"] = json!({"role": "owner"});
    asked["context"] = json!({"user_id": "ada", "operator": true});
    assert!(!acme.service.user("dave").is_told(asked).await);
    let answer = acme.service.request(Method::POST, EVALUATION, Some("dave")).header("Tenure-Actor", "ada");
    Answer::of(answer.json(&question("ada", "workspace:read", &acme.id)))
        .await
        .refused(400, "validation_failed");
    acme.stop().await;
}

#[tokio::test]
async fn a_key_asks_about_its_own_workspace_and_no_other() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let other = acme.ada().creates("Other").await;
    let body = json!({"name": "Till", "permissions": ["workspace:read"]});
    let made = acme.ada().post(&acme.at("/api-keys"), body).await.expect(StatusCode::CREATED);
    let key = made.text("key");
    let ask = async |path: &str, body: serde_json::Value| {
        let request = acme.service.client.post(format!("{}{path}", acme.service.url)).bearer_auth(&key);
        Answer::of(request.json(&body)).await.expect(StatusCode::OK).body
    };
    for (workspace, decision) in [(&acme.id, true), (&other, false)] {
        let answer = ask(EVALUATION, question("ada", "workspace:delete", workspace)).await;
        assert_eq!(answer, json!({"decision": decision}));
    }
    let places = json!({
        "subject": {"type": "user", "id": "ada"}, "action": {"name": "workspace:read"},
        "resource": {"type": "workspace"}, "page": {"limit": 1},
    });
    let found = ask("/access/v1/search/resource", places).await;
    assert_eq!(found["results"], json!([{"type": "workspace", "id": acme.id}]));
    assert_eq!(found["page"]["next_token"], "");
    acme.ada()
        .delete(&acme.at(&format!("/api-keys/{}", made.text("id"))))
        .await
        .expect(StatusCode::NO_CONTENT);
    let request = acme.service.client.post(format!("{}{EVALUATION}", acme.service.url)).bearer_auth(&key);
    let answer = Answer::of(request.json(&question("ada", "workspace:read", &acme.id))).await;
    answer.refused(401, "unauthenticated");
    acme.stop().await;
}

#[tokio::test]
async fn not_even_the_number_of_pages_tells_of_anothers_places() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    for n in 0..5 {
        acme.ada().creates(&format!("Place {n}")).await;
    }
    let search = |user: &str| {
        json!({
            "subject": {"type": "user", "id": user}, "action": {"name": "workspace:read"},
            "resource": {"type": "workspace"}, "page": {"limit": 1},
        })
    };
    // Of ada dave is told as of somebody who is not there: page by page through his own one place.
    for user in ["ada", "nobody"] {
        let answer = acme.service.user("dave").post("/access/v1/search/resource", search(user)).await;
        let answer = answer.expect(StatusCode::OK);
        assert_eq!(answer.body, json!({"page": {"next_token": "", "count": 0}, "results": []}));
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_session_asks_about_the_workspace_it_is_in_and_no_other() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let other = acme.ada().creates("Other").await;
    let started = acme.ada().post("/v1/session", json!({"workspace_id": acme.id})).await;
    let token = started.expect(StatusCode::CREATED).text("token");
    let ask = async |path: &str, body: serde_json::Value| {
        let request = acme.service.client.post(format!("{}{path}", acme.service.url)).bearer_auth(&token);
        Answer::of(request.json(&body)).await.expect(StatusCode::OK).body
    };
    for (user, workspace, decision) in [
        ("ada", &acme.id, true),
        ("carol", &acme.id, true),
        ("dave", &acme.id, false),
        ("ada", &other, false),
    ] {
        let answer = ask(EVALUATION, question(user, "workspace:read", workspace)).await;
        assert_eq!(answer, json!({"decision": decision}), "{user} in {workspace}");
    }
    let who = |workspace: &str| {
        json!({
            "subject": {"type": "user"}, "action": {"name": "workspace:read"},
            "resource": {"type": "workspace", "id": workspace},
        })
    };
    let here = ask("/access/v1/search/subject", who(&acme.id)).await;
    assert_eq!(here["results"].as_array().unwrap().len(), 3);
    assert_eq!(ask("/access/v1/search/subject", who(&other)).await["results"], json!([]));
    let places = json!({
        "subject": {"type": "user", "id": "ada"}, "action": {"name": "workspace:read"},
        "resource": {"type": "workspace"},
    });
    let found = ask("/access/v1/search/resource", places).await;
    assert_eq!(found["results"], json!([{"type": "workspace", "id": acme.id}]));
    acme.stop().await;
}
