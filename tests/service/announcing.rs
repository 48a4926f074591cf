//! Other processes are told of appends: of the last one always, and of whatever else writes.

use std::time::Duration;

use sqlx::postgres::PgListener;
use tokio::time::timeout;

use crate::support::TestService;
use crate::support::service::drop_database;

/// Far longer than the appender waits before it announces.
const QUIET: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(10);

/// It is told at least once; until nothing more is told.
async fn hears(listener: &mut PgListener) {
    timeout(PATIENCE, listener.recv()).await.expect("it is told").unwrap();
    while timeout(QUIET, listener.recv()).await.is_ok() {}
}

#[tokio::test]
async fn whoever_listens_hears_of_what_was_appended_last_and_of_what_others_write() {
    let service = TestService::start().await;
    let ada = service.provision("ada").await;
    let admin = service.admin().await;
    let mut listener = PgListener::connect_with(&admin).await.unwrap();
    listener.listen("tenure_log").await.unwrap();
    for several in [1, 20, 1] {
        for n in 0..several {
            ada.creates(&format!("One of {several}: {n}")).await;
        }
        hears(&mut listener).await;
    }
    let database = service.database.clone();
    service.leave().await;
    // Who writes past the appender announces it in the same transaction.
    let copied = "insert into events
         select position + 1, workspace_id, workspace_seq + 1, aggregate_type, aggregate_id, sequence + 1, event_type,
                event_version, payload, metadata, recorded_at
         from events order by position desc limit 1";
    sqlx::query(copied).execute(&admin).await.unwrap();
    hears(&mut listener).await;
    listener.unlisten_all().await.unwrap();
    drop(listener);
    admin.close().await;
    drop_database(&database).await;
}
