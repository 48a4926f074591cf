//! Tests of [`super`].

use std::collections::HashMap;

use super::*;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unit {
    lane: u128,
    number: u32,
    cost: u32,
}

impl Queued for Unit {
    fn lane(&self) -> Uuid {
        Uuid::from_u128(self.lane)
    }

    fn cost(&self) -> u32 {
        self.cost
    }
}

fn unit(lane: u128, number: u32) -> Unit {
    Unit { lane, number, cost: QUANTUM }
}

fn taken(receiver: &mut Receiver<Unit>, limit: usize) -> Vec<Unit> {
    let mut units = Vec::new();
    let count = receiver.try_recv_many(&mut units, limit);
    assert_eq!(count, units.len());
    units
}

#[test]
fn a_lane_that_floods_is_turned_away_while_others_get_in() {
    let (sender, receiver) = queue(100);
    let flood = (0..200).filter(|n| sender.try_send(unit(1, *n)).is_ok()).count();
    assert_eq!(flood, 50, "as many as are still free");
    assert_eq!(sender.try_send(unit(1, 200)), Err(Rejected::Share));
    for lane in 2..=51 {
        assert_eq!(sender.try_send(unit(lane, 0)), Ok(()), "lane {lane}");
        assert_eq!(
            sender.try_send(unit(1, 201)),
            Err(if lane < 51 { Rejected::Share } else { Rejected::Full })
        );
    }
    assert_eq!(sender.try_send(unit(60, 0)), Err(Rejected::Full));
    assert_eq!((sender.len(), receiver.len()), (100, 100));
}

#[test]
fn two_that_flood_leave_a_third() {
    let (sender, _receiver) = queue(90);
    let mut got_in = [0; 2];
    for n in 0..200 {
        for lane in [0, 1] {
            got_in[lane as usize] += u32::from(sender.try_send(unit(lane, n)).is_ok());
        }
    }
    assert_eq!(got_in, [30, 30]);
}

#[test]
fn a_batch_is_taken_from_all_lanes_in_turn() {
    let (sender, mut receiver) = queue(1_000);
    for n in 0..400 {
        sender.try_send(unit(1, n)).unwrap();
    }
    for lane in 2..=10 {
        sender.try_send(unit(lane, 0)).unwrap();
        sender.try_send(unit(lane, 1)).unwrap();
    }
    let lanes = |units: Vec<Unit>| units.into_iter().map(|unit| (unit.lane, unit.number)).collect::<Vec<_>>();
    let round = |n| (1..=10).map(|lane| (lane, n)).collect::<Vec<_>>();
    assert_eq!(lanes(taken(&mut receiver, 10)), round(0));
    assert_eq!(lanes(taken(&mut receiver, 10)), round(1));
    assert_eq!(lanes(taken(&mut receiver, 3)), [(1, 2), (1, 3), (1, 4)], "the others have nothing left");
}

#[test]
fn whoever_asks_for_more_at_once_has_fewer_turns() {
    let (sender, mut receiver) = queue(1_000);
    for n in 0..100 {
        sender.try_send(Unit { lane: 1, number: n, cost: 10 * QUANTUM }).unwrap();
        sender.try_send(Unit { lane: 2, number: n, cost: QUANTUM }).unwrap();
        sender.try_send(Unit { lane: 3, number: n, cost: 1 }).unwrap();
    }
    let mut events = HashMap::new();
    for unit in taken(&mut receiver, 120) {
        *events.entry(unit.lane).or_insert(0) += unit.cost;
    }
    assert_eq!(events, HashMap::from([(1, 80), (2, 96), (3, 94)]), "events, and not units, are shared out");
    // The costliest of all still comes.
    sender.try_send(Unit { lane: 9, number: 0, cost: u32::MAX }).unwrap();
    assert!(taken(&mut receiver, 1_000).iter().any(|unit| unit.lane == 9));
}

