//! `as_of` itself: which moments there are, pages, and who may look.

use reqwest::StatusCode;
use serde_json::json;
use tenure::clock::now;

use crate::support::Acme;

fn reads(acme: &Acme) -> Vec<String> {
    let mut reads = vec!["/v1/users/ada".to_owned(), "/v1/users/ada/workspaces".to_owned()];
    reads.extend(["", "/members", "/members/ada", "/invitations"].map(|rest| acme.at(rest)));
    reads.push("/v1/workspaces/by-slug/acme".to_owned());
    reads
}

#[tokio::test]
async fn the_future_is_refused_and_what_is_no_moment_too() {
    let acme = Acme::found().await;
    acme.ada().patch(&acme.at(""), json!({"slug": "acme"})).await.expect(StatusCode::OK);
    let operator = acme.service.operator();
    let ahead = acme.service.head().await + 1;
    let later = (now() + chrono::TimeDelta::hours(1)).to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    for path in reads(&acme) {
        let answer = operator.get(&format!("{path}?as_of={ahead}")).await.refused(400, "position_in_future");
        assert_eq!(answer.errors(), [("?as_of", "position_in_future")], "{path}");
        let answer = operator.get(&format!("{path}?as_of={later}")).await.refused(400, "validation_failed");
        assert_eq!(answer.errors(), [("?as_of", "invalid")], "{path}");
        for bad in ["", "-1", "1.5", "yesterday", "2026-01-01", "99999999999999999999", "%2B1"] {
            let answer = operator.get(&format!("{path}?as_of={bad}")).await.refused(400, "validation_failed");
            assert_eq!(answer.errors(), [("?as_of", "invalid")], "{path} {bad}");
        }
        operator.get(&format!("{path}?as_of=1&as_of=2")).await.refused(400, "validation_failed");
        operator.get(&format!("{path}?as_of={}", ahead - 1)).await.expect(StatusCode::OK);
    }
    drop(operator);
    acme.stop().await;
}

#[tokio::test]
async fn before_it_was_there_is_nothing_of_it() {
    let acme = Acme::found().await;
    let (id, _) = acme.pending("eve@example.com").await;
    let operator = acme.service.operator();
    let head = acme.service.head().await;
    for moment in ["0", "1999-12-31T23:59:59Z"] {
        for path in ["", "/members", "/members/ada", "/invitations"] {
            operator.get(&acme.at(&format!("{path}?as_of={moment}"))).await.refused(404, "not_found");
        }
        operator.get(&format!("/v1/users/ada?as_of={moment}")).await.refused(404, "user_not_found");
        operator
            .get(&format!("/v1/users/ada/workspaces?as_of={moment}"))
            .await
            .refused(404, "user_not_found");
    }
    let before = head - 1;
    operator.get(&acme.at(&format!("/invitations/{id}?as_of={before}"))).await.refused(404, "not_found");
    operator.sees(&acme.at(&format!("/invitations/{id}?as_of={head}"))).await;
    operator.get(&acme.at(&format!("/members/dave?as_of={head}"))).await.refused(404, "not_found");
    drop(operator);
    acme.stop().await;
}

#[tokio::test]
async fn an_instant_is_the_last_position_at_or_before_it() {
    let acme = Acme::found().await;
    let admin = acme.service.admin().await;
    let rows: Vec<(i64, tenure_aggregates::Time)> =
        sqlx::query_as("select position, recorded_at from events order by position")
            .fetch_all(&admin)
            .await
            .unwrap();
    let (app, tick) = (acme.service.app(), chrono::TimeDelta::microseconds(1));
    let found = async |time| {
        let moment = tenure::past::Moment::Time(time);
        let past = tenure::past::Past::at(moment, "?as_of", &app.reads, &app.projector_pool, now());
        past.await.unwrap().position
    };
    for (_, time) in &rows {
        let last = |until| rows.iter().filter(|row| row.1 <= until).map(|row| row.0).max().unwrap_or(0);
        assert_eq!(found(*time).await, last(*time));
        assert_eq!(found(*time - tick).await, last(*time - tick));
    }
    assert_eq!(found(now()).await, rows.len() as i64);
    admin.close().await;
    acme.stop().await;
}

