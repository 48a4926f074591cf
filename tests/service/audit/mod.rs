//! The audit log: what is done and what is refused, found again and carried out.

mod attempts;
mod bounds;
mod entries;
mod export;
mod files;
mod search;
mod times;

use serde_json::Value;
use sqlx::Executor;
use uuid::Uuid;

use crate::support::service::User;
use crate::support::{Acme, TestService};

/// What was refused in Acme, newest first, as its owner sees it.
async fn refused(acme: &Acme) -> Vec<Value> {
    refused_in(&acme.ada(), &acme.id).await
}

async fn refused_in(owner: &User<'_>, workspace: &str) -> Vec<Value> {
    owner.service.app().attempts.settled().await;
    let path = format!("/v1/workspaces/{workspace}/audit-log?outcome=refused&limit=500");
    owner.sees(&path).await.items().to_vec()
}

/// Action, code and actor of each.
fn told(entries: &[Value]) -> Vec<(&str, &str, &str)> {
    fn text(value: &Value) -> &str {
        value.as_str().unwrap_or("-")
    }
    entries
        .iter()
        .map(|entry| (text(&entry["action"]), text(&entry["refusal"]["code"]), text(&entry["actor"]["id"])))
        .collect()
}

/// The rows of the table as text.
async fn rows(service: &TestService) -> Vec<String> {
    let admin = service.admin().await;
    let rows = sqlx::query_scalar("select a::text from refused_attempts a").fetch_all(&admin).await.unwrap();
    admin.close().await;
    rows
}

/// Makes a workspace's history longer, as if its seats had been changed over and over, each time by a client that ties
/// a long correlation id to it.
async fn lengthen(service: &TestService, workspace: &str, events: i64, filler: usize) {
    let admin = service.admin().await;
    let mut surgeon = admin.acquire().await.unwrap().detach();
    let workspace: Uuid = workspace.parse().unwrap();
    let sequence: i64 = sqlx::query_scalar(
        "select max(sequence) from events where aggregate_type = 'Workspace' and workspace_id = $1",
    )
    .bind(workspace)
    .fetch_one(&mut surgeon)
    .await
    .unwrap();
    let mut tx = sqlx::Connection::begin(&mut surgeon).await.unwrap();
    let insert = "with head as (select position, recorded_at from log_head for update),
             seq as (select seq from workspace_heads where workspace_id = $1)
         insert into events
         select head.position + n, $1, seq.seq + n, 'Workspace', $1::text, $2 + n, 'WorkspaceSeatsLimitChanged', '1',
             json_build_object('type', 'WorkspaceSeatsLimitChanged',
                 'seats_limit', json_build_object('from', 100 + n, 'to', 101 + n)),
             json_build_object('workspace_id', $1, 'actor_type', 'system', 'command', 'ChangeWorkspace',
                 'correlation_id', repeat('c', $4)), head.recorded_at
         from head, seq, generate_series(1, $3) n";
    sqlx::query(insert)
        .bind(workspace)
        .bind(sequence)
        .bind(events)
        .bind(i32::try_from(filler).unwrap())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.execute(format!("update log_head set position = position + {events}, epoch = epoch + 1").as_str())
        .await
        .unwrap();
    let heads = format!("update workspace_heads set seq = seq + {events} where workspace_id = '{workspace}'");
    tx.execute(heads.as_str()).await.unwrap();
    tx.commit().await.unwrap();
    admin.close().await;
}
