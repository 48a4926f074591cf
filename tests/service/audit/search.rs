//! Finding things again: each filter, all of them together, names, and pages that hold still while others write.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::refused;
use crate::support::Acme;

async fn actions(acme: &Acme, query: &str) -> Vec<String> {
    let answer = acme.ada().sees(&acme.at(&format!("/audit-log?limit=500&{query}"))).await;
    answer.column("action").into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn done_and_refused_are_found_by_the_same_filters_alone_and_together() {
    let acme = Acme::found().await;
    let bob = acme.service.user("bob");
    bob.patch(&acme.at("/members/carol"), json!({"role": "moderator"})).await.expect(StatusCode::OK);
    bob.delete(&acme.at("")).await.refused(403, "permission_denied");
    acme.service.user("carol").get(&acme.at("/events")).await.refused(403, "permission_denied");
    acme.service
        .bare(reqwest::Method::GET, &acme.at("/members"), &[("authorization", "Bearer nonsense")])
        .await;
    refused(&acme).await;
    let newest = &acme.ada().sees(&acme.at("/audit-log?outcome=done&limit=1")).await.items()[0].clone();
    let command = newest["command"].as_str().unwrap();
    for (query, expected) in [
        ("outcome=refused&actor=bob".to_owned(), &["command.denied"][..]),
        ("outcome=done&actor=bob&action=membership.role_changed".to_owned(), &["membership.role_changed"]),
        (
            "actor=bob".to_owned(),
            &["command.denied", "membership.role_changed", "membership.started", "invitation.accepted"],
        ),
        ("actor_type=unknown".to_owned(), &["token.rejected"]),
        ("actor_type=service".to_owned(), &[]),
        ("action=token.*".to_owned(), &["token.rejected"]),
        (format!("command={command}"), &["membership.role_changed"]),
        ("command=ReadEvents".to_owned(), &[]),
        (format!("target={}&outcome=refused&actor=carol", acme.id), &["read.denied"]),
        ("q=carol&outcome=refused".to_owned(), &["read.denied"]),
        ("q=DENIED&actor=carol".to_owned(), &["read.denied"]),
        (
            format!("from={}&actor=bob&outcome=done", newest["time"].as_str().unwrap()),
            &["membership.role_changed"],
        ),
        (
            format!("to={}&actor=bob&action=membership.*", newest["time"].as_str().unwrap()),
            &["membership.started"],
        ),
    ] {
        assert_eq!(actions(&acme, &query).await, expected, "{query}");
    }
    for (query, code) in [
        ("outcome=maybe", "validation_failed"),
        ("actor_type=robot", "validation_failed"),
        ("q=", "validation_failed"),
        ("nonsense=1", "unknown_field"),
    ] {
        acme.ada().get(&acme.at(&format!("/audit-log?{query}"))).await.refused(400, code);
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_piece_of_a_name_leads_to_people_keys_roles_and_invitations() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    operator.put("/v1/users/carol", json!({"name": "Čaroline O'Neil"})).await.expect(StatusCode::OK);
    let key = json!({"name": "Nightly Build", "permissions": ["members:read"]});
    let key = ada.post(&acme.at("/api-keys"), key).await.expect(StatusCode::CREATED).text("id");
    let role = json!({"permissions": ["workspace:read"]});
    ada.put(&acme.at("/roles/bookkeeper"), role).await.expect(StatusCode::CREATED);
    let (invitation, _) = acme.pending("Zoe.Quux@example.com").await;
    acme.service.user("carol").delete(&acme.at("")).await.refused(403, "permission_denied");
    refused(&acme).await;
    let found = async |q: &str| -> BTreeSet<(String, String)> {
        let query: String = form_urlencoded::Serializer::new(String::new()).append_pair("q", q).finish();
        let answer = acme.ada().sees(&acme.at(&format!("/audit-log?limit=500&{query}"))).await;
        let one = |entry: &Value| {
            (entry["action"].as_str().unwrap().to_owned(), entry["target"]["id"].as_str().unwrap().to_owned())
        };
        answer.items().iter().map(one).collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> BTreeSet<(String, String)> {
        pairs.iter().map(|(action, id)| ((*action).to_owned(), (*id).to_owned())).collect()
    };
    let carol = found("ČAROLINE O'n").await;
    assert!(carol.contains(&("membership.started".to_owned(), "carol".to_owned())), "{carol:?}");
    assert!(carol.contains(&("command.denied".to_owned(), acme.id.clone())), "{carol:?}");
    assert!(carol.iter().all(|(action, _)| !action.starts_with("api_key")), "{carol:?}");
    assert_eq!(found("nightly").await, pairs(&[("api_key.created", &key)]));
    assert_eq!(found("bookkeep").await, pairs(&[("workspace.role_defined", "bookkeeper")]));
    assert_eq!(found("zoe.quux@EXAMPLE.com").await, pairs(&[("invitation.sent", &invitation)]));
    assert_eq!(found("zoe.quux@").await, pairs(&[]), "an address only as a whole");
    let (part, whole) = (found("bob@example.co").await, found("bob@example.com").await);
    assert!(part.contains(&("membership.started".to_owned(), "bob".to_owned())), "of a member also in part");
    assert!(whole.is_superset(&part) && whole.iter().any(|(action, _)| action == "invitation.sent"));
    assert_eq!(found("%").await, pairs(&[]));
    assert_eq!(found("' or true --").await, pairs(&[]));
    acme.stop().await;
}

#[tokio::test]
async fn a_name_of_another_workspace_leads_nowhere() {
    let acme = Acme::found().await;
    let other = acme.service.user("dave").creates("Nightingale").await;
    acme.service
        .user("dave")
        .get(&format!("/v1/workspaces/{other}/audit-log?q=nightingale"))
        .await
        .expect(StatusCode::OK);
    assert!(actions(&acme, "q=nightingale").await.is_empty());
    assert!(actions(&acme, "q=dave").await.is_empty());
    acme.stop().await;
}

#[tokio::test]
async fn pages_hold_still_while_others_write() {
    let acme = Acme::found().await;
    let (ada, carol) = (acme.ada(), acme.service.user("carol"));
    for n in 0..12 {
        ada.patch(&acme.at(""), json!({"description": format!("{n}")})).await.expect(StatusCode::OK);
        carol.patch(&acme.at(""), json!({"name": "Mine"})).await.refused(403, "permission_denied");
        carol.get(&acme.at("/events")).await.refused(403, "permission_denied");
        acme.service.user(&format!("stranger-{n}")).delete(&acme.at("")).await.refused(404, "not_found");
    }
    refused(&acme).await;
    let whole = ada.sees(&acme.at("/audit-log?limit=500")).await;
    let id = |entry: &Value| match &entry["refusal"]["attempt_id"] {
        Value::Null => entry["workspace_seq"].to_string(),
        id => id.to_string(),
    };
    let expected: Vec<String> = whole.items().iter().map(id).collect();
    assert_eq!(expected.iter().collect::<BTreeSet<_>>().len(), expected.len());
    let seqs: Vec<i64> = whole.items().iter().map(|entry| entry["workspace_seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|newer, older| newer >= older), "newest first: {seqs:?}");
    for limit in [1, 3, 7] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = ada.sees(&acme.at(&format!("/audit-log?limit={limit}{cursor}"))).await;
            seen.extend(page.items().iter().map(id));
            // Others go on: commands that are done, and more of what was refused before.
            ada.patch(&acme.at(""), json!({"description": format!("{limit} {}", seen.len())})).await;
            carol.patch(&acme.at(""), json!({"name": "Mine"})).await.refused(403, "permission_denied");
            if seen.len() % 5 == 0 {
                acme.service.app().attempts.settled().await;
            }
            match page.body["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        let begun = seen.iter().position(|id| *id == expected[0]).unwrap();
        assert_eq!(seen[begun..], expected[..], "pages of {limit}");
        assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), seen.len());
    }
    // A cursor is of one list: the same one with another filter refuses it.
    let page = ada.sees(&acme.at("/audit-log?limit=1")).await;
    let cursor = page.body["next_cursor"].as_str().unwrap();
    for query in ["outcome=done", "q=carol", "actor_type=user", "command=X"] {
        let path = acme.at(&format!("/audit-log?limit=1&{query}&cursor={cursor}"));
        ada.get(&path).await.refused(400, "cursor_invalid");
    }
    acme.stop().await;
}
