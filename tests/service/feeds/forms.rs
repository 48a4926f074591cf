//! One feed, three forms: which one is answered, where it begins, what is in it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::support::{describe, lines, live, not_live, page};
use crate::support::Acme;

#[tokio::test]
async fn lines_pages_and_live_streams_hold_the_same_events() {
    let acme = Acme::found().await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    for (user, path, place) in
        [(&ada, acme.at("/events"), "workspaceseq"), (&operator, "/v1/events".to_owned(), "position")]
    {
        let all = lines(user, &path).await;
        let places: Vec<_> = all.iter().map(|event| event[place].as_i64().unwrap()).collect();
        assert_eq!(places, (1..=all.len() as i64).collect::<Vec<_>>(), "{path}");
        let (mut paged, mut next) = (Vec::new(), Some(format!("{path}?limit=2")));
        while let Some(path) = next {
            let answer = page(user, &path).await.expect(StatusCode::OK);
            assert!(answer.items().len() <= 2);
            paged.extend(answer.items().to_vec());
            let link = answer.header("link").map(str::to_owned);
            assert_eq!(link.is_some(), answer.body["next_cursor"].is_string());
            next = link.map(|link| link[1..link.find('>').unwrap()].to_owned());
        }
        assert_eq!(paged, all, "{path}");
        let mut stream = live(user, &path).await;
        let received = stream.up_to(all.len() as i64).await;
        for (received, event) in received.iter().zip(&all) {
            assert_eq!(received.data, *event);
            assert_eq!(received.id, event[place].as_i64().unwrap());
            assert_eq!(received.event, event["type"].as_str().unwrap());
        }
        assert_eq!(received.len(), all.len(), "{path}");
    }
    acme.stop().await;
}

#[tokio::test]
async fn the_whole_feed_is_every_workspaces_history() {
    let acme = Acme::found().await;
    let operator = acme.service.operator();
    let all = lines(&operator, "/v1/events").await;
    assert_eq!(all.len() as i64, acme.service.head().await);
    let of_acme: Vec<_> = all.iter().filter(|event| event["workspaceid"] == *acme.id).cloned().collect();
    assert_eq!(of_acme, lines(&operator, &acme.at("/events")).await);
    let home = operator.sees("/v1/users/ada").await.text("personal_workspace_id");
    assert!(all.iter().any(|event| event["workspaceid"] == *home));
    acme.stop().await;
}

#[tokio::test]
async fn the_form_is_what_the_caller_accepts() {
    let acme = Acme::found().await;
    for path in [acme.at("/events"), "/v1/events".to_owned()] {
        for (accept, kind) in [
            ("*/*", "application/x-ndjson"),
            ("application/x-ndjson", "application/x-ndjson"),
            ("application/json", "application/json"),
            ("application/json, text/plain, */*", "application/json"),
        ] {
            let headers = [("accept", accept)];
            let answer = acme.service.operator().send(Method::GET, &path, None, &headers).await;
            let answer = answer.expect(StatusCode::OK);
            assert_eq!(answer.header("content-type"), Some(kind), "{accept}");
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        let headers = [("accept", "application/xml")];
        let answer = acme.service.operator().send(Method::GET, &path, None, &headers).await;
        answer.refused(406, "not_acceptable").is_problem(406);
    }
    acme.stop().await;
}

#[tokio::test]
async fn what_makes_no_sense_in_a_form_is_refused() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let pointers = |answer: crate::support::Answer| -> Vec<String> {
        let answer = answer.refused(400, "validation_failed");
        answer.errors().iter().map(|error| error.0.to_owned()).collect()
    };
    let path = acme.at("/events");
    let cursor = page(&ada, &format!("{path}?limit=1")).await.text("next_cursor");
    assert_eq!(pointers(ada.get(&format!("{path}?cursor={cursor}")).await), ["?cursor"]);
    assert_eq!(pointers(not_live(&ada, &format!("{path}?cursor={cursor}"), &[]).await), ["?cursor"]);
    assert_eq!(pointers(not_live(&ada, &format!("{path}?limit=5"), &[]).await), ["?limit"]);
    assert_eq!(pointers(page(&ada, &format!("{path}?limit=501")).await), ["?limit"]);
    assert_eq!(pointers(page(&ada, &format!("{path}?after=1&cursor={cursor}")).await), ["?cursor"]);
    assert_eq!(pointers(ada.get(&format!("{path}?after=1&consumer=billing")).await), ["?consumer"]);
    assert_eq!(pointers(ada.get(&format!("{path}?types=Sent")).await), ["?types"]);
    assert_eq!(pointers(ada.get(&format!("{path}?consumer=No!")).await), ["?consumer"]);
    for id in ["-1", "1.5", "x", "9223372036854775808"] {
        assert_eq!(pointers(not_live(&ada, &path, &[("last-event-id", id)]).await), ["Last-Event-ID"]);
    }
    page(&ada, &format!("{path}?types=invitation.*&cursor={cursor}")).await.refused(400, "cursor_invalid");
    let operator = acme.service.operator();
    page(&operator, &format!("/v1/events?cursor={cursor}")).await.refused(400, "cursor_invalid");
    // A place that the feed has not come to: whoever has it has it from elsewhere.
    not_live(&ada, &path, &[("last-event-id", "999")]).await.refused(400, "position_in_future");
    not_live(&ada, &format!("{path}?after=999"), &[]).await.refused(400, "position_in_future");
    not_live(&operator, "/v1/events?after=999", &[]).await.refused(400, "position_in_future");
    acme.stop().await;
}

