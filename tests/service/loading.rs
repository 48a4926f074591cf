//! Streams that many ask for at once are read together, and each is as it would be by itself.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use sqlx::{Connection, Executor, PgConnection, PgPool};
use tenure_aggregates::{User, UserId, Workspace, WorkspaceId};
use uuid::Uuid;

use crate::support::TestService;

const EACH: usize = 40;

#[tokio::test]
async fn streams_that_many_ask_for_at_once_are_read_in_few_queries_and_are_the_same() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let mut ids = Vec::new();
    for n in 0..EACH {
        ids.push(ada.creates(&format!("Acme {n}")).await);
    }
    let loader = service.app().store.loader().clone();
    let mut alone = Vec::new();
    for id in &ids {
        alone.push(loader.load::<Workspace>(id).await.unwrap());
    }
    // While the log cannot be read, everybody comes to wait.
    let mut holder = PgConnection::connect_with(&service.database).await.unwrap();
    holder.execute("begin; lock table events in access exclusive mode").await.unwrap();
    let mut asked = Vec::new();
    for id in &ids {
        let (loader, id) = (loader.clone(), id.clone());
        asked.push(tokio::spawn(async move { loader.load::<Workspace>(&id).await }));
    }
    // Some of nobody's, one of another kind, and one who does not wait for the answer.
    let (missing, other) = (loader.clone(), loader.clone());
    let missing = tokio::spawn(async move { missing.load::<Workspace>(&Uuid::nil().to_string()).await });
    let user = UserId::parse(ada.id.as_ref().unwrap()).unwrap();
    let home = WorkspaceId::personal(&user).to_string();
    let other = tokio::spawn(async move { other.load::<User>(&home).await });
    let gone = tokio::spawn({
        let (loader, id) = (loader.clone(), ids[0].clone());
        async move { loader.load::<Workspace>(&id).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    gone.abort();
    let admin = service.admin().await;
    let readers = readers(&admin, "%aggregate_id%").await;
    assert!((1..=4).contains(&readers), "{readers} queries for {} streams", EACH + 3);
    holder.execute("rollback").await.unwrap();
    for (asked, alone) in asked.into_iter().zip(alone) {
        let loaded = asked.await.unwrap().unwrap();
        assert_eq!((&loaded.state, loaded.sequence, loaded.home), (&alone.state, alone.sequence, alone.home));
    }
    assert_eq!(missing.await.unwrap().unwrap().sequence, 0);
    assert!(other.await.unwrap().unwrap().state.active().is_ok());
    assert!(gone.await.is_err_and(|error| error.is_cancelled()));
    // Whoever comes afterwards is served as ever.
    assert_eq!(
        loader.load::<Workspace>(&ids[0]).await.unwrap().home,
        Some(WorkspaceId(ids[0].parse().unwrap()))
    );
    holder.close().await.unwrap();
    admin.close().await;
    service.stop().await;
}

#[tokio::test]
async fn what_a_command_needs_and_nobody_remembers_is_read_side_by_side() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    service.provision("bob").await;
    let member = format!("/v1/workspaces/{}/members/bob", ada.creates("Acme").await);
    ada.put(&member, json!({"role": "member"})).await.expect(StatusCode::CREATED);
    let sibling = service.sibling().await;
    let admin = service.admin().await;
    let mut holder = PgConnection::connect_with(&service.database).await.unwrap();
    holder.execute("begin; lock table events in access exclusive mode").await.unwrap();
    let there = sibling.user("ada");
    let all_are_asked_for = async {
        // The workspace, both memberships, and the user whose name is shown; one after the other they would be one at a time.
        while readers(&admin, "%SELECT aggregate_type, aggregate_id%").await < 3 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        holder.execute("rollback").await.unwrap();
    };
    let (changed, asked) = tokio::join!(
        there.patch(&member, json!({"role": "moderator"})),
        tokio::time::timeout(Duration::from_secs(20), all_are_asked_for)
    );
    asked.expect("several reads at once");
    let changed = changed.expect(StatusCode::OK).body;
    assert_eq!((&changed["role"], &changed["name"]), (&json!("moderator"), &json!("bob")), "{changed:#}");
    // What was read ahead and refused is refused as ever, and nothing of it can be told from outside.
    let stranger = service.provision("eve").await;
    let refused = sibling.user("eve").patch(&member, json!({"role": "admin"})).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    drop(stranger);
    holder.close().await.unwrap();
    admin.close().await;
    sibling.leave().await;
    service.check_invariants().await;
    service.stop().await;
}

/// How many wait with such a query. Stock postgres-es writes its own in capitals, nobody else does.
async fn readers(admin: &PgPool, query: &str) -> i64 {
    let waiting = "select count(*) from pg_stat_activity where datname = current_database()
                   and wait_event_type = 'Lock' and query like $1";
    sqlx::query_scalar(waiting).bind(query).fetch_one(admin).await.unwrap()
}
