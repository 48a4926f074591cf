//! Members, invitations, invite codes: their lists and filters, and one way through each route.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::Acme;

#[tokio::test]
async fn members_are_listed_by_role_status_and_part_of_a_name() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    ada.put(&acme.at("/members/dave"), json!({"role": "moderator"})).await.expect(StatusCode::CREATED);
    ada.post(&acme.at("/members/carol/deactivate"), json!({"reason": "on leave"}))
        .await
        .expect(StatusCode::OK);
    for (query, expected) in [
        ("", &["ada", "bob", "carol", "dave"][..]),
        ("?role=admin", &["bob"]),
        ("?role=owner", &["ada"]),
        ("?status=deactivated", &["carol"]),
        ("?status=active&role=moderator", &["dave"]),
        ("?status=expired", &[]),
        ("?q=AR", &["carol"]),
        ("?q=bob%40example", &["bob"]),
        ("?q=%25", &[]),
        ("?q=_", &[]),
    ] {
        assert_eq!(
            ada.sees(&acme.at(&format!("/members{query}"))).await.column("user_id"),
            expected,
            "{query}"
        );
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_member_is_added_changed_deactivated_reactivated_and_removed() {
    let acme = Acme::found().await;
    let (ada, path) = (acme.ada(), acme.at("/members/dave"));
    ada.put(&acme.at("/members/nobody"), json!({})).await.refused(404, "user_not_found");
    let added = ada.put(&path, json!({})).await.expect(StatusCode::CREATED);
    assert_eq!((&added.body["role"], &added.body["is_owner"]), (&json!("member"), &json!(false)));
    assert_eq!(added.header("location"), Some(path.as_str()));
    let again = ada.put(&path, json!({})).await.expect(StatusCode::OK);
    assert_eq!((&again.body, again.etag()), (&added.body, added.etag()));
    let mut last = added;
    for (rest, body, field, value) in [
        ("", json!({"role": "moderator"}), "role", json!("moderator")),
        ("", json!({"expires_at": "2100-01-01T00:00:00Z"}), "expires_at", json!("2100-01-01T00:00:00Z")),
        ("", json!({"expires_at": null}), "expires_at", Value::Null),
        ("/deactivate", json!({}), "status", json!("deactivated")),
        ("/reactivate", json!({}), "status", json!("active")),
    ] {
        let path = format!("{path}{rest}");
        let answer = if rest.is_empty() { ada.patch(&path, body).await } else { ada.post(&path, body).await };
        let answer = answer.expect(StatusCode::OK);
        assert_eq!(answer.body[field], value);
        assert!(answer.text("updated_at") > last.text("updated_at"), "{field}");
        let read = ada.sees(&acme.at("/members/dave")).await;
        assert_eq!((&read.body, read.etag()), (&answer.body, answer.etag()), "{field}");
        last = answer;
    }
    ada.patch(&path, json!({})).await.refused(400, "validation_failed");
    ada.delete(&path).await.expect(StatusCode::NO_CONTENT);
    ada.get(&path).await.refused(404, "not_found");
    ada.delete(&path).await.refused(404, "not_found");
    acme.stop().await;
}

#[tokio::test]
async fn a_renamed_user_is_renamed_in_every_list_of_members() {
    let acme = Acme::found().await;
    let renamed = json!({"name": "Caroline", "email": "caroline@example.com"});
    acme.service.operator().put("/v1/users/carol", renamed).await.expect(StatusCode::OK);
    let member = acme.ada().sees(&acme.at("/members?q=caroline")).await;
    assert_eq!(
        (member.column("name"), member.column("email")),
        (vec!["Caroline"], vec!["caroline@example.com"])
    );
    acme.stop().await;
}

#[tokio::test]
async fn invitations_are_listed_newest_first_by_status_and_address() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let (revoked, _) = acme.pending("eve@example.com").await;
    ada.post(&acme.at(&format!("/invitations/{revoked}/revoke")), json!({})).await.expect(StatusCode::OK);
    let (_, declined) = acme.pending("frank@example.com").await;
    acme.service
        .operator()
        .post("/v1/invitations/decline", json!({"token": declined}))
        .await
        .expect(StatusCode::NO_CONTENT);
    acme.pending("gina@example.com").await;
    for (query, expected) in [
        (
            "",
            &[
                "gina@example.com",
                "frank@example.com",
                "eve@example.com",
                "carol@example.com",
                "bob@example.com",
            ][..],
        ),
        ("?status=pending", &["gina@example.com"]),
        ("?status=declined", &["frank@example.com"]),
        ("?status=revoked", &["eve@example.com"]),
        ("?status=accepted", &["carol@example.com", "bob@example.com"]),
        ("?status=expired", &[]),
        ("?email=%20GINA@Example.com", &["gina@example.com"]),
        ("?email=gin_@example.com", &[]),
    ] {
        assert_eq!(
            ada.sees(&acme.at(&format!("/invitations{query}"))).await.column("email"),
            expected,
            "{query}"
        );
    }
    let accepted = ada.sees(&acme.at("/invitations?status=accepted")).await;
    assert!(accepted.items().iter().all(|item| item["accepted"] == true && item["invited_by"] == "ada"));
    acme.stop().await;
}

