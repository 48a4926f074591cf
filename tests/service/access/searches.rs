//! Searches: exactly those for whom a single question is answered with yes, page by page.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::Acme;

const PERMISSIONS: [&str; 5] =
    ["workspace:read", "content:write", "members:invite", "workspace:delete", "records:write"];

#[tokio::test]
async fn a_search_finds_exactly_what_single_questions_allow() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    acme.service.index_answers().await;
    acme.service.register("records:write", &["member"]).await;
    let define = json!({"permissions": ["content:write", "workspace:read"]});
    ada.put(&acme.at("/roles/scribe"), define).await.expect(StatusCode::CREATED);
    let everybody = ["ada", "bob", "carol", "dave", "erin"];
    let erin = acme.service.provision("erin").await;
    ada.brings(&acme.id, &erin, "scribe").await;
    let second = erin.creates("Second").await;
    drop(erin);
    ada.post(&acme.at("/members/carol/deactivate"), json!({})).await.expect(StatusCode::OK);
    for status in ["active", "archived"] {
        if status == "archived" {
            ada.post(&acme.at("/archive"), json!({})).await.expect(StatusCode::OK);
        }
        for permission in PERMISSIONS {
            let search = json!({
                "subject": {"type": "user"}, "action": {"name": permission},
                "resource": {"type": "workspace", "id": acme.id}, "page": {"limit": 2},
            });
            let mut found = operator.finds("subject", search).await;
            found.sort();
            let mut allowed = Vec::new();
            for user in everybody {
                if operator.asks(user, permission, &acme.id).await {
                    allowed.push(user);
                }
            }
            assert_eq!(found, allowed, "{permission} {status}");
            for user in everybody {
                let personal = acme.service.user(user).get(&format!("/v1/users/{user}")).await;
                let places = [acme.id.clone(), second.clone(), personal.text("personal_workspace_id")];
                let search = json!({
                    "subject": {"type": "user", "id": user}, "action": {"name": permission},
                    "resource": {"type": "workspace"}, "page": {"limit": 1},
                });
                let mut found = operator.finds("resource", search).await;
                found.sort();
                let mut allowed = Vec::new();
                for place in places {
                    if operator.asks(user, permission, &place).await {
                        allowed.push(place);
                    }
                }
                allowed.sort();
                assert_eq!(found, allowed, "{user} {permission} {status}");
            }
        }
        for user in everybody {
            let search = json!({
                "subject": {"type": "user", "id": user}, "resource": {"type": "workspace", "id": acme.id},
                "page": {"limit": 3},
            });
            let found = operator.finds("action", search).await;
            for permission in PERMISSIONS {
                let allowed = operator.asks(user, permission, &acme.id).await;
                assert_eq!(found.contains(&permission.to_owned()), allowed, "{user} {permission} {status}");
            }
        }
    }
    drop((ada, operator));
    acme.stop().await;
}

#[tokio::test]
async fn a_token_is_good_for_the_next_page_of_its_own_search_only() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let path = "/access/v1/search/subject";
    let search = json!({
        "subject": {"type": "user"}, "action": {"name": "workspace:read"},
        "resource": {"type": "workspace", "id": acme.id}, "page": {"limit": 1},
    });
    let answer = operator.post(path, search.clone()).await.expect(StatusCode::OK);
    let token = answer.body["page"]["next_token"].as_str().unwrap().to_owned();
    let other = acme.ada().creates("Other").await;
    let mut changed = Vec::new();
    for (entity, field, value) in [
        ("action", "name", json!("members:read")),
        ("resource", "id", json!(other)),
        ("page", "limit", json!(2)),
    ] {
        let mut next = search.clone();
        next["page"]["token"] = json!(token);
        next[entity][field] = value;
        changed.push(next);
    }
    let mut forged = search.clone();
    forged["page"]["token"] = json!(format!("{token}A"));
    changed.push(forged);
    for next in changed {
        operator.post(path, next).await.refused(400, "cursor_invalid");
    }
    let mut same = search;
    same["page"]["token"] = json!(token);
    operator.post(path, same).await.expect(StatusCode::OK);
    drop(operator);
    acme.stop().await;
}

#[tokio::test]
async fn the_past_is_searched_as_the_present_is() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let head = acme.service.head().await;
    acme.ada().delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
    let mut search = json!({
        "subject": {"type": "user", "id": "carol"}, "resource": {"type": "workspace", "id": acme.id},
    });
    assert!(operator.finds("action", search.clone()).await.is_empty());
    search["context"] = json!({"as_of": head});
    assert!(operator.finds("action", search.clone()).await.contains(&"workspace:read".to_owned()));
    search["action"] = json!({"name": "workspace:read"});
    assert_eq!(operator.finds("subject", search.clone()).await, ["ada", "bob", "carol"]);
    assert!(operator.finds("resource", search.clone()).await.contains(&acme.id));
    search["context"] = json!({"as_of": head + 100});
    for what in ["subject", "resource"] {
        let answer = operator.post(&format!("/access/v1/search/{what}"), search.clone()).await;
        let answer = answer.refused(400, "position_in_future");
        assert_eq!(answer.body["errors"][0]["pointer"], "/context/as_of");
    }
    drop(operator);
    acme.stop().await;
}
