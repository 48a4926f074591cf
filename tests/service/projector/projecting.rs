//! The running projector: live, beside another one, around poison and before a hole.

use std::time::Duration;

use tenure::projector::{Error, parked, retry_parked, status};
use tenure_aggregates::{User, WorkspaceId};
use tenure_projections::ALL;

use super::database::{Database, assert_same};
use super::history::History;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_projected() {
    let db = Database::new().await;
    let running = db.project();
    let mut history = History::of(21, 1_000);
    let mut rest = &history.events[..];
    let mut random = History::new(3);
    while !rest.is_empty() {
        let (batch, later) = rest.split_at((1 + random.below(60)).min(rest.len()));
        db.append(batch).await;
        // Half of the time the other process's way: by LISTEN and poll alone.
        if random.below(2) == 0 {
            running.appended.send_replace(batch.last().unwrap().position);
        }
        rest = later;
    }
    let head = history.head();
    running.reaches(head).await;
    let rows = db.dump().await;
    for line in status(&db.projector).await.unwrap() {
        assert_eq!((line.position, line.lag, line.parked, line.generation), (head, 0, 0, 1));
    }
    running.stop().await;
    assert_same(&rows, &db.fold(&history.decoded(), || 1 + history.below(99)).await, "projected, folded");
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_projectors_apply_every_event_once() {
    let db = Database::new().await;
    let (one, two) = (db.project(), db.project_on(db.pool("tenure_projector", 4)));
    let history = History::of(22, 1_500);
    for batch in history.events.chunks(7) {
        db.append(batch).await;
        let end = batch.last().unwrap().position;
        one.appended.send_replace(end);
        two.appended.send_replace(end);
    }
    let head = history.head();
    one.reaches(head).await;
    two.reaches(head).await;
    let rows = db.dump().await;
    // The one left goes on alone.
    one.stop().await;
    two.stop().await;
    assert_same(&rows, &db.fold(&history.decoded(), || usize::MAX).await, "projected, folded");
    db.remove().await;
}

/// The position of that read model.
async fn position_of(db: &Database, name: &str) -> i64 {
    let lines = status(&db.projector).await.unwrap();
    lines.iter().find(|line| line.name == name).unwrap().position
}

#[tokio::test(flavor = "multi_thread")]
async fn where_only_some_read_models_could_commit_the_others_follow() {
    let db = Database::new().await;
    let running = db.project();
    let mut history = History::of(27, 300);
    let (head, half) = (history.head(), history.events[150].position);
    let (first, rest) = history.events.split_at(151);
    db.append(first).await;
    running.appended.send_replace(half);
    running.reaches(half).await;
    // As if the process died before the share of the audit log committed, and after the others did.
    let refused = "create function refuse() returns trigger language plpgsql as $$ begin
                       raise exception 'not now' using errcode = 'query_canceled';
                   end $$;
                   create constraint trigger refused after insert on audit_log deferrable initially deferred
                       for each row execute function refuse()";
    sqlx::raw_sql(refused).execute(&db.owner).await.unwrap();
    db.append(rest).await;
    running.appended.send_replace(head);
    for name in ["members", "states"] {
        while position_of(&db, name).await < head {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for name in ["audit_log", "proofs"] {
        assert_eq!(position_of(&db, name).await, half, "{name}");
    }
    assert_eq!(running.applied(), half, "what is told is what all of them have reached");
    sqlx::raw_sql("drop trigger refused on audit_log").execute(&db.owner).await.unwrap();
    running.reaches(head).await;
    let rows = db.dump().await;
    running.stop().await;
    assert_same(&rows, &db.fold(&history.decoded(), || 1 + history.below(99)).await, "projected, folded");
    db.remove().await;
}

/// Replaces an event, as no role of Tenure may.
async fn mend(db: &Database, position: i64, payload: &str, event_type: &str) {
    let mut tx = db.owner.begin().await.unwrap();
    sqlx::query("set local session_replication_role = replica").execute(&mut *tx).await.unwrap();
    sqlx::query("update events set payload = $2::text::json, event_type = $3 where position = $1")
        .bind(position)
        .bind(payload)
        .bind(event_type)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_parks_its_workspace_alone() {
    let db = Database::new().await;
    let mut history = History::of(23, 200);
    // One that cannot be decoded, and one whose e-mail address no index takes.
    let ill: Vec<WorkspaceId> =
        [0, 1].map(|at| WorkspaceId::personal(history.users.keys().nth(at).unwrap())).into();
    let broken = history.head() + 1;
    history.record_text(
        ill[0],
        "User",
        ill[0].to_string(),
        "UserReborn",
        r#"{"type":"UserReborn"}"#.to_owned(),
    );
    let user = history.users.keys().nth(1).unwrap().clone();
    let change = |name: &str| {
        let user = serde_json::to_string(&user).unwrap();
        format!(r#"{{"type":"UserProfileChanged","user_id":{user},"email":{{"from":null,"to":"{name}"}}}}"#)
    };
    let endless: String =
        (0..4_000).map(|_| char::from(b'!' + 10 + u8::try_from(history.below(80)).unwrap())).collect();
    let endless = endless.replace('\\', "/");
    history.record_text(ill[1], "User", ill[1].to_string(), "UserProfileChanged", change(&endless));
    while history.events.len() < 600 {
        let owner = history.provision();
        let team = history.create_team(&owner);
        for user in history
            .users
            .iter()
            .filter(|u| matches!(u.1, User::Active(_)))
            .map(|u| u.0.clone())
            .take(3)
            .collect::<Vec<_>>()
        {
            history.join(team, &user, tenure_aggregates::Role::Admin);
        }
    }
    let running = db.project();
    db.append(&history.events).await;
    let head = history.head();
    running.reaches(head).await;
    let waiting = parked(&db.projector).await.unwrap();
    let of =
        |workspace: WorkspaceId| waiting.iter().filter(|p| p.workspace_id == workspace.0).collect::<Vec<_>>();
    assert_eq!(of(ill[0]).len(), ALL.len(), "{waiting:?}");
    assert_eq!(
        of(ill[1]).iter().map(|p| p.name.as_str()).collect::<std::collections::BTreeSet<_>>(),
        ["members"].into()
    );
    assert!(waiting.iter().all(|p| p.position == broken || p.position == broken + 1), "{waiting:?}");
    assert_eq!(running.handle.snapshot().parked, i64::try_from(ALL.len() + 1).unwrap());
    let retry = retry_parked(&db.projector, &db.vault, "users", ill[0]).await;
    assert!(matches!(retry, Err(Error::Undecodable(_))), "{retry:?}");

    let erased = format!(
        r#"{{"type":"UserErasureStarted","user_id":{}}}"#,
        serde_json::to_string(history.users.keys().next().unwrap()).unwrap()
    );
    mend(&db, broken, &erased, "UserErasureStarted").await;
    sqlx::query("drop index members_by_email").execute(&db.owner).await.unwrap();
    history.events[broken as usize - 1].payload = erased;
    history.events[broken as usize - 1].event_type = "UserErasureStarted".to_owned();
    for parked in waiting {
        let count = retry_parked(&db.projector, &db.vault, &parked.name, WorkspaceId(parked.workspace_id))
            .await
            .unwrap();
        assert!(count >= 1);
        let again =
            retry_parked(&db.projector, &db.vault, &parked.name, WorkspaceId(parked.workspace_id)).await;
        assert!(matches!(again, Err(Error::NotParked { .. })));
    }
    let rows = db.dump().await;
    running.stop().await;
    assert_same(&rows, &db.fold(&history.decoded(), || usize::MAX).await, "projected, folded");
    db.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_is_never_skipped() {
    let db = Database::new().await;
    let history = History::of(24, 60);
    let running = db.project();
    db.append(&history.events[..20]).await;
    running.reaches(20).await;
    db.append(&history.events[30..]).await;
    let mut snapshots = running.handle.snapshots();
    let alarm = snapshots.wait_for(|now| now.hole.is_some());
    let hole = tokio::time::timeout(Duration::from_secs(10), alarm).await.unwrap().unwrap().hole;
    assert_eq!(hole.map(|hole| hole.after), Some(20));
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(*running.handle.applied().borrow(), 20);
    db.append(&history.events[20..25]).await;
    running.reaches(25).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(*running.handle.applied().borrow(), 25);
    db.append(&history.events[25..30]).await;
    running.reaches(history.head()).await;
    running.stop().await;
    db.remove().await;
}

/// The database goes away under the loop's feet, and comes back.
#[tokio::test(flavor = "multi_thread")]
async fn errors_never_end_the_loop() {
    let db = Database::new().await;
    let history = History::of(25, 400);
    let running = db.project();
    for batch in history.events.chunks(20) {
        db.append(batch).await;
        running.appended.send_replace(batch.last().unwrap().position);
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid() and query not like '%insert into events select%'")
            .execute(&db.owner)
            .await
            .ok();
    }
    running.reaches(history.head()).await;
    let rows = db.dump().await;
    running.stop().await;
    assert_same(&rows, &db.fold(&history.decoded(), || usize::MAX).await, "projected, folded");
    db.remove().await;
}