#[tokio::test]
async fn an_invitation_is_sent_again_previewed_and_accepted() {
    let acme = Acme::found().await;
    let (ada, dave) = (acme.ada(), acme.service.user("dave"));
    let sent =
        json!({"email": "Dave@Example.com", "role": "moderator", "expires_in": "12h", "notify": false});
    let sent = ada.post(&acme.at("/invitations"), sent).await.expect(StatusCode::CREATED);
    assert_eq!(
        (&sent.body["email"], &sent.body["role"], &sent.body["status"]),
        (&json!("dave@example.com"), &json!("moderator"), &json!("pending"))
    );
    let path = acme.at(&format!("/invitations/{}", sent.text("id")));
    assert_eq!(sent.header("location"), Some(path.as_str()));
    let again = ada.post(&format!("{path}/resend"), json!({"notify": false})).await.expect(StatusCode::OK);
    assert_ne!(again.text("token"), sent.text("token"));
    assert_ne!(again.etag(), sent.etag());
    dave.accepts(&sent.text("token")).await.refused(404, "token_invalid");
    let preview = dave.post("/v1/invitations/preview", json!({"token": again.text("token")})).await;
    let preview = preview.expect(StatusCode::OK).body;
    assert_eq!(
        (&preview["workspace"]["name"], &preview["role"], &preview["invited_by"]),
        (&json!("Acme"), &json!("moderator"), &json!("ada"))
    );
    let member = dave.accepts(&again.text("token")).await.expect(StatusCode::OK);
    assert_eq!((&member.body["user_id"], &member.body["role"]), (&json!("dave"), &json!("moderator")));
    let read = ada.sees(&acme.at("/members/dave")).await;
    assert_eq!((&read.body, read.etag()), (&member.body, member.etag()));
    assert_eq!(ada.sees(&path).await.body["status"], "accepted");
    ada.post(&format!("{path}/revoke"), json!({})).await.refused(409, "invitation_not_pending");
    ada.post(&format!("{path}/resend"), json!({})).await.refused(409, "invitation_not_pending");
    acme.stop().await;
}

