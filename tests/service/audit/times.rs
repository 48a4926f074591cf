//! Where an instant lies in a workspace's audit log is found by halving, however the history looks.

use sqlx::Executor;

use crate::support::TestService;

#[tokio::test]
async fn whatever_holes_and_equal_times_there_are_an_instant_parts_the_log_in_two() {
    let service = TestService::start().await;
    let admin = service.admin().await;
    // Histories of up to 40 entries, with holes between them, several at one instant, and one that is empty.
    let histories = "select setseed(0.7);
         create temporary table history as
         select w as n, gen_random_uuid() as workspace_id, floor(random() * 4)::int as hole, 1 + w % 5 as alike
         from generate_series(0, 40) w;
         insert into audit_log (workspace_id, workspace_seq, position, time, actor_type, action, target_type, target_id, changes)
         select workspace_id, e * (hole + 1) + e % (hole + 1), e, '2026-01-01Z'::timestamptz + e / alike * interval '2 s',
                'system', 'user.erased', 'user', 'ada', '{}'
         from history, generate_series(1, n) e;";
    let mut connection = admin.acquire().await.unwrap().detach();
    connection.execute(histories).await.unwrap();
    let (asked, wrong): (i64, i64) = sqlx::query_as(
        "select count(*), count(*) filter (where exists (
             select from audit_log a where a.workspace_id = h.workspace_id
               and (a.workspace_seq >= since) <> (a.time >= instant)))
         from history h
         cross join lateral (select '2026-01-01Z'::timestamptz + s * interval '1 s' as instant
                             from generate_series(-1, 90) s) i
         cross join lateral audit_log_since(h.workspace_id, instant) since",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!((asked, wrong), (41 * 92, 0));
    drop(connection);
    admin.close().await;
    service.stop().await;
}