#[tokio::test]
async fn pages_of_then_go_on_in_then() {
    let acme = Acme::found().await;
    acme.service.operator().patch(&acme.at(""), json!({"seats": {"limit": 50}})).await.expect(StatusCode::OK);
    for n in 0..7 {
        acme.service.provision(&format!("user-{n}")).await;
        acme.ada().put(&acme.at(&format!("/members/user-{n}")), json!({})).await.expect(StatusCode::CREATED);
        acme.pending(&format!("guest-{n}@example.com")).await;
    }
    let head = acme.service.head().await;
    let members = acme.ada().sees(&acme.at("/members?limit=500")).await;
    let invitations = acme.ada().sees(&acme.at("/invitations?limit=500")).await;
    for (list, whole) in [("/members", members), ("/invitations", invitations)] {
        let first = format!("{list}?limit=2&as_of={head}");
        let (mut path, mut items) = (acme.at(&first), Vec::new());
        loop {
            let page = acme.ada().sees(&path).await;
            items.extend(page.items().to_vec());
            // Meanwhile things go on.
            let n = items.len();
            acme.ada().delete(&acme.at(&format!("/members/user-{n}"))).await;
            acme.pending(&format!("late-{n}@example.com")).await;
            let Some(cursor) = page.body["next_cursor"].as_str() else { break };
            assert!(page.header("link").unwrap().contains(&format!("as_of={head}")));
            acme.ada()
                .get(&acme.at(&format!("{list}?limit=2&cursor={cursor}")))
                .await
                .refused(400, "cursor_invalid");
            let other = acme.at(&format!("{list}?limit=2&as_of={}&cursor={cursor}", head - 1));
            acme.ada().get(&other).await.refused(400, "cursor_invalid");
            path = acme.at(&format!("{first}&cursor={cursor}"));
        }
        assert_eq!(items, whole.items(), "{list}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn who_may_look_is_decided_now() {
    let acme = Acme::found().await;
    let (ada, head) = (acme.ada(), acme.service.head().await);
    let members = acme.at(&format!("/members?as_of={head}"));
    acme.service.user("carol").sees(&members).await;
    ada.delete(&acme.at("/members/carol")).await.expect(StatusCode::NO_CONTENT);
    // Once a member, and no more: nothing, not even of the time when she was one.
    acme.service.user("carol").get(&members).await.refused(404, "not_found");
    acme.service.user("carol").get(&acme.at(&format!("?as_of={head}"))).await.refused(404, "not_found");
    // A member of now sees what was before.
    ada.put(&acme.at("/members/dave"), json!({})).await.expect(StatusCode::CREATED);
    assert_eq!(acme.service.user("dave").sees(&members).await.column("user_id"), ["ada", "bob", "carol"]);
    let invitations = acme.at(&format!("/invitations?as_of={head}"));
    acme.service.user("dave").get(&invitations).await.refused(403, "permission_denied");
    acme.service
        .user("dave")
        .get(&format!("/v1/users/ada?as_of={head}"))
        .await
        .refused(404, "user_not_found");
    // A workspace that is deleted has no past.
    ada.delete(&acme.at("")).await.expect(StatusCode::NO_CONTENT);
    for path in ["", "/members", "/members/ada", "/invitations"] {
        let path = acme.at(&format!("{path}?as_of={head}"));
        ada.get(&path).await.refused(404, "not_found");
        acme.service.operator().get(&path).await.refused(404, "not_found");
    }
    drop(ada);
    acme.stop().await;
}

#[tokio::test]
async fn another_tenants_id_is_like_a_random_one_in_the_past_too() {
    let acme = Acme::found().await;
    let other = acme.service.user("dave").creates("Other").await;
    let (id, _) = acme.pending("eve@example.com").await;
    let head = acme.service.head().await;
    let random = "01890000-0000-7000-8000-000000000000";
    let same = async |one: String, random: String| {
        let dave = acme.service.user("dave");
        let (one, random) = (dave.get(&one).await, dave.get(&random).await);
        let without = |answer: &crate::support::Answer| {
            let mut body = answer.body.clone();
            let problem = body.as_object_mut().unwrap();
            problem.remove("request_id");
            problem.remove("instance");
            (answer.status, body)
        };
        assert_eq!(without(&one), without(&random));
        assert_eq!(one.status, StatusCode::NOT_FOUND);
    };
    for path in ["", "/members", "/members/ada", "/invitations"] {
        let at = |id: &str| format!("/v1/workspaces/{id}{path}?as_of={head}");
        same(at(&acme.id), at(random)).await;
    }
    let at = |id: &str| format!("/v1/workspaces/{other}/invitations/{id}?as_of={head}");
    same(at(&id), at(random)).await;
    let at = |user: &str| format!("/v1/users/{user}?as_of={head}");
    same(at("ada"), at("nobody")).await;
    acme.stop().await;
}
