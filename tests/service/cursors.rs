//! Lists: pages, their links, and cursors that are good for nothing but their own list.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::Acme;
use crate::support::service::{Answer, User};

/// Acme with so many more members and pending invitations.
async fn crowded(more: usize) -> Acme {
    let acme = Acme::found().await;
    let seats = json!({"seats": {"limit": 100}});
    acme.service.operator().patch(&acme.at(""), seats).await.expect(StatusCode::OK);
    for n in 0..more {
        let name = format!("user{n}");
        acme.service.provision(&name).await;
        acme.ada().put(&acme.at(&format!("/members/{name}")), json!({})).await.expect(StatusCode::CREATED);
        acme.pending(&format!("guest{n}@example.com")).await;
    }
    acme
}

/// Follows `next_cursor` to the end; every page but the last is full and says where the next one is.
async fn pages(user: &User<'_>, path: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut next) = (Vec::new(), format!("{path}?limit={limit}"));
    loop {
        let page = user.sees(&next).await;
        all.extend(page.items().iter().cloned());
        let Some(cursor) = page.body["next_cursor"].as_str() else {
            assert_eq!(page.body["next_cursor"], Value::Null);
            assert_eq!(page.header("link"), None);
            return all;
        };
        assert_eq!(page.items().len(), limit);
        assert_eq!(
            page.header("link"),
            Some(&*format!("<{path}?limit={limit}&cursor={cursor}>; rel=\"next\""))
        );
        next = format!("{path}?limit={limit}&cursor={cursor}");
    }
}

#[tokio::test]
async fn pages_of_any_size_make_up_the_whole_list() {
    let acme = crowded(7).await;
    for list in ["/members", "/invitations", "/audit-log"] {
        let path = acme.at(list);
        let whole = acme.ada().sees(&path).await;
        assert_eq!((whole.body["next_cursor"].clone(), whole.header("link")), (Value::Null, None));
        for limit in [1, 3, whole.items().len(), 500] {
            assert_eq!(pages(&acme.ada(), &path, limit).await, whole.items(), "{list} by {limit}");
        }
    }
    acme.stop().await;
}

