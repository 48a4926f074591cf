//! Searches for subjects and resources, as of then.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Acme, User};

async fn found(user: &User<'_>, search: &str, body: Value) -> Vec<String> {
    let answer = user.post(&format!("/access/v1/search/{search}"), body).await.expect(StatusCode::OK);
    let results = answer.body["results"].as_array().unwrap();
    results.iter().map(|result| result["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn searches_find_who_and_where_it_was_then() {
    let acme = Acme::found().await;
    acme.service.index_answers().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    let subjects = |as_of: Option<i64>| {
        json!({"subject": {"type": "user"}, "action": {"name": "members:invite"},
               "resource": {"type": "workspace", "id": acme.id}, "context": {"as_of": as_of}})
    };
    let resources = |as_of: Option<i64>| {
        json!({"subject": {"type": "user", "id": "bob"}, "action": {"name": "members:invite"},
               "resource": {"type": "workspace"}, "context": {"as_of": as_of}})
    };
    let steps = [
        ("PATCH", "/members/carol", json!({"role": "admin"})),
        ("POST", "/members/bob/deactivate", json!({})),
        ("POST", "/members/bob/reactivate", json!({})),
        ("PATCH", "/members/bob", json!({"role": "member"})),
        ("PUT", "/members/dave", json!({"role": "admin"})),
        ("POST", "/archive", json!({})),
    ];
    let mut then = Vec::new();
    for (method, path, body) in steps {
        let answer =
            crate::support::Answer::of(ada.request(method.parse().unwrap(), &acme.at(path)).json(&body))
                .await;
        assert!(answer.status.is_success(), "{path}: {:#}", answer.body);
        let head = acme.service.head().await;
        operator
            .request(reqwest::Method::GET, &acme.at(""))
            .header("Tenure-Position", head)
            .send()
            .await
            .unwrap();
        let who = found(&operator, "subject", subjects(None)).await;
        then.push((head, who, found(&operator, "resource", resources(None)).await));
    }
    assert!(then.iter().any(|(_, who, _)| who.len() == 3) && then.iter().any(|(_, who, _)| who.is_empty()));
    assert!(then.iter().any(|(_, _, places)| places.contains(&acme.id)));
    for (head, who, places) in then {
        assert_eq!(found(&operator, "subject", subjects(Some(head))).await, who, "as of {head}");
        assert_eq!(found(&operator, "resource", resources(Some(head))).await, places, "as of {head}");
    }
    // A token goes on in the same past only.
    let mut page = subjects(Some(acme.service.head().await - 1));
    page["page"] = json!({"limit": 1});
    let first = operator.post("/access/v1/search/subject", page.clone()).await.expect(StatusCode::OK);
    page["page"] = json!({"token": first.body["page"]["next_token"]});
    let second = found(&operator, "subject", page.clone()).await;
    assert_eq!((first.body["results"][0]["id"].as_str(), second[0].as_str()), (Some("ada"), "carol"));
    page["context"] = json!({});
    operator.post("/access/v1/search/subject", page).await.refused(400, "cursor_invalid");
    drop((ada, operator));
    acme.stop().await;
}
