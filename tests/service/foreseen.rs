//! Commands on one stream do not wait for each other's disk write: each is decided on what the one before it will leave.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tenure::store::idempotency::KeyScope;
use uuid::Uuid;

use crate::support::TestService;
use crate::support::invariants::log_is_whole;
use crate::support::service::Answer;

async fn until_queued(service: &TestService, units: usize) {
    for _ in 0..2_000 {
        if service.app().store.queue_depth() >= units {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("{} units are queued", service.app().store.queue_depth());
}

/// Until a statement waits for the lock that somebody else holds.
async fn until_held_up(admin: &PgPool) {
    for _ in 0..2_000 {
        let waiting: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
        )
        .fetch_one(admin)
        .await
        .unwrap();
        if waiting > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nothing waits for the lock");
}

#[tokio::test]
async fn commands_on_one_workspace_are_decided_while_none_of_them_is_written() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let acme = ada.creates("Acme").await;
    let admin = service.admin().await;
    let mut holder = PgConnection::connect_with(&service.database).await.unwrap();
    holder.execute("begin; select from log_head for update").await.unwrap();
    let mut renamed = Vec::new();
    for n in 0..6 {
        let request = ada.request(Method::PATCH, &format!("/v1/workspaces/{acme}"));
        renamed.push(tokio::spawn(Answer::of(request.json(&json!({"name": format!("Acme {n}")})))));
        // The first is on its way to the log before the next is asked for; each of the others is queued behind it, decided.
        match n {
            0 => until_held_up(&admin).await,
            _ => until_queued(&service, n).await,
        }
    }
    holder.execute("rollback").await.unwrap();
    holder.close().await.unwrap();
    let mut positions = Vec::new();
    for (n, answer) in renamed.into_iter().enumerate() {
        let answer = answer.await.unwrap().expect(StatusCode::OK);
        assert_eq!(answer.text("name"), format!("Acme {n}"));
        positions.push(answer.header("tenure-position").unwrap().parse::<i64>().unwrap());
    }
    let first = positions[0];
    assert_eq!(positions, (first..first + 6).collect::<Vec<_>>());
    log_is_whole(&admin).await;
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn a_keys_digest_is_the_one_the_migration_gave_those_used_before() {
    let service = TestService::start().await;
    let admin = service.admin().await;
    for (principal, key) in [("user:ada", "k-1"), ("user:zoë", "ключ"), ("service", "")] {
        let scope = KeyScope { workspace: Uuid::nil(), principal: principal.into(), key: key.into() };
        let migrated: Uuid = sqlx::query_scalar(
            "select encode(substr(sha256(int8send(octet_length($1)) || convert_to($1, 'UTF8')
                                         || convert_to($2, 'UTF8')), 1, 16), 'hex')::uuid",
        )
        .bind(principal)
        .bind(key)
        .fetch_one(&admin)
        .await
        .unwrap();
        assert_eq!(scope.id().digest, migrated, "{principal} {key}");
    }
    admin.close().await;
    service.stop().await;
}
