//! The queue alone: what is due, who may take it, and what becomes of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::TimeDelta;
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, Row};
use tenure::clock;
use tenure::database::{Role, pool};
use tenure::deliveries::queue::{Ended, Lane, Queue, forget_before};
use tenure::deliveries::{Channel, Due, Outcome, Report, Retry};
use tenure_aggregates::Time;
use uuid::Uuid;

use crate::support::cluster::fresh_database;

/// A queue on a database of its own.
struct Bench {
    admin: PgPool,
    queue: Queue,
}

const LEASE: Duration = Duration::from_secs(10);

impl Bench {
    async fn new() -> Self {
        let database = fresh_database().await;
        let queue =
            Queue { projector: pool(&database, Role::Projector, 4), channel: Channel::Webhook, lease: LEASE };
        let admin = PgPoolOptions::new().max_connections(2).connect_with(database).await.unwrap();
        Self { admin, queue }
    }

    /// So many deliveries on a lane, due at once.
    async fn waits(&self, lane: u128, many: i64) {
        sqlx::query(
            "insert into deliveries (workspace_id, delivery_id, channel, lane, kind, trigger, event_id, position,
                                     workspace_seq, next_attempt_at, created_at)
             select $1, gen_random_uuid(), 'webhook', $1, 'membership.started', 'event', gen_random_uuid(), n, n,
                    $3, $3
             from generate_series(1, $2) n",
        )
        .bind(Uuid::from_u128(lane))
        .bind(many)
        .bind(clock::now())
        .execute(&self.admin)
        .await
        .unwrap();
    }

    async fn takes(&self, room: usize, most: usize, now: Time) -> Vec<Due> {
        let lanes = self.queue.lanes(Uuid::nil(), &[], 100, now).await.unwrap();
        let rooms: Vec<_> = lanes.into_iter().map(|lane| (lane.lane, room)).collect();
        self.queue.take(&rooms, most, now).await.unwrap()
    }

    async fn ended(&self, due: &Due, outcome: Outcome, retry: Option<Time>, now: Time) {
        self.queue.note(&[Ended { due: due.clone(), outcome, retry }], now).await.unwrap();
    }

    async fn state(&self, due: &Due) -> (String, i32, Option<Time>, Option<String>) {
        let row = sqlx::query(
            "select status, attempts, next_attempt_at, reason from deliveries where delivery_id = $1",
        )
        .bind(due.id)
        .fetch_one(&self.admin)
        .await
        .unwrap();
        (row.get(0), row.get(1), row.get(2), row.get(3))
    }

    async fn attempts(&self, due: &Due) -> Vec<(i32, bool)> {
        let rows = sqlx::query(
            "select attempt, delivered from delivery_attempts where delivery_id = $1 order by attempt",
        )
        .bind(due.id)
        .fetch_all(&self.admin)
        .await
        .unwrap();
        rows.into_iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

fn failed(word: &str) -> Outcome {
    let report = Report { reason: Some(word.to_owned()), status: Some(500), ..Report::default() };
    Outcome::Failed(report, Retry::Scheduled)
}

fn per_lane(taken: &[Due]) -> BTreeMap<u128, usize> {
    let mut lanes = BTreeMap::new();
    for due in taken {
        *lanes.entry(due.lane.as_u128()).or_default() += 1;
    }
    lanes
}

// Attack 46: who has much to be delivered has no more than its share of a round.
#[tokio::test]
async fn a_little_is_taken_from_every_lane_the_oldest_first() {
    let bench = Bench::new().await;
    bench.waits(1, 5_000).await;
    bench.waits(2, 1).await;
    bench.waits(3, 7).await;
    let taken = bench.takes(4, 64, clock::now()).await;
    assert_eq!(per_lane(&taken), [(1, 4), (2, 1), (3, 4)].into());
    let positions: BTreeSet<i64> =
        taken.iter().filter(|due| due.lane == Uuid::from_u128(1)).map(|due| due.position).collect();
    assert_eq!(positions, [1, 2, 3, 4].into());
    assert_eq!(bench.takes(4, 3, clock::now()).await.len(), 3, "and never more than asked for");
}

#[tokio::test]
async fn the_lanes_after_the_last_one_come_first() {
    let bench = Bench::new().await;
    for lane in 1..=5 {
        bench.waits(lane, 2).await;
    }
    let lanes = bench.queue.lanes(Uuid::from_u128(3), &[], 5, clock::now()).await.unwrap();
    let order: Vec<u128> = lanes.iter().map(|lane| lane.lane.as_u128()).collect();
    assert_eq!(order, [4, 5, 1, 2, 3]);
    let (workspace, lane) = (Uuid::from_u128(4), Uuid::from_u128(4));
    assert_eq!(lanes[0], Lane { workspace, lane, failing: false }, "whose it is, is told with it");
    let full = [Uuid::from_u128(4), Uuid::from_u128(1)];
    let others = bench.queue.lanes(Uuid::from_u128(3), &full, 2, clock::now()).await.unwrap();
    let order: Vec<u128> = others.iter().map(|lane| lane.lane.as_u128()).collect();
    assert_eq!(order, [5, 2], "and those that are full hide none");
}

#[tokio::test]
async fn what_came_of_many_is_noted_at_once_and_what_cannot_be_keeps_none_from_it() {
    let bench = Bench::new().await;
    bench.waits(1, 5).await;
    let now = clock::now();
    let held = bench.takes(5, 5, now).await;
    let next = now + TimeDelta::seconds(300);
    let outcomes = [
        (Outcome::Delivered(Report { status: Some(200), ..Report::default() }), None),
        (failed("http_500"), Some(next)),
        // PostgreSQL takes no such text.
        (failed("said\0so"), None),
        (Outcome::Cancelled("endpoint_disabled"), None),
        (failed("timeout"), None),
    ];
    let ended: Vec<Ended> = held
        .iter()
        .zip(outcomes)
        .map(|(due, (outcome, retry))| Ended { due: due.clone(), outcome, retry })
        .collect();
    bench.queue.note(&ended, now).await.unwrap_err();
    let mut states = Vec::new();
    for due in &held {
        states.push(bench.state(due).await.0);
    }
    assert_eq!(states, ["delivered", "pending", "pending", "cancelled", "failed"]);
    assert_eq!(bench.state(&held[1]).await.2, Some(next));
    assert_eq!(bench.attempts(&held[0]).await, [(1, true)]);
    assert_eq!(bench.attempts(&held[2]).await, [], "that one is made again once its lease is over");
    assert_eq!(bench.takes(5, 5, now + TimeDelta::seconds(11)).await[0].id, held[2].id);
}

#[tokio::test]
async fn what_is_held_is_nobody_elses_until_the_lease_is_over() {
    let bench = Bench::new().await;
    bench.waits(1, 1).await;
    let now = clock::now();
    let held = bench.takes(4, 64, now).await;
    assert_eq!(held[0].attempt, 1);
    assert_eq!(bench.takes(4, 64, now + TimeDelta::seconds(9)).await, []);
    bench.queue.prolong(&held, now + TimeDelta::seconds(9)).await.unwrap();
    assert_eq!(
        bench.takes(4, 64, now + TimeDelta::seconds(18)).await,
        [],
        "whoever lives goes on holding it"
    );
    let again = bench.takes(4, 64, now + TimeDelta::seconds(20)).await;
    assert_eq!((again[0].id, again[0].attempt), (held[0].id, 2), "whoever died does not");
    bench.queue.prolong(&held, now + TimeDelta::seconds(40)).await.unwrap();
    let third = bench.takes(4, 64, now + TimeDelta::seconds(31)).await;
    assert_eq!(third[0].attempt, 3, "a lease that was lost cannot be prolonged");
}

#[tokio::test]
async fn two_processes_never_take_the_same() {
    let bench = Bench::new().await;
    bench.waits(1, 400).await;
    let now = clock::now();
    let mut seen = BTreeSet::new();
    for _ in 0..10 {
        let (one, other) = tokio::join!(bench.takes(20, 20, now), bench.takes(20, 20, now));
        for due in one.into_iter().chain(other) {
            assert!(seen.insert(due.id), "taken twice");
        }
    }
    // Who finds the other at a row looks past it, so no round comes back empty.
    assert!(seen.len() >= 200, "{}", seen.len());
}

#[tokio::test]
async fn what_failed_waits_for_its_next_attempt_and_what_was_the_last_is_over() {
    let bench = Bench::new().await;
    bench.waits(1, 1).await;
    let now = clock::now();
    let due = bench.takes(1, 1, now).await.remove(0);
    let next = now + TimeDelta::seconds(300);
    bench.ended(&due, failed("http_500"), Some(next), now).await;
    let waiting = ("pending".to_owned(), 1, Some(next), Some("http_500".to_owned()));
    assert_eq!(bench.state(&due).await, waiting);
    assert_eq!(bench.queue.next().await.unwrap(), Some(next));
    assert_eq!(bench.takes(1, 1, now).await, []);
    let second = bench.takes(1, 1, next).await.remove(0);
    bench.ended(&second, failed("timeout"), None, next).await;
    assert_eq!(bench.state(&due).await, ("failed".to_owned(), 2, None, Some("timeout".to_owned())));
    assert_eq!(bench.attempts(&due).await, [(1, false), (2, false)]);
    assert_eq!(bench.queue.next().await.unwrap(), None);
}

#[tokio::test]
async fn what_arrived_has_arrived_whoever_holds_it_by_now() {
    let bench = Bench::new().await;
    bench.waits(1, 2).await;
    let now = clock::now();
    let slow = bench.takes(2, 2, now).await;
    let later = now + TimeDelta::seconds(11);
    let taken_over = bench.takes(2, 2, later).await;
    assert_eq!(taken_over.len(), 2);
    // The first holder was only slow: one of the two it did deliver.
    let delivered = Outcome::Delivered(Report::default());
    bench.ended(&slow[0], delivered, None, later).await;
    assert_eq!(bench.state(&slow[0]).await.0, "delivered");
    // What it says of the other no longer counts: that one is in other hands.
    bench.ended(&slow[1], failed("timeout"), None, later).await;
    assert_eq!(bench.state(&slow[1]).await.0, "pending");
    let other = taken_over.iter().find(|due| due.id == slow[0].id).unwrap();
    bench.ended(other, failed("timeout"), None, later).await;
    assert_eq!(bench.state(&slow[0]).await.0, "delivered", "and nothing undoes what arrived");
}

#[tokio::test]
async fn what_was_not_tried_counts_as_no_attempt() {
    let bench = Bench::new().await;
    bench.waits(1, 2).await;
    let now = clock::now();
    let held = bench.takes(2, 2, now).await;
    bench.ended(&held[0], Outcome::NotNow("event_unreadable"), None, now).await;
    let (status, attempts, next, reason) = bench.state(&held[0]).await;
    assert_eq!((status.as_str(), attempts, reason.as_deref()), ("pending", 0, Some("event_unreadable")));
    assert!(next.unwrap() > now);
    bench.ended(&held[1], Outcome::Cancelled("endpoint_disabled"), None, now).await;
    let cancelled = ("cancelled".to_owned(), 0, None, Some("endpoint_disabled".to_owned()));
    assert_eq!(bench.state(&held[1]).await, cancelled);
    assert_eq!(bench.attempts(&held[1]).await, []);
}

#[tokio::test]
async fn what_is_over_is_forgotten_in_time_and_what_waits_is_not() {
    let bench = Bench::new().await;
    bench.waits(1, 3).await;
    let now = clock::now();
    let over = bench.takes(1, 1, now).await;
    bench.ended(&over[0], Outcome::Delivered(Report::default()), None, now).await;
    assert_eq!(forget_before(&bench.queue.projector, now - TimeDelta::days(1)).await.unwrap(), 0);
    assert_eq!(forget_before(&bench.queue.projector, now + TimeDelta::days(1)).await.unwrap(), 1);
    let left: i64 =
        sqlx::query_scalar("select count(*) from deliveries").fetch_one(&bench.admin).await.unwrap();
    assert_eq!(left, 2);
    assert_eq!(bench.attempts(&over[0]).await, [], "its attempts go with it");
}
