//! Tests of [`super`].

use futures::poll;
use tokio::task::unconstrained;

use super::super::Lanes;
use super::*;

/// More than several, so that one of them may flood.
const LANES: usize = 12;

fn lane(name: &str) -> Lane {
    thread_local!(static LANES: Lanes = Lanes::default());
    LANES.with(|lanes| lanes.of(None, &[name.as_bytes()]))
}

#[tokio::test]
async fn a_lane_has_its_share_at_work_and_waits_with_the_rest() {
    let turns = Turns::new("test", 10, 3);
    let mut at_work = Vec::new();
    for _ in 0..3 {
        at_work.push(turns.take(lane("noisy")).await.unwrap());
    }
    let mut waits = Box::pin(turns.take(lane("noisy")));
    assert!(poll!(waits.as_mut()).is_pending());
    let quiet = turns.take(lane("quiet")).await.unwrap();
    assert_eq!(turns.waiting(), 1);
    drop(quiet);
    assert!(poll!(waits.as_mut()).is_pending(), "not for another lane's turn");
    drop(at_work.pop());
    waits.await.unwrap();
}

#[tokio::test]
async fn the_more_lanes_there_are_the_less_one_may_have() {
    let turns = Turns::new("test", 100, 8);
    let taken = async |name: &str| {
        let mut at_work = Vec::new();
        loop {
            let mut take = Box::pin(turns.take(lane(name)));
            match poll!(unconstrained(take.as_mut())) {
                std::task::Poll::Ready(turn) => at_work.push(turn.unwrap()),
                std::task::Poll::Pending => return at_work,
            }
        }
    };
    for (others, share) in [(0, 8), (1, 8), (2, 5), (3, 4), (4, 3), (5, 2), (7, 2), (20, 2)] {
        let mut quiet = Vec::new();
        for n in 0..others {
            quiet.push(turns.take(lane(&format!("quiet-{n}"))).await.unwrap());
        }
        assert_eq!(taken("noisy").await.len(), share, "beside {others}");
    }
    let turns = Turns::new("test", 100, 1);
    let _quiet = turns.take(lane("quiet")).await.unwrap();
    let _one = turns.take(lane("noisy")).await.unwrap();
    assert!(poll!(Box::pin(turns.take(lane("noisy")))).is_pending(), "never more than the most");
}

#[tokio::test]
async fn when_others_leave_who_waits_is_called_at_once() {
    let turns = Turns::new("test", 100, 4);
    let quiet = [turns.take(lane("a")).await.unwrap(), turns.take(lane("b")).await.unwrap()];
    let _at_work = [turns.take(lane("noisy")).await.unwrap(), turns.take(lane("noisy")).await.unwrap()];
    let mut waits = Box::pin(turns.take(lane("noisy")));
    let mut waits_too = Box::pin(turns.take(lane("noisy")));
    assert!(poll!(waits.as_mut()).is_pending() && poll!(waits_too.as_mut()).is_pending());
    drop(quiet);
    waits.await.unwrap();
    waits_too.await.unwrap();
}

