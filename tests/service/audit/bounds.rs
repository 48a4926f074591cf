//! However much is refused, what is written down is bounded, and nobody waits for it.

use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::Executor;

use super::{refused, rows, told};
use crate::support::Acme;

#[tokio::test]
async fn equal_attempts_are_one_entry_with_a_count_and_a_workspace_has_its_share() {
    let acme = Acme::found().await;
    let carol = acme.service.user("carol");
    for _ in 0..20 {
        carol.patch(&acme.at(""), json!({"name": "Mine"})).await.refused(403, "permission_denied");
    }
    let entries = refused(&acme).await;
    // The minute may have turned meanwhile.
    assert!(entries.len() <= 2, "{entries:#?}");
    let count = |entries: &[serde_json::Value]| -> i64 {
        entries.iter().map(|entry| entry["refusal"]["count"].as_i64().unwrap()).sum()
    };
    assert_eq!(count(&entries), 20);
    let last = entries[0]["refusal"]["last_time"].as_str().unwrap();
    assert!(last >= entries[0]["time"].as_str().unwrap());
    // 200 strangers: thirty of them by name, the rest in one number.
    for n in 0..200 {
        let stranger = acme.service.user(&format!("stranger-{n}"));
        stranger.delete(&acme.at("")).await.refused(404, "not_found");
    }
    let entries = refused(&acme).await;
    assert_eq!(count(&entries), 220, "every one counts");
    assert!(entries.len() <= 2 + 2 * 31, "{}", entries.len());
    let omitted = entries.iter().find(|entry| entry["action"] == "attempts.omitted").unwrap();
    assert_eq!(omitted["actor"], json!({"type": "unknown", "id": null}));
    assert_eq!(omitted["refusal"]["code"], "rate_bounded");
    assert_eq!(omitted["origin"]["ip"], json!(null));
    acme.stop().await;
}

#[tokio::test]
async fn while_the_table_cannot_be_written_everybody_is_answered_and_nothing_is_lost() {
    let acme = Acme::found().await;
    let admin = acme.service.admin().await;
    admin.execute("alter table refused_attempts rename to away").await.unwrap();
    let carol = acme.service.user("carol");
    for _ in 0..10 {
        carol.delete(&acme.at("")).await.refused(403, "permission_denied");
    }
    acme.service.app().attempts.settled().await;
    acme.ada().patch(&acme.at(""), json!({"name": "Other"})).await.expect(StatusCode::OK);
    admin.execute("alter table away rename to refused_attempts").await.unwrap();
    admin.close().await;
    let entries = refused(&acme).await;
    let counts: i64 = entries.iter().map(|entry| entry["refusal"]["count"].as_i64().unwrap()).sum();
    assert_eq!(counts, 10, "{entries:#?}");
    // Where it happened in the log, not where the log was when it could be written.
    assert_eq!(told(&entries)[0], ("command.denied", "permission_denied", "carol"));
    let log = acme.ada().sees(&acme.at("/audit-log?limit=2")).await;
    assert_eq!(log.column("outcome"), ["done", "refused"]);
    acme.stop().await;
}

#[tokio::test]
async fn what_was_noted_before_the_service_stops_is_written() {
    let acme = Acme::found().await;
    let sibling = acme.service.sibling().await;
    let answer = sibling.user("carol").delete(&acme.at("")).await;
    answer.refused(403, "permission_denied");
    sibling.leave().await;
    assert_eq!(rows(&acme.service).await.len(), 1);
    let entries = refused(&acme).await;
    assert_eq!(told(&entries), [("command.denied", "permission_denied", "carol")]);
    acme.stop().await;
}

#[tokio::test]
async fn the_service_itself_may_not_change_what_was_noted() {
    let acme = Acme::found().await;
    acme.service.user("carol").delete(&acme.at("")).await.refused(403, "permission_denied");
    assert_eq!(refused(&acme).await.len(), 1);
    let options = acme.service.database.clone().options([("role", "tenure_service")]);
    let mut connection: sqlx::PgConnection = sqlx::Connection::connect_with(&options).await.unwrap();
    for sql in
        ["delete from refused_attempts", "update refused_attempts set count = 1", "truncate refused_attempts"]
    {
        assert!(connection.execute(sql).await.is_err(), "{sql}");
    }
    sqlx::Connection::close(connection).await.unwrap();
    // No route changes one either.
    for method in [Method::DELETE, Method::PUT, Method::PATCH, Method::POST] {
        let answer = acme.ada().send(method, &acme.at("/audit-log"), None, &[]).await;
        answer.refused(405, "method_not_allowed");
    }
    acme.stop().await;
}