#[tokio::test]
async fn a_token_is_in_an_answer_only_when_no_mail_carries_it() {
    let acme = Acme::found().await;
    for notify in [json!({"email": "a@example.com"}), json!({"email": "b@example.com", "notify": true})] {
        let answer = acme.ada().post(&acme.at("/invitations"), notify).await.expect(StatusCode::CREATED);
        assert!(answer.body.get("token").is_none(), "{:#}", answer.body);
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_code_is_issued_rotated_used_up_and_disabled() {
    let acme = Acme::found().await;
    let (ada, path) = (acme.ada(), acme.at("/invite-code"));
    let first = ada.put(&path, json!({})).await.expect(StatusCode::OK);
    let terms = json!({"role": "moderator", "max_uses": 1, "expires_at": "2100-01-01T00:00:00Z"});
    let second = ada.put(&path, terms.clone()).await.expect(StatusCode::OK);
    for (field, value) in terms.as_object().unwrap() {
        assert_eq!(second.body[field], *value, "{field}");
    }
    let seen = ada.sees(&acme.at("")).await;
    assert_eq!((&seen.body["invite_code"]["uses"], seen.body["invite_code"].get("code")), (&json!(0), None));
    let dave = acme.service.user("dave");
    dave.post("/v1/join", json!({"code": first.text("code")})).await.refused(404, "token_invalid");
    let typed = second.text("code").to_lowercase().replace('-', " ");
    let joined = dave.post("/v1/join", json!({"code": typed.trim()})).await;
    assert_eq!(joined.expect(StatusCode::OK).body["role"], "moderator");
    dave.post("/v1/join", json!({"code": second.text("code")})).await.refused(409, "already_member");
    let eve = acme.service.provision("eve").await;
    eve.post("/v1/join", json!({"code": second.text("code")})).await.refused(409, "code_exhausted");
    assert_eq!(ada.sees(&acme.at("")).await.body["invite_code"]["uses"], 1);
    ada.delete(&path).await.expect(StatusCode::NO_CONTENT);
    eve.post("/v1/join", json!({"code": second.text("code")})).await.refused(404, "token_invalid");
    assert_eq!(ada.sees(&acme.at("")).await.body["invite_code"], Value::Null);
    acme.stop().await;
}

#[tokio::test]
async fn who_makes_no_sense_as_an_actor_is_told_so() {
    let acme = Acme::found().await;
    let (_, token) = acme.pending("dave@example.com").await;
    let code = acme.ada().put(&acme.at("/invite-code"), json!({})).await.expect(StatusCode::OK).text("code");
    let operator = acme.service.operator();
    operator.accepts(&token).await.refused(400, "actor_required");
    operator.post("/v1/join", json!({"code": code})).await.refused(400, "actor_required");
    acme.stop().await;
}

#[tokio::test]
async fn a_membership_ends_at_its_instant_and_its_seat_is_there_for_the_next() {
    let acme = Acme::found().await;
    let (ada, carol, operator) = (acme.ada(), acme.service.user("carol"), acme.service.operator());
    operator.patch(&acme.at(""), json!({"seats": {"limit": 3}})).await.expect(StatusCode::OK);
    let end = tenure::clock::now() + chrono::TimeDelta::milliseconds(1_500);
    let body = json!({"expires_at": end.to_rfc3339()});
    ada.patch(&acme.at("/members/carol"), body).await.expect(StatusCode::OK);
    carol.sees(&acme.at("/members")).await;
    tokio::time::sleep((end - tenure::clock::now()).to_std().unwrap_or_default()).await;
    carol.get(&acme.at("/members")).await.refused(403, "permission_denied");
    assert_eq!(ada.sees(&acme.at("/members?status=expired")).await.column("user_id"), ["carol"]);
    assert_eq!(ada.sees(&acme.at("/members?status=active")).await.column("user_id"), ["ada", "bob"]);
    let switcher = carol.sees("/v1/users/carol/workspaces").await;
    assert_eq!(switcher.column("membership_status"), ["active", "expired"]);
    ada.put(&acme.at("/members/dave"), json!({})).await.expect(StatusCode::CREATED);
    let ended = ada.sees(&acme.at("/audit-log?action=membership.ended")).await;
    let [ended] = ended.items() else { panic!("one end: {:#}", ended.body) };
    assert_eq!(
        (&ended["actor"]["type"], &ended["target"]["id"], &ended["reason"]),
        (&json!("system"), &json!("carol"), &json!("expired"))
    );
    ada.put(&acme.at("/members/carol"), json!({})).await.refused(409, "seats_exhausted");
    acme.stop().await;
}