#[tokio::test]
async fn with_all_turns_taken_the_lanes_come_in_turn_and_each_keeps_its_order() {
    let turns = Turns::new("test", 1, 1);
    let held = turns.take(lane("first")).await.unwrap();
    let names = ["noisy", "noisy", "noisy", "noisy", "a", "b", "a"];
    let (told, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut tasks = Vec::new();
    for (n, name) in names.into_iter().enumerate() {
        let (turns, told, of) = (turns.clone(), told.clone(), lane(name));
        tasks.push(tokio::spawn(async move {
            let turn = turns.take(of).await.unwrap();
            told.send((name, n)).unwrap();
            drop(turn);
        }));
        tokio::task::yield_now().await;
    }
    assert_eq!(turns.waiting(), 7);
    drop((held, told));
    let mut came = Vec::new();
    while let Some(next) = order.recv().await {
        came.push(next);
    }
    let expected = [("noisy", 0), ("a", 4), ("b", 5), ("noisy", 1), ("a", 6), ("noisy", 2), ("noisy", 3)];
    assert_eq!(came, expected);
}

#[tokio::test]
async fn who_goes_away_leaves_nothing_behind() {
    let turns = Turns::new("test", 1, 1);
    let held = turns.take(lane("a")).await.unwrap();
    for name in ["a", "b", "a", "c"] {
        let mut waits = Box::pin(turns.take(lane(name)));
        assert!(poll!(waits.as_mut()).is_pending());
    }
    assert_eq!(turns.waiting(), 0);
    // Called, and gone before it was heard.
    let mut called = Box::pin(turns.take(lane("b")));
    assert!(poll!(called.as_mut()).is_pending());
    let mut after = Box::pin(turns.take(lane("c")));
    assert!(poll!(after.as_mut()).is_pending());
    drop(held);
    drop(called);
    let after = after.await.unwrap();
    drop(after);
    let state = turns.lock();
    assert_eq!((state.free, state.lanes.len(), state.next.len()), (1, 0, 0));
}

#[tokio::test]
async fn nobody_waits_for_ever() {
    let state = State { free: 1, most: 1, lanes: HashMap::new(), next: VecDeque::new() };
    let shared = Shared { what: "test", patience: Duration::from_millis(1), state: Mutex::new(state) };
    let turns = Turns(Arc::new(shared));
    let _held = turns.take(lane("a")).await.unwrap();
    assert_eq!(turns.take(lane("b")).await.unwrap_err(), Bound::Turn);
    assert_eq!(turns.waiting(), 0);
}

#[tokio::test]
async fn who_floods_beside_several_others_has_one_turn() {
    let turns = Turns::new("test", 100, 32);
    let mut others = Vec::new();
    for n in 0..SEVERAL - 1 {
        others.push(turns.take(lane(&n.to_string())).await.unwrap());
    }
    let (mut at_work, mut waiting) = (Vec::new(), Vec::new());
    for _ in 0..64 {
        let mut waits = Box::pin(turns.take(lane("noisy")));
        match poll!(waits.as_mut()) {
            std::task::Poll::Ready(turn) => at_work.push(turn.unwrap()),
            std::task::Poll::Pending => waiting.push(waits),
        }
    }
    // Those who came before it flooded.
    assert_eq!((at_work.len(), waiting.len()), (8, 56));
    drop(at_work);
    assert_eq!(turns.waiting(), 55, "one at a time");
    // Most go away: it floods no more, and has the share of any lane.
    waiting.truncate(12);
    assert_eq!(turns.waiting(), 12 - 8);
    drop(others);
}

#[tokio::test]
async fn at_random_no_turn_is_lost_and_no_bound_passed() {
    for seed in 0..20 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (all, most) = (random.usize(1..8), random.usize(1..9));
        let turns = Turns::new("test", all, most);
        let lanes: Vec<_> = (0..LANES).map(|n| lane(&n.to_string())).collect();
        let mut waiting = Vec::new();
        let mut at_work: Vec<(usize, Turn)> = Vec::new();
        for _ in 0..3_000 {
            match random.u8(0..8) {
                0..4 => {
                    let n = random.usize(0..LANES).min(random.usize(0..LANES));
                    waiting.push((n, Box::pin(turns.take(lanes[n]))));
                }
                4..7 if !at_work.is_empty() => drop(at_work.swap_remove(random.usize(0..at_work.len()))),
                7 if !waiting.is_empty() => drop(waiting.swap_remove(random.usize(0..waiting.len()))),
                _ => {}
            }
            let mut still = Vec::new();
            for (n, mut waits) in waiting {
                // So many are polled that tokio would have this task pause.
                match poll!(unconstrained(waits.as_mut())) {
                    std::task::Poll::Ready(turn) => at_work.push((n, turn.unwrap())),
                    std::task::Poll::Pending => still.push((n, waits)),
                }
            }
            waiting = still;
            let of = |n: usize| at_work.iter().filter(|(lane, _)| *lane == n).count();
            assert!(at_work.len() <= all && (0..LANES).all(|n| of(n) <= most), "seed {seed}");
            let share = |n: usize| {
                let state = turns.lock();
                state.lanes.get(&lanes[n].key).map_or(0, |line| state.share().of(line))
            };
            let idle = at_work.len() < all && waiting.iter().any(|(n, _)| of(*n) < share(*n));
            assert!(!idle, "seed {seed}: somebody waits although there is a turn for them");
        }
        drop((waiting, at_work));
        let state = turns.lock();
        assert_eq!((state.free, state.lanes.len(), state.next.len()), (all, 0, 0), "seed {seed}");
    }
}