#[tokio::test]
async fn a_reader_gets_the_types_it_asks_for_and_nothing_is_skipped_by_that() {
    let acme = Acme::found().await;
    let ada = acme.ada();
    let path = acme.at("/events");
    let all = lines(&ada, &path).await;
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<Value> {
        let wanted = |event: &&Value| wanted(event["type"].as_str().unwrap());
        all.iter().filter(wanted).cloned().collect()
    };
    let memberships = of(&|kind| kind.starts_with("tenure.membership."));
    let some = of(&|kind| kind.starts_with("tenure.membership.") || kind == "tenure.invitation.sent.v1");
    assert!(memberships.len() > 2 && some.len() > memberships.len());
    assert_eq!(lines(&ada, &format!("{path}?types=membership.*")).await, memberships);
    assert_eq!(lines(&ada, &format!("{path}?types=membership.*,invitation.sent")).await, some);
    assert_eq!(lines(&ada, &format!("{path}?types=membership.*&limit=2")).await, memberships[..2]);
    assert!(lines(&ada, &format!("{path}?types=membership.star")).await.is_empty());
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let answer = page(&ada, &format!("{path}?types=membership.*&limit=1{cursor}")).await;
        let answer = answer.expect(StatusCode::OK);
        paged.extend(answer.items().to_vec());
        match answer.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, memberships);
    acme.stop().await;
}

#[tokio::test]
async fn a_filtered_live_stream_tells_how_far_it_has_come() {
    let acme = Acme::found_with(|settings| {
        settings.feed_times.heartbeat = std::time::Duration::from_millis(100);
    })
    .await;
    let ada = acme.ada();
    let end = super::support::end_of(&acme).await;
    let mut stream = live(&ada, &acme.at("/events?types=workspace.profile_changed")).await;
    // Nothing of what is there was asked for; the id goes on all the same, so that nobody reads it twice.
    let told = loop {
        let block = stream.block().await.unwrap();
        if let Some(id) = block.get("id") {
            assert!(!block.contains_key("data") && !block.contains_key("event"), "{block:?}");
            break id[0].parse::<i64>().unwrap();
        }
    };
    assert_eq!(told, end);
    describe(&ada, &acme.id, "one").await;
    let received = stream.next().await.unwrap();
    assert_eq!((received.id, received.event.as_str()), (end + 1, "tenure.workspace.profile_changed.v1"));
    acme.stop().await;
}

#[tokio::test]
async fn a_feed_stops_at_a_hole_and_goes_on_once_it_is_filled() {
    let acme = Acme::found_with(|settings| {
        settings.feed_times.heartbeat = std::time::Duration::from_millis(50);
        settings.feed_times.pause = std::time::Duration::from_millis(20);
    })
    .await;
    let (ada, operator) = (acme.ada(), acme.service.operator());
    let (path, end) = (acme.at("/events"), super::support::end_of(&acme).await);
    let admin = acme.service.admin().await;
    let workspace: uuid::Uuid = acme.id.parse().unwrap();
    let position = "select position from events where workspace_id = $1 and workspace_seq = 3";
    let position: i64 = sqlx::query_scalar(position).bind(workspace).fetch_one(&admin).await.unwrap();
    let mut connection = admin.acquire().await.unwrap();
    // As if that event were on a server that is still on its way.
    sqlx::raw_sql(&format!(
        "set session_replication_role = replica;
         create table away as select * from events where position = {position};
         delete from events where position = {position}"
    ))
    .execute(&mut *connection)
    .await
    .unwrap();
    let one = page(&ada, &path).await.expect(StatusCode::OK);
    assert_eq!(one.items().len(), 2);
    let next = format!("{path}?cursor={}", one.text("next_cursor"));
    page(&ada, &next).await.refused(503, "unavailable").is_problem(503);
    ada.get(&format!("{path}?after=2")).await.refused(503, "unavailable");
    let broken = ada.request(Method::GET, &path).send().await.unwrap();
    assert!(broken.text().await.is_err(), "lines that are not all break off");
    let all = page(&operator, "/v1/events?limit=500").await.expect(StatusCode::OK);
    assert_eq!(all.items().len() as i64, position - 1);
    let mut stream = live(&ada, &path).await;
    assert_eq!(stream.up_to(2).await.len(), 2);
    for _ in 0..3 {
        let block = stream.block().await.unwrap();
        assert!(!block.contains_key("data"), "{block:?}");
    }
    sqlx::raw_sql(
        "insert into events select * from away; drop table away; set session_replication_role = origin",
    )
    .execute(&mut *connection)
    .await
    .unwrap();
    drop(connection);
    let rest: Vec<_> = stream.up_to(end).await.iter().map(|received| received.id).collect();
    assert_eq!(rest, (3..=end).collect::<Vec<_>>());
    admin.close().await;
    acme.stop().await;
}

#[tokio::test]
async fn a_page_is_at_least_as_fresh_as_what_its_reader_has_seen() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    for n in 0..20 {
        let body = json!({"description": format!("{n}")});
        let written = acme.ada().patch(&acme.at(""), body).await.expect(StatusCode::OK);
        let seen = written.header("tenure-position").unwrap();
        let (ada, path) = (sibling.user("ada"), acme.at("/events"));
        let headers = [("tenure-position", seen), ("accept", "application/json")];
        let read = ada.send(Method::GET, &format!("{path}?limit=500"), None, &headers).await;
        let last = read.expect(StatusCode::OK).items().last().unwrap()["position"].clone();
        assert_eq!(last.to_string(), seen);
    }
    sibling.leave().await;
    acme.stop().await;
}