#[tokio::test]
async fn a_page_goes_on_where_the_last_one_ended_although_the_list_has_changed() {
    let acme = crowded(4).await;
    let path = acme.at("/invitations?limit=2");
    let first = acme.ada().sees(&path).await;
    acme.pending("late@example.com").await;
    let cursor = first.text("next_cursor");
    let second = acme.ada().sees(&format!("{path}&cursor={cursor}")).await;
    assert_eq!(second.column("email")[..2], ["guest1@example.com", "guest0@example.com"]);
    acme.stop().await;
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_only() {
    // Attack 8.
    let acme = crowded(3).await;
    let (ada, other) = (acme.ada(), acme.ada().creates("Other").await);
    let from = |path: String| {
        let ada = ada.clone();
        async move { ada.sees(&path).await.text("next_cursor") }
    };
    let members = from(acme.at("/members?limit=1")).await;
    let active = from(acme.at("/members?limit=1&status=active")).await;
    let pending = from(acme.at("/invitations?limit=1&status=pending")).await;
    let started = from(acme.at("/audit-log?limit=1&action=membership.*")).await;
    let elsewhere = |list: &str, cursor: &str| format!("/v1/workspaces/{other}/{list}&cursor={cursor}");
    let wrong = [
        elsewhere("members?limit=1", &members),
        elsewhere("members?status=active", &active),
        elsewhere("invitations?status=pending", &pending),
        elsewhere("audit-log?action=membership.*", &started),
        acme.at(&format!("/members?status=active&cursor={members}")),
        acme.at(&format!("/members?role=member&cursor={members}")),
        acme.at(&format!("/members?q=a&cursor={members}")),
        acme.at(&format!("/members?cursor={active}")),
        acme.at(&format!("/members?status=expired&cursor={active}")),
        acme.at(&format!("/invitations?status=pending&cursor={members}")),
        acme.at(&format!("/invitations?cursor={pending}")),
        acme.at(&format!("/invitations?status=pending&email=a@example.com&cursor={pending}")),
        acme.at(&format!("/audit-log?cursor={started}")),
        acme.at(&format!("/audit-log?action=membership.started&cursor={started}")),
        acme.at(&format!("/audit-log?action=membership.*&actor=ada&cursor={started}")),
        acme.at(&format!("/audit-log?action=membership.*&from=2020-01-01T00:00:00Z&cursor={started}")),
        acme.at("/members?cursor="),
        acme.at("/members?cursor=x"),
        acme.at(&format!("/members?cursor={}", "A".repeat(5_000))),
    ];
    for path in wrong {
        ada.get(&path).await.refused(400, "cursor_invalid").is_problem(400);
    }
    // The limit is no part of the list: it may change from page to page.
    ada.sees(&acme.at(&format!("/members?limit=3&cursor={members}"))).await;
    acme.stop().await;
}

#[tokio::test]
async fn a_cursor_with_one_bit_changed_is_refused() {
    // Attack 8.
    let acme = crowded(1).await;
    let cursor = acme.ada().sees(&acme.at("/members?limit=1")).await.text("next_cursor");
    for at in 0..cursor.len() {
        let mut bytes = cursor.clone().into_bytes();
        bytes[at] ^= 1;
        let forged: String = form_urlencoded::byte_serialize(&bytes).collect();
        let answer = acme.ada().get(&acme.at(&format!("/members?cursor={forged}"))).await;
        answer.refused(400, "cursor_invalid");
    }
    acme.stop().await;
}

#[tokio::test]
async fn limits_and_parameters_that_make_no_sense_are_refused_all_at_once() {
    let acme = Acme::found().await;
    let ask = |path: String| {
        let ada = acme.ada();
        async move { ada.send(Method::GET, &path, None, &[]).await }
    };
    let errors = |answer: &Answer| -> Vec<(String, String)> {
        answer.errors().iter().map(|(p, c)| ((*p).to_owned(), (*c).to_owned())).collect()
    };
    for list in ["/members", "/invitations", "/audit-log"] {
        for limit in ["0", "-1", "501", "9223372036854775807"] {
            let answer =
                ask(acme.at(&format!("{list}?limit={limit}"))).await.refused(400, "validation_failed");
            assert_eq!(errors(&answer)[0].0, "?limit", "{list} {limit}");
        }
        for limit in ["", "ten", "1.5", "1e2", "9223372036854775808", "%00"] {
            let answer =
                ask(acme.at(&format!("{list}?limit={limit}"))).await.refused(400, "validation_failed");
            assert_eq!(errors(&answer)[0].0, "?limit", "{list} {limit}");
        }
        for limit in ["1", "500"] {
            ask(acme.at(&format!("{list}?limit={limit}"))).await.expect(StatusCode::OK);
        }
        let answer = ask(acme.at(&format!("{list}?limit=5&limit=5"))).await.refused(400, "validation_failed");
        assert_eq!(errors(&answer), [("?limit".to_owned(), "duplicate".to_owned())]);
        let answer =
            ask(acme.at(&format!("{list}?nonsense=1&limit=0"))).await.refused(400, "validation_failed");
        let mut found = errors(&answer);
        found.sort();
        assert_eq!(found[0].0, "?limit");
        assert_eq!(found[1], ("?nonsense".to_owned(), "unknown_field".to_owned()));
        ask(acme.at(&format!("{list}?nonsense=1"))).await.refused(400, "unknown_field");
    }
    for (query, pointer) in [
        ("/members?role=King", "?role"),
        ("/members?status=gone", "?status"),
        ("/members?q=", "?q"),
        ("/members?q=%00", "?q"),
        ("/members?q=%ff", "?q"),
        ("/invitations?status=sent", "?status"),
        ("/invitations?email=nonsense", "?email"),
        ("/audit-log?from=yesterday", "?from"),
        ("/audit-log?to=2026-13-01T00:00:00Z", "?to"),
        ("/audit-log?actor=", "?actor"),
        ("/events?after=-1", "?after"),
        ("/events?after=x", "?after"),
        ("/events?limit=0", "?limit"),
        ("/events?nonsense=1", "?nonsense"),
    ] {
        let answer = ask(acme.at(query)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(errors(&answer).iter().map(|e| e.0.as_str()).collect::<Vec<_>>(), [pointer], "{query}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn times_that_the_database_cannot_hold_are_no_failure_of_the_service() {
    let acme = Acme::found().await;
    for time in ["-100000-01-01T00:00:00Z", "%2B262142-01-01T00:00:00Z", "0000-01-01T00:00:00Z"] {
        for name in ["from", "to"] {
            let answer = acme.ada().get(&acme.at(&format!("/audit-log?{name}={time}"))).await;
            assert!(!answer.status.is_server_error(), "{name}={time}: {:#}", answer.body);
        }
    }
    acme.stop().await;
}