#[tokio::test]
async fn closing_drains() {
    let (sender, mut receiver) = queue(10);
    for n in 0..5 {
        sender.try_send(unit(1, n)).unwrap();
    }
    receiver.close();
    assert_eq!(sender.try_send(unit(1, 5)), Err(Rejected::Closed));
    assert!(receiver.is_closed());
    let mut units = Vec::new();
    assert_eq!(receiver.recv_many(&mut units, 3).await, 3);
    assert_eq!(receiver.recv_many(&mut units, 3).await, 2);
    assert_eq!(receiver.recv_many(&mut units, 3).await, 0);
    assert_eq!(units, (0..5).map(|n| unit(1, n)).collect::<Vec<_>>());
}

#[tokio::test]
async fn it_ends_with_the_last_sender_and_wakes_who_waits() {
    let (sender, mut receiver) = queue(10);
    let other = sender.clone();
    let waits = tokio::spawn(async move {
        let mut units = Vec::new();
        while receiver.recv_many(&mut units, 8).await > 0 {}
        units
    });
    for n in 0..20 {
        tokio::task::yield_now().await;
        other.try_send(unit(7, n)).unwrap();
        tokio::task::yield_now().await;
    }
    drop((sender, other));
    assert_eq!(waits.await.unwrap(), (0..20).map(|n| unit(7, n)).collect::<Vec<_>>());
}

#[tokio::test]
async fn whoever_stops_waiting_loses_nothing() {
    let (sender, mut receiver) = queue(10);
    let mut units = Vec::new();
    for n in 0..10 {
        tokio::select! {
            biased;
            _ = receiver.recv_many(&mut units, 1) => panic!("there is nothing"),
            () = std::future::ready(()) => {}
        }
        sender.try_send(unit(1, n)).unwrap();
        assert_eq!(receiver.recv_many(&mut units, 1).await, 1);
    }
    assert_eq!(units.len(), 10);
}

#[test]
fn what_nobody_will_take_is_dropped() {
    struct Reply(#[allow(dead_code)] std::sync::Arc<()>);
    impl Queued for Reply {
        fn lane(&self) -> Uuid {
            Uuid::nil()
        }
        fn cost(&self) -> u32 {
            1
        }
    }
    let (sender, receiver) = queue(10);
    let held = Arc::new(());
    sender.try_send(Reply(held.clone())).unwrap();
    drop(receiver);
    assert_eq!(Arc::strong_count(&held), 1, "its owner hears of it");
    assert_eq!(sender.try_send(Reply(held)), Err(Rejected::Closed));
}

#[test]
fn at_random_bounds_hold_and_every_lane_keeps_its_order() {
    for seed in 0..50 {
        let mut random = fastrand::Rng::with_seed(seed);
        let capacity = random.usize(1..200);
        let (sender, mut receiver) = queue(capacity);
        let mut model: HashMap<u128, VecDeque<Unit>> = HashMap::new();
        let mut len = 0;
        for number in 0..5_000 {
            if random.u8(..) < 200 {
                // A few lanes send most.
                let lane = u128::from(random.u32(0..40).min(random.u32(0..40)).min(random.u32(0..40)));
                let sent = Unit { lane, number, cost: random.u32(0..12) };
                let expected = model.get(&lane).map_or(0, VecDeque::len) < capacity - len;
                assert_eq!(sender.try_send(sent).is_ok(), expected, "seed {seed}, unit {number}");
                if expected {
                    model.entry(lane).or_default().push_back(sent);
                    len += 1;
                }
            } else {
                let limit = random.usize(1..20);
                let units = taken(&mut receiver, limit);
                assert_eq!(units.len(), limit.min(len), "a batch is as full as it can be");
                for unit in units {
                    assert_eq!(model.get_mut(&unit.lane).unwrap().pop_front(), Some(unit), "seed {seed}");
                    len -= 1;
                }
            }
            assert!(len <= capacity && receiver.len() == len);
        }
        for unit in taken(&mut receiver, capacity) {
            assert_eq!(model.get_mut(&unit.lane).unwrap().pop_front(), Some(unit));
        }
        assert!(model.values().all(VecDeque::is_empty));
        assert!(receiver.0.lock().by_id.is_empty(), "no lane stays behind");
    }
}
